-- Workspaces, keys, the ledger and the call records; the same tables and columns as in SQLite. Times are Unix
-- milliseconds, money is integer nano-USD. Names that are looked up compare byte by byte (COLLATE "C"): faster, and an
-- index does not depend on the operating system's dictionaries.

CREATE TABLE workspace (
    id            TEXT COLLATE "C" PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at_ms BIGINT NOT NULL,
    locked        SMALLINT NOT NULL DEFAULT 0 CHECK (locked IN (0, 1)),
    invoicing     SMALLINT NOT NULL DEFAULT 0 CHECK (invoicing IN (0, 1))
);

-- Only the SHA-256 of a key is kept; the hint is its prefix and last four characters.
CREATE TABLE api_key (
    id            TEXT COLLATE "C" PRIMARY KEY,
    workspace_id  TEXT COLLATE "C" NOT NULL REFERENCES workspace (id),
    name          TEXT NOT NULL,
    digest        BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    hint          TEXT COLLATE "C" NOT NULL,
    state         TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'revoked')),
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT
);

CREATE INDEX api_key_by_workspace ON api_key (workspace_id);

-- A purse, a limit of one period, or one of the two contra accounts of a unit.
-- What a purse can still spend is credits - debits - leased. Its row changes with every settlement: space in its page
-- lets the new version stay there, without a new entry in any index.
CREATE TABLE account (
    id      TEXT COLLATE "C" PRIMARY KEY,
    kind    TEXT NOT NULL CHECK (kind IN ('credit', 'limit', 'revenue', 'source')),
    unit    TEXT NOT NULL CHECK (unit IN ('nano_usd', 'token')),
    scope   TEXT COLLATE "C" NOT NULL,
    period  TEXT COLLATE "C" NOT NULL DEFAULT '',
    credits BIGINT NOT NULL DEFAULT 0 CHECK (credits >= 0),
    debits  BIGINT NOT NULL DEFAULT 0 CHECK (debits >= 0),
    leased  BIGINT NOT NULL DEFAULT 0 CHECK (leased >= 0),
    UNIQUE (kind, unit, scope, period)
) WITH (fillfactor = 50);

INSERT INTO account (id, kind, unit, scope) VALUES
    ('revenue:nano_usd', 'revenue', 'nano_usd', ''),
    ('source:nano_usd', 'source', 'nano_usd', '');

-- Double entry, append-only: one row is both sides. `request` is a call's id or a top-up's reference, and the key
-- makes a replayed settlement a no-op. Here the statement that inserts also posts to the accounts.
CREATE TABLE transfer (
    request        TEXT COLLATE "C" NOT NULL,
    line           BIGINT NOT NULL CHECK (line >= 0),
    debit_account  TEXT COLLATE "C" NOT NULL REFERENCES account (id),
    credit_account TEXT COLLATE "C" NOT NULL REFERENCES account (id),
    amount         BIGINT NOT NULL CHECK (amount >= 0),
    code           TEXT NOT NULL,
    at_ms          BIGINT NOT NULL,
    lease          TEXT COLLATE "C",
    price_version  TEXT NOT NULL DEFAULT '',
    usage_source   TEXT,
    PRIMARY KEY (request, line, debit_account),
    CHECK (debit_account <> credit_account)
);

CREATE FUNCTION transfer_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'transfers are append-only';
END
$$;

CREATE TRIGGER transfer_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer
    FOR EACH STATEMENT EXECUTE FUNCTION transfer_stays();

-- One row per call, whatever became of it; not the ledger. `attempts` is a JSON array.
CREATE TABLE request (
    id                TEXT COLLATE "C" PRIMARY KEY,
    started_at_ms     BIGINT NOT NULL,
    finished_at_ms    BIGINT NOT NULL,
    workspace_id      TEXT COLLATE "C",
    key_id            TEXT COLLATE "C",
    dialect           TEXT NOT NULL,
    format            TEXT NOT NULL,
    model             TEXT,
    provider          TEXT,
    upstream_model    TEXT,
    stream            SMALLINT NOT NULL,
    status            TEXT NOT NULL,
    error_code        TEXT,
    finish_reason     TEXT,
    prompt_tokens     BIGINT NOT NULL,
    cached_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    reasoning_tokens  BIGINT NOT NULL,
    usage_source      TEXT,
    cost_nano_usd     BIGINT NOT NULL,
    first_byte_ms     BIGINT,
    attempts          TEXT NOT NULL,
    client_request_id TEXT
);

CREATE INDEX request_by_start ON request (started_at_ms);
