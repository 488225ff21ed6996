"""No seed breaks a promise about money; every bug that was put in is seen; and the world itself does as it says."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sim.mutants import MUTANTS
from sim.virtual_loop import Process, VirtualLoop
from sim.world import run

SECONDS = float(os.environ.get("SIM_SECONDS", "10"))
"""For seeds; `make test` gives two minutes."""
SOON = 200
"""Seeds within which a bug must show."""


def lives(*given: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-m", "sim.seeds", *given], env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.timeout(600)
def test_no_seed_breaks_a_promise_about_money() -> None:
    done = lives("--seconds", str(SECONDS))
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_a_seed_is_the_same_story_in_every_process() -> None:
    one, other = lives("--seed", "7", hash_seed="1"), lives("--seed", "7", hash_seed="2")
    assert "fingerprint" in one.stdout, one.stderr
    assert one.stdout == other.stdout


@pytest.mark.parametrize("name", list(MUTANTS))
def test_a_bug_is_seen(name: str) -> None:
    mutant = MUTANTS[name]
    for seed in range(1, SOON + 1):
        with mutant.put_in():
            truth = run(seed, **{"seconds": 20.0, **mutant.changed})
        if truth.violations:
            return
    pytest.fail(f"{SOON} seeds do not see that {name}")


def test_nothing_of_a_killed_process_happens_any_more() -> None:
    loop, killed, told = VirtualLoop(), Process("killed"), list[str]()

    async def work() -> None:
        try:
            await asyncio.sleep(5.0)
            told.append("it went on")
        finally:
            told.append("it ended")

    async def story() -> None:
        loop.spawn(killed, work())
        await asyncio.sleep(1.0)
        loop.kill(killed)
        await asyncio.sleep(10.0)
        assert not told
        assert loop.time() == 11.0

    loop.run_until(loop.spawn(Process("nature"), story()))
    loop.bury([killed])
    assert told == ["it ended"]


def test_a_stopped_process_goes_on_later() -> None:
    loop, stopped, woke = VirtualLoop(), Process("stopped"), list[float]()

    async def work() -> None:
        await asyncio.sleep(5.0)
        woke.append(loop.time())

    async def story() -> None:
        loop.spawn(stopped, work())
        await asyncio.sleep(1.0)
        loop.stop_process(stopped)
        await asyncio.sleep(29.0)
        loop.go_on(stopped)
        await asyncio.sleep(1.0)

    loop.run_until(loop.spawn(Process("nature"), story()))
    assert woke == [30.0]
