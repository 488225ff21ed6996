"""The tables of SQLite, as numbered steps that are only ever added to. `PRAGMA user_version` counts them.

One row per attempt, columns as in the contract's records, so that a column here is a field there. Attempts sort by
time (UUIDv7), so a table without rowids grows at its end.
"""

INTENT = (
    "attempt",
    "request",
    "at",
    "namespace",
    "route",
    "endpoint",
    "account",
    "provider",
    "model",
    "price",
    "streamed",
    "attempt_no",
    "api",
    "service_account",
    "access_key",
    "byok",
    "user",
    "session",
    "referer",
    "title",
    "user_agent",
    "user_id",
)
SETTLE = (
    "ended",
    "outcome",
    "prompt",
    "completion",
    "cached",
    "cache_write",
    "reasoning",
    "usage_from",
    "cost",
    "billed",
    "reason",
    "status",
    "first_token_ms",
    "duration_ms",
    "finish",
    "native_finish",
    "upstream_id",
    "flag",
)

STEPS = (
    """
    CREATE TABLE source (
        id TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        seen REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE attempt (
        attempt TEXT PRIMARY KEY,
        request TEXT NOT NULL,
        at REAL NOT NULL,
        namespace TEXT NOT NULL,
        route TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        account TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        price TEXT,
        streamed INTEGER NOT NULL,
        attempt_no INTEGER NOT NULL,
        api TEXT NOT NULL,
        service_account TEXT NOT NULL,
        access_key TEXT NOT NULL,
        byok INTEGER NOT NULL,
        user TEXT NOT NULL,
        session TEXT NOT NULL,
        referer TEXT NOT NULL,
        title TEXT NOT NULL,
        user_agent TEXT NOT NULL,
        ended REAL,
        outcome TEXT,
        prompt INTEGER,
        completion INTEGER,
        cached INTEGER,
        cache_write INTEGER,
        reasoning INTEGER,
        usage_from TEXT,
        cost INTEGER,
        billed INTEGER,
        reason TEXT,
        status INTEGER,
        first_token_ms REAL,
        duration_ms REAL,
        finish TEXT,
        native_finish TEXT,
        upstream_id TEXT,
        flag TEXT
    ) WITHOUT ROWID;
    CREATE INDEX attempt_request ON attempt (request);
    CREATE INDEX attempt_at ON attempt (at);
    """,
    """
    ALTER TABLE source ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE attempt ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
    """,
)
