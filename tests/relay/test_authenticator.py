"""Who calls: remembered for a second, and a little longer while the books cannot be read."""

import asyncio
from typing import Any

import pytest

from tollhouse.accounts import keys
from tollhouse.accounts.principal import Principal
from tollhouse.ir.fault import FaultError, FaultKind
from tollhouse.relay.admission import Authenticator
from tollhouse.stores.health import books_unavailable

KEY = keys.new_key(bytes(32))


class Accounts:
    """A store that is up or down."""

    def __init__(self) -> None:
        self.up = True
        self.looked = 0
        self.found: Principal | None = Principal(
            workspace_id="ws", workspace="acme", key_id="k", key_hint="h", account_id="credit:ws"
        )

    async def principal(self, digest: bytes) -> Principal | None:
        self.looked += 1
        if not self.up:
            raise books_unavailable("down")
        return self.found


@pytest.fixture
def site() -> tuple[Accounts, list[float], Any]:
    accounts, now_s = Accounts(), [100.0]
    authenticator = Authenticator(accounts, lambda: now_s[0], lambda: 0)  # type: ignore[arg-type]
    return accounts, now_s, lambda: asyncio.run(authenticator.authenticate(KEY))


def kind_of(call: Any) -> FaultKind:
    with pytest.raises(FaultError) as caught:
        call()
    return caught.value.fault.kind


def test_a_good_key_is_looked_up_once_a_second(site: tuple[Accounts, list[float], Any]) -> None:
    accounts, now_s, call = site
    assert call() == call() == accounts.found
    assert accounts.looked == 1
    now_s[0] += 1.01
    accounts.found = None
    assert kind_of(call) is FaultKind.INVALID_KEY
    assert accounts.looked == 2


@pytest.mark.fault(71)
def test_while_the_books_are_down_a_known_key_is_taken_for_half_a_minute(
    site: tuple[Accounts, list[float], Any],
) -> None:
    accounts, now_s, call = site
    accounts.up = False
    assert kind_of(call) is FaultKind.BOOKS_UNAVAILABLE
    accounts.up = True
    call()
    accounts.up = False
    for later_s in (1.01, 15.0, 14.9):
        now_s[0] += later_s
        assert call() == accounts.found
    now_s[0] += 0.2
    assert kind_of(call) is FaultKind.BOOKS_UNAVAILABLE
    # Back up, it is looked up again: a key that was revoked meanwhile is refused.
    accounts.up, accounts.found = True, None
    assert kind_of(call) is FaultKind.INVALID_KEY
