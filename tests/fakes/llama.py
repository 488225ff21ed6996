"""A real model server: llama.cpp itself with the tiny model of `examples/`. Not fake, only small."""

import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
ANSWERS = "llama.cpp answers on "


_TINY = runpy.run_path(str(EXAMPLES / "tiny_model.py"))
CONTEXT: int = _TINY["CONTEXT"]
"""Tokens that a request and its answer may have."""


def write_model(path: Path) -> None:
    _TINY["write"](path)


@contextmanager
def llama_serving(model: Path) -> Iterator[str]:
    """Its base URL. The process ends with the block, and with us if we are killed: it reads our end of a pipe."""
    with subprocess.Popen(
        [sys.executable, __file__, model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith(ANSWERS):
                    yield line.removeprefix(ANSWERS).strip()
                    return
            raise RuntimeError("the llama.cpp server did not start")
        finally:
            process.kill()


def _serve(model: str) -> None:
    sys.path.insert(0, str(EXAMPLES))
    import llama_server

    def end_with_parent() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    llama_server.serve(model, 0)


if __name__ == "__main__":
    _serve(sys.argv[1])
