"""Purses: no look-up in the common case, and no refusal from memory alone."""

from tollhouse.stores.purse import Purses


class Books:
    """Balances that count how often they are looked at."""

    def __init__(self) -> None:
        self.balance = 0
        self.looks = 0
        self.now_s = 100.0
        self.purses = Purses(self.look, lambda: self.now_s)

    def look(self, account_id: str) -> int:
        assert account_id == "a"
        self.looks += 1
        return self.balance


def test_a_full_purse_is_looked_at_once_a_second() -> None:
    books = Books()
    books.balance = 10
    for _ in range(50):
        assert books.purses.can_spend("a")
    assert books.looks == 1
    books.now_s += 1.0
    assert books.purses.can_spend("a")
    assert books.looks == 1
    books.now_s += 0.01
    assert books.purses.can_spend("a")
    assert books.looks == 2


def test_own_spending_is_seen_at_once() -> None:
    books = Books()
    books.balance = 10
    assert books.purses.can_spend("a")
    books.balance = 0
    books.purses.spent("a", 10)
    assert not books.purses.can_spend("a")
    assert books.looks == 2


def test_an_empty_purse_is_looked_at_every_time() -> None:
    books = Books()
    assert not books.purses.can_spend("a")
    books.balance = 1
    assert books.purses.can_spend("a")


def test_a_memory_that_is_too_low_refuses_nobody() -> None:
    books = Books()
    books.balance = 10
    assert books.purses.can_spend("a")
    books.purses.spent("a", 10_000)
    assert books.purses.can_spend("a")
    books.purses.spent("b", 5)
