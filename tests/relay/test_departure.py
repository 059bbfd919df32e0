"""Departure: a caller who hangs up interrupts what is done for him alone, and nothing else."""

import asyncio
from collections.abc import Callable

import pytest

from tollhouse.catalog.entries import OnDisconnect
from tollhouse.observe.metrics import Metrics
from tollhouse.relay.call import CallerGoneError, Headers
from tollhouse.relay.departure import Departure, Drains


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


def lines(metrics: Metrics) -> set[bytes]:
    return set(metrics.render().split(b"\n"))


def counted(outcome: str, times: float) -> bytes:
    return f'tollhouse_drains_total{{outcome="{outcome}"}} {float(times)}'.encode()


async def wait_in(departure: Departure, seconds: float = 30) -> None:
    with departure:
        await asyncio.sleep(seconds)


def test_leaving_ends_the_section() -> None:
    async def run() -> None:
        caller = FakeCaller()
        departure = Departure(caller, Drains(1, 60, Metrics()))
        asyncio.get_running_loop().call_soon(caller.leave)
        with pytest.raises(CallerGoneError):
            await wait_in(departure)
        await asyncio.sleep(0)  # the task itself is not cancelled

    asyncio.run(run())


def test_leaving_outside_of_a_section_is_noticed_at_the_next_one() -> None:
    async def run() -> None:
        caller = FakeCaller()
        departure = Departure(caller, Drains(1, 60, Metrics()))
        caller.leave()
        await asyncio.sleep(0)
        with pytest.raises(CallerGoneError):
            await wait_in(departure)

    asyncio.run(run())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def run() -> None:
        caller = FakeCaller()
        task = asyncio.create_task(wait_in(Departure(caller, Drains(1, 60, Metrics()))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_leaving_while_being_cancelled_from_elsewhere_stays_a_cancellation() -> None:
    async def run() -> None:
        caller = FakeCaller()
        task = asyncio.create_task(wait_in(Departure(caller, Drains(1, 60, Metrics()))))
        await asyncio.sleep(0)
        task.cancel()
        caller.leave()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


@pytest.mark.fault(28)
def test_what_is_billed_anyway_goes_on_until_its_time_is_over() -> None:
    async def run() -> None:
        caller, metrics = FakeCaller(), Metrics()
        drains = Drains(1, 0.5, metrics)
        departure = Departure(caller, drains)
        departure.asking("drain", stream=True)
        asyncio.get_running_loop().call_soon(caller.leave)
        with departure:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert (departure.gone, departure.draining, drains.running) == (True, True, 1)
        with pytest.raises(CallerGoneError):
            await wait_in(departure)
        departure.done()
        assert drains.running == 0
        assert {b"tollhouse_drains_in_flight 0.0", counted("overdue", 1)} <= lines(metrics)
        await asyncio.sleep(0)

    asyncio.run(run())


def test_there_is_room_for_so_many_drains_and_each_gives_its_place_back() -> None:
    async def run() -> None:
        metrics = Metrics()
        drains = Drains(2, 60, metrics)
        departures: list[Departure] = []
        for _ in range(3):
            caller = FakeCaller()
            departures.append(Departure(caller, drains))
            departures[-1].asking("drain", stream=True)
            caller.leave()
        assert [departure.draining for departure in departures] == [True, True, False]
        with pytest.raises(CallerGoneError):
            await wait_in(departures[2])
        assert {b"tollhouse_drains_in_flight 2.0", counted("refused", 1)} <= lines(metrics)
        for departure in departures:
            departure.done()
            departure.done()
        assert drains.running == 0
        assert {b"tollhouse_drains_in_flight 0.0", counted("refused", 1), counted("ended", 2)} <= lines(metrics)

    asyncio.run(run())


def test_a_drain_is_cancelled_like_anything_when_the_gateway_is_stopped() -> None:
    async def run() -> None:
        caller, drains = FakeCaller(), Drains(1, 60, Metrics())
        departure = Departure(caller, drains)
        departure.asking("drain", stream=True)
        task = asyncio.create_task(wait_in(departure))
        await asyncio.sleep(0)
        caller.leave()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        departure.done()
        assert drains.running == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("what", "stream", "goes_on"),
    [
        ("cancel", True, False),
        ("cancel", False, False),
        ("cancel_streams", True, False),
        ("cancel_streams", False, True),
        ("drain", True, True),
        ("drain", False, True),
        (None, True, False),
        (None, False, False),
    ],
)
def test_what_goes_on_without_its_caller(what: OnDisconnect | None, stream: bool, goes_on: bool) -> None:
    async def run() -> None:
        caller = FakeCaller()
        departure = Departure(caller, Drains(1, 60, Metrics()))
        departure.asking(what, stream=stream)
        caller.leave()
        assert departure.draining == goes_on
        # Nobody else is asked for him.
        with pytest.raises(CallerGoneError):
            departure.asking(what, stream=stream)
        departure.done()

    asyncio.run(run())
