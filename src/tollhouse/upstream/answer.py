"""HttpAnswer: one exchange with a provider, with a limit on every wait in it."""

import asyncio
import enum

from tollhouse.catalog.entries import Timeouts
from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.upstream.connection import Connection
from tollhouse.upstream.encoding import Decoder, EncodingError, decoder_for
from tollhouse.upstream.pool import Pool

# An event loop's clock may stand a little behind its timers.
_CLOCK_STEP_S = 0.002


class _Phase(enum.Enum):
    """What is waited for: the head, the first byte of the body, more of it."""

    HEAD = enum.auto()
    START = enum.auto()
    BODY = enum.auto()


class HttpAnswer:
    """UpstreamAnswer on a connection of the pool; `ask` first.

    One timer per exchange watches every limit: a chunk only notes its time, and the timer looks at that when it
    fires, so a chunk costs no timer of its own. `sent_s` is the loop's time at which the call was taken up.
    """

    def __init__(self, pool: Pool, connection: Connection, timeouts: Timeouts, *, stream: bool, sent_s: float) -> None:
        self.status = 0
        self.headers: tuple[tuple[str, str], ...] = ()
        self._pool = pool
        self._connection = connection
        self._timeouts = timeouts
        self._stream = stream
        self._loop = connection.loop
        self._cap_s = timeouts.stream_s if stream else timeouts.total_s
        self._cap_at_s = sent_s + self._cap_s
        # An answer in one piece begins when it is complete.
        self._silence_s = timeouts.first_byte_s if stream else timeouts.total_s
        self._heard_s = self._loop.time()
        self._phase = _Phase.HEAD
        self._reading = False
        self._closed = False
        self._late: Fault | None = None
        self._decoder: Decoder | None = None
        self._timer = self._loop.call_at(self._due_s(), self._check)

    @property
    def crossed(self) -> bool:
        """Whether the provider closed a kept connection while the request was on its way, and nobody has read it."""
        return self._connection.crossed

    async def ask(self, head: bytes, body: bytes) -> None:
        """Send the request and wait for the head of the answer. Raises FaultError; nothing stays open then."""
        connection = self._connection
        try:
            connection.send(head, body)
            while (answered := connection.head) is None:
                if connection.failure is not None:
                    raise self._broken(connection.failure)
                await connection.wait()
            self.status = answered.status
            self.headers = answered.headers
            self._decoder = decoder_for(answered.headers)
        except EncodingError as error:
            self._cut()
            raise self._broken(str(error)) from error
        except BaseException:
            self._cut()
            raise
        self._phase = _Phase.START
        self._silence_s = self._timeouts.first_byte_s if self._stream else self._cap_s
        self._heard_s = self._loop.time()
        self._hurry()

    async def read(self) -> bytes:
        """All of the body that waits, as soon as there is some; b"" at its end.

        What came before a failure is given out first. A read that is cancelled cuts the answer off.
        """
        if self._closed:
            raise self._broken("closed")
        connection = self._connection
        self._reading = True
        try:
            while not (data := self._take()):
                if connection.ended:
                    break
                if connection.failure is not None:
                    raise self._broken(connection.failure)
                await connection.wait()
            if not data and self._decoder is not None:
                self._decoder.finish()
        except EncodingError as error:
            self._cut()
            raise self._broken(str(error)) from error
        except asyncio.CancelledError:
            self._cut()
            raise
        self._reading = False
        self._heard_s = self._loop.time()
        if self._phase is _Phase.START:
            self._phase = _Phase.BODY
            self._silence_s = self._timeouts.idle_s
            self._hurry()
        return data

    async def arrives(self, within_s: float) -> bool:
        """Whether there is something to read, or an end, within so many seconds. Packed bytes count as something."""
        connection = self._connection
        if connection.waiting_bytes or connection.ended:
            return True
        self._reading = True
        try:
            async with asyncio.timeout(within_s):
                while not (connection.waiting_bytes or connection.ended or connection.failure is not None):
                    await connection.wait()
        except TimeoutError:
            return False
        finally:
            self._reading = False
        return True

    def close(self) -> None:
        """A complete answer gives its connection back, any other one is cut off."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        self._pool.give_back(self._connection)

    def _take(self) -> bytes:
        connection, decoder = self._connection, self._decoder
        if decoder is None:
            return connection.take() if connection.waiting_bytes else b""
        data = decoder.take()
        if not data and connection.waiting_bytes:
            decoder.feed(connection.take())
            data = decoder.take()
        return data

    def _cut(self) -> None:
        self._closed = True
        self._timer.cancel()
        self._connection.fail("cut off")

    def _broken(self, why: str) -> FaultError:
        return FaultError(self._late) if self._late is not None else network_fault(why)

    def _due_s(self) -> float:
        due_s = self._heard_s + self._silence_s
        return due_s if self._phase is _Phase.HEAD else min(due_s, self._cap_at_s)

    def _hurry(self) -> None:
        """A new limit may end before the timer looks."""
        if self._connection.ended:
            self._timer.cancel()
        elif self._due_s() < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due_s(), self._check)

    def _check(self) -> None:
        connection = self._connection
        if connection.ended or connection.failure is not None:
            return
        now_s = self._loop.time()
        if self._phase is not _Phase.HEAD and not self._reading:
            # A caller who reads slowly holds us up; that is no silence of the provider.
            self._heard_s = now_s
        if now_s + _CLOCK_STEP_S < self._due_s():
            self._timer = self._loop.call_at(self._due_s(), self._check)
            return
        self._late = late_fault(self._missed(now_s))
        connection.fail("late")

    def _missed(self, now_s: float) -> str:
        if self._phase is _Phase.HEAD and self._stream:
            return f"did not begin its answer within {self._silence_s:g} s"
        if self._phase is _Phase.HEAD or now_s + _CLOCK_STEP_S >= self._cap_at_s:
            return f"did not finish its answer within {self._cap_s:g} s"
        if self._phase is _Phase.START:
            return f"sent nothing for {self._silence_s:g} s"
        return f"fell silent in mid-answer for {self._silence_s:g} s"


def late_fault(what: str) -> Fault:
    """The provider let a limit of time pass."""
    return Fault(
        kind=FaultKind.PROVIDER_TIMEOUT,
        source="provider",
        message=f"The provider {what}. Try again later, or choose another model.",
    )


def network_fault(why: str) -> FaultError:
    """Connection refused, lost or reset, unknown host, bad certificate, garbled HTTP; `why` is only for the log."""
    return FaultError(
        Fault(
            kind=FaultKind.PROVIDER_UNAVAILABLE,
            source="network",
            message="The provider could not be reached or broke off. Try again, or choose another model.",
            detail=why,
        )
    )
