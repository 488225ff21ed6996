"""Our speed beside the peers', in one command: `make bench`.

    python -m bench [--quick | --long] [--only-load] [--targets nginx,byway,envoy,litellm] [--install] [--output F]

The target is pinned to one core, the load generator and the mock provider to another. Repetitions are interleaved,
a target after the other, so that what else the machine does falls on all of them. At the end stands every figure
that we promise, with what it is here; `--only-load` leaves out those that are not about load through a target.
"""

import argparse
import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from bench import save_to_live, swap
from bench.measure import Machine
from bench.native import Load, folder
from bench.places import cores, free_port, mock
from bench.runs import LONG, QUICK, Lane, Lengths, repetition
from bench.table import Results, medians_of, table
from bench.targets.byway import BYWAY
from bench.targets.envoy import ENVOY
from bench.targets.litellm import LITELLM
from bench.targets.nginx import NGINX
from bench.targets.target import Place, Running, Target
from bench.verdicts import Verdict, of_load, verdicts_table

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
    verdicts = of_load(medians_of(results), given.many_rate)
    if not given.only_load:
        verdicts += _other(given.quick)
    judged = verdicts_table(verdicts)
    print(judged)
    if given.output:
        given.output.write_text(f"{made_table}\n{judged}")


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
    parser.add_argument("--only-load", action="store_true", help="without saved files and swapped tables")
    parser.add_argument("--kilobytes", type=float, default=1.0, help="of a request's body [default: 1]")
    parser.add_argument("--output", type=Path, help="write the table there too")
    given = parser.parse_args()
    if unknown := set(given.targets.split(",")) - set(TARGETS):
        parser.error(f"no target named {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    return given


def _other(quick: bool) -> list[Verdict]:
    """What is measured without a peer."""
    _say("files saved, with 4 proxies")
    saved = save_to_live.measure(4, 200, 5 if quick else 20)
    _say("tables swapped under load")
    return [*saved.verdicts, *swap.measure(2000, 3 if quick else 10).verdicts]


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


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)
