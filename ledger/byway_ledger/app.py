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
from byway_process.tls import LOOK_EVERY_S, ServerTls

from byway_ledger.api import Api
from byway_ledger.door import Door
from byway_ledger.guard import Guard
from byway_ledger.keeping import LEAST_DAYS, MOST_DAYS, Keeping
from byway_ledger.keys import Keys
from byway_ledger.shared_keys import LOOK_EVERY_S as SHARED_EVERY_S
from byway_ledger.shared_keys import SharedKeys
from byway_ledger.stores.postgres import Postgres, is_postgres, opened, without_password
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Store


class Settings(msgspec.Struct, frozen=True):
    database: str
    """File of the SQLite books; or `postgresql://user@host/name`, its password in one of two files."""
    database_password_file: str = ""
    """File with PostgreSQL's password and nothing else, read anew for each connection; instead of
    `PGPASSFILE`, which must be of mode 0600 and so cannot come from a Kubernetes Secret."""
    socket: str = ""
    """Unix socket to listen on; only this user may connect."""
    listen: str = ""
    """`host:port` to listen on with TLS, as in `0.0.0.0:7420`; port 0 takes a free one, which the log names."""
    tls_cert: str = ""
    """Files of our certificate and its key; they are read anew when they change."""
    tls_key: str = ""
    """The key that goes with `tls_cert`."""
    client_ca: str = ""
    """File of the authority that signs the operator's client certificate, and nobody else's."""
    operator_name: str = "byway-operator"
    """The name on that certificate: its common name, or one of its DNS names."""
    audience: str = "byway-ledger"
    """Of proxies' tokens."""
    proxy_service_account: str = ""
    """`namespace/name` of the ServiceAccount whose pods may send records."""
    admin: str = ""
    """`host:port` for health and metrics, in plain HTTP."""
    drain_s: float = 10.0
    """How long requests under way may take when the process is asked to end."""
    answer_within_s: float = 10.0
    """How long the books may be searched for one question."""
    keep_days: int = 400
    """How long each attempt is kept, at least 40; older ones become sums of their days."""
    keep_rollups_days: int = 0
    """How long those sums are kept, at least while there is no limit for a lifetime; 0: for ever."""
    log_level: Level = "info"
    """`debug`, `info`, `warning` or `error`."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    settings = read(Settings, environment)
    if not settings.socket and not settings.listen:
        raise SettingsError("BYWAY_SOCKET, BYWAY_LISTEN: at least one must be set, or nobody can reach the ledger")
    if settings.listen:
        address_of("BYWAY_LISTEN", settings.listen)
        _check_door(settings)
    if settings.admin:
        address_of("BYWAY_ADMIN", settings.admin)
    if settings.database_password_file and not is_postgres(settings.database):
        raise SettingsError(
            f"BYWAY_DATABASE_PASSWORD_FILE: {settings.database} is a file, and asks nobody for a password; want"
            " BYWAY_DATABASE=postgresql://user@host/name with it"
        )
    if not LEAST_DAYS <= settings.keep_days <= MOST_DAYS:
        raise SettingsError(
            f"BYWAY_KEEP_DAYS: want {LEAST_DAYS} to {MOST_DAYS}, not {settings.keep_days}; a month's limit, and the"
            " activity of 30 days, are told from the attempts themselves"
        )
    if settings.keep_rollups_days and not settings.keep_days < settings.keep_rollups_days <= MOST_DAYS:
        raise SettingsError(
            f"BYWAY_KEEP_ROLLUPS_DAYS: want 0, or more than BYWAY_KEEP_DAYS ({settings.keep_days}) and at most"
            f" {MOST_DAYS}, not {settings.keep_rollups_days}"
        )
    return settings


def _check_door(settings: Settings) -> None:
    """Anybody may connect to a port, so there is none without proofs."""
    for name in ("tls_cert", "tls_key", "client_ca", "proxy_service_account"):
        if not getattr(settings, name):
            raise SettingsError(
                f"BYWAY_{name.upper()}: must be set where BYWAY_LISTEN is; on one machine use BYWAY_SOCKET alone"
            )
    if len([part for part in settings.proxy_service_account.split("/") if part]) != 2:
        raise SettingsError(
            f"BYWAY_PROXY_SERVICE_ACCOUNT: want namespace/name, not {settings.proxy_service_account!r}"
        )


async def serve(settings: Settings, log: Log, stop: asyncio.Event, look_every_s: float = LOOK_EVERY_S) -> None:
    """Serve until `stop`, then finish what is under way. Raises StoreInUse, StoreError, OSError."""
    adopt_library_logs(log)
    async with AsyncExitStack() as ending:
        tls = _tls(settings, log) if settings.listen else None
        store = await _store(settings)
        ending.push_async_callback(store.close)
        shared = SharedKeys(store, _keys(settings, log), log) if isinstance(store, Postgres) else None
        where = await _listen(Api(store, log), tls, settings, log, ending, shared)
        quieten_gc()
        log.info("the ledger serves", database=_shown(settings.database), listening=where)
        async with asyncio.TaskGroup() as tasks:
            keeping = Keeping(store, log, settings.keep_days, settings.keep_rollups_days or None)
            watching = [tasks.create_task(keeping.run())]
            if tls is not None:
                watching.append(tasks.create_task(tls.watch(look_every_s)))
            if tls is not None and shared is not None:
                watching.append(tasks.create_task(shared.watch(min(look_every_s, SHARED_EVERY_S))))
            await stop.wait()
            for task in watching:
                task.cancel()
        log.info("the ledger ends")


async def _store(settings: Settings) -> Store:
    if is_postgres(settings.database):
        password_file = Path(settings.database_password_file) if settings.database_password_file else None
        return await opened(
            settings.database, answer_within_s=settings.answer_within_s, password_file=password_file
        )
    return SQLite(Path(settings.database), answer_within_s=settings.answer_within_s)


def _shown(database: str) -> str:
    return without_password(database) if is_postgres(database) else database


def _keys(settings: Settings, log: Log) -> Keys:
    """Beside SQLite's books, where `…-wal`, `…-shm` and `….lock` lie too."""
    path = None if is_postgres(settings.database) else Path(settings.database + ".keys")
    return Keys(path, settings.audience, log)


def _tls(settings: Settings, log: Log) -> ServerTls:
    return ServerTls(settings.tls_cert, settings.tls_key, log, settings.client_ca)


async def _listen(
    api: Api,
    tls: ServerTls | None,
    settings: Settings,
    log: Log,
    ending: AsyncExitStack,
    shared: SharedKeys | None,
) -> list[str]:
    where: list[str] = []
    if settings.socket:
        runner = await _runner(api.app(), settings, ending)
        # Made for nobody else from the first moment on: the mask is the process's, and nothing else runs yet.
        mask = os.umask(0o177)
        try:
            await web.UnixSite(runner, settings.socket).start()
        finally:
            os.umask(mask)
        where += map(str, runner.addresses)
    if tls is not None:
        keys = _keys(settings, log) if shared is None else shared.keys
        door = Door(settings.proxy_service_account, settings.operator_name)
        runner = await _runner(
            Guard(api, door, keys, log, keep=None if shared is None else shared.keep).app(), settings, ending
        )
        host, port = address_of("BYWAY_LISTEN", settings.listen)
        await web.TCPSite(runner, host, port, ssl_context=tls.context).start()
        where += map(str, runner.addresses)
    if settings.admin:
        admin = web.Application()
        admin.add_routes(api.admin())
        runner = await _runner(admin, settings, ending)
        host, port = address_of("BYWAY_ADMIN", settings.admin)
        await web.TCPSite(runner, host, port).start()
        where += map(str, runner.addresses)
    return where


async def _runner(app: web.Application, settings: Settings, ending: AsyncExitStack) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=settings.drain_s)
    await runner.setup()
    ending.push_async_callback(runner.cleanup)
    return runner
