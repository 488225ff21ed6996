"""`byway up` as a person runs it: a process tree of its own, on a free port, over a folder that a test writes."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import canary
from byway_cli.up.layout import lay_out
from fakes.ports import free_port

T = TypeVar("T")
BYWAY = Path(sys.executable).with_name("byway")


class Machine:
    def __init__(self, folder: Path, port: int, state: Path, output: Path) -> None:
        self.folder, self.port, self.state, self.output = folder, port, state, output
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, text: str) -> None:
        """As an editor does it: beside, then renamed over."""
        beside = self.folder / f".{name}.new"
        beside.write_text(text)
        beside.replace(self.folder / name)

    def ask(self, model: str, key: str | None = None, **fields: Any) -> tuple[int, dict[str, str], bytes]:
        """`key` is an access key."""
        body = {"model": model, "messages": [{"role": "user", "content": "Say something."}], **fields}
        return self.post("/v1/chat/completions", body, {"Authorization": f"Bearer {key}"} if key else {})

    def post(
        self, path: str, body: object, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {"Content-Type": "application/json", **(headers or {})}
        return opened(urllib.request.Request(self.url + path, json.dumps(body).encode(), headers))

    def get(self, path: str, port: int | None = None) -> tuple[int, dict[str, str], bytes]:
        return opened(urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}"))

    def byway(self, *words: str, ok: bool = True) -> str:
        """A command of ours about this machine; its standard output."""
        done = subprocess.run(
            [BYWAY, *words, "--state", self.state], capture_output=True, text=True, timeout=30, check=False
        )
        assert not ok or done.returncode == 0, done.stderr
        return done.stdout

    def resource(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.byway("get", kind, name, "-o", "json"))
        return found

    def condition(self, kind: str, name: str, condition: str) -> dict[str, Any]:
        conditions = self.resource(kind, name).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == condition), {})

    def running(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "run/up.json").read_text())
        return found

    def pids(self) -> dict[str, int]:
        """Of the processes below `byway up`, by their module: the proxies as `proxy-0` …"""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = {}
        for pid in children:
            with contextlib.suppress(OSError, IndexError):  # it has just ended
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                name = next((e[11:].decode() for e in environment if e.startswith(b"BYWAY_NAME=")), "")
                module = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2].decode()
                found[name or module.removeprefix("byway_")] = int(pid)
        return found

    def seen(self) -> list[str]:
        """Where a credential can be seen from outside while we run."""
        assert self.process is not None
        with contextlib.suppress(OSError):  # it may have ended
            processes = [self.process.pid, *self.pids().values()]
            memory = lay_out(self.folder, self.state, os.environ).memory
            kept = canary.in_kept_folder(memory, Path("/proc/self/mounts").read_text())
            return [*canary.in_processes(processes), *kept]
        return []

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def start(self, *words: str) -> None:
        command = [BYWAY, "up", self.folder, "--state", self.state, "--port", str(self.port), *words]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        until(lambda: "ready:" in self.said() or self.process is None or self.process.poll() is not None, 30)
        assert self.process.poll() is None, self.said()

    def stop(self, within_s: float = 20) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def machine(manifests: dict[str, str], *words: str) -> Iterator[Machine]:
    """Started and, at the end, drained. Its folders have short paths, as unix sockets want."""
    root = Path(tempfile.mkdtemp(prefix="byway-", dir="/tmp"))
    folder = root / "dir"
    folder.mkdir()
    for name, text in manifests.items():
        (folder / name).write_text(text)
    made = Machine(folder, free_port(), root / "state", root / "output")
    try:
        made.start(*words)
        yield made
    finally:
        if made.process is not None:
            seen = made.seen()
            made.stop()
            canary.nowhere([*seen, *canary.in_folder(root)])
        keep = os.environ.get("BYWAY_KEEP_OUTPUT")
        if keep:
            shutil.copytree(root, Path(keep) / root.name, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
        shutil.rmtree(root, ignore_errors=True)


def until(condition: Callable[[], T], within_s: float = 5.0) -> T:
    """Wait until it is true, and give what it gave. Processes of others tell nobody when they are done."""
    end = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"still not so after {within_s} s"
        select.select([], [], [], 0.01)


def opened(request: urllib.request.Request) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()
