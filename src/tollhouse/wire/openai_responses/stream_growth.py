"""Growth: what a decoder of Responses streams remembers of parts that have begun, and of texts that grow."""

import zlib

from tollhouse.ir.parts import Part, ToolCallPart
from tollhouse.wire.fields import unreadable_answer

MAX_PARTS = 4096


class Parts:
    """The parts of an answer that have begun."""

    def __init__(self) -> None:
        self.parts = 0
        self.calls_tools = False
        self.last: Part | None = None
        """The part that began last, without what has grown of it."""

    def begin(self, part: Part) -> int:
        """The index of the next part. Raises FaultError (provider_unavailable) above the bound."""
        if self.parts >= MAX_PARTS:
            unreadable_answer("The provider's stream holds more than one answer can have.")
        self.parts += 1
        self.last = part
        self.calls_tools = self.calls_tools or isinstance(part, ToolCallPart)
        return self.parts - 1


class Grown:
    """How much of a text has been streamed: its length and a checksum, so that memory does not grow with it."""

    __slots__ = ("chars", "crc")

    def __init__(self) -> None:
        self.chars = 0
        self.crc = 0

    def add(self, text: str) -> str:
        """Take note of more text, and give it back."""
        self.chars += len(text)
        self.crc = zlib.crc32(text.encode(), self.crc)
        return text

    def rest(self, whole: object) -> str:
        """What of `whole` was not streamed, which counts as streamed now; "" where the two do not fit."""
        if not isinstance(whole, str) or zlib.crc32(whole[: self.chars].encode()) != self.crc:
            return ""
        return self.add(whole[self.chars :])
