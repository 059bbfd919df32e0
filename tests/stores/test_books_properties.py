"""Whatever happens to the books, they balance: conservation, exactness, and a repeated settlement counts once."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.books import hold, lines, record, settle
from support.postgres import PostgresServer
from support.stores import Stores
from tollhouse.ir.fault import FaultError

AMOUNTS = st.one_of(st.integers(0, 50), st.integers(0, 10**15))
STEPS = st.one_of(
    st.tuples(st.just("top_up"), st.integers(0, 1), st.integers(0, 5), AMOUNTS),
    st.tuples(st.just("call"), st.integers(0, 1), st.integers(0, 20), st.lists(AMOUNTS, max_size=4)),
    st.tuples(st.just("reopen"), st.just(0), st.just(0), st.just(0)),
)


class Model:
    """What the balances must be."""

    def __init__(self) -> None:
        self.references: dict[int, tuple[int, int]] = {}
        self.calls: dict[tuple[int, int], tuple[int, int]] = {}

    def top_up(self, workspace: int, reference: int, amount: int) -> bool:
        return amount > 0 and self.references.setdefault(reference, (workspace, amount)) == (workspace, amount)

    def call(self, workspace: int, number: int, amounts: list[int]) -> None:
        for line, amount in enumerate(amounts):
            if amount == 0:
                # What is nothing is not posted.
                continue
            self.calls.setdefault((number * 2 + workspace, line), (workspace, amount))

    def balance(self, workspace: int) -> int:
        credit = sum(amount for owner, amount in self.references.values() if owner == workspace)
        return credit - sum(amount for owner, amount in self.calls.values() if owner == workspace)


Rounds = list[list[tuple[str, int, int, int | list[int]]]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(STEPS, max_size=6), max_size=6))
def test_balances_are_exact_and_the_books_balance(rounds: Rounds) -> None:
    examine(rounds, None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(STEPS, max_size=6), max_size=6))
def test_balances_are_exact_and_the_books_balance_on_postgres(postgres: PostgresServer, rounds: Rounds) -> None:
    url = postgres.new_database()
    try:
        examine(rounds, url)
    finally:
        postgres.drop(url)


def examine(rounds: Rounds, url: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(Path(folder), url)
        asyncio.run(play(stores, rounds))
        stores.assert_balanced()


async def play(stores: Stores, rounds: Rounds) -> None:
    """Each round's steps run at once, and so in one commit or a few; on PostgreSQL, where each top-up has a connection
    of its own, these come first and in their order."""
    model = Model()
    store = await stores.open()
    ids = [(await store.create_workspace(f"w{number}", 1)).id for number in range(2)]

    async def top_up(workspace: int, reference: int, amount: int, good: bool) -> None:
        try:
            await store.top_up(ids[workspace], amount, f"r{reference}", 1)
        except FaultError:
            assert not good
        else:
            assert good

    for steps in rounds:
        waiting, first = [], []
        for kind, workspace, number, value in steps:
            if kind == "top_up" and isinstance(value, int):
                one = top_up(workspace, number, value, model.top_up(workspace, number, value))
                (waiting if stores.url is None else first).append(one)
            elif kind == "call" and isinstance(value, list):
                model.call(workspace, number, value)
                request_id = f"{number}-{workspace}"
                waiting.append(settle(store, hold(request_id, ids[workspace]), lines(*value), record(request_id)))
        for one in first:
            await one
        await asyncio.gather(*waiting)
        if any(step[0] == "reopen" for step in steps):
            await store.close()
            store = await stores.open()
        for workspace, workspace_id in enumerate(ids):
            assert await store.balance(workspace_id) == model.balance(workspace)
    await store.close()
