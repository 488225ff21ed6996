"""A proxy takes callers when it has something to answer them with, and not before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from builders.gateway import one_route
from byway_ledger.app import Settings as LedgerSettings
from byway_ledger.app import serve as serve_ledger
from byway_process.logs import Log
from byway_proxy.app import Proxy, Settings
from fakes.ports import free_port
from fakes.provider import FakeProvider


@asynccontextmanager
async def proxy_without_operator(folder: Path) -> AsyncIterator[tuple[Proxy, Settings]]:
    """With a ledger, so that it can end without owing anything. It has ended well when the block has."""
    ledger = LedgerSettings(database=str(folder / "books"), socket=str(folder / "ledger.sock"))
    settings = Settings(
        log_dir=str(folder / "log"),
        control=f"unix:{folder}/nobody",
        ledger=f"unix:{ledger.socket}",
        listen=f"127.0.0.1:{free_port()}",
        admin=f"127.0.0.1:{free_port()}",
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


def test_a_proxy_without_a_table_takes_no_callers(tmp_path: Path) -> None:
    """Those that share its port with it can answer them."""

    async def story() -> None:
        async with (
            FakeProvider() as provider,
            aiohttp.ClientSession() as session,
            proxy_without_operator(tmp_path) as (proxy, at),
        ):
            await until_it_is(503, session, at.admin, "/readyz")
            assert await status(session, at.listen, "/v1/models") == 0
            await proxy._apply(one_route(provider))
            await until_it_is(200, session, at.listen, "/v1/models")
            assert await status(session, at.admin, "/readyz") == 200

    asyncio.run(story())


def test_a_proxy_that_never_got_a_table_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with aiohttp.ClientSession() as session, proxy_without_operator(tmp_path) as (_, at):
            await until_it_is(503, session, at.admin, "/readyz")

    asyncio.run(story())
