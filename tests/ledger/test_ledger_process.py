"""The ledger as a process of its own: killed, doubled, and without room."""

import asyncio
import json
import random
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import ClientSession, UnixConnector
from byway_contract.activity import Sums
from byway_contract.records import Batch, encode_batch
from byway_proxy.meter.log import Log
from byway_proxy.meter.post import LedgerPost
from byway_proxy.meter.ship import Shipper
from fakes.usage import COST, LedgerProcess, batch, intent, ledger_process, settle, silent, until


@asynccontextmanager
async def speaking_to(ledger: LedgerProcess) -> AsyncIterator[ClientSession]:
    async with ClientSession("http://ledger", connector=UnixConnector(str(ledger.socket))) as session:
        yield session


async def booked(ledger: LedgerProcess) -> tuple[int, int]:
    """(attempts, nanodollars billed)."""
    async with speaking_to(ledger) as session, session.get("/v1/usage?by=namespace") as answer:
        rows = msgspec.json.decode(await answer.read(), type=Sums).rows
    return sum(row.attempts for row in rows), sum(row.billed_nanodollars for row in rows)


def test_a_ledger_killed_in_the_middle_of_batches_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    async def story(ledger: LedgerProcess) -> None:
        dice = random.Random(11)
        log = Log(tmp_path / "log", segment_bytes=200_000)
        post = LedgerPost(ledger.to)
        shipper = Shipper(log, post, silent(), first_wait_s=0.001, longest_wait_s=0.02)
        task = asyncio.create_task(shipper.run())
        for kill in range(5):
            for number in range(2000):
                log.append(intent(f"{kill}-{number}"))
                log.append(settle(f"{kill}-{number}"))
            log.sync()
            target = log.booked + dice.randrange(1, 3000)
            await until(lambda target=target: log.booked >= target)  # type: ignore[misc] # mypy and defaults
            await asyncio.to_thread(ledger.kill)
            await asyncio.to_thread(ledger.start)
        assert await shipper.flush(20.0)
        assert await booked(ledger) == (10_000, 10_000 * COST)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await post.close()
        log.close()

    with ledger_process(tmp_path) as ledger:
        asyncio.run(story(ledger))


def test_a_second_ledger_on_the_same_books_says_so_and_ends(tmp_path: Path) -> None:
    with ledger_process(tmp_path) as ledger:
        second = subprocess.run(
            [sys.executable, "-m", "byway_ledger"],
            env={"BYWAY_DATABASE": str(ledger.folder / "books.sqlite"), "BYWAY_SOCKET": "second.sock"},
            capture_output=True,
            timeout=20,
        )
        assert second.returncode == 1
        (line,) = second.stderr.splitlines()
        assert "in use by another ledger" in json.loads(line)["why"]


def test_a_ledger_without_room_takes_nothing_and_goes_on_when_there_is_some(tmp_path: Path) -> None:
    def piece(number: int) -> Batch:
        names = [f"{number}-{n}" for n in range(200)]
        return batch(number * 400 + 1, *(r for name in names for r in (intent(name), settle(name))))

    async def story(ledger: LedgerProcess) -> None:
        async with speaking_to(ledger) as session:

            async def send(number: int) -> int:
                async with session.post("/v1/usage", data=encode_batch(piece(number))) as answer:
                    return answer.status

            _, hard = resource.prlimit(ledger.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(ledger.pid, resource.RLIMIT_FSIZE, (400_000, hard))
            done, refused = 0, 0
            while refused < 5:  # in a row: the first makes SQLite tidy up, and then a little more fits
                if (status := await send(done)) == 200:
                    done, refused = done + 1, 0
                else:
                    assert status in (503, 507)
                    refused += 1
                assert done < 100, "the limit was never met"
            async with session.get("/readyz") as answer:
                assert answer.status == 200
            assert await booked(ledger) == (200 * done, 200 * done * COST)
            resource.prlimit(ledger.pid, resource.RLIMIT_FSIZE, (hard, hard))
            for number in range(done, done + 3):
                assert await send(number) == 200
            assert await booked(ledger) == (200 * (done + 3), 200 * (done + 3) * COST)

    with ledger_process(tmp_path) as ledger:
        asyncio.run(story(ledger))


def test_a_ledger_that_is_asked_to_end_ends_well(tmp_path: Path) -> None:
    with ledger_process(tmp_path) as ledger:
        assert ledger.process is not None
        ledger.process.terminate()
        assert ledger.process.wait(timeout=10) == 0
        assert not ledger.socket.exists() or not _answers(ledger.socket)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trying:
        return trying.connect_ex(str(path)) == 0
