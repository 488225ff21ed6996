"""SQLite as the ledger uses it: every commit on the disk, the schema up to date, one ledger to a file."""

import fcntl
import os
import sqlite3
from pathlib import Path

from byway_ledger.stores import schema
from byway_ledger.stores.store import StoreError, StoreFull, StoreInUse

BUSY_MS = 5000
# Above it a commit also copies the write-ahead log back, some 8 MiB at a time.
CHECKPOINT_PAGES = 2000
KEEP_WAL_BYTES = 64 * 1024 * 1024


def claim(path: Path) -> int:
    """Take the books for this process until the descriptor is closed. Raises StoreInUse, StoreError."""
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{lock}: {error.strerror}; BYWAY_DATABASE must be in a folder we may write to") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise StoreInUse(
            f"the books in {path} are in use by another ledger; stop it, or set BYWAY_DATABASE to another file"
        ) from error
    return fd


def opened(path: Path, *, writing: bool) -> sqlite3.Connection:
    """Raises StoreError."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if writing:
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a booked batch survives a power failure, so a proxy may forget it.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {KEEP_WAL_BYTES}")
            _migrate(connection, path)
        else:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise ours(error, path) from error
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(schema.STEPS):
        raise StoreError(
            f"{path} is of a newer ledger (step {version}, this one knows {len(schema.STEPS)}); update this one"
        )
    for number, step in enumerate(schema.STEPS[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")


def ours(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"{path}: no room on the disk")
    if code == sqlite3.SQLITE_INTERRUPT:
        return StoreError("the question took too long; ask for a shorter time with since and until")
    return StoreError(f"{path}: {error}")
