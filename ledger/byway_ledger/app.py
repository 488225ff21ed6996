"""The ledger as a process: its settings, its books, where it listens, and how it ends."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from aiohttp import web
from byway_process.logs import Level, Log, adopt_library_logs
from byway_process.running import quieten_gc
from byway_process.settings import SettingsError, address_of, read

from byway_ledger.api import Api
from byway_ledger.stores.sqlite import SQLite


class Settings(msgspec.Struct, frozen=True):
    database: str
    """File of the SQLite books, `BYWAY_DATABASE`. Beside it lie `…-wal`, `…-shm` and `….lock`."""
    socket: str = ""
    """Unix socket to listen on; only this user may connect."""
    listen: str = ""
    """`host:port` to listen on, as in `127.0.0.1:7420`; port 0 takes a free one, which the log names."""
    drain_s: float = 10.0
    """How long requests under way may take when the process is asked to end."""
    answer_within_s: float = 10.0
    """How long the books may be searched for one question."""
    log_level: Level = "info"


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    settings = read(Settings, environment)
    if not settings.socket and not settings.listen:
        raise SettingsError("BYWAY_SOCKET, BYWAY_LISTEN: at least one must be set, or nobody can reach the ledger")
    if settings.listen:
        address_of("BYWAY_LISTEN", settings.listen)
    return settings


async def serve(settings: Settings, log: Log, stop: asyncio.Event) -> None:
    """Serve until `stop`, then finish what is under way. Raises StoreInUse, StoreError, OSError."""
    adopt_library_logs(log)
    async with AsyncExitStack() as ending:
        store = SQLite(Path(settings.database), answer_within_s=settings.answer_within_s)
        ending.push_async_callback(store.close)
        runner = web.AppRunner(Api(store, log).app(), access_log=None, shutdown_timeout=settings.drain_s)
        await runner.setup()
        ending.push_async_callback(runner.cleanup)
        where = await _listen(runner, settings)
        quieten_gc()
        log.info("the ledger serves", database=settings.database, listening=where)
        await stop.wait()
        log.info("the ledger ends")


async def _listen(runner: web.AppRunner, settings: Settings) -> list[str]:
    if settings.socket:
        # Made for nobody else from the first moment on: the mask is the process's, and nothing else runs yet.
        mask = os.umask(0o177)
        try:
            await web.UnixSite(runner, settings.socket).start()
        finally:
            os.umask(mask)
    if settings.listen:
        host, port = address_of("BYWAY_LISTEN", settings.listen)
        await web.TCPSite(runner, host, port).start()
    return [str(address) for address in runner.addresses]
