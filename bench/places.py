"""Where things run: cores, ports, and the mock provider on one of them."""

import contextlib
import os
import socket
import subprocess
import sys
import time

from bench.native import compiled, pinned
from bench.targets.target import answers


def cores() -> tuple[int | None, int | None]:
    """One for the target, one for load and mock; None and None where there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("bench: only one core: nothing is pinned, and figures say little", file=sys.stderr)
        return None, None
    return cores[0], cores[1]


def mock(core: int | None, ending: contextlib.ExitStack) -> int:
    port = free_port()
    process = subprocess.Popen(pinned(core, [compiled("mock"), str(port)]))
    ending.callback(process.wait, 5)
    ending.callback(process.terminate)
    end = time.monotonic() + 5
    while not answers(port, b"{}"):
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit("bench: the mock provider did not start")
        time.sleep(0.02)
    return port


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
