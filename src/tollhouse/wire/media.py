"""Media: addresses and base64 `data:` URLs to sources of media, and back."""

import base64

from tollhouse.ir.parts import MediaData, MediaSource, MediaText, MediaUrl


def decode_url(url: str) -> MediaUrl | MediaData:
    """An address, or the data that a base64 `data:` URL holds."""
    head, comma, data = url.partition(",")
    if comma and head[:5].lower() == "data:" and head.lower().endswith(";base64"):
        return MediaData(data=data, media_type=head[5:-7])
    return MediaUrl(url=url)


def encode_url(source: MediaSource) -> str | None:
    """The URL of media at an address or inside of the request; None for what has none."""
    match source:
        case MediaUrl():
            return source.url
        case MediaData():
            return f"data:{source.media_type or ''};base64,{source.data}"
        case _:
            return None


def decode_file_data(data: str) -> MediaUrl | MediaData:
    """`file_data`: a `data:` URL, or bare base64 text."""
    decoded = decode_url(data)
    return decoded if isinstance(decoded, MediaData) or "://" in data else MediaData(data=data)


def encode_text_url(source: MediaText) -> str:
    """A plain text as a `data:` URL."""
    return f"data:{source.media_type};base64,{base64.b64encode(source.text.encode()).decode()}"
