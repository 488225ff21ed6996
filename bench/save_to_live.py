"""How long from saving a file until every proxy obeys it: `byway up` with many routes, of which one is saved.

    python -m bench.save_to_live [--proxies 3] [--routes 200] [--times 20]

A proxy obeys when the hash of the table it serves (`byway_table_info` on its admin port) is another than before,
and all proxies have the same. One line of JSON comes of it: milliseconds, the quiet time of the operator included.
"""

import argparse
import contextlib
import json
import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.measure import Machine
from bench.native import MODEL, folder
from bench.run import free_port, mock
from bench.targets.byway import BYWAY, command
from bench.targets.target import Place, Running

ROUTE = """
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: saved-{number}}}
spec:
  modelNames: [saved-{number}-{version}]
  endpoints: [{{name: mock, providerKeyRef: {{name: mock}}, model: {model}/model}}]
"""
HASH = re.compile(r'byway_table_info\{[^}]*hash="([^"]+)"')
WITHIN_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.save_to_live", description="From save to live.")
    parser.add_argument("--proxies", type=int, default=3)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    with folder() as made, contextlib.ExitStack() as ending:
        place = Place(Path(made) / "byway", free_port(), mock(None, ending))
        place.folder.mkdir()
        running = Running(replace(BYWAY, command=partial(command, proxies=given.proxies)), place, None)
        ending.callback(running.end)
        running.until_ready()
        took_ms = sorted(_saves(place, given.routes, given.times))
    middle, late = took_ms[len(took_ms) // 2], took_ms[int(0.95 * (len(took_ms) - 1))]
    figures = {"p50_ms": middle, "p95_ms": late, "max_ms": took_ms[-1]}
    print(json.dumps(vars(given) | figures | {"machine": str(Machine.here())}))


def _saves(place: Place, routes: int, times: int) -> list[float]:
    for number in range(routes):
        _save(place, number, 0)
    ports = _admin_ports(place)
    before = _settled(ports)
    took_ms = []
    for version in range(1, times + 1):
        _save(place, version % routes, version)
        began = time.monotonic()
        before = _live(ports, before)
        took_ms.append(round((time.monotonic() - began) * 1000, 1))
    return took_ms


def _save(place: Place, number: int, version: int) -> None:
    """As editors do: written beside, then moved into place."""
    file = place.folder / f"resources/saved-{number}.yaml"
    beside = file.with_suffix(".new")
    beside.write_text(ROUTE.format(number=number, version=version, model=MODEL))
    os.replace(beside, file)


def _settled(ports: list[int]) -> str:
    """The hash that all proxies have had for half a second."""
    last, since, end = "", time.monotonic(), time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        hashes = {_hash(port) for port in ports}
        now = hashes.pop() if len(hashes) == 1 else ""
        if now != last:
            last, since = now, time.monotonic()
        if now and time.monotonic() - since > 0.5:
            return now
        time.sleep(0.05)
    raise SystemExit(f"bench: the proxies did not agree on a table within {WITHIN_S:g} s")


def _live(ports: list[int], before: str) -> str:
    """The hash that follows `before`, once all have it."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        hashes = {_hash(port) for port in ports}
        if len(hashes) == 1 and before not in hashes:
            return hashes.pop()
        time.sleep(0.002)
    raise SystemExit(f"bench: what was saved was not live on all proxies within {WITHIN_S:g} s")


def _admin_ports(place: Place) -> list[int]:
    running = json.loads((place.folder / "state/run/up.json").read_bytes())
    return [proxy["admin"] for proxy in running["proxies"]]


def _hash(port: int) -> str:
    """Empty while the proxy is not up."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            found = HASH.search(answer.read().decode())
    except urllib.error.URLError:
        return ""
    return found[1] if found else ""


if __name__ == "__main__":
    main()
