"""Collecting: an answer in one piece, which comes in many, up to a bound."""

from collections.abc import Mapping

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.ir.usage import Usage

MAX_BODY_BYTES = 64 * 1024 * 1024


class Collector:
    """The pieces of one body."""

    def __init__(self, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """One more piece. Raises FaultError (provider_unavailable) above the bound."""
        self._size += len(data)
        if self._size > self._max_bytes:
            message = f"The provider's answer is larger than {self._max_bytes} bytes."
            raise FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message=message))
        self._pieces.append(data)

    def take(self) -> bytes:
        """The whole body; the pieces are forgotten."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        return body


class WordlessBody:
    """What pipes share whose answer is one body without generated text; what it told is set by their `close`."""

    service_tier: str | None = None
    tool_uses: Mapping[str, int] | None = None
    finish_reason: str | None = None
    reported_at_bytes = 0
    received_bytes = 0
    has_content = False
    is_complete = False

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.usage: Usage | None = None
        self._collector = Collector(max_body_bytes)

    def feed(self, data: bytes) -> bytes:
        """Nothing yet. Raises FaultError (provider_unavailable) above the cap."""
        self._collector.add(data)
        return b""

    def release(self) -> bytes:
        """Nothing: a body is sent as a whole."""
        return b""
