"""The figures of an operator on a real Kubernetes API: how soon what is applied is live and told, and at what cost.

    python -m bench.cluster [--routes 2000] [--times 50]         some eight minutes

A real control plane, one operator under the chart's rights, four proxies as processes. Then sixteen more, which are
the proxy's own control client in one process; then a thousand that only say that they obey. The time of `apply` is
that of its answer not yet come; *live* is by each proxy's own log; *programmed* is when a watch of the API has it.
Exit code 1: far beyond the figures (`verdicts`).
"""

import argparse
import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.cluster_world import Logs, World, pods, said_at
from bench.measure import PROC, Machine, cpu_ns
from bench.verdicts import Verdict, exit_code, verdicts_table

from builders.control_plane import ControlPlane  # isort: skip - bench.cluster_world says where tests are
from cluster.plane.build import found  # isort: skip
from fakes.api_front import ApiFront, Spoilt  # isort: skip
from fakes.fleet import Fleet, fleet  # isort: skip
from fakes.machine import until  # isort: skip
from fakes.process import provider  # isort: skip

PROCESSES, PROXIES, CROWD = 4, 20, 1000
OPERATOR = "byway-operator-0"
BURST = 200
PUSHES = 10


@dataclass
class Run:
    release: Fleet
    world: World
    times: int
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def cpu_s(self, name: str = OPERATOR) -> float:
        return cpu_ns([self.release.processes[name].pid]) / 1e9

    def must(self, figure: str, value: float, most: float, unit: str, note: str = "") -> None:
        self.verdicts.append(Verdict(figure, value, most, unit, note))
        print(f"  {figure}: {value:.4g} {unit} {note}", flush=True)

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(f"  {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster", description="The operator on a real API server."
    )
    parser.add_argument("--routes", type=int, default=2000)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--only", choices=["start", *dict(PARTS)], help="after the start")
    given = parser.parse_args()
    run = measure(given.routes, given.times, given.only)
    print(f"\n{Machine.here()}\n")
    print(verdicts_table(run.verdicts))
    print("\n".join(f"- {note}" for note in run.notes))
    sys.exit(exit_code(run.verdicts))


def measure(routes: int, times: int, only: str | None) -> Run:
    binaries = found()
    if binaries is None:
        raise SystemExit("bench: there is no control plane to measure with: `make kube` compiles one")
    with contextlib.ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="byway-bench-")))
        plane = ending.enter_context(ControlPlane.up(binaries))
        url, _ = ending.enter_context(provider(folder, "fake", for_s=3600))
        began = time.monotonic()
        world = World(plane, routes, url)
        print(f"{routes} routes are applied, {time.monotonic() - began:.0f} s", flush=True)
        release = ending.enter_context(fleet(plane, proxies=0, operators=0))
        run = Run(release, world, times)
        _start(run, hurried=only not in (None, "start"))
        for name, part in PARTS:
            if only in (None, name):
                part(run)
            if only is None and name == "burst":
                _memory(run)
    return run


def _start(run: Run, *, hurried: bool) -> None:
    """`hurried`: what comes after it is asked for, not itself."""
    print("the operator begins, and has everything to tell", flush=True)
    release = run.release
    log, began = release.root / f"{OPERATOR}.log", time.time()
    release.operator(OPERATOR)
    first = until(lambda: log.exists() and list(said_at(log, "a table is published")), 60)[0]
    run.must(f"start to the first table, {len(run.world.routes):,} routes", first - began, 3, "s")
    cpu = run.cpu_s()
    for number in range(PROCESSES):
        release.proxy(number)
    release.ready(*range(PROCESSES))
    until(lambda: release.metric(OPERATOR, "byway_status_writes_total") > len(run.world.routes) / 20, 60)
    if hurried:
        return
    until(lambda: release.metric(OPERATOR, "byway_statuses_waiting") == 0, 600)
    written = release.metric(OPERATOR, "byway_status_writes_total")
    note = f"{cpu:.2f} s to the first table; {written:,.0f} statuses"
    run.must("start in all, until everything is told, CPU", run.cpu_s(), 8, "s", note)


def _again(run: Run) -> None:
    """With everything to tell once more."""
    print("the operator begins anew, all statuses are gone, and one route is applied at a time", flush=True)
    release = run.release
    release.signal(OPERATOR, signal.SIGTERM)
    release.gone(OPERATOR)
    run.world.forget()
    release.operator(OPERATOR)
    until(lambda: release.is_ready(OPERATOR) and _connected(run) == PROCESSES, 60)
    _applies(run, f"{PROCESSES} proxies, while all statuses are written", PROCESSES, None, (600, 2000))
    waiting = release.metric(OPERATOR, "byway_statuses_waiting")
    run.note(f"{waiting:,.0f} statuses were still to be written then")


def _live(run: Run) -> None:
    print("one route is applied at a time", flush=True)
    _applies(run, f"{PROCESSES} proxies", PROCESSES, (250, 1500), (600, 2000))
    with crowd(run, range(PROCESSES, PROXIES), real=True):
        _applies(run, f"{PROXIES} proxies", PROXIES, (400, 1500), (600, 2000))
    run.release.slice(*range(PROCESSES))


def _applies(
    run: Run, where: str, proxies: int, live: tuple[float, float] | None, told: tuple[float, float]
) -> None:
    logs = Logs([_log(run, number) for number in range(proxies)])
    live_ms, told_ms, published_ms, cpu = [], [], [], run.cpu_s()
    compiles = run.release.metric(OPERATOR, "byway_compiles_total")
    operator = Logs([run.release.root / f"{OPERATOR}.log"], "a table is published")
    for _ in range(run.times):
        # Not in step with anything that is done every so often.
        time.sleep(random.uniform(0.3, 0.6))
        began = time.time()
        applied = run.world.apply(run.world.any())
        told_ms.append((run.world.programmed_at(applied) - began) * 1000)
        live_ms.append((logs.said_at(began - 0.001) - began) * 1000)
        published_ms.append((operator.said_at(began - 0.001) - began) * 1000)
    if live:
        run.must(f"apply to live on all, {where}, p50", _share(live_ms, 0.5), live[0], "ms")
        run.must(f"apply to live on all, {where}, p99", _share(live_ms, 0.99), live[1], "ms")
    run.must(f"apply to Programmed=True, {where}, p50", _share(told_ms, 0.5), told[0], "ms")
    run.must(f"apply to Programmed=True, {where}, p99", _share(told_ms, 0.99), told[1], "ms")
    compiles = run.release.metric(OPERATOR, "byway_compiles_total") - compiles
    run.note(
        f"{where}: {run.times} applies, {compiles:g} compiles; the table is published after "
        f"{_share(published_ms, 0.5):.0f} ms (median); {(run.cpu_s() - cpu) / run.times * 1000:.0f} ms of CPU of "
        "the operator an apply, all in all"
    )


def _memory(run: Run) -> None:
    """Before there is a crowd, which costs memory of its own."""
    peak = f"peak {_rss_mb(run, 'VmHWM'):.0f}"
    run.must(f"operator's memory (RSS), {PROXIES} proxies", _rss_mb(run), 200, "MB", peak)


def _burst(run: Run) -> None:
    print(f"{BURST} routes are applied as fast as the API server takes them", flush=True)
    release, world = run.release, run.world
    numbers, began = random.sample(world.routes, BURST), time.time()
    before = release.metric(OPERATOR, "byway_compiles_total")
    for number in numbers:
        last = world.apply(number)
    took_s = time.time() - began
    told = world.programmed_at(last) - began
    compiles = release.metric(OPERATOR, "byway_compiles_total") - before
    run.must(f"{BURST} applies, compiles a second", compiles / told, 2, "", f"{compiles:g} in {told:.1f} s")
    run.note(f"a burst of {BURST} applies took {took_s:.1f} s; the last was programmed {told - took_s:.2f} s later")


def _crowd(run: Run) -> None:
    print(f"{CROWD:,} proxies", flush=True)
    release, cpu = run.release, run.cpu_s()
    idle = _push_cpu(run)
    with crowd(run, range(PROCESSES, PROCESSES + CROWD), real=False) as began:
        run.note(
            f"{CROWD:,} proxies dial, by TLS and tokens, and take their first table: {time.time() - began:.1f} s, "
            f"{run.cpu_s() - cpu:.1f} s of CPU of the operator"
        )
        pushed = _push_cpu(run)
        run.note(
            f"CPU of the operator per push: {pushed:.2f} s with {CROWD:,} proxies, {idle:.2f} s with {PROCESSES}; "
            "watching, compiling, acks and statuses included"
        )
        run.must(
            "operator's memory (RSS), 1,000 proxies", _rss_mb(run), 200, "MB", f"peak {_rss_mb(run, 'VmHWM'):.0f}"
        )
    release.slice(*range(PROCESSES))


def _push_cpu(run: Run) -> float:
    cpu, told = run.cpu_s(), []
    for _ in range(PUSHES):
        began = time.time()
        told.append(run.world.programmed_at(run.world.apply(run.world.any())) - began)
    run.note(f"programmed after {_share(told, 0.5) * 1000:.0f} ms, at most {max(told) * 1000:.0f} ms")
    return (run.cpu_s() - cpu) / PUSHES


def _stall(run: Run) -> None:
    print("the watches stall; settings as shipped", flush=True)
    release, world = run.release, run.world
    name = "byway-operator-1"
    with api_front(release.plane) as front:
        config = release.plane.kubeconfig_for("byway-operator", release.namespace, port=front.port)
        release.operator(name, BYWAY_KUBECONFIG=str(config))
        until(lambda: release.is_ready(name), 30)
        release.signal(OPERATOR)
        until(lambda: release.metric(name, "byway_leader") == 1, 40)
        world.programmed_at(world.apply(world.any()))
        until(lambda: front.watches >= 7, 30)
        front.now = Spoilt(silent=True)
        before = release.metric(name, "byway_resources")
        began = time.time()
        world.delete(world.any())
        until(lambda: release.metric(name, "byway_resources") == before - 1, 120)
        run.must("a deletion that no watch tells is found", time.time() - began, 60, "s")
        began = time.time()
        applied = world.apply(world.any())
        run.must("a stalled watch heals", world.programmed_at(applied, 120) - began, 70, "s")


def _connected(run: Run) -> float:
    return run.release.metric(OPERATOR, "byway_proxies")


@contextlib.contextmanager
def crowd(run: Run, numbers: range, *, real: bool) -> Iterator[float]:
    """They are connected, and count; since when they dial."""
    release = run.release
    file, began = pods(release, numbers, real=real), time.time()
    with (release.root / "crowd.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "bench.crowd", str(file)], stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or _connected(run) == PROCESSES + len(numbers), 120)
        if process.poll() is not None:
            raise SystemExit(f"bench: the crowd ended\n{(release.root / 'crowd.log').read_text()[-3000:]}")
        release.slice(*range(PROCESSES if real else numbers[0]), *numbers) if real else release.slice(*numbers)
        run.world.programmed_at(run.world.apply(run.world.any()))
        yield began
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def api_front(plane: ControlPlane) -> Iterator[ApiFront]:
    front = ApiFront(plane)
    begun, loops = threading.Event(), []

    async def serve() -> None:
        over = asyncio.Event()
        async with front:
            loops.append((asyncio.get_running_loop(), over))
            begun.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert begun.wait(10)
    try:
        yield front
    finally:
        loop, over = loops[0]
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


def _log(run: Run, number: int) -> Path:
    folder = run.release.root if number < PROCESSES else run.release.root / "crowd"
    return folder / f"byway-proxy-{number}.log"


def _rss_mb(run: Run, name: str = "VmRSS") -> float:
    status = (PROC / str(run.release.processes[OPERATOR].pid) / "status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{name}:")) / 1024


def _share(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


PARTS = (("live", _live), ("burst", _burst), ("crowd", _crowd), ("again", _again), ("stall", _stall))

if __name__ == "__main__":
    main()
