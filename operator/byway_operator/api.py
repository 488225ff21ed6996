"""What the operator answers on its socket: the control stream, resources with their status, health, metrics."""

import json
import os
from collections.abc import Callable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from byway_operator.cycle import Cycle, statuses_of
from byway_operator.push.push import Hub


class Api:
    """`parts` are what else there is to measure: each gives its metrics at every scrape."""

    def __init__(self, cycle: Cycle, hub: Hub, *parts: Callable[[], Iterator[Metric]]) -> None:
        self._cycle, self._hub, self._parts = cycle, hub, parts
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(self._hub.routes())
        app.add_routes([web.get("/v1/resources", self.resources), web.get("/v1/problems", self.problems)])
        app.add_routes(self.admin_routes())
        return app

    def admin_routes(self) -> list[web.RouteDef]:
        """Without any word of what the resources say: a cluster's network may reach these."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    async def resources(self, request: web.Request) -> web.Response:
        kind, namespace, name = (request.query.get(field, "") for field in ("kind", "namespace", "name"))
        items = [
            item
            for item in statuses_of(self._cycle, kind)
            if namespace in ("", item["metadata"]["namespace"]) and name in ("", item["metadata"]["name"])
        ]
        return _json({"items": items})

    async def problems(self, _request: web.Request) -> web.Response:
        """Of files, not of objects: an object's own are in its status."""
        problems = self._cycle.world.problems
        return _json({"problems": [{"place": str(p.place), "message": p.message} for p in problems]})

    async def healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        if not self._cycle.begun.is_set():
            return web.Response(status=503, text="not ready: the source has not been read yet\n")
        return web.Response(text="ok\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        cycle, fleet = self._cycle, self._hub.fleet()
        yield CounterMetricFamily("byway_compiles", "Compiles of the whole world", value=cycle.compiles)
        yield GaugeMetricFamily("byway_compile_seconds", "How long the last compile took", value=cycle.compile_s)
        yield GaugeMetricFamily("byway_resources", "Resources in the world", value=len(cycle.world.manifests))
        yield GaugeMetricFamily("byway_proxies", "Proxies on the control stream", value=len(fleet.proxies))
        rejected = sum(verdict.accepted.status == "False" for verdict in cycle.verdicts.values())
        yield GaugeMetricFamily("byway_resources_rejected", "Resources not accepted", value=rejected)
        yield GaugeMetricFamily("byway_leader", "Whether this operator leads", value=self._hub.leading)
        yield GaugeMetricFamily("byway_table_seq", "Tables published by this process", value=self._hub.seq)
        refused = CounterMetricFamily("byway_nacks", "Tables that proxies refused, by why", labels=["code"])
        for code, times in sorted(self._hub.nacks.items()):
            refused.add_metric([code], times)
        yield refused
        for part in self._parts:
            yield from part()


async def serve_on(app: web.Application, socket: str) -> web.AppRunner:
    """On a unix socket that only this user may connect to."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    mask = os.umask(0o177)
    try:
        await web.UnixSite(runner, socket).start()
    finally:
        os.umask(mask)
    return runner


def _json(body: object) -> web.Response:
    return web.Response(text=json.dumps(body, default=str), content_type="application/json")
