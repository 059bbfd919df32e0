"""Settlement: what a call that was held for leaves in the books, as transfers."""

from collections.abc import Sequence

from tollhouse.money.lease import Hold
from tollhouse.money.store import ChargeLine, Transfer, Unit

REVENUE = "revenue:nano_usd"
LIMITS_SPENT = "limits-spent:"
LIMITS_SOURCE = "limits-source:"


class Spending:
    """What one call has spent: priced lines, and the tokens that limits count."""

    def __init__(self, lines: Sequence[ChargeLine], tokens: int) -> None:
        self.lines = tuple([line for line in lines if line.amount_nano_usd > 0])
        self.cost_nano_usd = sum([line.amount_nano_usd for line in self.lines])
        self.tokens = tokens

    def of(self, unit: Unit) -> int:
        """The amount in a unit."""
        return self.cost_nano_usd if unit == "nano_usd" else self.tokens


def postings(hold: Hold, spending: Spending, at_ms: int, usage_source: str | None) -> tuple[Transfer, ...]:
    """The transfers of a call: the first part of the hold is the credit, which pays each line; the others are limits,
    which count the whole. Nothing is posted that is nothing."""
    found: list[Transfer] = []
    for number, part in enumerate(hold.parts):
        if number == 0:
            amounts = [(line.line, line.code, line.amount_nano_usd) for line in spending.lines]
            to = REVENUE
        else:
            amounts = [(0, "limit", spending.of(part.unit))] if spending.of(part.unit) > 0 else []
            to = LIMITS_SPENT + part.unit
        found += [
            Transfer(
                request=hold.request_id,
                line=line,
                debit_account=part.account_id,
                credit_account=to,
                amount=amount,
                code=code,
                at_ms=at_ms,
                lease=part.lease,
                price_version=hold.price_version,
                usage_source=usage_source,
                opening=part.opening,
            )
            for line, code, amount in amounts
        ]
    return tuple(found)


def totals(transfers: Sequence[Transfer]) -> dict[str, int]:
    """What the transfers take, by debited account."""
    found: dict[str, int] = {}
    for transfer in transfers:
        found[transfer.debit_account] = found.get(transfer.debit_account, 0) + transfer.amount
    return found
