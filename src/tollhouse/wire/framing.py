"""Server-sent events: bytes to frames, and a frame to bytes, as the WHATWG HTML standard (9.2) says."""

import re

import msgspec

from tollhouse.ir.fault import Fault, FaultError, FaultKind

MAX_FRAME_BYTES = 16 * 1024 * 1024

# Asking bytes for a number takes a fifth of the time that asking for bytes takes (measured on CPython 3.11).
_CR = 0x0D
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
# Atomic groups: CRLF is one line end and must never be read as two.
_FRAME_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event as it came: `raw` is verbatim with its blank line, so joined `raw`s are the stream.

    `data` joins the data lines with LF; None when there is none (a comment, a lone blank line).
    """

    raw: bytes
    data: bytes | None = None
    event: bytes | None = None


class SseReader:
    """Cuts a stream into frames; any split of the bytes gives the same frames, and every byte is looked at once.

    A blank line that ends in a lone CR is only sure when the next byte has come (LF would belong to it).
    """

    __slots__ = ("_buffer", "_crs", "_first", "_max_frame_bytes", "_searched")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._crs = False
        self._first = True

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that `data` completes. Raises FaultError (provider_unavailable) on a frame above the cap."""
        return [self.parse(raw) for raw in self.cut(data)]

    def flush(self) -> list[Frame]:
        """What the stream's end completes: many providers leave out the last blank line."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        frames: list[Frame] = []
        start = 0
        while (match := _FRAME_END.search(rest, start)) is not None:
            frames.append(self.parse(rest[start : match.end()]))
            start = match.end()
        if start < len(rest):
            last = self.parse(rest[start:])
            if last.data is not None:
                frames.append(last)
        return frames

    def cut(self, data: bytes) -> list[bytes]:
        """As `feed`, but each frame as it came; whoever needs to look into one has it parsed, in order."""
        if _CR in data:
            self._crs = True
        buffer = self._buffer
        if buffer:
            buffer += data
            if self._frame_end(buffer, self._searched) < 0:
                self._check(len(buffer))
                self._searched = max(0, len(buffer) - 3)
                return []
            data = bytes(buffer)
            buffer.clear()
        if self._crs or not data.endswith(b"\n\n"):
            return self._cut_all(data)
        # The common case: one frame, or several of one line each. Searching for one byte is several times as fast as
        # for two.
        if data.find(b"\n") == len(data) - 2 or data.find(b"\n\n") == len(data) - 2:
            if len(data) > self._max_frame_bytes:
                self._check(len(data))
            return [data]
        lines = data.split(b"\n")
        if any(lines[1::2]) or not all(lines[:-2:2]):
            return self._cut_all(data)
        frames = [line + b"\n\n" for line in lines[:-2:2]]
        self._check(max(map(len, frames)))
        return frames

    def parse(self, raw: bytes) -> Frame:
        """Parse one frame by the letter of the standard."""
        # The common frame: one data line, LF only.
        if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and _CR not in raw:
            self._first = False
            return Frame(raw, raw[6:-2])
        text = raw
        if self._first:
            self._first = False
            text = raw.removeprefix(_BOM)
        lines: list[bytes] = []
        event: bytes | None = None
        for line in _LINE_END.split(text):
            name, _, value = line.partition(b":")
            if name == b"data":
                lines.append(value.removeprefix(b" "))
            elif name == b"event":
                event = value.removeprefix(b" ")
        return Frame(raw, b"\n".join(lines) if lines else None, event)

    def _cut_all(self, data: bytes) -> list[bytes]:
        """The whole frames at the start of `data`; the rest is kept."""
        frames: list[bytes] = []
        start = 0
        while (end := self._frame_end(data, start)) >= 0:
            self._check(end - start)
            frames.append(data[start:end])
            start = end
        if start < len(data):
            self._check(len(data) - start)
            self._buffer += data[start:]
            self._searched = max(0, len(self._buffer) - 3)
        return frames

    def _frame_end(self, data: bytes | bytearray, start: int) -> int:
        """Where the frame at `start` ends, after its blank line; -1 while that is not sure."""
        if not self._crs:
            found = data.find(b"\n\n", start)
            return found + 2 if found >= 0 else -1
        match = _FRAME_END.search(data, start)
        if match is None or (match.end() == len(data) and data[-1] == _CR):
            return -1
        return match.end()

    def _check(self, size: int) -> None:
        if size > self._max_frame_bytes:
            message = f"The provider sent an event of more than {self._max_frame_bytes} bytes."
            raise FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message))


def sse_frame(data: bytes, event: bytes | None = None) -> bytes:
    """One frame of `data`, which may span lines."""
    head = b"" if event is None else b"event: " + event + b"\n"
    if b"\n" in data or b"\r" in data:
        return head + b"".join(b"data: " + line + b"\n" for line in _LINE_END.split(data)) + b"\n"
    return head + b"data: " + data + b"\n\n"
