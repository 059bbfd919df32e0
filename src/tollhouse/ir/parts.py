"""Parts: what a message or an answer is made of, in the order in which it stands there."""

from typing import Literal

import msgspec

Extensions = dict[str, dict[str, object]]
"""What a decoder did not understand, as plain JSON values under the name of its format. An encoder of that format
writes it back where it was; an encoder of another format records it as a Loss."""

ToolCallKind = Literal["function", "custom"]


class CacheControl(msgspec.Struct, frozen=True, kw_only=True):
    """A cache breakpoint after the part or tool that carries it. `ttl` is the vendor's own text, such as "1h".

    said_in: the format in which the caller said it. A format of which only some providers know breakpoints writes
    back its own and no others: the rest would refuse the request.
    """

    type: str = "ephemeral"
    ttl: str | None = None
    said_in: str | None = None


class MediaUrl(msgspec.Struct, frozen=True, kw_only=True, tag="url"):
    """Media at an address that the provider fetches; a base64 `data:` URL is MediaData instead."""

    url: str


class MediaData(msgspec.Struct, frozen=True, kw_only=True, tag="data"):
    """Media inside the request. `data` is base64 text, kept as it came; `media_type` is None when nobody said."""

    data: str
    media_type: str | None = None


class MediaText(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """A document given as plain text."""

    text: str
    media_type: str = "text/plain"


class MediaId(msgspec.Struct, frozen=True, kw_only=True, tag="id"):
    """A file that was uploaded to the provider before; it means nothing to another provider."""

    id: str


MediaSource = MediaUrl | MediaData | MediaText | MediaId


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stretch of text comes from. `start` and `end` count characters of the text part that carries it."""

    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    extensions: Extensions = {}


class TextPart(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """Visible text. `logprobs` are plain `{token, logprob, bytes, top_logprobs}` objects, one per token.

    `item_id` names the item that carries it, in a format that has items; elsewhere it means nothing and is no loss.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[dict[str, object], ...] = ()
    item_id: str | None = None
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


class RefusalPart(msgspec.Struct, frozen=True, kw_only=True, tag="refusal"):
    """The model's own words for why it will not answer."""

    text: str
    logprobs: tuple[dict[str, object], ...] = ()
    item_id: str | None = None
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


class ImagePart(msgspec.Struct, frozen=True, kw_only=True, tag="image"):
    """A picture; `detail` is the resolution that the caller asked for, as it was spelt."""

    source: MediaSource
    detail: str | None = None
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


class FilePart(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """A document, such as a PDF; `filename` is its name or title."""

    source: MediaSource
    filename: str | None = None
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


class AudioPart(msgspec.Struct, frozen=True, kw_only=True, tag="audio"):
    """Sound that the caller sends; the media type says how it is encoded (`audio/wav`)."""

    source: MediaSource
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


class ReasoningOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """Who can read an opaque reasoning payload: the wire format that carried it and the maker of the model that wrote
    it, None where the decoder could not know."""

    format: str
    creator: str | None = None


class ReasoningPart(msgspec.Struct, frozen=True, kw_only=True, tag="reasoning"):
    """The model's reasoning; it never turns into visible text.

    text: the reasoning itself, "" when it is hidden. summary: paragraphs of a summary made for the caller.
    opaque: a signature, encrypted content or redacted data, kept byte for byte. redacted: `opaque` replaces the text.
    origin: set by the decoder wherever `opaque` is. form: how its own format spelt it, where that has several ways.
    """

    text: str = ""
    summary: tuple[str, ...] = ()
    opaque: str | None = None
    origin: ReasoningOrigin | None = None
    redacted: bool = False
    id: str | None = None
    form: str | None = None
    extensions: Extensions = {}


class ToolCallPart(msgspec.Struct, frozen=True, kw_only=True, tag="tool_call"):
    """The model asks for a tool. `arguments` is JSON text for a function (kept even if malformed), free text for a
    custom tool. `id` pairs it with its result; `item_id` names the item that carries it, where a format has both.
    `namespace` is the group in which the tool was offered, None for a tool that stands alone."""

    id: str
    name: str
    namespace: str | None = None
    arguments: str
    kind: ToolCallKind = "function"
    item_id: str | None = None
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


class OpaquePart(msgspec.Struct, frozen=True, kw_only=True, tag="opaque"):
    """A part of a kind that only `format` knows, verbatim: it goes back to that format, elsewhere it is a Loss."""

    format: str
    value: dict[str, object]


class ToolResultPart(msgspec.Struct, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool answered to the call with id `call_id`; it stands only in messages of role `tool`."""

    call_id: str
    parts: tuple[TextPart | ImagePart | FilePart | AudioPart | OpaquePart, ...] = ()
    is_error: bool = False
    kind: ToolCallKind = "function"
    item_id: str | None = None
    cache_control: CacheControl | None = None
    extensions: Extensions = {}


Part = (
    TextPart
    | RefusalPart
    | ImagePart
    | FilePart
    | AudioPart
    | ReasoningPart
    | ToolCallPart
    | ToolResultPart
    | OpaquePart
)
