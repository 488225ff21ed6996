"""The operator as a process in a cluster: the Kubernetes API is its source, and where it tells.

    every replica   watches, compiles, answers 421 where the leader is
    the leader      streams to the proxies, writes statuses and events, brings the ledger its keys and limits

A replica that loses the Lease ends, and its next life stands by.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import msgspec
from aiohttp import web
from byway_process.logs import Level, Log, adopt_library_logs
from byway_process.running import quieten_gc
from byway_process.settings import SettingsError, address_of, read
from byway_process.tls import ClientTls, ServerTls
from prometheus_client.core import CounterMetricFamily, Metric

from byway_operator.api import Api
from byway_operator.app import check_cidrs
from byway_operator.compile.catalogue.catalogue import load
from byway_operator.compile.settings import Settings as CompileSettings
from byway_operator.compile.settings import Unpriced
from byway_operator.cycle import Cycle
from byway_operator.kube.api import KubeApi, KubeError, connect
from byway_operator.kube.elector import Elector
from byway_operator.kube.events import EventWriter
from byway_operator.kube.identity import TokenReviews
from byway_operator.kube.lease import LEASE_S, Candidate, Pace
from byway_operator.kube.ledger_keys import LedgerKeys
from byway_operator.kube.writer import StatusWriter
from byway_operator.push.limits import LedgerLimits
from byway_operator.push.push import Hub
from byway_operator.push.spending import Spending
from byway_operator.watch.cluster import ClusterSettings, ClusterSource
from byway_operator.watch.cluster_inventory import views
from byway_operator.watch.issuer import issuer_of
from byway_operator.watch.triggers import Triggers

FLUSH_S = 2.0
# Shorter, and a busy API server alone would end reigns; longer, and nobody leads for as long.
LEAST_LEASE_S, MOST_LEASE_S = 3, 300


class Settings(msgspec.Struct, frozen=True):
    tls_cert: str
    """File: the control stream's certificate, reloaded when it changes."""
    tls_key: str
    """File: its key."""
    namespace: str
    """The release's own."""
    pod: str
    """This replica's name, unlike any other's."""
    address: str
    """`host:port` of this replica's control stream: where the other replicas send who dials them while it leads."""
    listen: str = "0.0.0.0:8443"
    """For proxies: the control stream, by TLS."""
    admin: str = "0.0.0.0:9090"
    """Health and metrics."""
    lease: str = "byway-operator"
    """Of which of the replicas leads."""
    lease_s: int = LEASE_S
    """How long a leader that falls silent is waited for before another leads."""
    proxy_service: str = "byway-proxy"
    """Its EndpointSlices say which proxies there ought to be."""
    proxy_service_account: str = "byway-proxy"
    """Of the proxies, in the release's namespace."""
    control_audience: str = "byway-control"
    """Of the tokens by which proxies prove themselves."""
    audience: str = "byway"
    """Of the tokens by which callers prove themselves."""
    trusted_namespaces: tuple[str, ...] = ()
    """The platform's. None named: the release's own."""
    watch_namespaces: tuple[str, ...] = ()
    """None named: all."""
    anonymous_namespace: str = ""
    """Whoever brings no credential is this namespace. Empty: 401."""
    allowed_cidrs: tuple[str, ...] = ()
    """Private addresses that a `baseURL` may lead to all the same."""
    unpriced: Unpriced = "Refuse"
    """Models that nobody priced: `Refuse`: Budgets in US dollars refuse them; `Dearest`: they cost the catalogue's
    dearest price."""
    ledger: str = ""
    """`https://host:port`, to be brought the keys that proxies' tokens are signed with, and what budgets amount
    to."""
    ledger_ca: str = ""
    """File of the authorities that the ledger's certificate may be of; empty: the system's."""
    kubeconfig: str = ""
    """Empty: the pod's own ServiceAccount."""
    drain_s: float = 2.0
    """Over how long the proxies are spread that dial another replica when this one ends."""
    log_level: Level = "info"
    """`debug`, `info`, `warning` or `error`."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    settings = read(Settings, environment)
    address_of("BYWAY_LISTEN", settings.listen)
    address_of("BYWAY_ADMIN", settings.admin)
    address_of("BYWAY_ADDRESS", settings.address)
    if not LEAST_LEASE_S <= settings.lease_s <= MOST_LEASE_S:
        raise SettingsError(
            f"BYWAY_LEASE_S: want {LEAST_LEASE_S} to {MOST_LEASE_S} seconds, not {settings.lease_s}"
        )
    if settings.ledger and not settings.ledger.startswith("https://"):
        raise SettingsError(f"BYWAY_LEDGER: want https://host:port, not {settings.ledger!r}")
    check_cidrs(settings.allowed_cidrs)
    return settings


@dataclass(frozen=True)
class _Reign:
    elector: Elector
    hub: Hub

    @property
    def term(self) -> int | None:
        return self.hub.term if self.elector.holds_for_s > 0 else None

    def outreigned(self, term: int) -> None:
        self.elector.outreigned(term)


class Operator:
    """All parts of one replica. `serve` runs them."""

    def __init__(self, settings: Settings, api: KubeApi, log: Log) -> None:
        self._settings, self._log = settings, log
        self._triggers = self._new_triggers()
        self._source = self._new_source(api)
        candidate = Candidate(settings.pod, settings.address)
        pace = Pace(settings.lease_s)
        self.elector = Elector(api, settings.namespace, settings.lease, candidate, log, self._leads, pace)
        account = f"{settings.namespace}/{settings.proxy_service_account}"
        identify = TokenReviews(api, settings.control_audience, account, log)
        self.hub = Hub(None, settings.pod, log, self._heard, identify=identify, standing=self.elector)
        self.events = EventWriter(api, log, settings.pod, holds_for_s=self._holds_for_s)
        self.writer = StatusWriter(api, log, self.events, holds_for_s=self._holds_for_s)
        self.limits, self.spending = self._new_limits(), self._new_spending()
        self.cycle = Cycle(
            self._source,
            self.hub,
            _compile_settings(settings),
            load(),
            log,
            good={},
            remember=lambda _: None,
            teller=self.writer,
            bringer=self.limits,
            spending=self.spending,
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until the Lease is another's. Raises OSError if an address cannot be had."""
        settings, api = self._settings, Api(self.cycle, self.hub, self.writer.collect, self._collect)
        tls = ServerTls(settings.tls_cert, settings.tls_key, self._log)
        async with AsyncExitStack() as servers:
            admin = address_of("BYWAY_ADMIN", settings.admin)
            await servers.enter_async_context(listening(admin, api.admin_routes()))
            stream = address_of("BYWAY_LISTEN", settings.listen)
            await servers.enter_async_context(listening(stream, self.hub.routes(), tls.context))
            async with asyncio.TaskGroup() as tasks:
                parts = [self.cycle.run(), self.writer.run(), tls.watch()]
                if self.limits is not None:
                    parts.append(self.limits.run())
                running = [tasks.create_task(part) for part in parts]
                ends = [tasks.create_task(stop.wait()), tasks.create_task(self._reign())]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                await self._leave("shutdown" if stop.is_set() else "lost-lease")
                for task in (*running, *ends):
                    task.cancel()
        self._log.info("the operator ends")

    async def _reign(self) -> None:
        """Wait for the Lease and lead; returns when it is lost."""
        # Whoever has read nothing yet must not take it from one that has.
        await self.cycle.begun.wait()
        quieten_gc()
        await self.elector.win()
        async with asyncio.TaskGroup() as tasks:
            leading = [tasks.create_task(part) for part in self._with_the_ledger()]
            await self.elector.keep()
            for task in leading:
                task.cancel()
        self.writer.rest()

    def _with_the_ledger(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What the leader does there."""
        if self._settings.ledger:
            issuer, tls = (lambda: self.cycle.world.surroundings.issuer), self._ledger_tls()
            yield LedgerKeys(self._settings.ledger, issuer, tls, self._log).run()
        if self.spending is not None:
            yield self.spending.run()

    def _new_limits(self) -> LedgerLimits | None:
        if not self._settings.ledger:
            return None
        reign = _Reign(self.elector, self.hub)
        return LedgerLimits(self._settings.ledger, self._ledger_tls(), reign, self._log, self._heard)

    def _new_spending(self) -> Spending | None:
        if not self._settings.ledger:
            return None
        return Spending(self._settings.ledger, self._heard, self._log, self._ledger_tls())

    def _ledger_tls(self) -> ClientTls:
        settings = self._settings
        return ClientTls(settings.ledger_ca, self._log, settings.tls_cert, settings.tls_key)

    def _leads(self, term: int) -> None:
        self.hub.lead(term)
        if not self.writer.leading:
            self.writer.lead()
            self.cycle.heard()

    async def _leave(self, why: Literal["shutdown", "lost-lease"]) -> None:
        """What is known is told, then another may lead, then the proxies are asked to dial it."""
        if self.elector.leading:
            await self.writer.flush(FLUSH_S)
        self.writer.rest()
        await self.elector.release()
        await self.hub.drain(why, self._settings.drain_s)

    def _holds_for_s(self) -> float:
        return self.elector.holds_for_s

    def _heard(self) -> None:
        self.cycle.heard()

    def _new_triggers(self) -> Triggers:
        settings = self._settings
        looked_at = views(settings.watch_namespaces, settings.namespace)
        return Triggers(lambda: connect(settings.kubeconfig or None), looked_at, self._log, settings.proxy_service)

    def _new_source(self, api: KubeApi) -> ClusterSource:
        settings = self._settings
        around = ClusterSettings(settings.namespace, settings.proxy_service, settings.watch_namespaces)
        read_issuer = partial(issuer_of, audience=settings.audience)
        return ClusterSource(api, self._triggers, around, self._log, read_issuer=read_issuer)

    def _collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "byway_resync_pruned",
            "Deletions that no watch told and a LIST found out",
            value=self._source.resync_pruned,
        )
        yield CounterMetricFamily(
            "byway_kopf_restarts", "Watches that ended and were begun anew", value=self._triggers.restarts
        )
        if self.limits is not None:
            yield from self.limits.collect()


@asynccontextmanager
async def listening(
    address: tuple[str, int], routes: list[web.RouteDef], tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, *address, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()


async def run(settings: Settings, log: Log, stop: asyncio.Event) -> None:
    """Raises OSError if it cannot begin."""
    adopt_library_logs(log)
    try:
        async with KubeApi(await connect(settings.kubeconfig or None)) as api:
            await Operator(settings, api, log).serve(stop)
    except KubeError as error:
        raise OSError(f"{error}; in a pod its ServiceAccount is taken, elsewhere BYWAY_KUBECONFIG") from error


def _compile_settings(settings: Settings) -> CompileSettings:
    return CompileSettings(
        trusted_namespaces=settings.trusted_namespaces or (settings.namespace,),
        namespace=settings.namespace,
        anonymous_namespace=settings.anonymous_namespace or None,
        strict=False,
        allowed_cidrs=settings.allowed_cidrs,
        unpriced=settings.unpriced,
    )
