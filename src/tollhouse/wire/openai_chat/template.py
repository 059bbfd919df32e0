"""Template: the bytes that all text frames of one stream share, so that most frames need not be decoded at all."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import cast

import msgspec

from tollhouse.wire.framing import Frame
from tollhouse.wire.openai_chat.chunk import Plain, choices_of, part_of

_MARK = b"tollhouse-mark"
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+')
_TEXTS = ("content", "reasoning_content", "reasoning")
_KEYS = {name: re.compile(rb'"%s"\s*:\s*"' % name.encode()) for name in (*_TEXTS, "arguments")}


class Template(msgspec.Struct, frozen=True, gc=False):
    """A frame that begins with `prefix`, ends with `suffix` and has only text between is known without decoding;
    the caller gets it between `out_prefix` and `out_suffix`."""

    prefix: bytes
    suffix: bytes
    out_prefix: bytes
    out_suffix: bytes


NO_TEMPLATE = Template(b"\n", b"\n", b"", b"")
"""Matches no frame, since none begins with a blank line and has text in it."""


def is_text(text: bytes) -> bool:
    """Whether `text` is the inside of one JSON string; False where that is not plain to see."""
    if text.endswith(b"\\") or b"\\\\" in text:
        return False
    return text.count(b'"') == text.count(b'\\"')


def learn_template(frame: Frame, chunk: Plain, render: Callable[[Frame], bytes]) -> Template | None:
    """The template of which `frame`, decoded to `chunk`, is one case; None when there is no single growing text.

    `render` must depend on the frame alone: it is asked what becomes of the frame with another text, and where that
    text ends up.
    """
    found = _growing_text(chunk)
    if found is None:
        return None
    name, holder = found
    raw, data = frame.raw, frame.data or b""
    at = raw.find(data)
    if at < 0 or _MARK in raw:
        return None
    for key in _KEYS[name].finditer(raw):
        start = key.end()
        rest = _REST_OF_STRING.match(raw, start)
        if rest is None:
            return None
        end = rest.end()
        marked_raw = raw[:start] + _MARK + raw[end:]
        marked_data = marked_raw[at : at + len(data) + len(marked_raw) - len(raw)]
        if _holds_mark(marked_data, name, holder, chunk):
            before, mark, after = render(Frame(marked_raw, marked_data, frame.event)).partition(_MARK)
            if mark and _MARK not in after:
                return Template(raw[:start], raw[end:], before, after)
    return None


def _growing_text(chunk: Plain) -> tuple[str, Plain] | None:
    """The one text of a chunk, as the name of its field and the object that holds it."""
    choices = choices_of(chunk)
    if len(choices) != 1 or choices[0].get("finish_reason"):
        return None
    found = list(_texts(part_of(choices[0], "delta")))
    return found[0] if len(found) == 1 else None


def _texts(delta: Plain) -> Iterator[tuple[str, Plain]]:
    for name in _TEXTS:
        if isinstance(delta.get(name), str) and delta[name]:
            yield name, delta
    calls = delta.get("tool_calls")
    for call in cast("list[object]", calls) if isinstance(calls, list) else ():
        if isinstance(call, dict) and type(cast("Plain", call).get("index")) is int:
            function = part_of(cast("Plain", call), "function")
            if isinstance(function.get("arguments"), str) and function["arguments"]:
                yield "arguments", function


def _holds_mark(data: bytes, name: str, holder: Plain, chunk: Plain) -> bool:
    """Whether `data` is `chunk` with the mark in place of that text, and nothing else changed."""
    original = holder[name]
    holder[name] = _MARK.decode()
    expected = copy.deepcopy(chunk)
    holder[name] = original
    try:
        return msgspec.json.decode(data) == expected
    except msgspec.DecodeError:
        return False
