"""Collecting: an answer in one piece, which comes in many, up to a bound."""

from tollhouse.ir.fault import Fault, FaultError, FaultKind

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
