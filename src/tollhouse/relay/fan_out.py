"""Fan-out: one attempt that is several calls side by side, whose answers are read as one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tollhouse.ir.fault import FaultError
from tollhouse.upstream.client import UpstreamAnswer
from tollhouse.wire.gathering import piece


async def ask_all(calls: int, ask: Callable[[], Awaitable[UpstreamAnswer]]) -> UpstreamAnswer:
    """The answers to so many equal calls, as one. The first that fails ends them all: raises its FaultError."""
    if calls == 1:
        return await ask()
    asking = [asyncio.ensure_future(ask()) for _ in range(calls)]
    try:
        return Fanned(await asyncio.gather(*asking))
    except BaseException:
        for each in asking:
            each.cancel()
        await asyncio.wait(asking)
        for each in asking:
            if not each.cancelled() and each.exception() is None:
                each.result().close()
        raise


class Fanned:
    """UpstreamAnswer over several; what is read comes in the pieces of `wire.gathering`. A call whose connection breaks
    has ended: whether its answer is complete, the pipe knows."""

    def __init__(self, answers: Sequence[UpstreamAnswer]) -> None:
        self.status = answers[0].status
        self.headers = answers[0].headers
        self._answers = answers
        self._reads: dict[asyncio.Future[bytes], int] = {}
        for call in range(len(answers)):
            self._read(call)

    async def read(self) -> bytes:
        """The next piece of any of the calls; b"" when all have ended."""
        if not self._reads:
            return b""
        await asyncio.wait(self._reads, return_when=asyncio.FIRST_COMPLETED)
        done = next(read for read in self._reads if read.done())
        call = self._reads.pop(done)
        try:
            data = done.result()
        except FaultError:
            data = b""
        if data:
            self._read(call)
        return piece(call, data)

    async def arrives(self, within_s: float) -> bool:
        """Whether `read` would return at once within so many seconds."""
        if not self._reads:
            return True
        done, _ = await asyncio.wait(self._reads, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)

    def close(self) -> None:
        """Done with all of them."""
        for read in self._reads:
            read.cancel()
        self._reads.clear()
        for answer in self._answers:
            answer.close()

    def _read(self, call: int) -> None:
        # A task each, because a read that is cancelled cuts its answer off.
        read = asyncio.ensure_future(self._answers[call].read())
        read.add_done_callback(_retrieved)
        self._reads[read] = call


def _retrieved(read: "asyncio.Future[bytes]") -> None:
    """A fault that nobody waits for any more is no news."""
    if not read.cancelled():
        read.exception()
