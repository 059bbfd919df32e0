"""CallRecord: what is kept of every call, apart from the ledger."""

import msgspec


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try at one deployment. `outcome` is "ok", a fault kind, or "aborted" when nobody waited for it any longer;
    `status` is the provider's HTTP status, 0 without. `why` says what it was made for: `first`, `again` (the same once
    more), `key` (another key), `failover` (another deployment), `fallback` (another model). `model` is that other
    model, `key_number` counts the provider's keys from 1, `probe` marks a call that found out whether a deployment
    works again. `message` says in safe words what went wrong."""

    deployment: str
    provider: str
    url: str
    outcome: str
    status: int
    elapsed_ms: int
    why: str = "first"
    model: str | None = None
    key_number: int = 1
    probe: bool = False
    message: str | None = None


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call, whatever became of it. Times in Unix milliseconds, durations in ms, money in nano-USD.

    `status` is ok, refused, failed or aborted (the caller left); `error_code` is a fault kind, None when ok.
    `losses` are paths that the translation could not carry over.
    `usage_source` says whether the provider reported the tokens or they were estimated.
    """

    id: str
    started_at_ms: int
    finished_at_ms: int
    workspace_id: str | None
    key_id: str | None
    dialect: str
    format: str
    model: str | None
    provider: str | None
    upstream_model: str | None
    stream: bool
    status: str
    error_code: str | None
    finish_reason: str | None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    usage_source: str | None = None
    cost_nano_usd: int = 0
    first_byte_ms: int | None = None
    attempts: tuple[Attempt, ...] = ()
    client_request_id: str | None = None
    losses: tuple[str, ...] = ()
