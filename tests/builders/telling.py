"""An operator in the test's own loop before a real API server: it lists, compiles, pushes, and tells.

    async with an_operator(plane, namespace) as operator, a_proxy(operator.socket, "proxy-0"):
        await asyncio.to_thread(plane.apply, manifest, namespace)
        status = await operator.told("modelroute", "smart", "Programmed")

The proxies that ought to be there are those of an EndpointSlice, as a cluster says it: see `ready`.
"""

import asyncio
import io
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from builders.control_plane import ControlPlane
from builders.kube import kube_api
from byway_operator.compile.catalogue.catalogue import load
from byway_operator.compile.settings import Settings
from byway_operator.cycle import Cycle
from byway_operator.kube.api import connect
from byway_operator.kube.events import EventWriter
from byway_operator.kube.writer import StatusWriter
from byway_operator.push.push import Hub
from byway_operator.push.settings import PushSettings
from byway_operator.tell.outbox import Pace
from byway_operator.watch.cluster import ClusterSettings, ClusterSource
from byway_operator.watch.cluster_inventory import views
from byway_operator.watch.triggers import Triggers
from byway_process.logs import Log
from stream.parts import until

PLURALS = {
    "ModelRoute": "modelroutes",
    "ProviderKey": "providerkeys",
    "Budget": "budgets",
    "AccessKey": "accesskeys",
}
LIST_EVERY_S = 0.05
SERVICE = "byway-proxy"
Condition = Mapping[str, Any]


@dataclass
class Operator:
    plane: ControlPlane
    namespace: str
    source: ClusterSource
    hub: Hub
    cycle: Cycle
    writer: StatusWriter
    socket: Path
    log: io.StringIO

    async def told(self, kind: str, name: str, condition: str, status: str = "True", reason: str = "") -> Condition:
        """Wait until the API has it so; then the condition."""
        async with asyncio.timeout(10):
            while True:
                found = await self.status(kind, name)
                for one in found.get("conditions", ()):
                    said = one["type"] == condition and one["status"] == status and reason in ("", one["reason"])
                    if said and one["observedGeneration"] == found["observedGeneration"]:
                        return dict(one)
                await asyncio.sleep(0.01)

    async def status(self, kind: str, name: str) -> dict[str, Any]:
        found = await asyncio.to_thread(object_of, self.plane, kind, self.namespace, name)
        status: dict[str, Any] = found.get("status", {})
        return status

    async def settled(self, within_s: float = 15) -> None:
        """Until everything is told."""
        await until(lambda: self.cycle.statuses and not self.writer.outbox.waiting, within_s)


def object_of(plane: ControlPlane, kind: str, namespace: str, name: str) -> dict[str, Any]:
    plural = {kind.lower(): plural for kind, plural in PLURALS.items()}[kind]
    found: dict[str, Any] = plane.raw("GET", f"/apis/byway.dev/v1alpha1/namespaces/{namespace}/{plural}/{name}")
    return found


def events_of(plane: ControlPlane, namespace: str) -> list[tuple[str, str, str]]:
    """Type, reason and message, oldest first."""
    items = plane.raw("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
    return [(item["type"], item["reason"], item["message"]) for item in items]


def ready(plane: ControlPlane, namespace: str, *pods: str) -> None:
    """These pods of the proxies' Service are ready; no others."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{SERVICE}-0"
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{SERVICE}-0", "labels": {"kubernetes.io/service-name": SERVICE}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [f"192.0.2.{number}"], "conditions": {"ready": True},
             "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}}
            for number, pod in enumerate(pods, 1)
        ],
    }  # fmt: skip
    plane.raw("PATCH", f"{path}?fieldManager=test&force=true", body, "application/apply-patch+yaml")


@asynccontextmanager
async def an_operator(
    plane: ControlPlane,
    namespace: str,
    *,
    kubeconfig: Path | None = None,
    pace: Pace | None = None,
    push: PushSettings | None = None,
    trusted: tuple[str, ...] = (),
    leads: bool = True,
) -> AsyncIterator[Operator]:
    out = io.StringIO()
    log = Log("operator", out=out)
    config = str(kubeconfig or plane.kubeconfig)
    looked_at = (namespace, *trusted)
    triggers = Triggers(lambda: connect(config), views(looked_at, namespace), log, SERVICE)
    async with kube_api(config) as api:
        source = ClusterSource(api, triggers, ClusterSettings(namespace, SERVICE, looked_at), log)
        writer = StatusWriter(api, log, EventWriter(api, log, "operator-0"), pace)
        hub = Hub(int(time.time() * 1000), "op", log, lambda: cycle.heard(), push)
        settings = Settings(trusted_namespaces=trusted, anonymous_namespace=namespace, allow_loopback=True)
        cycle = Cycle(source, hub, settings, load(), log, good={}, remember=lambda _: None, teller=writer)
        if leads:
            writer.lead()
        with tempfile.TemporaryDirectory(prefix="by") as folder:
            socket = Path(folder) / "s"
            runner = await _serve(hub, socket)
            running = [asyncio.create_task(cycle.run()), asyncio.create_task(writer.run())]
            try:
                yield Operator(plane, namespace, source, hub, cycle, writer, socket, out)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.wait(running)
                await hub.drain("shutdown", 0.05)
                await runner.cleanup()
                for task in running:
                    with suppress(asyncio.CancelledError):
                        task.result()


async def _serve(hub: Hub, socket: Path) -> web.AppRunner:
    app = web.Application()
    app.add_routes(hub.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    return runner


def documents(*bodies: Mapping[str, Any]) -> str:
    return yaml.safe_dump_all(bodies)


def a_key(name: str = "openai", **spec: Any) -> dict[str, Any]:
    """A ProviderKey of one model, `acme/m`; nobody listens where it leads."""
    spec = {
        "provider": "openai-compatible",
        "baseURL": "http://127.0.0.1:9/v1",
        "models": [
            {"name": "acme/m", "upstreamName": "m", "price": {"perMillionTokens": {"input": "1", "output": "2"}}}
        ],
        **spec,
    }
    return _resource("ProviderKey", name, spec)


def a_route(name: str = "smart", key: str = "openai", model: str = "acme/m", **spec: Any) -> dict[str, Any]:
    member = {"name": "only", "providerKeyRef": {"name": key}, "model": model}
    return _resource("ModelRoute", name, {"endpoints": [member], **spec})


def a_secret(name: str = "openai-key", labelled: bool = True, **entries: str) -> dict[str, Any]:
    labels = {"byway.dev/credential": "true"} if labelled else {}
    entries = entries or {"apiKey": "sk-canary-71f3"}
    return {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "stringData": entries,
    }  # fmt: skip


def _resource(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "byway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def routes_of(count: int, **spec: Any) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield a_route(f"r{number:04d}", **spec)
