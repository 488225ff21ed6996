"""The proxy as a process: its parts put together, how it begins, and how it ends without breaking a stream."""

import asyncio
import contextlib
import os
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from byway_contract.reach import Fence
from byway_contract.report import Report
from byway_contract.stream import Pod
from byway_contract.table import Account, Egress, Table, TableError, way
from byway_process.logs import Log, adopt_library_logs
from byway_process.running import quieten_gc
from byway_process.settings import address_of
from byway_process.tls import ClientTls

from byway_proxy.api.admin import Admin, Explain
from byway_proxy.api.chat import Chat
from byway_proxy.api.metrics import Collector, Vitals
from byway_proxy.api.models import Models
from byway_proxy.api.reading import reading
from byway_proxy.api.server import Limits, Server
from byway_proxy.api.serving import Serving
from byway_proxy.carry.deadlines import Deadlines
from byway_proxy.carry.draining import Draining
from byway_proxy.carry.job import Means
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
from byway_proxy.listening import bound, site
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.books import Books
from byway_proxy.meter.chance import Chance
from byway_proxy.meter.log import Log as RecordLog
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.post import Ledger, LedgerPost
from byway_proxy.meter.ship import Shipper
from byway_proxy.meter.witness import Witness
from byway_proxy.settings import Settings, patience_of, settings_from

if TYPE_CHECKING:
    from byway_proxy.meter.valkey import Valkey

__all__ = ["Proxy", "Settings", "run", "settings_from"]

BUILD = "byway-proxy/0.1.0"
MIB = 1024 * 1024
# uvloop takes one connection per listener and turn of the loop; several keep a burst from waiting.
LISTENERS = 4
CUT_S = 1.0
LAG_EVERY_S = 0.25


class Proxy:
    """All parts of one process. `serve` runs them."""

    def __init__(self, settings: Settings, log: Log) -> None:
        loop = asyncio.get_running_loop()
        self._settings, self._log = settings, log
        self._lag_s = 0.0
        self._live_since = loop.time()
        self._draining = False
        self._has_table = asyncio.Event()
        self.serving = Serving(default_output=settings.default_output_tokens)
        self.health = Health(HealthLimits(eject=settings.eject))
        ledger = _ledger(settings, log)
        self.post = LedgerPost(ledger)
        self.records = RecordLog(Path(settings.log_dir), build=BUILD)
        self.meter = Meter(self.records)
        self.asking = Asking(self.meter, self.records, self.post, log, now=loop.time, wait_s=settings.grant_wait_s)
        self.shipper = Shipper(self.records, self.post, log, on_recall=self.asking.recall)
        self.witness = Witness(time.time)
        self.books = Books(ledger, loop.time)
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
            asking=self.asking,
            witness=self.witness,
            retries=RetryBudget(),
            tally=self.tally,
            dice=random.Random(),
            draining=Draining(loop.time),
            now=loop.time,
            wall=time.time,
            random_bytes=Chance(),
            patience=patience_of(settings),
        )
        self.prover = Prover(
            self.client,
            self.health,
            lambda: self.serving.table,
            lambda: self.control.report_now(),
            loop.time,
            time.time,
        )
        self.valkey = _valkey(settings, self.means, log)
        self.control = self._new_control()
        self.server = self._new_server()

    async def serve(self, stop: asyncio.Event) -> None:
        """Until `stop`; then drain. Raises OSError if an address cannot be had."""
        async with AsyncExitStack() as ending:
            ending.callback(self.records.close)
            ending.callback(self.deadlines.close)
            ending.push_async_callback(self.client.close)
            ending.push_async_callback(self.post.close)
            ending.push_async_callback(self.books.close)
            async with asyncio.TaskGroup() as tasks:
                parts = [self.shipper.run(), self.asking.run(), self.prover.run(), self._look_after_itself(stop)]
                if self.valkey is not None:
                    parts.append(self.valkey.run())
                running = [tasks.create_task(part) for part in (self.control.run(), *parts)]
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
        self.witness.retain(table.budgets)
        self.health.rates.obey(table.budgets)
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
        if not await self.asking.leave(2.0):
            self._log.warning("the ledger does not answer; what it may have given is left for the next start")
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
        return self.shipper.stopped or self.asking.stopped

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
            budgets=self.witness.report(self.health.rates.report(self.means.now(), self.means.wall())),
            ledger=self.asking.answers and not self.shipper.failures,
            valkey=self.valkey is None or self.valkey.answers,
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
        chat, models = Chat(self.serving, self.means), Models(self.serving)
        return Server(
            {
                ("POST", "/v1/chat/completions"): chat,
                ("GET", "/v1/models"): models.all,
                ("GET", "/v1/models/"): models.one,
                **reading(self.serving, self.books, time.time),
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
            await loop.create_server(factory, sock=bound(host, port), backlog=1024, start_serving=False)
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
            rates_refused=lambda: self.health.rates.refused,
            valkey=lambda: self.valkey.answers if self.valkey is not None else None,
        )
        registry = Collector(self.tally, self.meter, vitals).registry()
        admin = Admin(registry, self._not_ready, lambda: self._lag_s < 5.0)
        host, port = address_of("BYWAY_ADMIN", self._settings.admin)
        await site(ending, admin.routes(), lambda runner: web.TCPSite(runner, host, port))
        if self._settings.socket:
            explain = Explain(self.serving, self.health, self.means.now, self.means.dice)
            mask = os.umask(0o177)
            try:
                await site(ending, explain.routes(), lambda runner: web.UnixSite(runner, self._settings.socket))
            finally:
                os.umask(mask)

    async def _look_after_itself(self, stop: asyncio.Event) -> None:
        """How late the loop runs, what the log owes, and whether the operator should hear something new."""
        told, refusals, tell_at = 0, 0, 0.0
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._lag_s = max(loop.time() - due, 0.0)
            self.meter.catch_up()
            if self.records.disowned and not stop.is_set():
                self._log.error("this log is held for lost, so the proxy ends; its next start begins a new one")
                stop.set()
            said = self.health.refusals + self.witness.refusals
            urgent = said != refusals
            if (urgent or self.meter.settled != told) and (urgent or loop.time() >= tell_at):
                told, refusals = self.meter.settled, said
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


def _valkey(settings: Settings, means: Means, log: Log) -> "Valkey | None":
    if not settings.valkey:
        return None
    from byway_proxy.meter.valkey import Valkey  # its client costs 20 MiB

    who = f"{settings.name}-{means.random_bytes(8).hex()}"
    return Valkey(settings.valkey, who, means.health.rates, log, means.now)
