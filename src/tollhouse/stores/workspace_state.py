"""What an administrator does to a workspace, in SQL: lock it, invoice it, refund its credit."""

from typing import Literal

from tollhouse.accounts.change import Change
from tollhouse.ir.fault import invalid_request
from tollhouse.money.amount import usd_text
from tollhouse.stores.audit import note
from tollhouse.stores.database import Connection

_PURSE = "SELECT credits - debits, leased FROM account WHERE id = ?"
_SOURCE = "source:nano_usd"

Flag = Literal["locked", "invoicing"]
_SET: dict[Flag, str] = {
    "locked": "UPDATE workspace SET locked = ? WHERE id = ?",
    "invoicing": "UPDATE workspace SET invoicing = ? WHERE id = ?",
}


def set_flag(connection: Connection, workspace_id: str, flag: Flag, *, value: bool, change: Change) -> None:
    """Lock or unlock it, turn invoicing on or off. Raises FaultError (invalid_request)."""
    if connection.execute("SELECT 1 FROM workspace WHERE id = ?", (workspace_id,)).fetchone() is None:
        raise invalid_request("There is no such workspace.", "workspace")
    connection.execute(_SET[flag], (int(value), workspace_id))
    note(connection, change, f"workspace.{flag}", workspace_id, {flag: value})


def refund(connection: Connection, workspace_id: str, amount_nano_usd: int, reference: str, change: Change) -> int:
    """Post a refund once per reference; the balance after it. Raises FaultError (invalid_request)."""
    account, request = f"credit:{workspace_id}", f"refund:{reference}"
    purse = connection.execute(_PURSE, (account,)).fetchone()
    if purse is None:
        raise invalid_request("There is no such workspace.", "workspace")
    balance, leased = (value if isinstance(value, int) else 0 for value in purse)
    known = connection.execute("SELECT debit_account, amount FROM transfer WHERE request = ?", (request,)).fetchone()
    if known == (account, amount_nano_usd):
        return balance
    if known is not None:
        raise invalid_request(f"The reference {reference!r} was used for another refund. Choose another.", "reference")
    available = max(0, balance - leased)
    if not 0 < amount_nano_usd <= available:
        held = (
            f" {usd_text(leased)} USD more is held for running calls: try again when they have ended." if leased else ""
        )
        raise invalid_request(
            f"{usd_text(amount_nano_usd)} USD cannot be refunded; {usd_text(available)} USD is available.{held}",
            "amount",
        )
    connection.execute(
        "INSERT INTO transfer (request, line, debit_account, credit_account, amount, code, at_ms) "
        "VALUES (?, 0, ?, ?, ?, 'refund', ?)",
        (request, account, _SOURCE, amount_nano_usd, change.at_ms),
    )
    note(
        connection, change, "credit.refund", workspace_id, {"amount_nano_usd": amount_nano_usd, "reference": reference}
    )
    return balance - amount_nano_usd
