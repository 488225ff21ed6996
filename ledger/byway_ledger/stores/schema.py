"""The tables, as numbered steps that are only ever added to, the same for both databases in each one's words.
SQLite counts them in `PRAGMA user_version`, PostgreSQL in a table of its own.

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
    '"user"',
    "session",
    "referer",
    "title",
    "user_agent",
    "user_id",
    "list_price",
    "fee_ppm",
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
    "reckoned",
    "audio_prompt",
    "audio_completion",
    "image_prompt",
    "image_completion",
    "fee",
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
    """
    ALTER TABLE source ADD COLUMN asked REAL NOT NULL DEFAULT 0;
    ALTER TABLE source ADD COLUMN done INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE ruling (
        one INTEGER PRIMARY KEY,
        term INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        hash TEXT NOT NULL,
        limits TEXT NOT NULL
    );
    CREATE TABLE counter (
        name TEXT PRIMARY KEY,
        limit_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        start INTEGER NOT NULL,
        ends INTEGER,
        spent INTEGER NOT NULL DEFAULT 0,
        extra INTEGER NOT NULL DEFAULT 0,
        reserved INTEGER NOT NULL DEFAULT 0,
        stranded INTEGER NOT NULL DEFAULT 0,
        metered INTEGER NOT NULL DEFAULT 0,
        unmetered INTEGER NOT NULL DEFAULT 0,
        overrun INTEGER NOT NULL DEFAULT 0,
        wanted_until REAL NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE INDEX counter_limit ON counter (limit_id, start);
    CREATE TABLE allowance (
        id TEXT PRIMARY KEY,
        source TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        limit_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        start INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        rest INTEGER NOT NULL,
        counter TEXT NOT NULL,
        given REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX allowance_open ON allowance (source) WHERE rest > 0;
    CREATE INDEX allowance_used ON allowance (source, given) WHERE rest = 0;
    CREATE TABLE kept (
        name TEXT PRIMARY KEY,
        body TEXT NOT NULL
    );
    CREATE TABLE answer (
        source TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        ask INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (source, epoch, ask)
    ) WITHOUT ROWID;
    CREATE TABLE unaccounted (
        source TEXT NOT NULL,
        limit_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        start INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        at REAL NOT NULL,
        why TEXT NOT NULL,
        PRIMARY KEY (source, limit_id, subject, start)
    ) WITHOUT ROWID;
    """,
    # The defaults are for rows that have ended already; one that has not is given NULLs, as in all of these.
    """
    ALTER TABLE attempt ADD COLUMN list_price TEXT;
    ALTER TABLE attempt ADD COLUMN reckoned INTEGER DEFAULT 0;
    ALTER TABLE attempt ADD COLUMN audio_prompt INTEGER DEFAULT 0;
    ALTER TABLE attempt ADD COLUMN audio_completion INTEGER DEFAULT 0;
    ALTER TABLE attempt ADD COLUMN image_prompt INTEGER DEFAULT 0;
    ALTER TABLE attempt ADD COLUMN image_completion INTEGER DEFAULT 0;
    """,
    """
    CREATE TABLE rollup (
        name TEXT PRIMARY KEY,
        at REAL NOT NULL,
        namespace TEXT NOT NULL,
        service_account TEXT NOT NULL,
        access_key TEXT NOT NULL,
        user_id TEXT NOT NULL,
        route TEXT NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        account TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        byok INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        answered INTEGER NOT NULL,
        prompt INTEGER NOT NULL,
        completion INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        cache_write INTEGER NOT NULL,
        reasoning INTEGER NOT NULL,
        cost INTEGER NOT NULL,
        billed INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        dearest INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE attempt ADD COLUMN fee_ppm INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE attempt ADD COLUMN fee INTEGER DEFAULT 0;
    ALTER TABLE rollup ADD COLUMN fee INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE rollup ADD COLUMN charge INTEGER NOT NULL DEFAULT 0;
    UPDATE rollup SET charge = billed WHERE byok = 0;
    CREATE TABLE credit (
        id TEXT PRIMARY KEY,
        namespace TEXT NOT NULL,
        at REAL NOT NULL,
        paid INTEGER NOT NULL,
        fee INTEGER NOT NULL,
        amount INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX credit_namespace ON credit (namespace, amount);
    """,
)


def _of_postgres(step: str) -> str:
    """`COLLATE "C"`: names sort by their bytes, as in SQLite, and are compared as fast."""
    for ours, theirs in (
        ("TEXT", 'TEXT COLLATE "C"'),
        ("INTEGER", "BIGINT"),
        ("REAL", "DOUBLE PRECISION"),
        (" WITHOUT ROWID", ""),
        (" user TEXT", ' "user" TEXT'),
    ):
        step = step.replace(ours, theirs)
    return step


POSTGRES_STEPS = tuple(map(_of_postgres, STEPS))
