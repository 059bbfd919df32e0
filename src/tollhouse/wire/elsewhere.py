"""Elsewhere: parts of a prompt that a request only names, by an address or an id; they count as tokens all the same."""

import re

import msgspec

from tollhouse.wire.peeking import stands_in

# In Chat {"image_url": {"url": "https://..."}}, in Responses {"image_url": "https://..."}.
_PICTURE = re.compile(rb'"image_url"\s*:\s*(?:\{[^{}]*?"url"\s*:\s*)?"(?!data:)')
_SOURCE = re.compile(rb'"type"\s*:\s*"(url|file)"')


class Elsewhere(msgspec.Struct, frozen=True):
    """How many `pictures` are named by an address, and whether there are `files`, which may be of any length."""

    pictures: int = 0
    files: bool = False


NOTHING = Elsewhere()


def named_in_openai(raw: msgspec.Raw | None) -> Elsewhere:
    """What `messages` of Chat or `input` of Responses names. Looks at the bytes, so that text which only reads like a
    part counts as one; a request without parts costs a look for an underscore."""
    if raw is None:
        return NOTHING
    text = bytes(raw)
    pictures = len(_PICTURE.findall(text)) if stands_in(text, b'"image_url"') else 0
    files = stands_in(text, b'"file_id"') or stands_in(text, b'"file_url"')
    return Elsewhere(pictures, files) if pictures or files else NOTHING


def named_in_anthropic(raw: msgspec.Raw | None) -> Elsewhere:
    """The same for `messages` of Messages, where a picture or a document has its `source`."""
    if raw is None:
        return NOTHING
    text = bytes(raw)
    if not stands_in(text, b'"source"'):
        return NOTHING
    kinds: list[bytes] = _SOURCE.findall(text)
    if not kinds:
        return NOTHING
    files = b"file" in kinds or stands_in(text, b'"document"')
    return Elsewhere(0 if files else len(kinds), files)
