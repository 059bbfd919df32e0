"""Change: who changes something in the accounts, and why."""

import msgspec


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes something, when (Unix time) and why: what the audit row keeps."""

    at_ms: int
    actor: str
    note: str = ""
