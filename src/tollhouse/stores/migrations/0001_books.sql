-- Workspaces, keys, the ledger and the call records. Times are Unix milliseconds, money is integer nano-USD.

CREATE TABLE workspace (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL,
    locked        INTEGER NOT NULL DEFAULT 0 CHECK (locked IN (0, 1)),
    invoicing     INTEGER NOT NULL DEFAULT 0 CHECK (invoicing IN (0, 1))
) STRICT, WITHOUT ROWID;

-- Only the SHA-256 of a key is kept; the hint is its prefix and last four characters.
CREATE TABLE api_key (
    id            TEXT PRIMARY KEY,
    workspace_id  TEXT NOT NULL REFERENCES workspace (id),
    name          TEXT NOT NULL,
    digest        BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    hint          TEXT NOT NULL,
    state         TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'revoked')),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER
) STRICT;

CREATE INDEX api_key_by_workspace ON api_key (workspace_id);

-- A purse, a limit of one period, or one of the two contra accounts of a unit.
-- What a purse can still spend is credits - debits - leased.
CREATE TABLE account (
    id      TEXT PRIMARY KEY,
    kind    TEXT NOT NULL CHECK (kind IN ('credit', 'limit', 'revenue', 'source')),
    unit    TEXT NOT NULL CHECK (unit IN ('nano_usd', 'token')),
    scope   TEXT NOT NULL,
    period  TEXT NOT NULL DEFAULT '',
    credits INTEGER NOT NULL DEFAULT 0 CHECK (credits >= 0),
    debits  INTEGER NOT NULL DEFAULT 0 CHECK (debits >= 0),
    leased  INTEGER NOT NULL DEFAULT 0 CHECK (leased >= 0),
    UNIQUE (kind, unit, scope, period)
) STRICT, WITHOUT ROWID;

INSERT INTO account (id, kind, unit, scope) VALUES
    ('revenue:nano_usd', 'revenue', 'nano_usd', ''),
    ('source:nano_usd', 'source', 'nano_usd', '');

-- Double entry, append-only: one row is both sides. `request` is a call's id or a top-up's reference, and the key
-- makes a replayed settlement a no-op.
CREATE TABLE transfer (
    request        TEXT NOT NULL,
    line           INTEGER NOT NULL CHECK (line >= 0),
    debit_account  TEXT NOT NULL REFERENCES account (id),
    credit_account TEXT NOT NULL REFERENCES account (id),
    amount         INTEGER NOT NULL CHECK (amount >= 0),
    code           TEXT NOT NULL,
    at_ms          INTEGER NOT NULL,
    lease          TEXT,
    price_version  TEXT NOT NULL DEFAULT '',
    usage_source   TEXT,
    PRIMARY KEY (request, line, debit_account),
    CHECK (debit_account <> credit_account)
) STRICT, WITHOUT ROWID;

-- The accounts are the sum of the transfers by construction: nothing else writes these two columns.
CREATE TRIGGER transfer_posts AFTER INSERT ON transfer
BEGIN
    UPDATE account SET debits = debits + NEW.amount WHERE id = NEW.debit_account;
    UPDATE account SET credits = credits + NEW.amount WHERE id = NEW.credit_account;
END;

CREATE TRIGGER transfer_stays BEFORE UPDATE ON transfer
BEGIN
    SELECT RAISE(ABORT, 'transfers are append-only');
END;

CREATE TRIGGER transfer_remains BEFORE DELETE ON transfer
BEGIN
    SELECT RAISE(ABORT, 'transfers are append-only');
END;

-- One row per call, whatever became of it; not the ledger. `attempts` is a JSON array.
CREATE TABLE request (
    id                TEXT NOT NULL UNIQUE,
    started_at_ms     INTEGER NOT NULL,
    finished_at_ms    INTEGER NOT NULL,
    workspace_id      TEXT,
    key_id            TEXT,
    dialect           TEXT NOT NULL,
    format            TEXT NOT NULL,
    model             TEXT,
    provider          TEXT,
    upstream_model    TEXT,
    stream            INTEGER NOT NULL,
    status            TEXT NOT NULL,
    error_code        TEXT,
    finish_reason     TEXT,
    prompt_tokens     INTEGER NOT NULL,
    cached_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    reasoning_tokens  INTEGER NOT NULL,
    usage_source      TEXT,
    cost_nano_usd     INTEGER NOT NULL,
    first_byte_ms     INTEGER,
    attempts          TEXT NOT NULL,
    client_request_id TEXT
) STRICT;

CREATE INDEX request_by_start ON request (started_at_ms);
