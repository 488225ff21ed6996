"""An operator that has two tables and swaps one for the other when it is told to: `bench.swap` starts it.

    python -m bench.swapping SOCKET MOCK_PORT ROUTES

It says `live` when its proxy has acked a table; for each line on standard input it publishes the other one. Every
route is another in each, which is the most that a swap can be; keys and their models stay.
"""

import asyncio
import os
import sys

from aiohttp import web
from byway_operator.compile.catalogue.catalogue import load
from byway_operator.compile.compile import compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import Compiled
from byway_operator.push.push import Hub
from byway_operator.watch.documents import read_documents
from byway_process.logs import Log

from bench.native import MODEL
from bench.targets.byway import RESOURCES

# Beside our own compatible key, providers with many models, as a company has.
KEYS = "openai", "openrouter", "anthropic", "mistral"
MORE = """
---
apiVersion: v1
kind: Secret
metadata: {{name: {provider}, labels: {{byway.dev/credential: "true"}}}}
stringData: {{apiKey: sk-{provider}}}
---
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: {provider}}}
spec: {{provider: {provider}, secretRef: {{name: {provider}}}}}
"""
ROUTE = """
---
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: route-{number}}}
spec:
  modelNames: [name-{number}-{version}]
  endpoints: [{{name: mock, providerKeyRef: {{name: mock}}, model: {model}/model}}]
"""


async def main() -> None:
    path, mock_port, routes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tables = [_compiled(mock_port, routes, version) for version in (1, 2)]
    acked = asyncio.Event()
    hub = Hub(1, "bench", Log("operator", "error"), acked.set)
    hub.publish(tables[0])
    app = web.Application()
    app.add_routes(hub.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    swaps = 0
    try:
        while True:
            await _until_acked(hub, tables[swaps % 2].hash, acked)
            print("live", flush=True)
            if not await asyncio.to_thread(sys.stdin.readline):
                return
            swaps += 1
            hub.publish(tables[swaps % 2])
    finally:
        await runner.cleanup()


async def _until_acked(hub: Hub, digest: str, acked: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        while [proxy.acked for proxy in hub.fleet().proxies] != [digest]:
            acked.clear()
            await acked.wait()


def _compiled(mock_port: int, routes: int, version: int) -> Compiled:
    text = [RESOURCES.format(model=MODEL, mock_port=mock_port), *(MORE.format(provider=key) for key in KEYS)]
    text += [ROUTE.format(number=number, version=version, model=MODEL) for number in range(routes)]
    reading = read_documents("bench.yaml", "".join(text).encode())
    assert not reading.problems, reading.problems[0]
    world = {manifest.key: manifest for manifest in reading.manifests}
    settings = Settings(("default",), "default", strict=True, allow_loopback=True)
    compiled = compile_table(world, held_back={}, refused={}, settings=settings, catalogue=load())
    rejected = [one for one in compiled.verdicts.values() if "False" in (one.accepted.status, one.resolved.status)]
    assert not rejected, rejected[0]
    return compiled


if __name__ == "__main__":
    # It shares a core with the load, whose clock it is not to disturb.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    asyncio.run(main())
