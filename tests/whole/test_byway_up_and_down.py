"""`byway up` with its real processes: ready, one killed, a second copy refused, and the end in order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from byway_cli.up import layout
from byway_cli.up.layout import Running

PATIENCE_S = 30.0
EMPTY = """\
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {name: local}
spec: {provider: openai-compatible, baseURL: "http://127.0.0.1:9/v1"}
"""


class Up:
    """A `byway up` of two proxies on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.resources, self.state, self.log = folder / "resources", folder / "state", folder / "log"
        self.resources.mkdir()
        (self.resources / "local.yaml").write_text(EMPTY)
        self._file = self.log.open("w")
        self.process = subprocess.Popen(self.command(), stdout=self._file, stderr=self._file)

    def command(self) -> list[str]:
        words = ["up", str(self.resources), "--proxies", "2", "--port", "0", "--state", str(self.state)]
        return [sys.executable, "-m", "byway_cli.main", *words]

    def said(self) -> str:
        return self.log.read_text()

    def until(self, true: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < give_up, self.said()
            assert self.process.poll() is None, self.said()
            time.sleep(0.02)

    def running(self) -> Running:
        running = layout.read_running(self.state)
        assert running is not None
        return running

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self._file.close()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    started = Up(tmp_path)
    try:
        started.until(lambda: "ready: " in started.said())
        yield started
    finally:
        started.close()


def test_it_says_what_is_there_and_ends_everybody_in_order(up: Up) -> None:
    assert "(2 proxies, 0 routes, 1 provider key)" in up.said()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(PATIENCE_S) == 0
    ends = [line.split()[0] for line in up.said().splitlines() if line.rstrip().endswith("ends")]
    assert sorted(ends[:2]) == ["proxy-0", "proxy-1"]
    assert ends[2:] == ["operator", "ledger"]
    assert layout.read_running(up.state) is None


def test_a_proxy_that_is_killed_comes_back_with_another_pid(up: Up) -> None:
    first = up.running().proxies[1].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    up.until(lambda: up.running().proxies[1].pid not in (None, first))
    up.until(lambda: "proxy-1   ended (SIGKILL); starting it again" in up.said())


def test_a_second_copy_on_the_same_state_is_refused_with_the_pid_of_the_first(up: Up) -> None:
    second = subprocess.run(up.command(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert second.returncode == 1
    assert f"already up on {up.state} (pid {up.process.pid})" in second.stderr
