"""A process of ours is asked to end by a signal, and ended by a second one."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

DRAINS = """
import asyncio
from byway_process.running import run

async def main(stop):
    print("up", flush=True)
    await stop.wait()
    print("draining", flush=True)
    await asyncio.sleep({drain_s})
    print("drained", flush=True)

run(main)
"""
FAILS = """
from byway_process.running import run

async def main(stop):
    raise LookupError("a bug")

run(main)
"""
WITHIN_S = 20


@contextmanager
def process(source: str) -> Iterator["subprocess.Popen[str]"]:
    words = [sys.executable, "-c", source]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def said(running: "subprocess.Popen[str]") -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_it_to_drain_and_it_ends_well(asked: signal.Signals) -> None:
    with process(DRAINS.format(drain_s=0.01)) as running:
        assert said(running) == "up"
        running.send_signal(asked)
        assert said(running) == "draining"
        assert said(running) == "drained"
        assert running.wait(WITHIN_S) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(second: signal.Signals) -> None:
    with process(DRAINS.format(drain_s=600)) as running:
        assert said(running) == "up"
        running.send_signal(signal.SIGTERM)
        assert said(running) == "draining"
        running.send_signal(second)
        assert running.wait(WITHIN_S) == -second
        assert said(running) == ""


def test_a_bug_ends_it_with_its_name_and_a_bad_exit_code() -> None:
    with process(FAILS) as running:
        _, errors = running.communicate(timeout=WITHIN_S)
        assert running.returncode == 1
        assert "LookupError: a bug" in errors
