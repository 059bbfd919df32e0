"""Purses: what each account can spend, remembered so that admitting a call costs no look-up in the common case."""

from collections.abc import Callable

FRESH_S = 1.0


class Purses:
    """Balances in nano-USD as last seen, lessened by what this process spent since.

    A balance is looked up again when it is older than a second (other processes spend and top up too) or when it says
    empty (so that a top-up is seen at once). One that is too low for a moment refuses nobody for that reason.
    """

    def __init__(self, look: Callable[[str], int], clock_s: Callable[[], float]) -> None:
        self._look = look
        self._clock_s = clock_s
        self._known: dict[str, tuple[int, float]] = {}

    def can_spend(self, account_id: str) -> bool:
        """Whether the account is not empty. Raises what the look-up raises."""
        now_s = self._clock_s()
        balance, seen_s = self._known.get(account_id, (0, now_s))
        if balance <= 0 or now_s - seen_s > FRESH_S:
            balance = self._look(account_id)
            self._known[account_id] = (balance, now_s)
        return balance > 0

    def spent(self, account_id: str, amount_nano_usd: int) -> None:
        """A charge is on its way into the books."""
        known = self._known.get(account_id)
        if known is not None:
            self._known[account_id] = (known[0] - amount_nano_usd, known[1])
