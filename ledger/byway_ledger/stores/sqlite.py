"""The books in one SQLite file: one thread writes, another reads, and the loop waits for neither.

A batch is one transaction, committed to the disk before it is answered. After any error the connection is closed
and opened anew, because after a failed write SQLite itself does not say in what state it is.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from byway_contract.activity import Attempt, By, Sum, Sums
from byway_contract.money import dollars
from byway_contract.records import Batch, Fenced, Forked, Gap

from byway_ledger import books
from byway_ledger.stores import schema
from byway_ledger.stores.connection import claim, opened, ours
from byway_ledger.stores.rows import Value, attempt_of, intent_values, price_of, settle_values
from byway_ledger.stores.store import Done, Question

T = TypeVar("T")

MOST_ATTEMPTS = 1000
# Below SQLite's own least limit of 999 variables in a statement.
_AT_ONCE = 500
# How many of its instructions SQLite works between two looks at the clock: some milliseconds.
_STRIDE = 100_000

_COLUMNS = (*schema.INTENT, *schema.SETTLE)
_INSERT = (
    f"INSERT INTO attempt ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    " ON CONFLICT (attempt) DO NOTHING"
)
_COMPLETE = (
    f"UPDATE attempt SET {', '.join(f'{name} = ?' for name in schema.SETTLE)} WHERE attempt = ? AND ended IS NULL"
)
_MOVE = (
    "INSERT INTO source (id, epoch, seq, seen, owner) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
    " SET epoch = excluded.epoch, seq = excluded.seq, seen = excluded.seen, owner = excluded.owner"
)
_BY: dict[By, str] = {
    "route": "route",
    "namespace": "namespace",
    "service_account": "service_account",
    "access_key": "access_key",
    "user": "user_id",
    "model": "model",
    "provider": "provider",
    "account": "account",
    "day": "strftime('%Y-%m-%d', at, 'unixepoch')",
    "request": "request",
}


class SQLite:
    """A `Store`. Raises StoreInUse, StoreError when opened."""

    def __init__(self, path: Path, *, answer_within_s: float = 10.0) -> None:
        self._path, self._answer_within_s = path, answer_within_s
        self._lock = claim(path)
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        try:
            self._writer = opened(path, writing=True)
        except BaseException:
            os.close(self._lock)
            raise
        self._writing = ThreadPoolExecutor(1, "books-write")
        self._reading = ThreadPoolExecutor(1, "books-read")

    async def book(
        self, batch: Batch, now: float, sender: str = ""
    ) -> Done | Gap | Fenced | Forked | books.Foreign:
        return await self._on(self._writing, lambda: self._write(lambda using: _book(using, batch, now, sender)))

    async def sums(self, question: Question) -> Sums:
        return await self._on(self._reading, lambda: self._read(lambda using: _sums(using, question)))

    async def attempts(self, request: str) -> list[Attempt]:
        return await self._on(self._reading, lambda: self._read(lambda using: _attempts(using, request)))

    async def alive(self) -> None:
        await self._on(self._reading, lambda: self._read(lambda using: using.execute("SELECT 1").fetchone()))

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    async def _on(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._writer is None:
                self._writer = opened(self._path, writing=True)
            self._writer.execute("BEGIN IMMEDIATE")
            done = work(self._writer)
            self._writer.execute("COMMIT")
        except BaseException as error:
            # Closing rolls back.
            _close(self._writer)
            self._writer = None
            if isinstance(error, sqlite3.Error):
                raise ours(error, self._path) from error
            raise
        return done

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        until = time.monotonic() + self._answer_within_s
        try:
            if self._reader is None:
                self._reader = opened(self._path, writing=False)
            self._reader.set_progress_handler(lambda: time.monotonic() > until, _STRIDE)
            return work(self._reader)
        except sqlite3.Error as error:
            _close(self._reader)
            self._reader = None
            raise ours(error, self._path) from error

    def _close(self) -> None:
        self._writing.shutdown()
        self._reading.shutdown()
        _close(self._reader)
        self._reader = None
        _close(self._writer)
        self._writer = None
        os.close(self._lock)


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        try:
            connection.close()
        except sqlite3.Error:
            return  # it goes away all the same, and what brought us here is reported already


def _book(
    using: sqlite3.Connection, batch: Batch, now: float, sender: str
) -> Done | Gap | Fenced | Forked | books.Foreign:
    row = using.execute("SELECT epoch, seq, owner FROM source WHERE id = ?", (batch.source,)).fetchone()
    take = books.judge(books.Position(*row) if row else books.Position(), batch, sender)
    if not isinstance(take, books.Take):
        return take
    known = _known(using, books.asked(take))
    if fork := books.forked(take, known):
        return fork
    made = books.entries(take.records, known)
    using.executemany(
        _INSERT, [intent_values(one.intent) + settle_values(one.settle, one.flag) for one in made.rows.values()]
    )
    using.executemany(
        _COMPLETE, [(*settle_values(one.settle, one.flag), name) for name, one in made.completions.items()]
    )
    position = take.position
    using.execute(_MOVE, (batch.source, position.epoch, position.seq, now, position.owner))
    repeated = len(take.skipped) + made.ignored
    return Done(take.position.seq, len(take.records) - made.ignored, repeated, made.flagged, take.hole)


def _known(using: sqlite3.Connection, attempts: Sequence[str]) -> dict[str, books.Known]:
    known: dict[str, books.Known] = {}
    for start in range(0, len(attempts), _AT_ONCE):
        some = attempts[start : start + _AT_ONCE]
        places = ", ".join("?" * len(some))
        rows = using.execute(f"SELECT attempt, price, ended FROM attempt WHERE attempt IN ({places})", some)
        known.update((name, books.Known(price_of(price), ended is not None)) for name, price, ended in rows)
    return known


def _sums(using: sqlite3.Connection, question: Question) -> Sums:
    keys = ", ".join(_BY[name] for name in question.by)
    rows = using.execute(
        f"SELECT {keys}, COUNT(DISTINCT request), COUNT(*), SUM(ended IS NULL), SUM(prompt), SUM(completion), "
        "SUM(cached), SUM(cache_write), SUM(reasoning), COALESCE(SUM(cost), 0), SUM(billed) "
        "FROM attempt WHERE at >= ? AND at < ? "
        f"GROUP BY {keys} ORDER BY COALESCE(SUM(cost), 0) DESC, {keys} LIMIT ?",
        (question.since, question.until, question.limit + 1),
    ).fetchall()
    return Sums(list(_summed(question.by, rows[: question.limit])), more=len(rows) > question.limit)


def _summed(by: tuple[By, ...], rows: Iterable[Sequence[Value]]) -> Iterable[Sum]:
    for row in rows:
        key, numbers = row[: len(by)], (int(value or 0) for value in row[len(by) :])
        requests, attempts, still_open, prompt, completion, cached, cache_write, reasoning, cost, billed = numbers
        yield Sum(
            key=dict(zip(by, map(str, key), strict=True)),
            requests=requests,
            attempts=attempts,
            open=still_open,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            cache_write_tokens=cache_write,
            reasoning_tokens=reasoning,
            cost=dollars(cost),
            billed=dollars(billed),
            absorbed=dollars(cost - billed),
            cost_nanodollars=cost,
            billed_nanodollars=billed,
            absorbed_nanodollars=cost - billed,
        )


def _attempts(using: sqlite3.Connection, request: str) -> list[Attempt]:
    rows = using.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM attempt WHERE request = ? ORDER BY attempt_no, attempt LIMIT ?",
        (request, MOST_ATTEMPTS),
    )
    return [attempt_of(row) for row in rows]
