"""Several calls read as one answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tollhouse.ir.fault import Fault, FaultError, FaultKind
from tollhouse.relay.fan_out import Fanned, ask_all

BROKEN = FaultError(Fault(kind=FaultKind.PROVIDER_UNAVAILABLE, source="provider", message="broken"))


class Answer:
    """One answer whose pieces come when the test says so; an exception among them is raised."""

    def __init__(self, *pieces: bytes | FaultError) -> None:
        self.status = 200
        self.headers = (("content-type", "application/json"),)
        self.closed = False
        self.cut = False
        self._pieces: asyncio.Queue[bytes | FaultError] = asyncio.Queue()
        for piece in pieces:
            self._pieces.put_nowait(piece)

    def say(self, piece: bytes) -> None:
        self._pieces.put_nowait(piece)

    async def read(self) -> bytes:
        try:
            piece = await self._pieces.get()
        except asyncio.CancelledError:
            self.cut = True
            raise
        if isinstance(piece, FaultError):
            raise piece
        return piece

    async def arrives(self, within_s: float) -> bool:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 20))


def test_pieces_say_whose_they_are_until_all_have_ended() -> None:
    async def story() -> None:
        fanned = Fanned([Answer(b"a", b"b", b""), Answer(b"x", b"")])
        pieces: list[bytes] = []
        while data := await fanned.read():
            pieces.append(data)
        assert [each[1:] for each in pieces if each[0] == 0] == [b"a", b"b", b""]
        assert [each[1:] for each in pieces if each[0] == 1] == [b"x", b""]
        assert await fanned.arrives(0)
        fanned.close()

    run(story())


def test_a_silent_call_keeps_no_other_waiting() -> None:
    async def story() -> None:
        silent, talking = Answer(), Answer(b"x")
        fanned = Fanned([silent, talking])
        assert await fanned.read() == b"\1x"
        assert not await fanned.arrives(0.01)
        silent.say(b"a")
        assert await fanned.arrives(10)
        assert await fanned.read() == b"\0a"
        assert not silent.cut
        fanned.close()
        await asyncio.sleep(0)
        assert (silent.closed, talking.closed) == (True, True)
        assert talking.cut

    run(story())


def test_a_read_that_is_cancelled_loses_nothing() -> None:
    async def story() -> None:
        one, other = Answer(), Answer()
        fanned = Fanned([one, other])
        reading = asyncio.ensure_future(fanned.read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        other.say(b"x")
        assert await fanned.read() == b"\1x"
        assert not other.cut
        fanned.close()

    run(story())


def test_a_broken_connection_ends_its_call() -> None:
    async def story() -> None:
        fanned = Fanned([Answer(b"a", BROKEN), Answer(b"x", b"")])
        pieces = [await fanned.read() for _ in range(4)]
        assert sorted(pieces) == [b"\0", b"\0a", b"\1", b"\1x"]
        assert await fanned.read() == b""
        fanned.close()

    run(story())


def test_the_first_failure_ends_all_calls() -> None:
    async def story() -> None:
        good, waiting = Answer(), asyncio.Event()
        ended: list[str] = []

        async def ask() -> Answer:
            ended.append("")
            number = len(ended) - 1
            if number == 0:
                return good
            if number == 1:
                await asyncio.sleep(0)
                raise BROKEN
            try:
                await waiting.wait()
            except asyncio.CancelledError:
                ended[number] = "cancelled"
                raise
            return Answer()

        with pytest.raises(FaultError, match="broken"):
            await ask_all(3, ask)
        assert good.closed
        assert ended[2] == "cancelled"

    run(story())


def test_cancelling_ends_all_calls() -> None:
    async def story() -> None:
        good = Answer()
        first, both = asyncio.Event(), asyncio.Event()

        async def ask() -> Answer:
            if first.is_set():
                both.set()
                await asyncio.Event().wait()
            first.set()
            return good

        asking = asyncio.ensure_future(ask_all(2, ask))
        await both.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert good.closed

    run(story())


def test_one_call_is_no_fan() -> None:
    async def story() -> None:
        answer = Answer()

        async def ask() -> Answer:
            return answer

        assert await ask_all(1, ask) is answer

    run(story())
