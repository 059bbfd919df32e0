"""Departure: a caller who hangs up interrupts what is done for him alone, and nothing else."""

import asyncio
from collections.abc import Callable

import pytest

from tollhouse.relay.call import CallerGoneError, Headers
from tollhouse.relay.departure import Departure


class FakeCaller:
    def __init__(self) -> None:
        self.callback: Callable[[], None] | None = None

    async def start(self, status: int, headers: Headers) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def end(self, data: bytes) -> None: ...

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback

    def leave(self) -> None:
        assert self.callback is not None
        self.callback()


async def wait_in(departure: Departure, seconds: float = 30) -> None:
    with departure:
        await asyncio.sleep(seconds)


def test_leaving_ends_the_section() -> None:
    async def run() -> None:
        caller = FakeCaller()
        departure = Departure(caller)
        asyncio.get_running_loop().call_soon(caller.leave)
        with pytest.raises(CallerGoneError):
            await wait_in(departure)
        await asyncio.sleep(0)  # the task itself is not cancelled

    asyncio.run(run())


def test_leaving_outside_of_a_section_is_noticed_at_the_next_one() -> None:
    async def run() -> None:
        caller = FakeCaller()
        departure = Departure(caller)
        caller.leave()
        await asyncio.sleep(0)
        with pytest.raises(CallerGoneError):
            await wait_in(departure)

    asyncio.run(run())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def run() -> None:
        caller = FakeCaller()
        task = asyncio.create_task(wait_in(Departure(caller)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_leaving_while_being_cancelled_from_elsewhere_stays_a_cancellation() -> None:
    async def run() -> None:
        caller = FakeCaller()
        task = asyncio.create_task(wait_in(Departure(caller)))
        await asyncio.sleep(0)
        task.cancel()
        caller.leave()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
