"""The Kubernetes API as a source. The inventory is the truth: LISTs make it, watches keep it fresh.

    LIST   at start, when a watch begins anew, every minute     complete; prunes what is gone
    event  at once                                              one object

A watch may stall or lose a deletion without a word; whatever it does, a LIST puts it right within a minute. What
cannot be listed keeps what it had, which is said once, with the way out.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from byway_contract.table import Issuer
from byway_process.logs import Log

from byway_operator.kube.api import KubeApi, KubeError, Listed
from byway_operator.resources.manifest import World
from byway_operator.watch.cluster_inventory import (
    CONFIG_MAPS,
    KINDS,
    NAMESPACES,
    SLICES,
    ClusterInventory,
    View,
    views,
)
from byway_operator.watch.held import Object
from byway_operator.watch.shrink import believe
from byway_operator.watch.triggers import Triggers
from byway_operator.watch.unlabelled import Unlabelled

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
AGREE_S = 0.05
CRDS_MISSING = "byway's CustomResourceDefinitions are not installed: kubectl apply --server-side -f crds/"

ReadIssuer = Callable[[Object, Object], Issuer]
"""From the discovery document and the key set. Raises ValueError if they do not say who signs tokens."""


@dataclass(frozen=True)
class ClusterSettings:
    namespace: str
    """The release's."""
    proxy_service: str
    """Its EndpointSlices say which proxies there are."""
    watch_namespaces: tuple[str, ...] = ()
    """Empty: all."""
    list_every_s: float = 60.0
    list_gap_s: float = 1.0
    """Between two LISTs of a kind that a watch asks for: one that begins anew all the time must not cost all the
    time."""
    issuer_every_s: float = 180.0


@dataclass
class _Lister:
    """One view's LISTs."""

    view: View
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = 0.0
    failures: int = 0
    said: int | None = None
    """The status that was told, so that it is told once."""


class ClusterSource:
    def __init__(
        self,
        api: KubeApi,
        triggers: Triggers,
        settings: ClusterSettings,
        log: Log,
        *,
        read_issuer: ReadIssuer | None = None,
    ) -> None:
        """`read_issuer` None: nobody comes with a token of this cluster."""
        self._api, self._triggers, self._settings, self._log = api, triggers, settings, log
        self._read_issuer = read_issuer
        looked_at = views(settings.watch_namespaces, settings.namespace)
        self._inventory = ClusterInventory(looked_at)
        self._listers = {view: _Lister(view) for view in looked_at}
        self._issuer_said: str | None = None
        self._changed: Callable[[], None] = lambda: None
        self._unlabelled = Unlabelled(api, self.read, self._found_unlabelled)
        self.synced = False
        """Whether everything has been read once."""
        self.resync_pruned = 0
        """Objects whose deletion a LIST found out."""
        self.lists = 0

    async def begin(self) -> None:
        """Read everything once; for as long as that takes."""
        async with asyncio.TaskGroup() as tasks:
            for lister in self._listers.values():
                tasks.create_task(self._list_at_last(lister))
            if self._read_issuer is not None:
                tasks.create_task(self._trust_at_last(self._read_issuer))
        self.resync_pruned, self.synced = 0, True

    def read(self) -> World:
        return self._inventory.world()

    async def run(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever `read` would answer otherwise than before, but for statuses; until cancelled."""

        def news() -> None:
            self._unlabelled.stirred()
            changed()

        def heard(view: View, kind: str | None, found: Object) -> None:
            self._heard(view, kind, found, news)

        self._changed = changed

        async with asyncio.TaskGroup() as tasks:
            for lister in self._listers.values():
                tasks.create_task(self._keep_listing(lister, news))
            tasks.create_task(self._unlabelled.run())
            if self._read_issuer is not None:
                tasks.create_task(self._keep_trusting(self._read_issuer, changed))
            await self._triggers.run(heard, self._relisting)

    def _heard(self, view: View, kind: str | None, found: Object, changed: Callable[[], None]) -> None:
        if kind is None:
            self._relisting(view)
        news = self._inventory.drop(view, found) if kind == "DELETED" else self._inventory.take(view, found)
        if news:
            changed()

    def _found_unlabelled(self, names: frozenset[tuple[str, str]]) -> None:
        if self._inventory.unlabelled(names):
            self._changed()

    def _relisting(self, view: View) -> None:
        self._listers[view].asked.set()

    async def _list_at_last(self, lister: _Lister) -> None:
        while True:
            well, _ = await self._list(lister)
            if well:
                return
            await asyncio.sleep(_wait_s(lister.failures))

    async def _keep_listing(self, lister: _Lister, changed: Callable[[], None]) -> NoReturn:
        while True:
            await self._due(lister)
            was_missing = lister.said == 404
            well, news = await self._list(lister)
            if well and was_missing:
                self._triggers.again()
            if news:
                changed()

    async def _due(self, lister: _Lister) -> None:
        if lister.failures:
            await asyncio.sleep(_wait_s(lister.failures))
            return
        try:
            async with asyncio.timeout(self._settings.list_every_s):
                await lister.asked.wait()
        except TimeoutError:
            return
        await asyncio.sleep(max(0.0, lister.began + self._settings.list_gap_s - time.monotonic()))

    async def _list(self, lister: _Lister) -> tuple[bool, bool]:
        """Whether it was answered, and whether that is news."""
        lister.asked.clear()
        lister.began = time.monotonic()
        try:
            listed = await self._believed(lister.view)
        except KubeError as error:
            lister.failures += 1
            if self._does_without(lister, error):
                return True, False
            self._say_failure(lister, error)
            return False, False
        if lister.failures:
            self._log.info(f"{lister.view} can be listed again")
        lister.failures, lister.said = 0, None
        relisted = self._inventory.relist(lister.view, listed.items, listed.version)
        self.lists += 1
        self.resync_pruned += relisted.pruned
        return True, relisted.changed

    async def _believed(self, view: View) -> Listed:
        """A LIST; one that takes most away is read until two agree. Raises KubeError."""
        listed = await self._fetch(view)
        before = self._inventory.keys()
        doubted = believe(before, self._inventory.keys_after(view, listed.items, listed.version), None)
        if doubted is not None:
            self._log.warning(f"most resources are gone from a LIST of {view}; listing again")
        while doubted is not None:
            listed = await self._fetch(view)
            doubted = believe(before, self._inventory.keys_after(view, listed.items, listed.version), doubted)
            if doubted is not None:
                await asyncio.sleep(AGREE_S)
        return listed

    async def _fetch(self, view: View) -> Listed:
        match view.plural:
            case "secrets":
                return await self._api.list_credentials(view.namespace)
            case "namespaces":
                return await self._api.list_namespaces()
            case "configmaps":
                return await self._fetch_platforms(view.namespace or self._settings.namespace)
            case "endpointslices":
                return await self._api.list_endpoint_slices(
                    view.namespace or self._settings.namespace, self._settings.proxy_service
                )
            case plural:
                return await self._api.list_resources(plural, view.namespace)

    async def _fetch_platforms(self, namespace: str) -> Listed:
        """The floor, the price book and the fees. No selector means one label or another, so they are three LISTs:
        one of all at the earliest version, since what the later have beyond that is known as newer."""
        lists = (
            await self._api.list_floors(namespace),
            await self._api.list_price_books(namespace),
            await self._api.list_fees(namespace),
        )
        items = {
            (one["metadata"]["namespace"], one["metadata"]["name"]): one for some in lists for one in some.items
        }
        return Listed(tuple(items.values()), min(some.version for some in lists))

    def _does_without(self, lister: _Lister, error: KubeError) -> bool:
        """Where only some namespaces are ours, the right to see all of them may be missing: then nobody is shared
        with by their labels."""
        if error.status != 403 or lister.view.plural != NAMESPACES or not self._settings.watch_namespaces:
            return False
        if lister.said != error.status:
            self._log.info("no right to list namespaces: sharing by their labels (from: Selector) reaches nobody")
        lister.failures, lister.said = 0, error.status
        return True

    def _say_failure(self, lister: _Lister, error: KubeError) -> None:
        if lister.said == error.status:
            return
        lister.said = error.status
        self._log.warning(
            f"{lister.view} cannot be listed; what is known of them holds",
            why=str(error),
            way_out=_way_out(lister.view, error.status),
        )

    async def _trust_at_last(self, read_issuer: ReadIssuer) -> None:
        failures = 0
        while await self._trust(read_issuer) is None:
            failures += 1
            await asyncio.sleep(_wait_s(failures))

    async def _keep_trusting(self, read_issuer: ReadIssuer, changed: Callable[[], None]) -> NoReturn:
        failures = 0
        while True:
            await asyncio.sleep(_wait_s(failures) if failures else self._settings.issuer_every_s)
            news = await self._trust(read_issuer)
            failures = 0 if news is not None else failures + 1
            if news:
                changed()

    async def _trust(self, read_issuer: ReadIssuer) -> bool | None:
        """Whether the signing keys are others now. None: nobody could say, and the last ones hold."""
        try:
            issuer = read_issuer(await self._api.read_issuer(), await self._api.read_signing_keys())
        except (KubeError, ValueError) as error:
            if self._issuer_said != str(error):
                self._issuer_said = str(error)
                self._log.warning(
                    "the keys that ServiceAccount tokens are signed with cannot be read; the last ones hold",
                    why=str(error),
                    way_out="grant get on the non-resource URLs /.well-known/openid-configuration and "
                    "/openid/v1/jwks (ClusterRole system:service-account-issuer-discovery)",
                )
            return None
        self._issuer_said = None
        return self._inventory.trust(issuer)


def _wait_s(failures: int) -> float:
    return float(min(FIRST_WAIT_S * 2 ** (failures - 1), LONGEST_WAIT_S))


def _way_out(view: View, status: int) -> str:
    group = "discovery.k8s.io" if view.plural == SLICES else "byway.dev" if view.plural in KINDS else ""
    group = "" if view.plural in ("secrets", CONFIG_MAPS) else group
    if status == 403:
        where = "a ClusterRole" if view.namespace is None else f"a Role in {view.namespace}"
        return f'grant the operator get, list and watch on {view.plural} (apiGroup "{group}") by {where}'
    if status == 404 and group == "byway.dev":
        return CRDS_MISSING
    return "it is tried again by itself"
