"""How the account of a period is made in PostgreSQL at its first use."""

from tollhouse.money.store import Opening
from tollhouse.stores.postgres_pool import Scalar

NOW_MS = "(extract(epoch FROM now()) * 1000)::bigint"
"""The database's clock in Unix milliseconds, at the beginning of the statement: a lease that has to wait for a lock
ends the earlier for it."""

# Without a named key: two who open an account at the same moment may also meet in its other key, and that one, if it is
# not the one that is named, would fail the statement.
OPEN_ACCOUNT = f"""
WITH made AS (
    INSERT INTO account (id, kind, unit, scope, period, credits) VALUES ($1, 'limit', $2, $3, $4, $5::bigint)
    ON CONFLICT DO NOTHING RETURNING id
), posted AS (
    INSERT INTO transfer (request, line, debit_account, credit_account, amount, code, at_ms)
    SELECT 'open:' || id, 0, $6, id, $5::bigint, 'opening', {NOW_MS} FROM made RETURNING amount
)
UPDATE account SET debits = debits + posted.amount FROM posted WHERE id = $6
"""  # noqa: S608 -- constants only


def opening_values(account_id: str, opening: Opening) -> tuple[Scalar, ...]:
    """The values of OPEN_ACCOUNT."""
    return (account_id, opening.unit, opening.scope, opening.period, opening.amount, opening.source_account)
