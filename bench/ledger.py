"""How fast the log takes records, and how fast the ledger books them and gives grants.

    python bench/ledger.py [attempts]

SQLite with `synchronous=FULL`, and a PostgreSQL 15 of its own on this machine with its usual `fsync`, where one can
be had. Batches of 1,000 records in the order a busy proxy writes them (each attempt's end some way behind its
beginning); once as they are, and once under 31 limits of which each attempt fits four, one of them by a grant. Then
grants: 16 proxies that ask at a time, all of one limit, or of 100. And the whole road: log, shipper, unix socket,
ledger, both in this process.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from byway_contract.grants import Ask, Grants, Limit, Limits, Match, Want
from byway_contract.money import Price, Usage
from byway_contract.records import MOST_RECORDS, Batch, Intent, Record, Settle, owed
from byway_ledger.app import Settings, serve
from byway_ledger.stores.postgres import opened
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Store
from byway_process.logs import Log as ProcessLog
from byway_proxy.meter.ids import attempt_id
from byway_proxy.meter.log import Log
from byway_proxy.meter.post import LedgerPost
from byway_proxy.meter.ship import Shipper

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from builders import postgres  # isort: skip - it is of the tests

UNDER_WAY = 100
NOW = 1_795_000_000.0
ASKS = 2000
AT_A_TIME = 16
PRICE = Price(input=150_000_000, output=600_000_000)
USAGE = Usage(prompt=1200, completion=80, cached=1024)


def records(attempts: int) -> list[Record]:
    begun = [_intent(number) for number in range(attempts)]
    made: list[Record] = []
    for number in range(attempts + UNDER_WAY):
        if number < attempts:
            made.append(begun[number])
        if number >= UNDER_WAY:
            made.append(_settle(begun[number - UNDER_WAY]))
    return made


def _intent(number: int) -> Intent:
    return Intent(
        attempt=attempt_id(1_795_000_000_000 + number, number.to_bytes(10, "big")),
        request=f"gen-1795000000-{number:020d}",
        at=1_795_000_000 + number / 1000,
        namespace=f"team-{number % 10}",
        route="team-a/smart",
        endpoint="team-a/openai:gpt-5-mini",
        account="team-a/openai",
        provider="openai",
        model="openai/gpt-5-mini",
        price=PRICE,
        service_account="default",
        user_agent="OpenAI/Python 3.54.0",
    )


def _settle(intent: Intent) -> Settle:
    cost = owed(PRICE, USAGE, "provider")
    return Settle(
        attempt=intent.attempt,
        at=intent.at + 1,
        outcome="ok",
        usage=USAGE,
        usage_from="provider",
        cost=cost,
        billed=cost,
        status=200,
        first_token_ms=240.0,
        duration_ms=900.0,
        finish="stop",
        native_finish="stop",
        upstream_id="chatcmpl-0123456789abcdef",
    )


def append(directory: Path, made: list[Record]) -> Log:
    log = Log(directory)
    took = []
    for record in made:
        began = time.perf_counter_ns()
        log.append(record)
        took.append(time.perf_counter_ns() - began)
    took.sort()
    p50, p99 = took[len(took) // 2] / 1000, took[len(took) * 99 // 100] / 1000
    print(f"append        {sum(took) / len(took) / 1000:8.2f} µs mean  {p50:.2f} p50  {p99:.2f} p99")
    return log


async def book(store: Store, name: str, made: list[Record]) -> None:
    began = time.perf_counter()
    for start in range(0, len(made), MOST_RECORDS):
        await store.book(Batch(name, 1, start + 1, made[start : start + MOST_RECORDS]), NOW + 1000)
    print(f"  {name:<32} {len(made) / (time.perf_counter() - began):9,.0f} records/s")


def limits() -> Limits:
    of_teams = [
        Limit(f"platform/{period}-{n}", period, "nanodollars", 10**15, match=Match(namespaces=(f"team-{n}",)))
        for n in range(10)
        for period in ("Day", "Week", "Month")
    ]  # fmt: skip
    return Limits(1, 1, "bench", (*of_teams, Limit("platform/all", "Month", "nanodollars", 10**15)))


async def book_under_limits(store: Store, name: str, made: list[Record]) -> None:
    await store.rule(limits(), NOW + 1000)
    want = Want("platform/all/Month/nanodollars", 10**12, 10**12)
    answer = await store.ask(Ask(name, 1, 1, wants=(want,)), NOW + 1000, "", lambda: "g-bench")
    assert isinstance(answer, Grants)
    grant = answer.given[0].grant
    named = [_drawn(record, grant) for record in made]
    await book(store, name, named)


def _drawn(record: Record, grant: str) -> Record:
    """Another attempt, which draws from that grant."""
    assert isinstance(record, Intent | Settle)
    name = f"x{record.attempt}"
    if isinstance(record, Settle):
        return msgspec.structs.replace(record, attempt=name, legs=((grant, record.billed),))
    return msgspec.structs.replace(record, attempt=name)


async def give(store: Store, several: int) -> None:
    many = tuple(Limit(f"platform/hot-{n}", "Month", "nanodollars", 10**15) for n in range(several))
    await store.rule(Limits(1, 1 + several, f"hot-{several}", many), NOW + 1000)
    numbers, took = itertools.count(1), []

    async def proxy(number: int) -> None:
        for ask in range(1, ASKS // AT_A_TIME + 1):
            want = Want(many[(number * 7 + ask) % several].id, 1000, 100_000)
            began = time.perf_counter()
            # A few grants are all that a proxy has of a limit.
            message = Ask(f"p-{several}-{number}-{ask // 10}", 1, ask % 10 + 1, wants=(want,))
            await store.ask(message, NOW + 1000, "", lambda: f"g-{several}-{next(numbers)}")
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(proxy(number) for number in range(AT_A_TIME)))
    rate, p99 = ASKS / (time.perf_counter() - began), sorted(took)[len(took) * 99 // 100] * 1000
    print(f"  {f'grants of {several} limits':<32} {rate:9,.0f} grants/s   p99 {p99:.1f} ms")


async def measure(store: Store, made: list[Record]) -> None:
    await book(store, "booked", made)
    await book_under_limits(store, "booked, under 31 limits", made)
    await give(store, 1)
    await give(store, 100)
    await store.close()


async def on_sqlite(path: Path, made: list[Record]) -> None:
    await measure(SQLite(path), made)


async def on_postgres(url: str, made: list[Record]) -> None:
    await measure(await opened(url), made)


async def ship(folder: Path, log: Log, count: int) -> None:
    stop, socket, say = asyncio.Event(), folder / "ledger.sock", ProcessLog("bench", "error")
    settings = Settings(database=str(folder / "shipped.sqlite"), socket=str(socket))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(settings, say, stop))
        post = LedgerPost(f"unix:{socket}")
        shipper = Shipper(log, post, say, first_wait_s=0.01)
        shipping = tasks.create_task(shipper.run())
        began = time.perf_counter()
        assert await shipper.flush(300)
        print(f"log to ledger {count / (time.perf_counter() - began):8,.0f} records/s, both in this process")
        shipping.cancel()
        await post.close()
        stop.set()


def main() -> None:
    made = records(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
    with tempfile.TemporaryDirectory(prefix="byway-bench-") as name:
        folder = Path(name)
        log = append(folder / "log", made)
        print("SQLite")
        asyncio.run(on_sqlite(folder / "alone.sqlite", made))
        if (where := postgres.programs()) is not None:
            print("PostgreSQL")
            server = postgres.Server(where)
            try:
                asyncio.run(on_postgres(server.fresh(), made))
            finally:
                server.remove()
        asyncio.run(ship(folder, log, len(made)))
        log.close()


if __name__ == "__main__":
    main()
