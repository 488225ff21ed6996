"""The operator as a process, with a folder as its source."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from byway_contract.reach import networks
from byway_process.logs import Level, Log, adopt_library_logs
from byway_process.running import quieten_gc
from byway_process.settings import SettingsError, read

from byway_operator.api import Api, serve_on
from byway_operator.compile.catalogue.catalogue import load
from byway_operator.compile.settings import Settings as CompileSettings
from byway_operator.compile.settings import Unpriced
from byway_operator.cycle import Cycle
from byway_operator.memory import Memory
from byway_operator.push.limits import Alone, LedgerLimits
from byway_operator.push.push import Hub
from byway_operator.push.spending import Spending
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.watch.folder import FolderSource


class Settings(msgspec.Struct, frozen=True):
    source: str
    """Folder of manifests."""
    socket: str
    """Unix socket for proxies and commands; only this user may connect."""
    state: str
    """Folder for what is remembered over a restart."""
    proxies: int = 1
    """How many there ought to be: one without a stream counts as missing."""
    services: tuple[str, ...] = ()
    """`namespace/name:port=host:port`: where a Service is on this machine."""
    allowed_cidrs: tuple[str, ...] = ()
    """Private networks that a `baseURL` may lead to."""
    unpriced: Unpriced = "Refuse"
    """Models that nobody priced: `Refuse`: Budgets in US dollars refuse them; `Dearest`: they cost the catalogue's
    dearest price."""
    namespace: str = "default"
    """Of manifests that name none; trusted, and the namespace of callers without a credential."""
    ledger: str = ""
    """The ledger's unix socket, to be brought what budgets amount to, and asked what is spent."""
    drain_s: float = 2.0
    log_level: Level = "info"


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    settings = read(Settings, environment)
    addresses(settings.services)
    check_cidrs(settings.allowed_cidrs)
    return settings


def check_cidrs(cidrs: tuple[str, ...]) -> None:
    """Raises SettingsError."""
    try:
        networks(cidrs)
    except ValueError as error:
        raise SettingsError(f"BYWAY_ALLOWED_CIDRS: {error}") from error


def addresses(services: tuple[str, ...]) -> dict[str, str]:
    """`namespace/name:port` → `host:port`. Raises SettingsError."""
    found = {}
    for text in services:
        service, equals, address = text.partition("=")
        if not equals or "/" not in service or ":" not in service or ":" not in address:
            raise SettingsError(f"a service is namespace/name:port=host:port, not {text!r}")
        found[service] = address
    return found


def new_term(wall_s: float) -> int:
    """A reign that is later than every earlier one: milliseconds since 1970, at its beginning."""
    return int(wall_s * 1000)


async def run(settings: Settings, log: Log, stop: asyncio.Event) -> None:
    """Until `stop`. Raises OSError if the socket cannot be had."""
    adopt_library_logs(log)
    memory = Memory(Path(settings.state), log)
    memory.load()
    source = FolderSource(Path(settings.source), log)
    source.recall(memory.generations)

    def remember(good: Mapping[Key, Manifest]) -> None:
        memory.save(source.remembered(), good)

    def heard() -> None:
        cycle.heard()

    term = new_term(time.time())
    hub = Hub(term, f"operator-{os.getpid()}", log, heard)
    hub.expect(settings.proxies)
    compile_settings = CompileSettings(
        trusted_namespaces=(settings.namespace,),
        namespace=settings.namespace,
        anonymous_namespace=settings.namespace,
        strict=True,
        allow_loopback=True,
        allowed_cidrs=settings.allowed_cidrs,
        service_addresses=addresses(settings.services),
        unpriced=settings.unpriced,
    )
    limits, spending = _ledgers(settings.ledger, term, log, heard)
    cycle = Cycle(
        source, hub, compile_settings, load(), log,
        good=memory.good, remember=remember, bringer=limits, spending=spending,
    )  # fmt: skip
    parts = [limits.collect] if limits is not None else []
    runner = await serve_on(Api(cycle, hub, *parts).app(), settings.socket)
    try:
        running = asyncio.create_task(_turn(cycle, limits, spending))
        stopping = asyncio.create_task(stop.wait())
        quieten_gc()
        log.info("the operator serves", source=settings.source)
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()  # it ends only by a bug of ours: say which
    finally:
        await hub.drain("shutdown", settings.drain_s)
        await runner.cleanup()
        log.info("the operator ends")


def _ledgers(
    ledger: str, term: int, log: Log, heard: Callable[[], None]
) -> tuple[LedgerLimits | None, Spending | None]:
    """Who brings limits, and who asks what is spent."""
    if not ledger:
        return None, None
    return LedgerLimits(ledger, None, Alone(term), log, heard), Spending(ledger, heard, log)


async def _turn(cycle: Cycle, *parts: LedgerLimits | Spending | None) -> None:
    """Until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            if part is not None:
                tasks.create_task(part.run())
        tasks.create_task(cycle.run())
