"""A reader's desk: a scratch folder with our examples, two fake providers, and `byway up` when it is wanted."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fakes.machine import until
from fakes.ports import free_port
from fakes.provider import FakeProvider
from fakes.reply import Reply

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_SAID = Reply(text="Hello to you too.")


class Desk:
    def __init__(self, folder: Path, providers: Sequence[str]) -> None:
        self.folder = folder
        self._port = free_port()
        self._addresses = {
            "127.0.0.1:8080": f"127.0.0.1:{self._port}",
            **{f"http://127.0.0.1:{port}/v1": url for port, url in zip((9101, 9102), providers, strict=True)},
        }
        self._up: subprocess.Popen[bytes] | None = None
        self._said = folder / ".said"

    def run(self, typed: str, within_s: float = 30.0) -> tuple[int, str]:
        """As in a shell: its exit code, and what it printed, errors included."""
        typed = self.here(typed)
        if typed.startswith("byway up ") and "--help" not in typed:
            return self._start(typed)
        ended = subprocess.run(
            ["bash", "-c", typed], cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within_s, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout

    def here(self, text: str) -> str:
        """With the addresses of this run instead of those that documents and examples name."""
        for written, real in self._addresses.items():
            text = text.replace(written, real)
        return text

    @property
    def is_up(self) -> bool:
        return self._up is not None

    def up(self) -> None:
        if not self.is_up:
            self.run("byway up examples/quickstart")

    def down(self) -> None:
        if self._up is not None:
            self._up.terminate()
            self._up.wait(40)
            self._up = None

    def _start(self, typed: str) -> tuple[int, str]:
        self.down()
        command = typed if "--port" in typed else f"{typed} --port {self._port}"
        with self._said.open("wb") as said:
            self._up = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self._environment(),
                stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip
        up = self._up
        until(lambda: "call it:" in self._said.read_text() or up.poll() is not None, 30)
        code = up.poll()
        if code is not None:
            self._up = None
        return code or 0, self._said.read_text()

    def _environment(self) -> dict[str, str]:
        # Nothing of ours from outside; state within this folder, by a path short enough for sockets.
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / ".state"),
        }


@contextmanager
def desk() -> Iterator[Desk]:
    folder = Path(tempfile.mkdtemp(prefix="byway-", dir="/tmp"))
    with fake_providers(2) as urls:
        made = Desk(folder, urls)
        try:
            for example in (ROOT / "examples").glob("*/*.yaml"):
                copy = folder / example.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(made.here(example.read_text()))
            yield made
        finally:
            made.down()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fake_providers(count: int) -> Iterator[list[str]]:
    """Their base URLs. They take any credential and say always the same, in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    fakes = [FakeProvider(always=_SAID, keys=None) for _ in range(count)]
    try:
        for fake in fakes:
            asyncio.run_coroutine_threadsafe(fake.accept(), loop).result(10)
        yield [fake.url for fake in fakes]
    finally:
        for fake in fakes:
            asyncio.run_coroutine_threadsafe(fake.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def targets() -> set[str]:
    """What `make` can be asked for."""
    return set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
