-- Leases, calls that have not ended, and sums by the hour.

-- A slice of an account that one process may spend without asking. account.leased is the sum of granted - used over an
-- account's active leases.
CREATE TABLE lease (
    id            TEXT COLLATE "C" PRIMARY KEY,
    account_id    TEXT COLLATE "C" NOT NULL REFERENCES account (id),
    owner         TEXT COLLATE "C" NOT NULL,
    granted       BIGINT NOT NULL CHECK (granted >= 0),
    used          BIGINT NOT NULL DEFAULT 0 CHECK (used >= 0),
    expires_at_ms BIGINT NOT NULL,
    state         TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'closed')),
    recall        SMALLINT NOT NULL DEFAULT 0 CHECK (recall IN (0, 1)),
    CHECK (used <= granted)
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX lease_of_owner ON lease (account_id, owner) WHERE state = 'active';
CREATE INDEX lease_by_owner ON lease (owner) WHERE state = 'active';

-- What is left of a call after a crash.
CREATE TABLE open_call (
    request_id    TEXT COLLATE "C" PRIMARY KEY,
    owner         TEXT COLLATE "C" NOT NULL,
    started_at_ms BIGINT NOT NULL,
    workspace_id  TEXT COLLATE "C" NOT NULL,
    key_id        TEXT COLLATE "C" NOT NULL,
    model         TEXT NOT NULL,
    held_nano_usd BIGINT NOT NULL
);

-- Sums over the call records of an hour, kept by the settlement itself; '' stands for none.
CREATE TABLE rollup (
    hour_ms           BIGINT NOT NULL,
    workspace_id      TEXT COLLATE "C" NOT NULL,
    key_id            TEXT COLLATE "C" NOT NULL,
    model             TEXT COLLATE "C" NOT NULL,
    provider          TEXT COLLATE "C" NOT NULL,
    calls             BIGINT NOT NULL,
    failed_calls      BIGINT NOT NULL,
    prompt_tokens     BIGINT NOT NULL,
    cached_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    reasoning_tokens  BIGINT NOT NULL,
    cost_nano_usd     BIGINT NOT NULL,
    PRIMARY KEY (hour_ms, workspace_id, key_id, model, provider)
) WITH (fillfactor = 50);

INSERT INTO account (id, kind, unit, scope) VALUES
    ('limits-source:nano_usd', 'source', 'nano_usd', 'limits'),
    ('limits-spent:nano_usd', 'revenue', 'nano_usd', 'limits'),
    ('limits-source:token', 'source', 'token', 'limits'),
    ('limits-spent:token', 'revenue', 'token', 'limits');

-- Which processes live: in SQLite a lock on a file tells, here a sign of life that each renews. Only in PostgreSQL.
CREATE TABLE owner (
    id            TEXT COLLATE "C" PRIMARY KEY,
    expires_at_ms BIGINT NOT NULL
);
