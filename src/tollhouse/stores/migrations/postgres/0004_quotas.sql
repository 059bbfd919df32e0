-- Limits, plans, consumers, and who changed what. Times are Unix milliseconds, money is integer nano-USD.

-- The models that a key may use: a JSON list of names, NULL for all.
ALTER TABLE api_key ADD COLUMN allowed_models TEXT;

-- A quota beside the credit: so much in each period; NULL while there is none. `resets` counts the periods that were
-- begun by hand. What was used of it stands in its accounts `limit:<id>:<period>`.
CREATE TABLE quota_limit (
    id            TEXT COLLATE "C" PRIMARY KEY,
    owner_id      TEXT COLLATE "C" NOT NULL,
    reason        TEXT COLLATE "C" NOT NULL CHECK (reason IN ('key_limit', 'consumer_quota', 'plan_quota')),
    unit          TEXT NOT NULL CHECK (unit IN ('nano_usd', 'token')),
    period        TEXT COLLATE "C" NOT NULL CHECK (period IN ('day', 'month', 'total')),
    amount        BIGINT CHECK (amount >= 0),
    resets        BIGINT NOT NULL DEFAULT 0 CHECK (resets >= 0),
    name          TEXT NOT NULL DEFAULT '',
    created_at_ms BIGINT NOT NULL,
    UNIQUE (owner_id, reason, period)
);

-- The catalogue's plans as the last gateway that started read them.
CREATE TABLE plan (
    name    TEXT COLLATE "C" PRIMARY KEY,
    period  TEXT NOT NULL CHECK (period IN ('day', 'month', 'total')),
    tokens  BIGINT NOT NULL CHECK (tokens >= 0),
    retired SMALLINT NOT NULL DEFAULT 0 CHECK (retired IN (0, 1))
);

CREATE TABLE consumer (
    id            TEXT COLLATE "C" PRIMARY KEY,
    key_id        TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES api_key (id),
    username      TEXT,
    custom_id     TEXT,
    created_at_ms BIGINT NOT NULL
);

INSERT INTO consumer (id, key_id, created_at_ms)
SELECT 'con_' || replace(id, 'key_', ''), id, created_at_ms FROM api_key;

-- Append-only. `detail` is a JSON object.
CREATE TABLE audit (
    id      TEXT COLLATE "C" PRIMARY KEY,
    at_ms   BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    detail  TEXT NOT NULL,
    note    TEXT NOT NULL
);

CREATE INDEX audit_by_time ON audit (at_ms);
CREATE INDEX audit_by_subject ON audit (subject, at_ms);

-- What was taken out of an account without being spent. Charges are not in it, so it costs them nothing.
CREATE INDEX transfer_withdrawals ON transfer (debit_account) WHERE code IN ('refund', 'lowered');

-- What a consumer has used is summed from the roll-ups of its key.
CREATE INDEX rollup_by_key ON rollup (key_id);
