-- Routing rules, every version as it was handed in, and which was in force from when. Times are Unix milliseconds.

CREATE TABLE routing_rules (
    version       BIGINT PRIMARY KEY,
    document      TEXT NOT NULL,
    author        TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

-- The newest row holds. No version stands for the rules of the configuration; `back_to` is the row that a rollback
-- returns to, none for what held before the first.
CREATE TABLE routing_activation (
    number  BIGINT PRIMARY KEY,
    version BIGINT REFERENCES routing_rules (version),
    author  TEXT NOT NULL,
    at_ms   BIGINT NOT NULL,
    back_to BIGINT REFERENCES routing_activation (number)
);

-- Of a call that left its model to the rules, what they decided and why: a JSON object.
ALTER TABLE request ADD COLUMN routed TEXT;
