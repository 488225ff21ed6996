"""How long from saving a file until every proxy obeys it, and how many compiles 200 files saved at once make.

    python -m bench.save_to_live [--proxies 4] [--routes 200] [--times 20]

`byway up` with many routes: first one of them is saved at a time, then all in one go. A proxy obeys when the hash
of the table it serves (`byway_table_info` on its admin port) is another than before, and all proxies have the same.
Times are milliseconds, the operator's quiet time included. Exit code 1: far beyond the figures (`verdicts`).
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.measure import Machine
from bench.native import MODEL, folder
from bench.places import free_port, mock
from bench.targets.byway import BYWAY, command
from bench.targets.target import Place, Running
from bench.verdicts import Verdict, exit_code, verdicts_table

ROUTE = """
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: saved-{number}}}
spec:
  modelNames: [saved-{number}-{version}]
  endpoints: [{{name: mock, providerKeyRef: {{name: mock}}, model: {model}/model}}]
"""
HASH = re.compile(r'byway_table_info\{[^}]*hash="([^"]+)"')
COMPILES = re.compile(r"^byway_compiles_total ([0-9.e+]+)$", re.MULTILINE)
WITHIN_S = 10.0
# Longer than the operator gathers changes, so that what is still to be compiled is not missed.
STILL_S = 1.0


@dataclass(frozen=True)
class Saved:
    """What came of it. Milliseconds, in order of size."""

    proxies: int
    files: int
    took_ms: list[float]
    compiles: int
    """Of all files saved at once."""
    all_ms: float
    """From the first of them saved until the last was live; the second that shows it is the last not included."""

    @property
    def verdicts(self) -> list[Verdict]:
        live = f"a saved file is live on {self.proxies} proxies, p50"
        return [
            Verdict(live, self.took_ms[len(self.took_ms) // 2], 250, "ms"),
            Verdict(f"{self.files} files saved at once", self.compiles, 4, "compiles"),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.save_to_live", description="From save to live.")
    parser.add_argument("--proxies", type=int, default=4)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    saved = measure(given.proxies, given.routes, given.times)
    late = saved.took_ms[int(0.95 * (len(saved.took_ms) - 1))]
    print(f"one of {given.routes} files saved, {given.times} times: p95 {late:g} ms, max {saved.took_ms[-1]:g} ms")
    print(f"{given.routes} files saved at once: live after {saved.all_ms:g} ms")
    print(f"{Machine.here()}\n")
    print(verdicts_table(saved.verdicts))
    sys.exit(exit_code(saved.verdicts))


def measure(proxies: int, routes: int, times: int) -> Saved:
    with folder() as made, contextlib.ExitStack() as ending:
        place = Place(Path(made) / "byway", free_port(), mock(None, ending))
        place.folder.mkdir()
        running = Running(replace(BYWAY, command=partial(command, proxies=proxies)), place, None)
        ending.callback(running.end)
        running.until_ready()
        _save_all(place, routes, 0)
        ports = _admin_ports(place)
        before, _ = _settled(ports)
        took_ms = sorted(_one_by_one(place, ports, before, routes, times))
        compiles, all_ms = _all_at_once(place, ports, routes, times + 1)
    return Saved(proxies, routes, took_ms, compiles, all_ms)


def _one_by_one(place: Place, ports: list[int], before: str, routes: int, times: int) -> list[float]:
    took_ms = []
    for version in range(1, times + 1):
        _save(place, version % routes, version)
        began = time.monotonic()
        before = _live(ports, before)
        took_ms.append(round((time.monotonic() - began) * 1000, 1))
    return took_ms


def _all_at_once(place: Place, ports: list[int], routes: int, version: int) -> tuple[int, float]:
    """Compiles, and milliseconds until the last table."""
    _settled(ports)  # what was saved one by one makes no compile any more
    operator = place.folder / "state/run/operator.sock"
    before, began = _compiles(operator), time.monotonic()
    _save_all(place, routes, version)
    _, since = _settled(ports)
    return _compiles(operator) - before, round((since - began) * 1000, 1)


def _save_all(place: Place, routes: int, version: int) -> None:
    for number in range(routes):
        _save(place, number, version)


def _save(place: Place, number: int, version: int) -> None:
    """As editors do: written beside, then moved into place."""
    file = place.folder / f"resources/saved-{number}.yaml"
    beside = file.with_suffix(".new")
    beside.write_text(ROUTE.format(number=number, version=version, model=MODEL))
    os.replace(beside, file)


def _settled(ports: list[int]) -> tuple[str, float]:
    """The hash that all proxies have had for a while, and since when."""
    last, since, end = "", time.monotonic(), time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        hashes = {_hash(port) for port in ports}
        now = hashes.pop() if len(hashes) == 1 else ""
        if now != last:
            last, since = now, time.monotonic()
        if now and time.monotonic() - since > STILL_S:
            return now, since
        time.sleep(0.02)
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


def _compiles(operator: Path) -> int:
    """So far, by the operator's own count."""
    connection = http.client.HTTPConnection("operator", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(5)
    try:
        connection.sock.connect(str(operator))
        connection.request("GET", "/metrics")
        found = COMPILES.search(connection.getresponse().read().decode())
    finally:
        connection.close()
    if found is None:
        raise SystemExit("bench: the operator's metrics have no byway_compiles_total")
    return int(float(found[1]))


if __name__ == "__main__":
    main()
