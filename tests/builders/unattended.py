"""A whole proxy with a real ledger and no operator: a test gives it its tables."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from byway_ledger.app import Settings as LedgerSettings
from byway_ledger.app import serve as serve_ledger
from byway_process.logs import Log
from byway_proxy.app import Proxy, Settings
from fakes.ports import free_port


@asynccontextmanager
async def proxy_without_operator(folder: Path, valkey: str = "") -> AsyncIterator[tuple[Proxy, Settings]]:
    """With a ledger, so that it can end without owing anything. It has ended well when the block has."""
    ledger = LedgerSettings(database=str(folder / "books"), socket=str(folder / "ledger.sock"))
    settings = Settings(
        log_dir=str(folder / "log"),
        control=f"unix:{folder}/nobody",
        ledger=f"unix:{ledger.socket}",
        listen=f"127.0.0.1:{free_port()}",
        admin=f"127.0.0.1:{free_port()}",
        valkey=valkey,
    )
    stop, stop_ledger = asyncio.Event(), asyncio.Event()
    proxy = Proxy(settings, Log("proxy", "error"))
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_ledger(ledger, Log("ledger", "error"), stop_ledger))
        serving = tasks.create_task(proxy.serve(stop))
        yield proxy, settings
        stop.set()
        await serving
        stop_ledger.set()


async def status(session: aiohttp.ClientSession, address: str, path: str) -> int:
    """0 where nobody listens."""
    with contextlib.suppress(aiohttp.ClientConnectorError):
        async with session.get(f"http://{address}{path}") as answer:
            return answer.status
    return 0


async def until_it_is(wanted: int, session: aiohttp.ClientSession, address: str, path: str) -> None:
    while await status(session, address, path) != wanted:
        pass  # the proxy is in this loop, and goes on while we ask
