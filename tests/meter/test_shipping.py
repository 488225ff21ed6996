import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import ClientSession, UnixConnector
from byway_contract.activity import Sums
from byway_proxy.meter.log import Log
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.post import LedgerPost
from byway_proxy.meter.ship import Shipper
from fakes.usage import COST, USAGE, intent, ledger_at, lossy, settle, silent, until


@asynccontextmanager
async def shipping(log: Log, to: str, **settings: float) -> AsyncIterator[Shipper]:
    post = LedgerPost(to)
    shipper = Shipper(log, post, silent(), **{"first_wait_s": 0.001, "longest_wait_s": 0.02, **settings})  # type: ignore[arg-type] # all are numbers
    task = asyncio.create_task(shipper.run())
    try:
        yield shipper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await post.close()


async def total(to: str) -> tuple[int, int, int]:
    """(attempts, still open, nanodollars billed) in the ledger."""
    async with (
        ClientSession(connector=UnixConnector(to.removeprefix("unix:"))) as session,
        session.get("http://ledger/v1/usage?by=namespace") as answer,
    ):
        rows = msgspec.json.decode(await answer.read(), type=Sums).rows
    return sum(r.attempts for r in rows), sum(r.open for r in rows), sum(r.billed_nanodollars for r in rows)


def run_attempts(log: Log, count: int, prefix: str = "a") -> None:
    meter = Meter(log)
    for number in range(count):
        meter.begin(intent(f"{prefix}-{number}"))
        meter.settle(f"{prefix}-{number}", "ok", USAGE, "provider", answered=True, finish="stop")


def lose_books(folder: Path) -> None:
    for path in folder.glob("books.sqlite*"):
        path.unlink()


def test_what_is_metered_arrives_soon_and_by_itself(tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log")
        async with ledger_at(tmp_path) as to, shipping(log, to):
            await until(lambda: log.booked == 1)
            run_attempts(log, 3)
            await until(lambda: log.booked == 7, within_s=2.0)
            assert await total(to) == (3, 0, 3 * COST)
        log.close()

    asyncio.run(story())


def test_everything_is_shipped_within_the_deadline_of_a_drain(tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log", segment_bytes=50_000, sync_every_s=3600)
        run_attempts(log, 2500)
        async with ledger_at(tmp_path) as to, shipping(log, to) as shipper:
            assert await shipper.flush(10.0)
            assert log.unshipped == 0
            assert await total(to) == (2500, 0, 2500 * COST)
        log.sync()
        assert len(list((tmp_path / "log").glob("*.log"))) == 1
        log.close()

    asyncio.run(story())


def test_a_drain_ends_although_the_ledger_does_not_answer(tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log")
        async with shipping(log, f"unix:{tmp_path / 'nobody'}") as shipper:
            assert not await shipper.flush(0.1)
            assert shipper.failures > 0
        log.close()

    asyncio.run(story())


def test_a_drain_does_not_wait_out_the_pause_after_a_failure(tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log")
        socket = f"unix:{tmp_path / 'ledger.sock'}"
        async with shipping(log, socket, first_wait_s=3600.0, longest_wait_s=3600.0) as shipper:
            await until(lambda: shipper.failures == 1)
            async with ledger_at(tmp_path):
                assert await shipper.flush(5.0)
        log.close()

    asyncio.run(story())


def test_lost_requests_and_lost_answers_cost_nothing_and_double_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        dice = random.Random(3)
        log = Log(tmp_path / "log", segment_bytes=3000, sync_every_s=0.001)
        async with (
            ledger_at(tmp_path) as to,
            lossy(to, tmp_path, lambda: dice.choice(["pass", "refuse", "lose"])) as way,
            shipping(log, way) as shipper,
        ):
            for some in range(20):
                run_attempts(log, 25, f"a{some}")
                await until(lambda: log.booked == log.last)
            assert shipper.batches >= 20
            assert await total(to) == (500, 0, 500 * COST)
        log.close()

    asyncio.run(story())


def test_a_log_that_forgot_what_is_booked_ships_it_again_to_no_effect(tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log")
        run_attempts(log, 10)
        async with ledger_at(tmp_path) as to:
            async with shipping(log, to) as shipper:
                assert await shipper.flush(5.0)
            log.close()
            (tmp_path / "log" / "booked").unlink()
            again = Log(tmp_path / "log")
            assert again.booked == 0
            async with shipping(again, to) as shipper:
                assert await shipper.flush(5.0)
            assert again.booked == 22
            assert await total(to) == (10, 0, 10 * COST)
            again.close()

    asyncio.run(story())


def test_two_proxies_ship_to_one_ledger(tmp_path: Path) -> None:
    async def story() -> None:
        logs = [Log(tmp_path / name) for name in ("one", "two")]
        async with ledger_at(tmp_path) as to, shipping(logs[0], to) as one, shipping(logs[1], to) as two:
            for number, log in enumerate(logs):
                run_attempts(log, 300, f"p{number}")
            assert await asyncio.gather(one.flush(5.0), two.flush(5.0)) == [True, True]
            assert await total(to) == (600, 0, 600 * COST)
        for log in logs:
            log.close()

    asyncio.run(story())


def test_a_copy_of_a_log_is_told_to_stop(tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log")
        run_attempts(log, 2)
        log.close()
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in (tmp_path / "log").iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        async with ledger_at(tmp_path) as to:
            for opening in range(2):
                newer = Log(tmp_path / "log")
                run_attempts(newer, 1, f"newer{opening}")
                async with shipping(newer, to) as shipper:
                    assert await shipper.flush(5.0)
                newer.close()
            older = Log(copy)
            post = LedgerPost(to)
            shipper = Shipper(older, post, silent())
            await asyncio.wait_for(shipper.run(), 5.0)
            assert "has been opened elsewhere since (3)" in shipper.stopped
            assert not await shipper.flush(5.0)
            await post.close()
            older.close()
            older = Log(copy)
            run_attempts(older, 1, "other")
            older.sync()
            post = LedgerPost(to)
            shipper = Shipper(older, post, silent())
            await asyncio.wait_for(shipper.run(), 5.0)
            assert "other records" in shipper.stopped
            await post.close()
            older.close()
            assert await total(to) == (4, 0, 4 * COST)

    asyncio.run(story())


def test_a_ledger_that_lost_its_books_goes_on_with_what_the_logs_still_have(tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log", segment_bytes=2000)
        run_attempts(log, 20)
        async with ledger_at(tmp_path) as to, shipping(log, to) as shipper:
            assert await shipper.flush(5.0)
        lose_books(tmp_path)
        log.sync()
        kept = log.last - log.oldest + 1
        assert kept < 41
        run_attempts(log, 5, "b")
        async with ledger_at(tmp_path) as to, shipping(log, to) as shipper:
            assert await shipper.flush(5.0)
            attempts, still_open, billed = await total(to)
            assert 5 <= attempts < 25
            assert still_open == 0
            assert billed == attempts * COST
        log.close()

    asyncio.run(story())


def test_records_wait_in_the_log_and_not_in_memory_while_the_ledger_is_away(tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log", segment_bytes=100_000)
        async with shipping(log, f"unix:{tmp_path / 'ledger.sock'}") as shipper:
            await until(lambda: shipper.failures > 2)
            for number in range(5000):
                log.append(intent(f"a{number}"))
                log.append(settle(f"a{number}"))
            held = len(log._segments)
            assert held > 20
            async with ledger_at(tmp_path) as to:
                assert await shipper.flush(10.0)
                assert await total(to) == (5000, 0, 5000 * COST)
        log.close()

    asyncio.run(story())
