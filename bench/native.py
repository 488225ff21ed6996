"""Compile the mock provider and the load generator, start the one and run the other."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "byway-bench"
MODEL = "bench"


def compiled(name: str) -> Path:
    """The program of bench/NAME.c, compiled when its source is newer."""
    source, program = HERE / f"{name}.c", CACHE / "bin" / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    if not shutil.which("gcc"):
        raise SystemExit("bench: no gcc, which the load generator and the mock provider need; install gcc")
    program.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-o", program, source], check=True)
    return program


def body(folder: Path, *, stream: bool, kilobytes: float) -> Path:
    """A chat of so many kB, in a file of `folder`."""
    turns = [{"role": "system", "content": "You answer briefly, and say so when you do not know."}]
    said = "Which way does a request take, and who decides it, when two providers have the same model? "
    while sum(len(turn["content"]) for turn in turns) < kilobytes * 1000:
        turns.append({"role": "user", "content": said * max(1, int(kilobytes * 1000 / 8 / len(said)))})
    asked: dict[str, Any] = {"model": MODEL, "messages": turns, "temperature": 0.2, "max_tokens": 2000}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    path = folder / f"{'stream' if stream else 'whole'}.json"
    path.write_text(json.dumps(asked, separators=(",", ":")))
    return path


def pinned(core: int | None, words: Sequence[str | Path]) -> list[str]:
    return [*(["taskset", "-c", str(core)] if core is not None else []), *map(str, words)]


@dataclass(frozen=True)
class Load:
    """The load generator, pinned."""

    core: int | None
    folder: Path
    kilobytes: float
    headers: tuple[str, ...] = ()
    """As `Name: value`."""

    def closed(self, port: int, connections: int, seconds: float) -> dict[str, Any]:
        return self._run(port, False, ["--closed", connections, "--seconds", seconds], seconds)

    def rate(self, port: int, per_second: float, seconds: float) -> dict[str, Any]:
        return self._run(port, False, ["--rate", per_second, "--closed", 256, "--seconds", seconds], seconds)

    def streams(self, port: int, streams: int, ramp_s: float, at_most_s: float) -> subprocess.Popen[str]:
        """Started, so that its caller can look at the target meanwhile; `ended` waits."""
        words = ["--streams", streams, "--ramp-ms", ramp_s * 1000, "--seconds", at_most_s]
        return subprocess.Popen(self._words(port, True, words), stdout=subprocess.PIPE, text=True)

    def ended(self, run: subprocess.Popen[str], at_most_s: float) -> dict[str, Any]:
        try:
            printed, _ = run.communicate(timeout=at_most_s + 10)
        finally:
            run.kill()
        return cast(dict[str, Any], json.loads(printed))

    def _run(self, port: int, stream: bool, words: Sequence[object], seconds: float) -> dict[str, Any]:
        done = subprocess.run(
            self._words(port, stream, words), stdout=subprocess.PIPE, check=True, text=True, timeout=seconds + 10
        )
        return cast(dict[str, Any], json.loads(done.stdout))

    def _words(self, port: int, stream: bool, words: Sequence[object]) -> list[str]:
        file = body(self.folder, stream=stream, kilobytes=self.kilobytes)
        address = [str(port), "/v1/chat/completions", str(file)]
        headers = [word for header in self.headers for word in ("--header", header)]
        return pinned(self.core, [compiled("load"), *address, *headers, *map(str, words)])


def folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="byway-bench-")
