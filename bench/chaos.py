"""Kill every process at random moments, under load and budgets that run out; then the books against the providers'.

    python bench/chaos.py [KILLS [SEED]]        make chaos KILLS=1000

In rounds of half a minute, each on a fresh machine with the next seed, until there were so many SIGKILLs; with 0,
one round in which nothing happens. What is compared is said in docs/trust.md. Exit code 1 if anything was lost,
booked twice, overspent or told wrongly.
"""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from builders.chaos.figures import Figures
from builders.chaos.world import Wish, tell

KILLS, ROUND_S = 100, 30.0


def main(kills: int, seed: int) -> int:
    figures = Figures()
    print(f"{kills} kills in rounds of {ROUND_S:g} s, from seed {seed}", flush=True)
    try:
        while not figures.seconds or figures.kills.total() < kills:
            _round(figures, Wish(ROUND_S, seed, kills=kills > 0))
            seed += 1
    finally:
        if figures.seconds:
            print(figures.table())
            print(f"{len(figures.differences) or 'no'} differences", flush=True)
    return 1 if figures.differences or figures.overspent else 0


def _round(figures: Figures, wish: Wish) -> None:
    before = len(figures.differences)
    with tempfile.TemporaryDirectory() as folder:
        figures.add(asyncio.run(tell(Path(folder), wish)))
    new = figures.differences[before:]
    print(f"seed {wish.seed}: {figures.kills.total()} kills, {len(new) or 'no'} differences", flush=True)
    for line in new[:10]:
        print(f"    {line[:600]}", flush=True)


if __name__ == "__main__":
    # So that all that was started here is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*given, *(KILLS, 1)[len(given) :]))
