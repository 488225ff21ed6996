"""What swapping a large table costs the requests that are under way: one proxy, 200 requests a second.

    python -m bench.swap [--routes 2000] [--pairs 3] [--seconds 6]

Runs with a swap every second and runs without take turns; every route differs between the two tables, so all of
them are decoded anew each time. A request counts from when it was due, so a loop that stands still shows in it.
The proxy has a core of its own; load, mock and the operator (at the lowest priority) share the other.
What the slowest requests of runs without swaps differ by is noise: machines have other things to do.
"""

import argparse
import contextlib
import os
import select
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Machine
from bench.native import Load, body, folder, pinned
from bench.run import cores, free_port, mock
from bench.targets.target import answers
from bench.verdicts import Verdict, exit_code, verdicts_table

RATE, CONNECTIONS = 200, 64
EVERY_S = 1.0
WITHIN_S = 30.0
Latency = dict[str, float]
"""Percentiles in ms."""


@dataclass(frozen=True)
class Swaps:
    routes: int
    still: list[Latency]
    swapped: list[Latency]
    swaps: int
    errors: int

    @property
    def cost_ms(self) -> float:
        """By how much the slowest request is slower than an ordinary one, in the median run with swaps."""
        return statistics.median(run["max"] for run in self.swapped) - _of(self.still, "p50")

    @property
    def verdicts(self) -> list[Verdict]:
        figure = f"a table of {self.routes:,} routes swapped under load costs a request at most"
        return [Verdict(figure, self.cost_ms, 20, "ms"), Verdict("errors while tables are swapped", self.errors, 0)]

    def __str__(self) -> str:
        lines = ["| ms | p50 | p99 | max |", "|---|--:|--:|--:|"]
        for name, runs in (("without swaps", self.still), (f"with {self.swaps} swaps", self.swapped)):
            lines.append(f"| {name} | {' | '.join(f'{_of(runs, at):.2f}' for at in ('p50', 'p99', 'max'))} |")
        more = (f"{_of(self.swapped, at) - _of(self.still, at):+.2f}" for at in ("p50", "p99", "max"))
        noise = ", ".join(f"{run['max']:.2f}" for run in self.still)
        with_them = ", ".join(f"{run['max']:.2f}" for run in self.swapped)
        lines += [f"| difference | {' | '.join(more)} |", ""]
        lines.append(f"Medians. The slowest of each run without swaps: {noise} (noise); with swaps: {with_them}.")
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.swap", description="What swapping a table costs.")
    parser.add_argument("--routes", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=3, help="runs with swaps, and as many without")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a run")
    given = parser.parse_args()
    swaps = measure(given.routes, given.pairs, given.seconds)
    print(f"{swaps}\n{Machine.here()}\n\n{verdicts_table(swaps.verdicts)}")
    sys.exit(exit_code(swaps.verdicts))


def measure(routes: int, pairs: int, seconds: float) -> Swaps:
    proxy_core, load_core = cores()
    with folder() as made, contextlib.ExitStack() as ending:
        mock_port, here = mock(load_core, ending), Path(made)
        operator = Operator(here / "operator.sock", mock_port, routes, load_core, ending)
        port = _proxy(here, proxy_core, ending)
        operator.live()
        load = Load(load_core, here, 1.0)
        load.rate(port, RATE, 1.0)  # connections are made, code is warm
        still, swapped, errors, swaps = [], [], 0, 0
        for _ in range(pairs):
            came = load.rate(port, RATE, seconds)
            still.append(came["latency_ms"])
            swapping, more = _swapping(operator, load, port, seconds)
            swapped.append(swapping["latency_ms"])
            errors += came["errors"] + swapping["errors"]
            swaps += more
    return Swaps(routes, still, swapped, swaps, errors)


class Operator:
    """`bench.swapping` in a process of its own."""

    def __init__(
        self, socket: Path, mock_port: int, routes: int, core: int | None, ending: contextlib.ExitStack
    ) -> None:
        words = [sys.executable, "-m", "bench.swapping", socket, str(mock_port), str(routes)]
        self._process = subprocess.Popen(
            pinned(core, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        ending.callback(self._process.wait, 5)
        ending.callback(self._process.kill)
        _until(socket.exists, self._process, "the operator listens")

    def live(self) -> None:
        """Until the table that was published last is live."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], WITHIN_S)
        if not ready or self._process.stdout.readline() != "live\n":
            raise SystemExit(f"bench: a table was not live within {WITHIN_S:g} s")

    def swap(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("swap\n")
        self.live()


def _swapping(operator: Operator, load: Load, port: int, seconds: float) -> tuple[dict[str, Any], int]:
    """What the load says of a run in which tables are swapped, and how many were."""
    came: list[dict[str, Any]] = []
    running = threading.Thread(target=lambda: came.append(load.rate(port, RATE, seconds)))
    running.start()
    swaps = 0
    running.join(EVERY_S / 2)
    while running.is_alive():
        operator.swap()
        swaps += 1
        running.join(EVERY_S)
    if not came:
        raise SystemExit("bench: the load generator failed")
    return came[0], swaps


def _proxy(here: Path, core: int | None, ending: contextlib.ExitStack) -> int:
    """Its port, once it answers. There is no ledger: its log keeps everything."""
    port, log = free_port(), here / "proxy.log"
    settings = {
        "LOG_DIR": str(here / "log"),
        "CONTROL": f"unix:{here / 'operator.sock'}",
        "LEDGER": f"unix:{here / 'ledger.sock'}",
        "LISTEN": f"127.0.0.1:{port}",
        "ADMIN": f"127.0.0.1:{free_port()}",
        "KEEP": str(here / "keep"),
        "DRAIN_S": "1",
    }
    environment = os.environ | {f"BYWAY_{name}": value for name, value in settings.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(core, [sys.executable, "-m", "byway_proxy"]), stdout=output, stderr=output, env=environment
        )
    ending.callback(process.wait, 10)
    ending.callback(process.terminate)
    asked = body(here, stream=False, kilobytes=0.5).read_bytes()
    _until(lambda: answers(port, asked), process, "the proxy answers")
    return port


def _until(true: Any, process: "subprocess.Popen[Any]", what: str) -> None:
    end = time.monotonic() + WITHIN_S
    while not true():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"bench: waited in vain until {what}")
        time.sleep(0.05)


def _of(runs: list[Latency], at: str) -> float:
    return statistics.median(run[at] for run in runs)


if __name__ == "__main__":
    main()
