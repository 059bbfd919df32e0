"""Ledger: what the relay asks of the books, and the values it hands over."""

from typing import Protocol

import msgspec


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Permission to spend, given before a call is forwarded; ends in exactly one settlement or release."""

    request_id: str
    account_id: str
    amount_nano_usd: int
    price_version: str


class ChargeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One priced line of a call: line 0 is the model; `code` names what was bought (`model`, `image`, `tool:...`)."""

    line: int
    code: str
    amount_nano_usd: int


class Ledger(Protocol):
    """The only truth about money. Every method raises FaultError (books_unavailable) when the books cannot be used.

    A hold is settled by the store's one commit for all that a call leaves behind (relay/closing.py: CallStore).
    """

    async def hold(self, hold: Hold, *, invoicing: bool) -> None:
        """Give permission to spend up to `hold.amount_nano_usd`. Raises FaultError (insufficient_balance) when the
        purse is empty, unless `invoicing`; a free call (amount 0) is never refused for money."""
        ...

    def release(self, hold: Hold) -> None:
        """End a hold without a charge; memory only."""
        ...

    async def top_up(self, workspace_id: str, amount_nano_usd: int, reference: str, now_ms: int) -> int:
        """Add credit once per `reference`; returns the balance after it in nano-USD."""
        ...

    async def balance(self, workspace_id: str) -> int:
        """Credits less debits of the workspace in nano-USD."""
        ...
