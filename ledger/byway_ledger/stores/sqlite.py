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

from byway_contract.activity import Attempt, Sums
from byway_contract.fees import Bought, Credits, Purchase, Taken
from byway_contract.grants import Answered, Ask, Closed, Closing, Grants, Hello, Limited, Limits, Stale, Welcome
from byway_contract.records import Batch, Fenced, Forked, Gap

from byway_ledger.books import Foreign
from byway_ledger.focus import Daily
from byway_ledger.grants import Counter, Rules
from byway_ledger.stores import booking, crediting, granting, reading, rollups
from byway_ledger.stores.connection import claim, opened, ours
from byway_ledger.stores.granting import InForce
from byway_ledger.stores.script import Quiet, Read, Row, Script, Step, Write
from byway_ledger.stores.store import Done, Folded, Question

T = TypeVar("T")

# Below SQLite's own least limit of 999 variables in a statement.
_AT_ONCE = 500
# How many of its instructions SQLite works between two looks at the clock: some milliseconds.
_STRIDE = 100_000


class SQLite:
    """A `Store`. Raises StoreInUse, StoreError when opened."""

    def __init__(self, path: Path, *, answer_within_s: float = 10.0) -> None:
        self._path, self._answer_within_s = path, answer_within_s
        self._lock = claim(path)
        self._limits = InForce(Rules())
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        try:
            self._writer = opened(path, writing=True)
        except BaseException:
            os.close(self._lock)
            raise
        self._writing = ThreadPoolExecutor(1, "books-write")
        self._reading = ThreadPoolExecutor(1, "books-read")

    async def book(self, batch: Batch, now: float, sender: str = "") -> Done | Gap | Fenced | Forked | Foreign:
        return await self._write(lambda: booking.book(batch, now, sender, self._limits))

    async def rule(self, limits: Limits, now: float) -> Limited | Stale:
        return await self._write(lambda: granting.rule(limits, now, self._limits))

    async def ask(
        self, message: Ask, now: float, sender: str, mint: Callable[[], str]
    ) -> Grants | Fenced | Foreign | Answered:
        return await self._write(lambda: granting.ask(message, now, sender, self._limits, mint))

    async def hello(self, message: Hello, now: float, sender: str = "") -> Welcome | Fenced | Foreign | Gap:
        return await self._write(lambda: granting.hello(message, now, sender))

    async def close_source(self, message: Closing, now: float) -> Closed:
        return await self._write(lambda: granting.close_source(message, now))

    async def counters(self, limit: int, ends_after: float = 0.0) -> tuple[Rules, list[Counter], bool]:
        # Its own memory of the limits: it is another thread.
        return await self._read(lambda: granting.counters_now(limit, ends_after, InForce(Rules())))

    async def counters_of(self, names: Sequence[tuple[str, str]], now: float) -> tuple[Rules, list[Counter]]:
        return await self._read(lambda: granting.counters_named(names, now, InForce(Rules())))

    async def buy(self, purchase: Purchase, now: float) -> Bought | Taken:
        return await self._write(lambda: crediting.buy(purchase, now, self._limits))

    async def credits(self, namespace: str | None) -> Credits:
        return await self._read(lambda: crediting.credits(namespace))

    async def sums(self, question: Question) -> Sums:
        return await self._read(lambda: reading.sums(question, reading.SQLITE_BY))

    async def daily(self, since: float, until: float, after: Daily | None, limit: int) -> list[Daily]:
        return await self._read(lambda: reading.daily(since, until, after, limit, reading.SQLITE_BY))

    async def span(self) -> tuple[float, float] | None:
        return await self._read(reading.span)

    async def attempts(self, request: str, namespace: str | None = None) -> list[Attempt]:
        return await self._read(lambda: reading.attempts(request, namespace))

    async def fold(self, before: float, forget_before: float | None, most: int) -> Folded:
        return await self._write(lambda: rollups.fold(before, forget_before, most, self._limits))

    async def alive(self) -> None:
        await self._read(reading.alive)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    async def _write(self, script: Callable[[], Script[T]]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writing, self._written, script)

    async def _read(self, script: Callable[[], Script[T]]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._answered, script)

    def _written(self, script: Callable[[], Script[T]]) -> T:
        try:
            if self._writer is None:
                self._writer = opened(self._path, writing=True)
            self._writer.execute("BEGIN IMMEDIATE")
            done = obeyed(self._writer, script())
            self._writer.execute("COMMIT")
        except BaseException as error:
            # Closing rolls back.
            _close(self._writer)
            self._writer = None
            if isinstance(error, sqlite3.Error):
                raise ours(error, self._path) from error
            raise
        return done

    def _answered(self, script: Callable[[], Script[T]]) -> T:
        until = time.monotonic() + self._answer_within_s
        try:
            if self._reader is None:
                self._reader = opened(self._path, writing=False)
            self._reader.set_progress_handler(lambda: time.monotonic() > until, _STRIDE)
            # One transaction, so that all of an answer is of the same moment.
            self._reader.execute("BEGIN")
            done = obeyed(self._reader, script())
            self._reader.execute("COMMIT")
        except sqlite3.Error as error:
            _close(self._reader)
            self._reader = None
            raise ours(error, self._path) from error
        return done

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


def obeyed(using: sqlite3.Connection, script: Script[T]) -> T:
    try:
        step = next(script)
        while True:
            step = script.send(_obey(using, step))
    except StopIteration as ended:
        done: T = ended.value
        return done


def _obey(using: sqlite3.Connection, step: Step) -> Sequence[Row]:
    match step:
        case Read(sql, values, None):
            return using.execute(sql, values).fetchall()
        case Read(sql, values, among):
            return [
                row
                for some in _pieces(among or ())
                for row in using.execute(_among(sql, len(some)), (*values, *some))
            ]
        case Write(sql, rows):
            using.executemany(sql, rows)
        case Quiet():
            pass  # there is one writer
    return ()


def _pieces(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))


def _among(sql: str, count: int) -> str:
    return sql.replace("AMONG", f"IN ({', '.join('?' * count)})")
