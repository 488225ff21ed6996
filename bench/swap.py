"""What swapping a large table costs the requests that are under way: one proxy, 200 requests a second.

    python -m bench.swap [--routes 2000] [--swaps 10]

Short runs with one swap in their middle and short runs without take turns; every route differs between the two
tables, so all of them are decoded anew each time. A request counts from when it was due, so a loop that stands
still shows in it. The proxy has a core of its own; load, mock and the operator (when nobody else wants to) share
the other. How slow the slowest requests of runs without swaps are is noise: machines have other things to do.
"""

import argparse
import contextlib
import os
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Machine
from bench.native import Load, body, folder, pinned
from bench.places import cores, free_port, mock
from bench.targets.target import answers
from bench.verdicts import Verdict, exit_code, verdicts_table

RATE = 200
RUN_S = 1.2
WITHIN_S = 30.0
Latency = dict[str, float]
"""Percentiles of a run, in ms."""


@dataclass(frozen=True)
class Swaps:
    routes: int
    still: list[Latency]
    swapped: list[Latency]
    errors: int

    @property
    def verdicts(self) -> list[Verdict]:
        figure = f"a table of {self.routes:,} routes swapped under load: a request's delay"
        note = f"the slowest of {len(self.swapped)} swaps; without any {self._delay(self.still):.3g} ms"
        return [
            Verdict(figure, self._delay(self.swapped), 20, "ms", note),
            Verdict("errors while tables are swapped", self.errors, 0),
        ]

    def _delay(self, runs: list[Latency]) -> float:
        """By how much the slowest request of all is slower than an ordinary one."""
        return max(_of(runs, "max")) - statistics.median(_of(self.still, "p50"))

    def __str__(self) -> str:
        lines = ["| ms, medians of the runs | p50 | p99 | slowest | slowest of all |", "|---|--:|--:|--:|--:|"]
        kinds = [_middle(self.still), _middle(self.swapped)]
        difference = [after - before for before, after in zip(*kinds, strict=True)]
        lines += [
            _row(f"{len(self.still)} without a swap", kinds[0]),
            _row(f"{len(self.still)} with one", kinds[1]),
        ]
        lines.append(_row("difference", difference))
        noise = ", ".join(f"{slowest:.1f}" for slowest in sorted(_of(self.still, "max")))
        with_one = ", ".join(f"{slowest:.1f}" for slowest in sorted(_of(self.swapped, "max")))
        return "\n".join(
            [
                *lines,
                "",
                f"Slowest request of each run without a swap (noise): {noise} ms;",
                f"with one: {with_one} ms.",
            ]
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.swap", description="What swapping a table costs.")
    parser.add_argument("--routes", type=int, default=2000)
    parser.add_argument("--swaps", type=int, default=10)
    given = parser.parse_args()
    swaps = measure(given.routes, given.swaps)
    print(f"{swaps}\n{Machine.here()}\n\n{verdicts_table(swaps.verdicts)}")
    sys.exit(exit_code(swaps.verdicts))


def measure(routes: int, swaps: int) -> Swaps:
    proxy_core, load_core = cores()
    with folder() as made, contextlib.ExitStack() as ending:
        _go_first(ending)
        mock_port, here = mock(load_core, ending), Path(made)
        operator = Operator(here / "operator.sock", mock_port, routes, load_core, ending)
        port = _proxy(here, proxy_core, ending)
        operator.live()
        load = Load(load_core, here, 1.0)
        load.rate(port, RATE, 1.0)  # code is warm
        still, swapped, errors = [], [], 0
        for _ in range(swaps):
            for came, runs in ((load.rate(port, RATE, RUN_S), still), (_swapping(operator, load, port), swapped)):
                runs.append(came["latency_ms"])
                errors += came["errors"]
    return Swaps(routes, still, swapped, errors)


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


def _swapping(operator: Operator, load: Load, port: int) -> dict[str, Any]:
    """What the load says of a run with a swap in its middle."""
    came: list[dict[str, Any]] = []
    running = threading.Thread(target=lambda: came.append(load.rate(port, RATE, RUN_S)))
    running.start()
    running.join(RUN_S / 3)
    operator.swap()
    if not running.is_alive():
        print("bench: a swap took longer than its run; this machine is too busy", file=sys.stderr)
    running.join()
    if not came:
        raise SystemExit("bench: the load generator failed")
    return came[0]


def _proxy(here: Path, core: int | None, ending: contextlib.ExitStack) -> int:
    """Its port, once it answers. There is no ledger: its log keeps everything."""
    port, log = free_port(), here / "proxy.log"
    settings = {
        "LOG_DIR": str(here / "log"),
        "CONTROL": f"unix:{here / 'operator.sock'}",
        "LEDGER": f"unix:{here / 'ledger.sock'}",
        "LISTEN": f"127.0.0.1:{port}",
        "ADMIN": f"127.0.0.1:{free_port()}",
        "KEEP": _memory(ending),
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


def _go_first(ending: contextlib.ExitStack) -> None:
    """Before whatever else runs here, where we may: these processes and those they start, but for the operator."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        print("bench: not root, so what else runs here disturbs the figures more", file=sys.stderr)
        return
    ending.callback(os.sched_setscheduler, 0, os.SCHED_OTHER, os.sched_param(0))


def _memory(ending: contextlib.ExitStack) -> str:
    """Where `byway up` has proxies keep their tables too: on a disk, syncing them would hold up the log beside."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return ending.enter_context(tempfile.TemporaryDirectory(prefix="byway-bench-", dir=memory))


def _until(true: Callable[[], bool], process: "subprocess.Popen[Any]", what: str) -> None:
    end = time.monotonic() + WITHIN_S
    while not true():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"bench: waited in vain until {what}")
        time.sleep(0.05)


def _of(runs: list[Latency], at: str) -> list[float]:
    return [run[at] for run in runs]


def _middle(runs: list[Latency]) -> list[float]:
    middle = [statistics.median(_of(runs, at)) for at in ("p50", "p99", "max")]
    return [*middle, max(_of(runs, "max"))]


def _row(name: str, values: list[float]) -> str:
    return f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |"


if __name__ == "__main__":
    main()
