"""The proxy as a process: its parts put together, how it begins, and how it ends without breaking a stream."""

import asyncio
import contextlib
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.web_runner import BaseSite
from byway_contract.reach import Fence
from byway_contract.report import Report
from byway_contract.stream import Pod
from byway_contract.table import Account, Egress, Table, TableError, way
from byway_process.logs import Level, Log, adopt_library_logs
from byway_process.running import quieten_gc
from byway_process.settings import SettingsError, address_of, read
from byway_process.tls import ClientTls

from byway_proxy.api.admin import Admin, Explain
from byway_proxy.api.chat import Chat
from byway_proxy.api.key import Key
from byway_proxy.api.metrics import Collector, Vitals
from byway_proxy.api.models import Models
from byway_proxy.api.server import Limits, Server
from byway_proxy.api.serving import Serving
from byway_proxy.carry.deadlines import Deadlines
from byway_proxy.carry.draining import Draining
from byway_proxy.carry.job import Means, Patience
from byway_proxy.carry.proving import Prover
from byway_proxy.carry.retries import RetryBudget
from byway_proxy.carry.tally import Tally
from byway_proxy.carry.upstream.client import Client, egress_of
from byway_proxy.carry.upstream.dialing import guarded_by
from byway_proxy.choose.health import Health
from byway_proxy.choose.trouble import Limits as HealthLimits
from byway_proxy.control.control import Control, ControlSettings
from byway_proxy.control.keep import Keep
from byway_proxy.control.stream import Address
from byway_proxy.meter.chance import Chance
from byway_proxy.meter.log import Log as RecordLog
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.ship import Ledger, Shipper

BUILD = "byway-proxy/0.1.0"
MIB = 1024 * 1024
# uvloop takes one connection per listener and turn of the loop; several keep a burst from waiting.
LISTENERS = 4
CUT_S = 1.0
LAG_EVERY_S = 0.25


class Settings(msgspec.Struct, frozen=True):
    log_dir: str
    """Where the log of attempts is kept; one proxy's alone."""
    control: str
    """The operator: `unix:/path/to/socket` or `https://host:port`."""
    ledger: str
    """The ledger: `unix:/path/to/socket` or `https://host:port`."""
    control_token: str = ""
    """File of the token that proves us to the operator: a projected ServiceAccount token, renewed in place."""
    control_ca: str = ""
    """File of the authorities that the operator's certificate may be of; empty: the system's."""
    control_name: str = ""
    """The name on the operator's certificate, whatever address is dialled; empty: the host of `control`."""
    ledger_token: str = ""
    """File of the token that proves us to the ledger, of an audience of its own."""
    ledger_ca: str = ""
    """File of the authorities that the ledger's certificate may be of; empty: the system's."""
    name: str = "proxy"
    """In a cluster, the pod's: with `pod_uid`, what the token must say too."""
    pod_uid: str = ""
    """The pod's, where it is one."""
    pod_namespace: str = ""
    """The pod's."""
    node: str = ""
    """Where the pod runs."""
    zone: str = ""
    """Where the node is."""
    listen: str = "127.0.0.1:8080"
    """For callers. Several proxies of one machine may share it."""
    admin: str = "127.0.0.1:9090"
    """Health and metrics."""
    socket: str = ""
    """A unix socket that explains; only this user may connect."""
    keep: str = ""
    """A folder on a memory-backed file system for the last good table."""
    egress_proxy: str = ""
    """`http://[user:password@]host:port` that providers are reached through; Services in the cluster are not."""
    drain_s: float = 30.0
    """How long requests under way may take when the process is asked to end."""
    connect_s: float = 3.0
    """For a connection to a provider, where a route says nothing; so the three that follow."""
    first_token_s: float = 60.0
    """Streams only: from sending to the first content."""
    idle_s: float = 150.0
    """Between data of an answer that has begun."""
    request_s: float = 900.0
    """For a whole request."""
    comment_s: float = 10.0
    """After so long without content a stream is opened all the same, and told to wait."""
    blocked_s: float = 30.0
    """How long a client may not read while we have something for it."""
    body_mib: int = 32
    """The largest request body."""
    eject: bool = True
    """Whether endpoints that keep failing are left alone for a while."""
    report_gap_s: float = 1.0
    """Between two reports to the operator, at least."""
    log_level: Level = "info"
    """`debug`, `info`, `warning` or `error`."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    settings = read(Settings, environment)
    if settings.control.startswith("/"):
        settings = msgspec.structs.replace(settings, control=f"unix:{settings.control}")
    if settings.ledger.startswith("/"):
        settings = msgspec.structs.replace(settings, ledger=f"unix:{settings.ledger}")
    address_of("BYWAY_LISTEN", settings.listen)
    address_of("BYWAY_ADMIN", settings.admin)
    for room, url, token in (
        ("CONTROL", settings.control, settings.control_token),
        ("LEDGER", settings.ledger, settings.ledger_token),
    ):
        if token and not url.startswith("https://"):
            raise SettingsError(
                f"BYWAY_{room}_TOKEN: a token is shown over TLS only; give BYWAY_{room} as https://…"
            )
    return settings


class Proxy:
    """All parts of one process. `serve` runs them."""

    def __init__(self, settings: Settings, log: Log) -> None:
        loop = asyncio.get_running_loop()
        self._settings, self._log = settings, log
        self._lag_s = 0.0
        self._live_since = loop.time()
        self._draining = False
        self._has_table = asyncio.Event()
        self.serving = Serving()
        self.health = Health(HealthLimits(eject=settings.eject))
        ledger = _ledger(settings, log)
        self.records = RecordLog(Path(settings.log_dir), build=BUILD)
        self.meter = Meter(self.records)
        self.shipper = Shipper(self.records, ledger, log)
        self.tally = Tally()
        egress = egress_of(settings.egress_proxy) if settings.egress_proxy else None
        self._fence = Fence(Egress())
        self.client = Client(guard=guarded_by(self._fence), egress_proxy=egress)
        self.deadlines = Deadlines(loop)
        self.means = Means(
            client=self.client,
            deadlines=self.deadlines,
            health=self.health,
            meter=self.meter,
            retries=RetryBudget(),
            tally=self.tally,
            dice=random.Random(),
            draining=Draining(loop.time),
            now=loop.time,
            wall=time.time,
            random_bytes=Chance(),
            patience=_patience(settings),
        )
        self.prover = Prover(
            self.client,
            self.health,
            lambda: self.serving.table,
            lambda: self.control.report_now(),
            loop.time,
            time.time,
        )
        self.control = self._new_control()
        self.server = self._new_server()

    async def serve(self, stop: asyncio.Event) -> None:
        """Until `stop`; then drain. Raises OSError if an address cannot be had."""
        async with AsyncExitStack() as ending:
            ending.callback(self.records.close)
            ending.callback(self.deadlines.close)
            ending.push_async_callback(self.client.close)
            async with asyncio.TaskGroup() as tasks:
                parts = self.control.run(), self.shipper.run(), self.prover.run(), self._look_after_itself()
                running = [tasks.create_task(part) for part in parts]
                await self._listen_for_admin(ending)
                listeners = await self._bind()
                await self._first_table(stop)
                if self.serving.ready:
                    for listener in listeners:
                        await listener.start_serving()
                    quieten_gc()
                    self._log.info("the proxy serves", listening=self._settings.listen, admin=self._settings.admin)
                await stop.wait()
                await self._drain(listeners)
                for task in running:
                    task.cancel()
        self._log.info("the proxy ends")

    async def _first_table(self, stop: asyncio.Event) -> None:
        """Before it there is nothing to answer; who listens all the same takes callers from proxies that share the
        port and could."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._has_table, stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _apply(self, table: Table) -> None:
        fence, before = _fence(table), self.serving.table
        self.serving.swap(table)
        if fence.egress != self._fence.egress:
            self._fence = fence
            self.client.guard_by(guarded_by(fence))
        if before is not None:
            self.health.renew(_renewed(before, table))
        self._has_table.set()
        self.health.retain(set(table.endpoints), set(table.accounts))
        self._live_since = asyncio.get_running_loop().time()

    async def _drain(self, listeners: list[asyncio.Server]) -> None:
        """Nobody new; whoever is here may finish; what is booked is brought to the ledger."""
        self._draining = self.server.draining = True
        self._log.info("draining", inflight=self.server.inflight, at_most_s=self._settings.drain_s)
        for listener in listeners:
            listener.close()
        self.server.close_idle()
        until = asyncio.get_running_loop().time() + self._settings.drain_s
        try:
            async with asyncio.timeout(self._settings.drain_s):
                await self.server.idle.wait()
        except TimeoutError:
            self._log.warning("requests outlast the drain and are cut", inflight=self.server.inflight)
            await self._cut()
        await self.means.draining.end(max(0.0, until - asyncio.get_running_loop().time()))
        await self.server.shut_down(CUT_S)
        self.meter.catch_up()
        if not await self.shipper.flush(5.0):
            self._log.warning("records are left for the next start to ship", records=self.records.unshipped)

    async def _cut(self) -> None:
        """Streams end with an error that their clients understand, not in the middle of a chunk."""
        self.deadlines.expire_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CUT_S):
                await self.server.idle.wait()

    def _not_ready(self) -> str:
        if self._draining:
            return "draining"
        if not self.serving.ready:
            return "no table yet"
        if not self.meter.ready:
            return "the log of attempts takes none"
        return self.shipper.stopped

    def _report(self) -> Report:
        endpoints, keys = self.health.report(self.means.now(), self.means.wall())
        return Report(
            serving=self.serving.hash,
            ready=not self._not_ready(),
            inflight=self.server.inflight,
            loop_lag_ms=round(self._lag_s * 1000, 1),
            endpoints=endpoints,
            provider_keys=keys,
            access_keys=self.serving.last_used(),
        )

    def _new_control(self) -> Control:
        settings = self._settings
        # Without a pod, each process is a life of its own.
        uid = settings.pod_uid or f"{os.getpid()}-{time.time_ns()}"
        pod = Pod(settings.name, uid, settings.pod_namespace, settings.node, settings.zone)
        operator = Address(
            settings.control,
            settings.control_token or None,
            settings.control_ca or None,
            settings.control_name or None,
        )
        keep = Keep(Path(settings.keep), self._log) if settings.keep else None
        return Control(
            pod,
            BUILD,
            ControlSettings(operator, report_gap_s=settings.report_gap_s),
            self._log,
            self._apply,
            self._report,
            on_fleet=self._shared_by,
            on_verify=self.prover.ask,
            keep=keep,
        )

    def _shared_by(self, proxies: int) -> None:
        self.health.proxies = max(1, proxies)

    def _new_server(self) -> Server:
        chat, models, key = Chat(self.serving, self.means), Models(self.serving), Key(self.serving)
        return Server(
            {
                ("POST", "/v1/chat/completions"): chat,
                ("GET", "/v1/models"): models.all,
                ("GET", "/v1/models/"): models.one,
                ("GET", "/v1/key"): key,
                ("GET", "/v1/auth/key"): key,
            },
            Limits(body_bytes=self._settings.body_mib * MIB),
            self._log,
        )

    async def _bind(self) -> list[asyncio.Server]:
        """The address is ours, and nobody can connect yet."""
        host, port = address_of("BYWAY_LISTEN", self._settings.listen)
        loop = asyncio.get_running_loop()
        factory = self.server.protocol_factory
        return [
            await loop.create_server(factory, sock=_bound(host, port), backlog=1024, start_serving=False)
            for _ in range(LISTENERS)
        ]

    async def _listen_for_admin(self, ending: AsyncExitStack) -> None:
        vitals = Vitals(
            table_hash=lambda: self.serving.hash,
            table_seq=lambda: self.control.live.seq if self.control.live else 0,
            table_age_s=lambda: self.means.now() - self._live_since if self.serving.ready else 0.0,
            connected=lambda: self.control.connected,
            inflight=lambda: self.server.inflight,
            draining=lambda: self.means.draining.counts,
            lag_s=lambda: self._lag_s,
            unshipped=lambda: self.records.unshipped,
            verifications=lambda: self.serving.verifications,
        )
        registry = Collector(self.tally, self.meter, vitals).registry()
        admin = Admin(registry, self._not_ready, lambda: self._lag_s < 5.0)
        host, port = address_of("BYWAY_ADMIN", self._settings.admin)
        await _site(ending, admin.routes(), lambda runner: web.TCPSite(runner, host, port))
        if self._settings.socket:
            explain = Explain(self.serving, self.health, self.means.now, self.means.dice)
            mask = os.umask(0o177)
            try:
                await _site(ending, explain.routes(), lambda runner: web.UnixSite(runner, self._settings.socket))
            finally:
                os.umask(mask)

    async def _look_after_itself(self) -> None:
        """How late the loop runs, what the log owes, and whether the operator should hear something new."""
        told, refusals, tell_at = 0, 0, 0.0
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._lag_s = max(loop.time() - due, 0.0)
            self.meter.catch_up()
            urgent = self.health.refusals != refusals
            if self.meter.settled != told and (urgent or loop.time() >= tell_at):
                told, refusals = self.meter.settled, self.health.refusals
                # A report of thousands of endpoints is not for every second.
                tell_at = loop.time() + max(self._settings.report_gap_s, self.health.tried / 100)
                self.control.report_now()


def _renewed(before: Table, after: Table) -> list[str]:
    """Accounts of which what a provider said before proves nothing any more."""
    return [
        name
        for name, account in after.accounts.items()
        if name in before.accounts
        and (before.egress != after.egress or _way(before, before.accounts[name]) != _way(after, account))
    ]


def _way(table: Table, account: Account) -> tuple[object, ...]:
    return way(account, table.credentials[account.credential] if account.credential is not None else None)


def _fence(table: Table) -> Fence:
    """Raises TableError."""
    try:
        return Fence(table.egress)
    except ValueError as error:
        raise TableError("policies/egress", str(error)) from error


async def run(settings: Settings, log: Log, stop: asyncio.Event) -> None:
    adopt_library_logs(log)
    await Proxy(settings, log).serve(stop)


def _ledger(settings: Settings, log: Log) -> Ledger:
    """Raises OSError if its authorities cannot be read."""
    tls = ClientTls(settings.ledger_ca, log) if settings.ledger.startswith("https:") else None
    return Ledger(settings.ledger, settings.ledger_token or None, tls)


def _patience(settings: Settings) -> Patience:
    return Patience(
        connect_s=settings.connect_s,
        first_token_s=settings.first_token_s,
        idle_s=settings.idle_s,
        request_s=settings.request_s,
        comment_s=settings.comment_s,
        blocked_s=settings.blocked_s,
    )


def _bound(host: str, port: int) -> socket.socket:
    """Accepted connections inherit the buffers: small ones, so that a client that does not read holds little."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


async def _site(
    ending: AsyncExitStack, routes: list[web.RouteDef], site: Callable[[web.AppRunner], BaseSite]
) -> None:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    ending.push_async_callback(runner.cleanup)
    await site(runner).start()
