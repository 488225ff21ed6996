"""Builders for records, a ledger in this process or one of its own, and a way to it that loses things."""

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from byway_contract.money import Price, Usage
from byway_contract.records import Batch, Intent, Record, Settle, owed
from byway_ledger.app import Settings, serve
from byway_process.logs import Log as ProcessLog

PRICE = Price(input=150_000_000, output=600_000_000)
USAGE = Usage(prompt=1200, completion=80)
COST = owed(PRICE, USAGE, "provider")


def intent(attempt: str = "a-1", **fields: Any) -> Intent:
    usual: dict[str, Any] = {
        "attempt": attempt,
        "request": f"gen-{attempt}",
        "at": 1_795_000_000.0,
        "namespace": "team-a",
        "route": "team-a/smart",
        "endpoint": "team-a/openai:gpt-5-mini",
        "account": "team-a/openai",
        "provider": "openai",
        "model": "openai/gpt-5-mini",
        "price": PRICE,
    }
    return Intent(**{**usual, **fields})


def settle(attempt: str = "a-1", **fields: Any) -> Settle:
    usual: dict[str, Any] = {
        "attempt": attempt,
        "at": 1_795_000_001.0,
        "outcome": "ok",
        "usage": USAGE,
        "usage_from": "provider",
        "cost": COST,
        "billed": COST,
        "finish": "stop",
    }
    return Settle(**{**usual, **fields})


def batch(first_seq: int, *records: Record, source: str = "s-1", epoch: int = 1, oldest: int = 0) -> Batch:
    return Batch(source, epoch, first_seq, list(records), oldest)


def wait_until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.002)


async def until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - what is waited for is often in another thread or process
            await asyncio.sleep(0.002)


def silent() -> ProcessLog:
    return ProcessLog("test", "error", io.StringIO())


@contextlib.asynccontextmanager
async def ledger_at(folder: Path) -> AsyncIterator[str]:
    """A whole ledger on a unix socket; where to ship to."""
    socket, stop = folder / "ledger.sock", asyncio.Event()
    settings = Settings(database=str(folder / "books.sqlite"), socket=str(socket), drain_s=1.0)
    serving = asyncio.create_task(serve(settings, silent(), stop))
    try:
        await until(lambda: socket.exists() or serving.done())
        yield f"unix:{socket}"
    finally:
        stop.set()
        await serving


class LedgerProcess:
    """`python -m byway_ledger` on a unix socket."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.folder, self.socket = folder, folder / "ledger.sock"
        self._database = database or str(folder / "books.sqlite")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "LedgerProcess":
        self.socket.unlink(missing_ok=True)
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "BYWAY_DATABASE": self._database,
            "BYWAY_SOCKET": str(self.socket),
        }
        with open(self.folder / "ledger.err", "ab") as errors:
            self.process = subprocess.Popen([sys.executable, "-m", "byway_ledger"], env=environment, stderr=errors)
        wait_until(lambda: self.socket.exists() or self.process is None or self.process.poll() is not None)
        return self

    @property
    def to(self) -> str:
        return f"unix:{self.socket}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def ledger_process(folder: Path, database: str = "") -> Iterator[LedgerProcess]:
    ledger = LedgerProcess(folder, database).start()
    try:
        yield ledger
    finally:
        ledger.kill()


@contextlib.asynccontextmanager
async def lossy(behind: str, folder: Path, fate: Callable[[], str]) -> AsyncIterator[str]:
    """A way to the ledger on which each connection has a fate: `pass`, `refuse` (closed at once), or `lose`
    (the request arrives, the answer does not)."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            match fate():
                case "refuse":
                    pass
                case how:
                    await _between(behind, reader, writer, answers=how == "pass")
        except OSError:
            pass
        finally:
            tasks.discard(task)
            writer.close()

    socket = folder / "lossy.sock"
    server = await asyncio.start_unix_server(carry, socket)
    try:
        yield f"unix:{socket}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _between(
    behind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
) -> None:
    there, thither = await asyncio.open_unix_connection(behind.removeprefix("unix:"))
    forth = asyncio.create_task(_pump(reader, thither))
    try:
        if answers:
            # One answer to a connection, so that the next request meets its own fate.
            writer.write(await there.read(65536))
            await writer.drain()
        else:
            await there.read(65536)
    finally:
        forth.cancel()
        await asyncio.gather(forth, return_exceptions=True)
        thither.close()


async def _pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        to.write(data)
        await to.drain()
