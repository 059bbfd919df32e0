"""A gateway that dies (kill -9) at a step of its work: `python -m support.mortal STORE STEP PASS serve …`.

PASS says at which time that it comes to the step. The ports are wrapped from outside; the product knows nothing of it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from support import mortal_postgres, mortal_sqlite
from tollhouse.cli import main
from tollhouse.money.ledger import Ledger
from tollhouse.relay.settling import Settling
from tollhouse.stores.postgres import PostgresStore
from tollhouse.stores.sqlite import SqliteStore
from tollhouse.upstream.answer import HttpAnswer

Reached = Callable[[], None]


class Countdown:
    """Dies at its so many-th call."""

    def __init__(self, passes: int) -> None:
        self._left = passes

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def after_hold(reached: Reached) -> None:
    """The money is held, and nothing was sent."""
    hold = Ledger.hold

    async def held(self: Ledger, *claims: Any, **how: Any) -> Any:
        permission = await hold(self, *claims, **how)
        reached()
        return permission

    Ledger.hold = held  # type: ignore[method-assign]


def after_send(reached: Reached) -> None:
    """The request is on its way to the provider, and no answer has come."""
    ask = HttpAnswer.ask

    async def asked(self: HttpAnswer, head: bytes, body: bytes) -> None:
        asking = asyncio.ensure_future(ask(self, head, body))
        await asyncio.sleep(0)
        reached()
        await asking

    HttpAnswer.ask = asked  # type: ignore[method-assign]


def first_chunk(reached: Reached) -> None:
    """The first piece of the provider's answer is here."""
    read = HttpAnswer.read
    begun: set[int] = set()

    async def reading(self: HttpAnswer) -> bytes:
        data = await read(self)
        if data and id(self) not in begun:
            begun.add(id(self))
            reached()
        elif not data:
            begun.discard(id(self))
        return data

    HttpAnswer.read = reading  # type: ignore[method-assign]


def before_settle(reached: Reached) -> None:
    """The answer is complete, and nothing of it is in the books."""
    settle = Settling.settle

    async def settled(self: Settling, *what: Any) -> None:
        reached()
        await settle(self, *what)

    Settling.settle = settled  # type: ignore[method-assign]


def after_commit_before_ack(store: Any) -> Callable[[Reached], None]:
    """The charge is in the books, and its call has not heard of it."""
    commit = store.commit_call

    def wrap(reached: Reached) -> None:
        def committed(self: Any, *what: Any) -> Any:
            future = commit(self, *what)
            # Callbacks run in the order in which they were added: this one before the call's.
            future.add_done_callback(lambda _: reached())
            return future

        store.commit_call = committed

    return wrap


STEPS: dict[str, Callable[[Reached], None]] = {
    "after hold": after_hold,
    "after send": after_send,
    "first chunk": first_chunk,
    "before settle": before_settle,
}
STEPS_IN_STORES: dict[str, dict[str, Callable[[Reached], None]]] = {
    "sqlite": {
        "after commit before ack": after_commit_before_ack(SqliteStore),
        "mid group commit": mortal_sqlite.mid_group_commit,
        "during sweep": mortal_sqlite.during_sweep,
        "during migration": mortal_sqlite.during_migration,
    },
    "postgres": {
        "after commit before ack": after_commit_before_ack(PostgresStore),
        "mid group commit": mortal_postgres.mid_group_commit,
        "during sweep": mortal_postgres.during_sweep,
        "during migration": mortal_postgres.during_migration,
    },
}

if __name__ == "__main__":
    store, step, passes = sys.argv[1:4]
    del sys.argv[1:4]
    (STEPS | STEPS_IN_STORES[store])[step](Countdown(int(passes)))
    sys.exit(main())
