"""What it takes to put a proxy between load and mock: a command, a port, and which processes are the proxy."""

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import measure
from bench.native import CACHE, body, pinned

READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Place:
    """Where a target is to run."""

    folder: Path
    port: int
    mock_port: int


@dataclass(frozen=True)
class Target:
    name: str
    command: Callable[[Place], list[str]]
    """Writes what it needs into the place's folder. The process must stay in the foreground."""
    missing: Callable[[], str | None] = lambda: None
    """What it lacks on this machine, with the way to get it."""
    install: Callable[[], None] | None = None
    proxy: str = ""
    """What the command lines of its proxying processes contain; empty: all of its tree is the proxy."""
    environment: dict[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    """That a request to it must carry, as `Name: value`."""


class Running:
    """A started target."""

    def __init__(self, target: Target, place: Place, core: int | None) -> None:
        self.target, self.place = target, place
        self.log = place.folder / "output.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                pinned(core, target.command(place)),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | target.environment,
                start_new_session=True,
            )

    def until_ready(self) -> None:
        """Ready is: it answers a chat with 200. Raises RuntimeError with the end of its output."""
        end = time.monotonic() + READY_WITHIN_S
        asked = body(self.place.folder, stream=False, kilobytes=0.5).read_bytes()
        while time.monotonic() < end and self._process.poll() is None:
            if answers(self.place.port, asked, self.target.headers):
                return
            time.sleep(0.1)
        said = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.target.name} did not answer within {READY_WITHIN_S:g} s. It said:\n{said}")

    def all(self) -> list[int]:
        return measure.tree(self._process.pid)

    def proxies(self) -> list[int]:
        return [pid for pid in self.all() if self.target.proxy in measure.command(pid)]

    def end(self) -> None:
        """SIGTERM to it; SIGKILL to what is left of its tree after a while."""
        pids = self.all()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(5)


def answers(port: int, asked: bytes, headers: Sequence[str] = ()) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/v1/chat/completions", asked, dict(header.split(": ", 1) for header in headers))
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def venv(name: str) -> Path:
    return CACHE / f"venv-{name}"


def make_venv(name: str, requirements: Sequence[str]) -> None:
    """A venv of its own, in the user's cache: nobody else's dependencies come near ours."""
    place = venv(name)
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", place / "bin/python", *requirements], check=True
        )
        return
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin/python", "-m", "pip", "install", "--quiet", *requirements], check=True)
