"""Our speed beside the peers', in one command: `make bench`.

    python -m bench [--quick | --long] [--targets nginx,byway,envoy,litellm] [--install] [--output FILE]

The target is pinned to one core, the load generator and the mock provider to another. Repetitions are interleaved,
a target after the other, so that what else the machine does falls on all of them. No limits of its own: it
prints, and whoever reads it judges.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from bench.measure import Machine
from bench.native import Load, compiled, folder, pinned
from bench.runs import LONG, QUICK, Lane, Lengths, repetition
from bench.table import Results, table
from bench.targets.byway import BYWAY
from bench.targets.envoy import ENVOY
from bench.targets.litellm import LITELLM
from bench.targets.nginx import NGINX
from bench.targets.target import Place, Running, Target, answers

TARGETS = {target.name: target for target in (NGINX, ENVOY, LITELLM, BYWAY)}


def main() -> None:
    given = _arguments()
    lengths = QUICK if given.quick else LONG if given.long else Lengths()
    targets = _present([TARGETS[name] for name in given.targets.split(",")], given.install)
    target_core, load_core = cores()
    with folder() as made, contextlib.ExitStack() as ending:
        here = Path(made)
        mock_port = mock(load_core, ending)
        load = Load(load_core, here, given.kilobytes)
        running = _started(targets, here, mock_port, target_core, ending)
        results: Results = {name: [] for name in ("direct", *running)}
        for number in range(lengths.repetitions):
            for name in results:
                _say(f"{name}, {number + 1} of {lengths.repetitions}")
                target = running.get(name)
                port = target.place.port if target else mock_port
                lane = Lane(_for(load, target), target, port, mock_port)
                results[name].append(repetition(lane, lengths, given.many_rate))
    made_table = table(results, Machine.here(), lengths, given.many_rate, given.kilobytes)
    print(made_table)
    if given.output:
        given.output.write_text(made_table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Our speed beside the peers'.")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="one short repetition, to see that it runs")
    length.add_argument("--long", action="store_true", help="longer runs, for figures to publish")
    parser.add_argument("--targets", default="nginx,byway", help=f"of {','.join(TARGETS)} [default: nginx,byway]")
    parser.add_argument("--install", action="store_true", help="install what a target lacks, in venvs of its own")
    parser.add_argument(
        "--many-rate", type=int, default=10, help="chunks/s of each of the 1,000 streams [default: 10]"
    )
    parser.add_argument("--kilobytes", type=float, default=1.0, help="of a request's body [default: 1]")
    parser.add_argument("--output", type=Path, help="write the table there too")
    given = parser.parse_args()
    if unknown := set(given.targets.split(",")) - set(TARGETS):
        parser.error(f"no target named {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    return given


def _present(targets: list[Target], install: bool) -> list[Target]:
    """Those that can run here; what the others lack is said aloud."""
    present = []
    for target in targets:
        lacks = target.missing()
        if lacks and install and target.install:
            _say(f"installing {target.name}")
            target.install()
            lacks = target.missing()
        if lacks:
            _say(f"without {target.name}: {lacks}")
        else:
            present.append(target)
    return present


def cores() -> tuple[int | None, int | None]:
    """One for the target, one for load and mock; None and None where there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        _say("only one core: nothing is pinned, and figures say little")
        return None, None
    return cores[0], cores[1]


def mock(core: int | None, ending: contextlib.ExitStack) -> int:
    port = free_port()
    process = subprocess.Popen(pinned(core, [compiled("mock"), str(port)]))
    ending.callback(process.wait, 5)
    ending.callback(process.terminate)
    end = time.monotonic() + 5
    while not answers(port, b"{}"):
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit("bench: the mock provider did not start")
        time.sleep(0.02)
    return port


def _started(
    targets: list[Target], here: Path, mock_port: int, core: int | None, ending: contextlib.ExitStack
) -> dict[str, Running]:
    """Those that became ready, all at once up for the whole bench: an idle one takes no CPU."""
    running = {}
    for target in targets:
        place = Place(here / target.name, free_port(), mock_port)
        place.folder.mkdir()
        started = Running(target, place, core)
        ending.callback(started.end)
        try:
            started.until_ready()
        except RuntimeError as error:
            _say(f"without {target.name}: {error}")
            continue
        running[target.name] = started
    return running


def _for(load: Load, target: Running | None) -> Load:
    return replace(load, headers=target.target.headers) if target else load


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)
