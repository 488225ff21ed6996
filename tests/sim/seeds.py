"""`make sim`: live through many seeds, or tell one as a story.

make sim SEEDS=20000        seeds 1 to 20,000, on all cores
make sim SEED=123           one, with everything that happened
"""

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count, islice

from sim.world import run

AT_ONCE = 10
"""Seeds that a worker takes at a time."""


@dataclass
class Lived:
    seeds: int = 0
    attempts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: dict[int, list[str]] = field(default_factory=dict)

    def __iadd__(self, other: "Lived") -> "Lived":
        self.seeds += other.seeds
        self.attempts += other.attempts
        self.counts += other.counts
        self.failed |= other.failed
        return self


def some(seeds: Sequence[int]) -> Lived:
    lived = Lived()
    for seed in seeds:
        truth = run(seed)
        lived += Lived(1, len(truth.sent), truth.counts, {seed: truth.violations} if truth.violations else {})
    return lived


def many(seeds: Iterator[int], workers: int, seconds: float) -> Lived:
    """Until there are no more, or the time is over."""
    until, lived = time.monotonic() + seconds, Lived()
    with ProcessPoolExecutor(workers) as pool:
        under_way: set[Future[Lived]] = set()
        while True:
            while len(under_way) < workers * 2 and time.monotonic() < until:
                piece = list(islice(seeds, AT_ONCE))
                if not piece:
                    break
                under_way.add(pool.submit(some, piece))
            if not under_way:
                return lived
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in done:
                lived += one.result()


def tell(seed: int) -> bool:
    """Everything that happened. Whether nothing was wrong."""
    truth = run(seed, print)
    print(f"\n{len(truth.sent):,} attempts; {_counted(truth.counts)}")
    print(f"fingerprint {truth.fingerprint:08x}: the same story has the same")
    for what in truth.violations:
        print(f"WRONG  {what}")
    return not truth.violations


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in sorted(counts.items()))


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="tell this one")
    parser.add_argument("--seeds", type=int, help="how many; else as many as the time allows")
    parser.add_argument(
        "--first", type=int, help="where to begin; else with 1, or by chance where time is the bound"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(given)
    if asked.seed is not None:
        return 0 if tell(asked.seed) else 1
    first = asked.first or (1 if asked.seeds else random.randrange(1, 10**9))
    began = time.monotonic()
    lived = many(islice(count(first), asked.seeds), asked.workers, asked.seconds)
    took = time.monotonic() - began
    print(
        f"{lived.seeds:,} seeds from {first} in {took:.0f} s: {lived.attempts:,} attempts; {_counted(lived.counts)}"
    )
    for seed, violations in sorted(lived.failed.items()):
        print(f"seed {seed}: {violations[0]} (and {len(violations) - 1} more; make sim SEED={seed} tells it)")
    print(f"{len(lived.failed)} seeds with violations")
    return 1 if lived.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
