"""How fast the log takes records and the ledger books them: `python bench/ledger.py [attempts]`.

SQLite with `synchronous=FULL`, batches of 1,000 records in the order a busy proxy writes them (each attempt's end
some way behind its beginning), through the store, and then the whole road: log, shipper, unix socket, ledger.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from byway_contract.money import Price, Usage
from byway_contract.records import MOST_RECORDS, Batch, Intent, Record, Settle, owed
from byway_ledger.app import Settings, serve
from byway_ledger.stores.sqlite import SQLite
from byway_process.logs import Log as ProcessLog
from byway_proxy.meter.ids import attempt_id
from byway_proxy.meter.log import Log
from byway_proxy.meter.ship import Shipper

UNDER_WAY = 100
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


async def book(path: Path, made: list[Record]) -> None:
    store = SQLite(path)
    began = time.perf_counter()
    for start in range(0, len(made), MOST_RECORDS):
        await store.book(Batch("bench", 1, start + 1, made[start : start + MOST_RECORDS]), 0.0)
    print(f"store alone   {len(made) / (time.perf_counter() - began):8,.0f} records/s")
    await store.close()


async def ship(folder: Path, log: Log, count: int) -> None:
    stop, socket, say = asyncio.Event(), folder / "ledger.sock", ProcessLog("bench", "error")
    settings = Settings(database=str(folder / "shipped.sqlite"), socket=str(socket))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(settings, say, stop))
        shipper = Shipper(log, f"unix:{socket}", say, first_wait_s=0.01)
        shipping = tasks.create_task(shipper.run())
        began = time.perf_counter()
        assert await shipper.flush(300)
        print(f"log to ledger {count / (time.perf_counter() - began):8,.0f} records/s, both in this process")
        shipping.cancel()
        stop.set()


def main() -> None:
    made = records(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
    with tempfile.TemporaryDirectory(prefix="byway-bench-") as name:
        folder = Path(name)
        log = append(folder / "log", made)
        asyncio.run(book(folder / "alone.sqlite", made))
        asyncio.run(ship(folder, log, len(made)))
        log.close()


if __name__ == "__main__":
    main()
