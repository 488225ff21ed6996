"""`byway up` before two providers that write down what they served, under load, while its processes are killed.

`tell` gives back whatever all witnesses know; `compare` and `money` say where they differ.
"""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.chaos.callers import TEXT, manifests
from builders.chaos.killing import Reaper, look_on
from builders.chaos.load import A_SECOND, load
from builders.chaos.story import Story
from fakes.machine import Machine, machine, until
from fakes.process import provider, served

WITHOUT_USAGE = 0.1
FAILS, CUTS = 0.06, 0.04
"""Of what the first provider serves."""


@dataclass(frozen=True)
class Wish:
    seconds: float
    seed: int = 11
    proxies: int = 3
    a_second: float = A_SECOND
    kills: bool = True


async def tell(folder: Path, wish: Wish) -> Story:
    """Load for so long, with kills at random; then, when all have ended, whatever is known."""
    story = Story(seconds=wish.seconds)
    with _machine(folder, wish) as (made, truths):
        ended = threading.Event()
        stop = asyncio.Event()
        loading = asyncio.create_task(load(made.url, story.seen, stop, wish.seed, wish.a_second))
        looking = asyncio.create_task(
            asyncio.to_thread(look_on, made.state / "run/ledger.sock", story.looks, ended)
        )
        try:
            began = time.monotonic()
            if wish.kills:
                reaper = Reaper(made, wish.seed, story.killed)
                await asyncio.to_thread(reaper.reap, wish.seconds, ended)
            await asyncio.sleep(began + wish.seconds - time.monotonic())
        finally:
            stop.set()
            try:
                await loading
            finally:
                ended.set()
                await looking
        await asyncio.to_thread(until, lambda: shipped(made), 60)
        assert await asyncio.to_thread(made.stop, 60) == 0, made.said()[-2000:]
        story.rows, story.counters = rows(made), counters(made)
        story.served = {name: served(truth) for name, truth in truths.items()}
    return story


def rows(made: Machine) -> list[dict[str, Any]]:
    """All attempts as the ledger's books have them, read from beside it."""
    return _table(made, "attempt")


def counters(made: Machine) -> list[dict[str, Any]]:
    return _table(made, "counter")


def shipped(made: Machine) -> bool:
    """Whether all proxies run, are idle, and owe the ledger nothing."""
    figures = [_figures(made, proxy["admin"]) for proxy in made.running()["proxies"]]
    return all(f.get("byway_records_unshipped") == 0 and f.get("byway_inflight_requests") == 0 for f in figures)


def _table(made: Machine, name: str) -> list[dict[str, Any]]:
    books = sqlite3.connect(f"file:{made.state}/ledger/ledger.sqlite?mode=ro", uri=True, timeout=10)
    try:
        books.row_factory = sqlite3.Row
        return [dict(row) for row in books.execute(f"SELECT * FROM {name}")]
    finally:
        books.close()


def _figures(made: Machine, admin: int) -> dict[str, float]:
    try:
        text = made.get("/metrics", admin)[2].decode()
    except OSError:
        return {}
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[:1] != "#"
    }


@contextmanager
def _machine(folder: Path, wish: Wish) -> Iterator[tuple[Machine, dict[str, Path]]]:
    """The first provider fails now and then, and both leave out the usage of some answers."""
    usual = {"text": TEXT, "gap_s": 0.02}
    for_s = wish.seconds + 180
    requests = int(wish.seconds * wish.a_second)
    with (
        provider(folder, "a", then=_mishaps(wish, requests), for_s=for_s, **usual) as (a, of_a),
        provider(folder, "b", for_s=for_s, **usual) as (b, of_b),
        machine({"all.yaml": manifests({"a": a, "b": b}, requests)}, "--proxies", str(wish.proxies)) as made,
    ):
        yield made, {"default/a": of_a, "default/b": of_b}


def _mishaps(wish: Wish, requests: int) -> list[dict[str, Any]]:
    dice = random.Random(wish.seed)
    return [_mishap(dice.random(), dice.random()) for _ in range(requests)]


def _mishap(fails: float, tells: float) -> dict[str, Any]:
    usual = {"text": TEXT, "gap_s": 0.02, "usage": "never" if tells < WITHOUT_USAGE else "asked"}
    if fails < FAILS:
        return {"kind": "status", "status": 503}
    return usual | {"kind": "cut", "after": 3} if fails < FAILS + CUTS else usual
