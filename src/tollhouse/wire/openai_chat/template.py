"""Template: the bytes that all text frames of one stream share, so that most frames need not be decoded at all."""

import re
from collections.abc import Callable, Iterator
from typing import cast

import msgspec

from tollhouse.wire.framing import Frame
from tollhouse.wire.openai_chat.chunk import Plain, choices_of, part_of

QUOTE, BACKSLASH = b'"\\'
"""As numbers: asking bytes for one takes a fifth of the time that asking for bytes takes (CPython 3.11)."""

_MARK = b"tollhouse-text-mark"
_PADDING_MARK = b"tollhouse-padding-mark"
_PADDING = "obfuscation"
"""Letters of random number, against guessing at text from the length of frames (OpenAI, API reference 2025)."""

_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+')
_TEXTS = ("content", "reasoning_content", "reasoning")
_KEYS = {name: re.compile(rb'"%s"\s*:\s*"' % name.encode()) for name in (*_TEXTS, "arguments", _PADDING)}


class Template:
    """Frames of the shape `prefix` text `suffix`, or `prefix` text `middle` padding `suffix`: what stands between
    those is the inside of one string, so that the rest of the frame needs no second look."""

    __slots__ = ("middle", "out", "prefix", "same", "suffix")

    def __init__(self, shape: tuple[bytes, bytes, bytes], out: tuple[bytes, bytes, bytes]) -> None:
        self.prefix, self.middle, self.suffix = shape
        self.out = out
        self.same = shape == out

    def text_in(self, between: bytes) -> bytes:
        """The text of a frame that has `between` between prefix and suffix; b'' when that is not plain to see."""
        text = between
        if self.middle:
            text, middle, padding = between.rpartition(self.middle)
            if not middle or not padding.isalnum():
                return b""
        if BACKSLASH not in text:
            return b"" if QUOTE in text else text
        # With no escaped backslash about, each escaped quote is one.
        if text.endswith(b"\\") or b"\\\\" in text or text.count(b'"') != text.count(b'\\"'):
            return b""
        return text

    def rendered(self, between: bytes) -> bytes:
        """What becomes of that frame."""
        before, middle, after = self.out
        if self.middle:
            between = between.replace(self.middle, middle)
        return before + between + after


NO_TEMPLATE = Template((b"\n\n\n", b"", b"\n"), (b"", b"", b""))
"""Matches no frame: no frame has a blank line in front of a blank line."""


def learn_template(frame: Frame, chunk: Plain, render: Callable[[Frame], bytes]) -> Template | None:
    """The template of which `frame`, decoded to `chunk`, is one case; None when there is no single growing text.

    `render` must depend on the frame alone: it is asked what becomes of the frame with another text, and where that
    text ends up.
    """
    found = _growing_text(chunk)
    if found is None or b"tollhouse" in frame.raw:
        return None
    name, holder = found
    marked = _marked(frame, name, _MARK)
    marks = [(holder, name, _MARK)]
    if marked is not None and isinstance(chunk.get(_PADDING), str):
        marked = _marked(marked, _PADDING, _PADDING_MARK)
        marks.append((chunk, _PADDING, _PADDING_MARK))
    if marked is None or not _is_chunk_with(marked.data or b"", chunk, marks):
        return None
    padded = len(marks) > 1
    shape = _split(marked.raw, padded=padded)
    out = _split(render(marked), padded=padded)
    return None if shape is None or out is None else Template(shape, out)


def _marked(frame: Frame, name: str, mark: bytes) -> Frame | None:
    """The frame with `mark` in place of the one string of that name."""
    raw, data = frame.raw, frame.data or b""
    at = raw.find(data)
    keys = list(_KEYS[name].finditer(raw))
    if at < 0 or len(keys) != 1:
        return None
    start = keys[0].end()
    rest = _REST_OF_STRING.match(raw, start)
    end = start if rest is None else rest.end()
    marked = raw[:start] + mark + raw[end:]
    return Frame(marked, marked[at : at + len(data) + len(marked) - len(raw)], frame.event)


def _split(raw: bytes, *, padded: bool) -> tuple[bytes, bytes, bytes] | None:
    """What stands before, between and after the marks; None when they do not stand once and in that order."""
    before, mark, after = raw.partition(_MARK)
    between = b""
    if padded:
        between, padding_mark, after = after.partition(_PADDING_MARK)
        if not padding_mark:
            return None
    if not mark or _MARK in after or _PADDING_MARK in before + after:
        return None
    return before, between, after


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


def _is_chunk_with(data: bytes, chunk: Plain, marks: list[tuple[Plain, str, bytes]]) -> bool:
    """Whether `data` is `chunk` with the marks in place of those strings, and nothing else changed."""
    originals = [holder[name] for holder, name, _ in marks]
    for holder, name, mark in marks:
        holder[name] = mark.decode()
    try:
        return msgspec.json.decode(data) == chunk
    except msgspec.DecodeError:
        return False
    finally:
        for (holder, name, _), original in zip(marks, originals, strict=True):
            holder[name] = original
