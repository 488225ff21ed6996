"""The books in PostgreSQL: several ledgers side by side, and a database that others keep alive.

The same scripts as on SQLite, each in one transaction. Commits wait for the disk (`synchronous_commit`), whatever
the server's default is: a proxy forgets what is booked. A transaction that met another one's locks begins again.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
from byway_contract.activity import Attempt, Sums
from byway_contract.fees import Bought, Credits, Purchase, Taken
from byway_contract.grants import Answered, Ask, Closed, Closing, Grants, Hello, Limited, Limits, Stale, Welcome
from byway_contract.records import Batch, Fenced, Forked, Gap

from byway_ledger.books import Foreign
from byway_ledger.focus import Daily
from byway_ledger.grants import Counter, Rules
from byway_ledger.stores import booking, crediting, granting, reading, rollups, schema
from byway_ledger.stores.granting import InForce
from byway_ledger.stores.script import Quiet, Read, Row, Script, Step, Value, Write
from byway_ledger.stores.store import Done, Folded, Question, StoreError, StoreFull

T = TypeVar("T")

SCHEMES = ("postgresql", "postgres")
# Above it ledgers only wait for each other: most of a transaction is one commit.
MOST_CONNECTIONS = 8
CONNECT_WITHIN_S = 10.0
# A transaction of ours takes milliseconds; one that takes so long waits for somebody who is gone.
WRITE_WITHIN_S = 30.0
# A step may have to rewrite a table, and whoever else starts meanwhile waits for it.
MIGRATE_WITHIN_S = 600.0
_TRIES = 5
# Any two numbers, as long as they are always the same.
_COUNTING, _MIGRATING = 0x62797761790001, 0x62797761790002

_FULL = (asyncpg.DiskFullError, asyncpg.OutOfMemoryError, asyncpg.ConfigurationLimitExceededError)
_IN_THE_WAY = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
# The third is what asyncpg raises when a transaction is to be rolled back on a connection just cut by the server.
_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


def is_postgres(database: str) -> bool:
    return urlsplit(database).scheme in SCHEMES


def without_password(database: str) -> str:
    """The address of a database as a log may show it."""
    url = urlsplit(database)
    user = f"{url.username}@" if url.username else ""
    where = url.netloc.rpartition("@")[2]
    return f"{url.scheme}://{user}{where}{url.path}"


class Postgres:
    """A `Store`; made by `opened`."""

    def __init__(self, pool: Any, name: str, answer_within_s: float) -> None:
        self._pool, self._name, self._answer_within_s = pool, name, answer_within_s
        self._limits = InForce(Rules())

    async def book(self, batch: Batch, now: float, sender: str = "") -> Done | Gap | Fenced | Forked | Foreign:
        return await self._write(lambda held: booking.book(batch, now, sender, held))

    async def rule(self, limits: Limits, now: float) -> Limited | Stale:
        return await self._write(lambda held: granting.rule(limits, now, held), within_s=None)

    async def ask(
        self, message: Ask, now: float, sender: str, mint: Callable[[], str]
    ) -> Grants | Fenced | Foreign | Answered:
        return await self._write(lambda held: granting.ask(message, now, sender, held, mint))

    async def hello(self, message: Hello, now: float, sender: str = "") -> Welcome | Fenced | Foreign | Gap:
        return await self._write(lambda _: granting.hello(message, now, sender))

    async def close_source(self, message: Closing, now: float) -> Closed:
        return await self._write(lambda _: granting.close_source(message, now))

    async def counters(self, limit: int, ends_after: float = 0.0) -> tuple[Rules, list[Counter], bool]:
        return await self._read(lambda: granting.counters_now(limit, ends_after, InForce(Rules())))

    async def counters_of(self, names: Sequence[tuple[str, str]], now: float) -> tuple[Rules, list[Counter]]:
        return await self._read(lambda: granting.counters_named(names, now, InForce(Rules())))

    async def buy(self, purchase: Purchase, now: float) -> Bought | Taken:
        return await self._write(lambda held: crediting.buy(purchase, now, held))

    async def credits(self, namespace: str | None) -> Credits:
        return await self._read(lambda: crediting.credits(namespace))

    async def sums(self, question: Question) -> Sums:
        return await self._read(lambda: reading.sums(question, reading.POSTGRES_BY))

    async def daily(self, since: float, until: float, after: Daily | None, limit: int) -> list[Daily]:
        return await self._read(lambda: reading.daily(since, until, after, limit, reading.POSTGRES_BY))

    async def span(self) -> tuple[float, float] | None:
        return await self._read(reading.span)

    async def attempts(self, request: str, namespace: str | None = None) -> list[Attempt]:
        return await self._read(lambda: reading.attempts(request, namespace))

    async def fold(self, before: float, forget_before: float | None, most: int) -> Folded:
        return await self._write(lambda held: rollups.fold(before, forget_before, most, held))

    async def keep(self, name: str, body: str) -> None:
        """For all ledgers of these books. Raises StoreError."""
        await self._write(lambda _: _keep(name, body))

    async def kept(self, name: str) -> str | None:
        """Raises StoreError."""
        return await self._read(lambda: _kept(name))

    async def alive(self) -> None:
        await self._read(reading.alive)

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), CONNECT_WITHIN_S)
        except _ERRORS:
            self._pool.terminate()

    async def _write(self, script: Callable[[InForce], Script[T]], within_s: float | None = WRITE_WITHIN_S) -> T:
        for _ in range(_TRIES - 1):
            try:
                return await self._written(script, within_s)
            except _IN_THE_WAY:
                continue
            except _ERRORS as error:
                raise self._ours(error) from error
        try:
            return await self._written(script, within_s)
        except _ERRORS as error:
            raise self._ours(error) from error

    async def _written(self, script: Callable[[InForce], Script[T]], within_s: float | None) -> T:
        # A copy, for others write meanwhile; kept when it is known to be true.
        held = InForce(self._limits.rules, self._limits.term, self._limits.generation)
        async with (
            asyncio.timeout(within_s),
            self._pool.acquire(timeout=CONNECT_WITHIN_S) as connection,
            connection.transaction(),
        ):
            done = await obeyed(connection, script(held))
        self._limits = held
        return done

    async def _read(self, script: Callable[[], Script[T]]) -> T:
        try:
            async with (
                asyncio.timeout(self._answer_within_s),
                self._pool.acquire(timeout=CONNECT_WITHIN_S) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await obeyed(connection, script())
        except TimeoutError as error:
            raise StoreError("the question took too long; ask for a shorter time with since and until") from error
        except _ERRORS as error:
            raise self._ours(error) from error

    def _ours(self, error: BaseException) -> StoreError:
        return _ours(error, self._name)


def _keep(name: str, body: str) -> Script[None]:
    yield Write(
        "INSERT INTO kept (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
        [(name, body)],
    )


def _kept(name: str) -> Script[str | None]:
    rows = yield Read("SELECT body FROM kept WHERE name = ?", (name,))
    return str(rows[0][0]) if rows else None


async def opened(database: str, *, answer_within_s: float = 10.0, password_file: Path | None = None) -> Postgres:
    """`database` is a URL, its password better in `password_file` or PGPASSFILE. Raises StoreError."""
    name = without_password(database)
    try:
        pool = await asyncpg.create_pool(
            database,
            password=None if password_file is None else lambda: _password(password_file),
            min_size=1,
            max_size=MOST_CONNECTIONS,
            timeout=CONNECT_WITHIN_S,
            server_settings={"application_name": "byway-ledger", "synchronous_commit": "on"},
        )
        try:
            async with asyncio.timeout(MIGRATE_WITHIN_S), pool.acquire() as connection, connection.transaction():
                await _migrate(connection, name)
        except BaseException:
            pool.terminate()
            raise
    except (*_ERRORS, ValueError) as error:
        raise _ours(error, name) from error
    return Postgres(pool, name, answer_within_s)


def _password(path: Path) -> str:
    """Asked for with each connection, so that a Secret that changed needs no restart. Raises StoreError."""
    try:
        said = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"BYWAY_DATABASE_PASSWORD_FILE: {path} cannot be read: {error}") from error
    if not said:
        raise StoreError(f"BYWAY_DATABASE_PASSWORD_FILE: {path} is empty; want the password in it")
    return said


async def _migrate(connection: Any, name: str) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATING)
    await connection.execute("CREATE TABLE IF NOT EXISTS byway_schema (one INT PRIMARY KEY, step INT NOT NULL)")
    version = await connection.fetchval("SELECT step FROM byway_schema") or 0
    if version > len(schema.POSTGRES_STEPS):
        raise StoreError(
            f"{name} is of a newer ledger (step {version}, this one knows {len(schema.POSTGRES_STEPS)});"
            " update this one"
        )
    for step in schema.POSTGRES_STEPS[version:]:
        await connection.execute(step)
    await connection.execute(
        "INSERT INTO byway_schema VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET step = excluded.step",
        len(schema.POSTGRES_STEPS),
    )


def _ours(error: BaseException, name: str) -> StoreError:
    if isinstance(error, StoreError):
        return error
    if isinstance(error, _FULL):
        return StoreFull(f"{name}: the database has no room: {error}")
    return StoreError(f"{name}: {error or type(error).__name__}; BYWAY_DATABASE says where it is")


async def obeyed(connection: Any, script: Script[T]) -> T:
    try:
        step = next(script)
        while True:
            step = script.send(await _obey(connection, step))
    except StopIteration as ended:
        done: T = ended.value
        return done


async def _obey(connection: Any, step: Step) -> Sequence[Row]:
    match step:
        case Read(sql, values, among, lock):
            sent = _clean(values) if among is None else [*_clean(values), list(_clean(among))]
            rows: Sequence[Row] = await connection.fetch(_spoken(sql, lock), *sent)
            return rows
        case Write(sql, some) if len(some) == 1:
            await connection.execute(_spoken(sql, lock=False), *_clean(some[0]))
        case Write(sql, some):
            if some:
                await connection.executemany(_spoken(sql, lock=False), map(_clean, some))
        case Quiet(alone):
            how = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
            await connection.execute(f"SELECT {how}($1)", _COUNTING)
    return ()


@lru_cache(maxsize=256)
def _spoken(sql: str, lock: bool) -> str:
    """With numbered places, and a list where many are looked for."""
    pieces = sql.replace("AMONG", "= ANY(?)").split("?")
    numbered = pieces[0] + "".join(f"${number}{piece}" for number, piece in enumerate(pieces[1:], 1))
    return f"{numbered} FOR UPDATE" if lock else numbered


def _clean(values: Sequence[Value]) -> list[Value]:
    """PostgreSQL keeps no NUL in a text; a client's user or session may hold one, and is booked all the same."""
    return [
        value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value for value in values
    ]
