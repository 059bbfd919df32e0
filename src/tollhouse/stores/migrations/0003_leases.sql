-- Leases, calls that have not ended, and sums by hour. Times are Unix milliseconds, money is integer nano-USD.

INSERT INTO account (id, kind, unit, scope) VALUES
    ('limits-spent:nano_usd', 'revenue', 'nano_usd', 'limits'),
    ('limits-source:nano_usd', 'source', 'nano_usd', 'limits'),
    ('limits-spent:token', 'revenue', 'token', 'limits'),
    ('limits-source:token', 'source', 'token', 'limits');

-- A slice of an account that one process may spend without asking. account.leased is the sum of what is left of the
-- active ones.
CREATE TABLE lease (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL REFERENCES account (id),
    owner         TEXT NOT NULL,
    granted       INTEGER NOT NULL CHECK (granted >= 0),
    used          INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0 AND used <= granted),
    expires_at_ms INTEGER NOT NULL,
    state         TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'closed')),
    recall        INTEGER NOT NULL DEFAULT 0 CHECK (recall IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX lease_active ON lease (owner, account_id) WHERE state = 'active';
CREATE INDEX lease_by_account ON lease (account_id) WHERE state = 'active';

-- What is left of a call whose process died.
CREATE TABLE open_call (
    request_id    TEXT PRIMARY KEY,
    owner         TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    workspace_id  TEXT NOT NULL,
    key_id        TEXT NOT NULL,
    model         TEXT NOT NULL,
    held_nano_usd INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sums over the call records, written with each of them; the hour is that of the call's start.
CREATE TABLE rollup (
    hour_ms           INTEGER NOT NULL,
    workspace_id      TEXT NOT NULL,
    key_id            TEXT NOT NULL,
    model             TEXT NOT NULL,
    provider          TEXT NOT NULL,
    calls             INTEGER NOT NULL,
    failed_calls      INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    reasoning_tokens  INTEGER NOT NULL,
    cost_nano_usd     INTEGER NOT NULL,
    PRIMARY KEY (hour_ms, workspace_id, key_id, model, provider)
) STRICT, WITHOUT ROWID;

INSERT INTO rollup
SELECT started_at_ms - started_at_ms % 3600000, COALESCE(workspace_id, ''), COALESCE(key_id, ''),
       COALESCE(model, ''), COALESCE(provider, ''), COUNT(*), SUM(status <> 'ok'),
       SUM(prompt_tokens), SUM(cached_tokens), SUM(completion_tokens), SUM(reasoning_tokens), SUM(cost_nano_usd)
FROM request
GROUP BY 1, 2, 3, 4, 5;

CREATE TRIGGER request_ends AFTER INSERT ON request
BEGIN
    INSERT INTO rollup VALUES (
        NEW.started_at_ms - NEW.started_at_ms % 3600000, COALESCE(NEW.workspace_id, ''), COALESCE(NEW.key_id, ''),
        COALESCE(NEW.model, ''), COALESCE(NEW.provider, ''), 1, NEW.status <> 'ok',
        NEW.prompt_tokens, NEW.cached_tokens, NEW.completion_tokens, NEW.reasoning_tokens, NEW.cost_nano_usd
    )
    ON CONFLICT (hour_ms, workspace_id, key_id, model, provider) DO UPDATE SET
        calls = calls + 1,
        failed_calls = failed_calls + excluded.failed_calls,
        prompt_tokens = prompt_tokens + excluded.prompt_tokens,
        cached_tokens = cached_tokens + excluded.cached_tokens,
        completion_tokens = completion_tokens + excluded.completion_tokens,
        reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
        cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd;
    DELETE FROM open_call WHERE request_id = NEW.id;
END;

-- A charge comes out of its lease as far as that reaches, and for the rest, or when the lease was closed, out of the
-- account alone. Rows that are there already fire no trigger: a replayed settlement changes nothing.
DROP TRIGGER transfer_posts;

CREATE TRIGGER transfer_posts AFTER INSERT ON transfer
BEGIN
    UPDATE account SET debits = debits + NEW.amount WHERE id = NEW.debit_account;
    UPDATE account SET credits = credits + NEW.amount WHERE id = NEW.credit_account;
END;

CREATE TRIGGER transfer_uses_lease AFTER INSERT ON transfer WHEN NEW.lease IS NOT NULL
BEGIN
    UPDATE account SET leased = leased - COALESCE((
        SELECT MIN(NEW.amount, granted - used) FROM lease
        WHERE id = NEW.lease AND account_id = NEW.debit_account AND state = 'active'
    ), 0) WHERE id = NEW.debit_account;
    UPDATE lease SET used = used + MIN(NEW.amount, granted - used)
    WHERE id = NEW.lease AND account_id = NEW.debit_account AND state = 'active';
END;
