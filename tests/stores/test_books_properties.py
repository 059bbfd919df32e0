"""Whatever happens to the books, they balance: conservation, exactness, and a repeated settlement counts once."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from support.books import assert_books_balance, hold, lines, record, settle
from tollhouse.ir.fault import FaultError
from tollhouse.stores.sqlite import SqliteStore

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


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(STEPS, max_size=6), max_size=6))
def test_balances_are_exact_and_the_books_balance(rounds: list[list[tuple[str, int, int, int | list[int]]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        asyncio.run(play(data_dir, rounds))
        assert_books_balance(data_dir)


async def play(data_dir: Path, rounds: list[list[tuple[str, int, int, int | list[int]]]]) -> None:
    """Each round's steps run at once, and so in one commit or a few."""
    model = Model()
    store = SqliteStore.open(data_dir)
    ids = [(await store.create_workspace(f"w{number}", 1)).id for number in range(2)]

    async def top_up(workspace: int, reference: int, amount: int, good: bool) -> None:
        try:
            await store.top_up(ids[workspace], amount, f"r{reference}", 1)
        except FaultError:
            assert not good
        else:
            assert good

    for steps in rounds:
        waiting = []
        for kind, workspace, number, value in steps:
            if kind == "top_up" and isinstance(value, int):
                waiting.append(top_up(workspace, number, value, model.top_up(workspace, number, value)))
            elif kind == "call" and isinstance(value, list):
                model.call(workspace, number, value)
                request_id = f"{number}-{workspace}"
                waiting.append(settle(store, hold(request_id, ids[workspace]), lines(*value), record(request_id)))
        await asyncio.gather(*waiting)
        if any(step[0] == "reopen" for step in steps):
            await store.close()
            store = SqliteStore.open(data_dir)
        for workspace, workspace_id in enumerate(ids):
            assert await store.balance(workspace_id) == model.balance(workspace)
    await store.close()
