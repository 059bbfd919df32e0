-- Pictures that callers fetch by address, for an hour. They are no part of the books: a crash may lose them, which spares
-- the log and every standby their megabytes.

CREATE UNLOGGED TABLE picture (
    name          TEXT PRIMARY KEY,
    data          BYTEA NOT NULL,
    size_bytes    BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);

CREATE INDEX picture_expires ON picture (expires_at_ms);
