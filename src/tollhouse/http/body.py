"""The body of a call: what it may weigh, how it must be encoded, how long it may take."""

import asyncio

from tollhouse.http.exchange import Exchange
from tollhouse.ir.fault import Fault, FaultError, FaultKind


class BodyBudget:
    """Bytes of bodies that all calls of the process may hold together."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Raises FaultError (busy) when so much is not free."""
        if self.held_bytes + size > self._capacity_bytes:
            raise FaultError(
                Fault(
                    kind=FaultKind.BUSY,
                    message="The gateway holds as many request bodies as it may; try again in a moment.",
                    retry_after_s=1,
                )
            )
        self.held_bytes += size

    def give_back(self, size: int) -> None:
        """The call that took it has ended."""
        self.held_bytes -= size


class Body:
    """The body of one call; holds its share of the budget until `release`."""

    def __init__(self, exchange: Exchange, budget: BodyBudget, max_bytes: int) -> None:
        self._exchange = exchange
        self._budget = budget
        self._max_bytes = max_bytes
        self._held_bytes = 0

    def check_length(self) -> None:
        """Raises FaultError (body_too_large) when the request announces too long a body; nothing is read."""
        if int(self._exchange.fields.get("content-length", "0")) > self._max_bytes:
            raise self._too_large()

    def check_encoding(self) -> None:
        """Raises FaultError (unsupported_encoding) for a compressed body, which could unpack to any size."""
        coding = self._exchange.fields.get("content-encoding")
        if coding is not None and coding.strip().lower() not in {"", "identity"}:
            raise FaultError(
                Fault(
                    kind=FaultKind.UNSUPPORTED_ENCODING,
                    source="client",
                    message="The gateway takes no compressed request bodies; send it without Content-Encoding.",
                )
            )

    async def read(self) -> bytes:
        """The whole body.

        Raises FaultError: body_too_large, request_timeout, or busy when the budget is used up; CallerGoneError.
        """
        exchange = self._exchange
        if exchange.more_body:
            self._hold(int(exchange.fields.get("content-length", "0")))
            exchange.reading_since_s = asyncio.get_running_loop().time()
            while exchange.more_body:
                await exchange.more()
                self._hold(exchange.body_bytes)
                if exchange.late:
                    raise self._too_slow()
            exchange.reading_since_s = None
        else:
            self._hold(exchange.body_bytes)
        return exchange.take_body()

    def release(self) -> None:
        """The call has ended."""
        self._budget.give_back(self._held_bytes)

    def _hold(self, size: int) -> None:
        if size > self._max_bytes:
            raise self._too_large()
        if size > self._held_bytes:
            self._budget.take(size - self._held_bytes)
            self._held_bytes = size

    def _too_large(self) -> FaultError:
        return FaultError(
            Fault(
                kind=FaultKind.BODY_TOO_LARGE,
                source="client",
                message=f"The request's body is longer than {self._max_bytes} bytes; send a shorter one.",
            )
        )

    def _too_slow(self) -> FaultError:
        return FaultError(
            Fault(
                kind=FaultKind.REQUEST_TIMEOUT,
                source="client",
                message="The request's body did not come in time; send it faster, or a shorter one.",
            )
        )
