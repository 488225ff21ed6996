"""What a proxy tells its own cluster, on a port and a socket that callers never reach.

The admin port (health, metrics) holds nothing that a neighbour may not see; the socket also explains, and is for
whoever runs the machine.
"""

from collections.abc import Callable

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from byway_proxy.api.refusals import explained_nothing
from byway_proxy.api.serving import Serving
from byway_proxy.choose.choose import choose
from byway_proxy.choose.explain import explain
from byway_proxy.choose.health import Dice, Health
from byway_proxy.choose.nothing import Nothing
from byway_proxy.choose.wanted import Wanted

_encode = msgspec.json.Encoder().encode


class Admin:
    def __init__(
        self, registry: CollectorRegistry, not_ready: Callable[[], str], alive: Callable[[], bool]
    ) -> None:
        self._registry = registry
        self._not_ready = not_ready
        self._alive = alive

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    async def healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if self._alive() else web.Response(status=503, text="the loop stalls\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        why = self._not_ready()
        return web.Response(status=503, text=f"not ready: {why}\n") if why else web.Response(text="ok\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class Explain:
    """`GET /v1/explain?model=…&namespace=…`: where a request would go just now, and why not elsewhere."""

    def __init__(self, serving: Serving, health: Health, now: Callable[[], float], dice: Dice) -> None:
        self._serving, self._health, self._now, self._dice = serving, health, now, dice

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/explain", self.explain)]

    async def explain(self, request: web.Request) -> web.Response:
        if not self._serving.ready:
            return _json(503, {"error": "this proxy has no table yet; try again shortly"})
        view, _ = self._serving.current()
        model = request.query.get("model", "")
        namespace = request.query.get("namespace") or view.table.anonymous or "default"
        if not model:
            return _json(400, {"error": "model: missing; ask with ?model=NAME"})
        try:
            choice = choose(Wanted(namespace, (model,)), view, self._health, self._now(), self._dice)
        except Nothing as nothing:
            return _json(200, {"model": model, "namespace": namespace, **explained_nothing(nothing)})
        rows = explain(choice)
        return _json(
            200,
            {
                "model": model,
                "namespace": namespace,
                "candidates": [row for row in rows if "place" in row],
                "left_out": [row for row in rows if "place" not in row],
            },
        )


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=_encode(body), content_type="application/json")
