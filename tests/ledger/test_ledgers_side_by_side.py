"""Two ledgers as processes over one PostgreSQL, and proxies that reach the one or the other, as by a Service."""

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from builders import postgres
from builders.gateway import Gateway, gateway, one_route
from builders.purses import budget, line, rule, under
from byway_ledger.grants import Counter as Standing
from byway_ledger.stores.postgres import Postgres, opened
from byway_ledger.stores.store import StoreError
from fakes.provider import FakeProvider
from fakes.reply import Reply
from fakes.usage import LedgerProcess, ledger_process, until

ANSWERS = 300
DEAREST = 7 * 1000 + 5 * 2000
AMOUNT = ANSWERS * DEAREST


@pytest.fixture(scope="module", autouse=True)
def _one_server() -> Iterator[None]:
    yield
    postgres.remove_all()


def test_ledgers_killed_and_a_database_restarted_under_load_lose_nothing_and_give_nothing_twice(
    tmp_path: Path,
) -> None:
    server = postgres.server()
    url = server.fresh()

    async def story(ledgers: Sequence[LedgerProcess]) -> None:
        always = Reply(text="one two three four five", prompt_tokens=7, head_after_s=0.02)
        async with AsyncExitStack() as stack:
            provider = await stack.enter_async_context(FakeProvider(always=always))
            ledger = await stack.enter_async_context(in_turn(ledgers, tmp_path))
            team = budget(line(AMOUNT))
            await rule(ledger, team)
            table = under(one_route(provider), team)
            proxies = [
                await stack.enter_async_context(gateway(tmp_path / f"p{n}", table, ledger=ledger)) for n in range(3)
            ]
            store = await stack.enter_async_context(store_at(url))
            watching = asyncio.create_task(watch(store))

            events: list[Callable[[], object]] = [
                ledgers[0].kill,
                lambda: restart(server, "fast"),
                ledgers[0].start,
                ledgers[1].kill,
                lambda: restart(server, "immediate"),
                ledgers[1].start,
            ]
            spending = [asyncio.create_task(spend(proxy, random.Random(n))) for n, proxy in enumerate(proxies * 6)]
            for number, event in enumerate(events, 1):
                share = number * ANSWERS // (len(events) + 2)
                await until(lambda share=share: len(provider.served) >= share)  # type: ignore[misc] # mypy and defaults
                await asyncio.to_thread(event)
            statuses = sum(await asyncio.gather(*spending), Counter[int]())
            for proxy in proxies:
                assert await proxy.shipper.flush(10.0)
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

            rows = await booked(url)
            paid = sum(7 * 1000 + 2000 * one.completion_tokens for one in provider.served)
            assert len(rows) == len(provider.served) == statuses[200]
            written = [(i.attempt, s.billed) for proxy in proxies for i, s in proxy.settled()]
            assert sorted(rows) == sorted(written)
            assert sum(billed for _, billed in rows) == paid
            now = await standing(store)
            assert (now.spent, now.stranded, now.unmetered, now.overrun) == (paid, 0, 0, 0)
            assert now.used <= AMOUNT
            # Refused because it is spent, not because somebody was away.
            assert paid > 0.8 * AMOUNT

    with (
        ledger_process(_folder(tmp_path / "one"), url) as one,
        ledger_process(_folder(tmp_path / "two"), url) as two,
    ):
        asyncio.run(asyncio.wait_for(story((one, two)), 60))


async def spend(proxy: Gateway, dice: random.Random) -> Counter[int]:
    """Until nothing is left. 503 is what a proxy says whose ledger does not answer."""
    statuses = Counter[int]()
    while not statuses.keys() & {402, 403}:
        answer = await proxy.ask(max_tokens=dice.randint(1, 5))
        statuses[answer.status] += 1
        assert answer.status in (200, 402, 403, 503), answer.body
        if answer.status == 503:
            await asyncio.sleep(0.05)
    return statuses


async def watch(store: Postgres) -> None:
    """No more is out than there is, at any moment at which the books can be read."""
    while True:
        with contextlib.suppress(StoreError):
            now = await standing(store)
            assert now.used <= AMOUNT, now
        await asyncio.sleep(0.01)


async def standing(store: Postgres) -> Standing:
    _, counters, _ = await store.counters(10)
    return counters[0] if counters else Standing("", "", 0)


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[Postgres]:
    store = await opened(url)
    try:
        yield store
    finally:
        await store.close()


async def booked(url: str) -> list[tuple[str, int]]:
    connection = await asyncpg.connect(url)
    try:
        return [(row["attempt"], row["billed"]) for row in await connection.fetch("SELECT * FROM attempt")]
    finally:
        await connection.close()


def restart(server: postgres.Server, mode: str) -> None:
    server.stop(mode)
    server.start()


@asynccontextmanager
async def in_turn(ledgers: Sequence[LedgerProcess], folder: Path) -> AsyncIterator[str]:
    """One address for all, each connection to the next that listens."""
    turn = itertools.count()
    open_ways: set[asyncio.Task[None]] = set()

    async def carry(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ways.add(task)
        try:
            first = next(turn)
            for number in range(len(ledgers)):
                with contextlib.suppress(OSError):
                    path = ledgers[(first + number) % len(ledgers)].socket
                    far = await asyncio.open_unix_connection(path)
                    await asyncio.gather(_pass(near, far[1]), _pass(far[0], back))
                    return
        finally:
            open_ways.discard(task)
            back.close()

    path = folder / "in-turn.sock"
    serving = await asyncio.start_unix_server(carry, path)
    try:
        yield f"unix:{path}"
    finally:
        serving.close()
        for task in list(open_ways):
            task.cancel()
        await asyncio.gather(*open_ways, return_exceptions=True)


async def _pass(near: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await near.read(65536):
            far.write(piece)
            await far.drain()
    far.close()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
