"""A ClusterSource at work on a real API server, for tests that apply something and look at the world."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from builders.control_plane import ControlPlane
from builders.kube import kube_api
from byway_operator.kube.api import connect
from byway_operator.resources.manifest import Key, World
from byway_operator.watch.cluster import ClusterSettings, ClusterSource, ReadIssuer
from byway_operator.watch.cluster_inventory import views
from byway_operator.watch.triggers import Triggers
from byway_process.logs import Log

SERVICE = "byway-proxy"
READ = ["get", "list", "watch"]
RESOURCES = ["modelroutes", "providerkeys", "budgets", "accesskeys"]
RULES: list[dict[str, Any]] = [
    {"apiGroups": ["byway.dev"], "resources": RESOURCES, "verbs": READ},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": READ},
]
NAMESPACES: dict[str, Any] = {"apiGroups": [""], "resources": ["namespaces"], "verbs": READ}
OWN: list[dict[str, Any]] = [
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": READ},
]
"""In the release's namespace."""


def provider_key(name: str = "openai", provider: str = "openai") -> str:
    return (
        f"{{apiVersion: byway.dev/v1alpha1, kind: ProviderKey, metadata: {{name: {name}}}, "
        f"spec: {{provider: {provider}}}}}"
    )


class Watching:
    """The source and what it said."""

    def __init__(self, source: ClusterSource, triggers: Triggers, said: io.StringIO) -> None:
        self.source, self.triggers = source, triggers
        self.changes = 0
        self._said = said
        self._changed = asyncio.Event()

    @property
    def log(self) -> str:
        return self._said.getvalue()

    def changed(self) -> None:
        self.changes += 1
        self._changed.set()

    async def until(self, holds: Callable[[World], object], within_s: float = 10.0) -> World:
        """The world, as soon as it is so and `changed` has said that it is another."""
        async with asyncio.timeout(within_s):
            while not holds(world := self.source.read()):
                self._changed.clear()
                await self._changed.wait()
        return world


async def soon(holds: Callable[[], object], within_s: float = 10.0) -> None:
    """For what nobody announces."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watching(
    kubeconfig: Path,
    release: str,
    *,
    namespaces: tuple[str, ...] = (),
    list_every_s: float = 60.0,
    read_issuer: ReadIssuer | None = None,
    watched: bool = True,
) -> AsyncIterator[Watching]:
    """Begun and running; `watched`: once each watch has begun, and the LIST that it asks for is over."""
    said = io.StringIO()
    log = Log("operator", "debug", said)
    settings = ClusterSettings(release, SERVICE, namespaces, list_every_s, list_gap_s=0.05, issuer_every_s=0.2)
    looked_at = views(namespaces, release)
    triggers = Triggers(lambda: connect(str(kubeconfig)), looked_at, log, SERVICE)
    async with kube_api(kubeconfig) as api:
        source = ClusterSource(api, triggers, settings, log, read_issuer=read_issuer)
        it = Watching(source, triggers, said)
        running = asyncio.create_task(_live(it))
        try:
            if watched:
                expected = len(looked_at) - len(namespaces[:1])
                await soon(lambda: running.done() or source.lists >= 2 * expected)
            yield it
        finally:
            print(it.log)
            running.cancel()
            await asyncio.wait({running})
            assert running.cancelled(), running.exception()


async def _live(it: Watching) -> None:
    await it.source.begin()
    await it.source.run(it.changed)


def operator_account(plane: ControlPlane, release: str, name: str = "byway-operator") -> None:
    """With the rights to look at the whole cluster, and no other."""
    plane.service_account(release, name)
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = f"{name}-{release}"
    metadata = {"metadata": {"name": role}}
    plane.raw("POST", f"{rbac}/clusterroles", {**metadata, "rules": [*RULES, NAMESPACES]})
    plane.raw("POST", f"{rbac}/clusterrolebindings", {**metadata, **_bound("ClusterRole", role, release, name)})
    namespaced_account(plane, release, release, OWN, name)


def namespaced_account(
    plane: ControlPlane, release: str, namespace: str, rules: list[dict[str, Any]], name: str = "byway-operator"
) -> None:
    """With some rights in one namespace."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    role = {"metadata": {"name": f"{name}-{release}"}}
    plane.raw("POST", f"{rbac}/roles", {**role, "rules": rules})
    plane.raw("POST", f"{rbac}/rolebindings", {**role, **_bound("Role", f"{name}-{release}", release, name)})


def _bound(kind: str, role: str, release: str, account: str) -> dict[str, Any]:
    return {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": release}],
    }


def key_of(name: str, namespace: str, kind: str = "ProviderKey") -> Key:
    return Key(kind, namespace, name)
