"""One look-up for all who ask together, none for a second, and never an answer that cannot be verified."""

import asyncio

import msgspec
import pytest

from tollhouse.accounts.principal import Principal
from tollhouse.accounts.quotas import ConsumerStanding
from tollhouse.accounts.standings import Standings
from tollhouse.ir.fault import Fault, FaultError, FaultKind

PRINCIPAL = Principal(
    workspace_id="ws_1", workspace="acme", key_id="key_1", key_hint="th-...", account_id="credit:ws_1"
)
DOWN = FaultError(Fault(kind=FaultKind.BOOKS_UNAVAILABLE, message="down"))
STANDING = ConsumerStanding(
    consumer_id="con_1",
    username=None,
    custom_id=None,
    quota=10,
    used=4,
    remaining=6,
    invoiced=False,
    requests=1,
    total_tokens=2,
    total_cost=4,
)


class Books:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.reads = 0
        self.answer: ConsumerStanding | None = STANDING
        self.fault: FaultError | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.now_s = 0.0

    async def consumer_standing(self, key_id: str) -> ConsumerStanding | None:
        assert key_id == "key_1"
        self.reads += 1
        answer = self.answer
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        return answer

    def standings(self) -> Standings:
        return Standings(self, lambda: self.fault, lambda: self.now_s)


async def all_ask(standings: Standings, count: int = 100) -> list[asyncio.Task[ConsumerStanding]]:
    tasks = [asyncio.create_task(standings.of(PRINCIPAL)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.row(43)
def test_a_hundred_who_ask_together_cause_one_read() -> None:
    async def run() -> None:
        books = Books()
        standings = books.standings()
        books.open.clear()
        tasks = await all_ask(standings)
        tasks[0].cancel()
        books.open.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [STANDING] * 99
        assert books.reads == 1
        await standings.of(PRINCIPAL)
        assert books.reads == 1
        books.now_s += 1.001
        await standings.of(PRINCIPAL)
        assert books.reads == 2

    asyncio.run(run())


@pytest.mark.row(43)
def test_after_a_change_nothing_of_before_is_told_not_even_what_is_being_looked_up() -> None:
    async def run() -> None:
        books = Books()
        standings = books.standings()
        books.open.clear()
        before = await all_ask(standings, 3)
        books.answer = msgspec.structs.replace(STANDING, quota=20, remaining=16)
        standings.forget()
        after = await all_ask(standings, 3)
        books.open.set()
        await asyncio.gather(*before)
        assert [answer.quota for answer in await asyncio.gather(*after)] == [20] * 3
        assert (await standings.of(PRINCIPAL)).quota == 20
        assert books.reads == 2

    asyncio.run(run())


@pytest.mark.row(42)
def test_what_cannot_be_verified_is_not_told_though_it_is_remembered() -> None:
    async def run() -> None:
        books = Books()
        standings = books.standings()
        await standings.of(PRINCIPAL)
        books.fault = DOWN
        with pytest.raises(FaultError) as caught:
            await standings.of(PRINCIPAL)
        assert caught.value.fault.kind is FaultKind.BOOKS_UNAVAILABLE
        assert books.reads == 1

    asyncio.run(run())


@pytest.mark.row(42)
def test_a_read_that_fails_fails_for_all_and_is_not_remembered() -> None:
    async def run() -> None:
        books = Books()
        standings = Standings(books, lambda: None, lambda: books.now_s)
        books.fault = DOWN
        failed = await asyncio.gather(*await all_ask(standings, 5), return_exceptions=True)
        assert all(isinstance(one, FaultError) for one in failed)
        assert books.reads == 1
        books.fault = None
        assert await standings.of(PRINCIPAL) == STANDING

    asyncio.run(run())


@pytest.mark.row(39)
def test_a_key_without_a_consumer_is_told_so() -> None:
    async def run() -> None:
        books = Books()
        books.answer = None
        standings = books.standings()
        for _ in range(2):
            with pytest.raises(FaultError, match="tollhouse consumers set") as caught:
                await standings.of(PRINCIPAL)
            assert caught.value.fault.kind is FaultKind.NOT_FOUND
        assert books.reads == 1

    asyncio.run(run())
