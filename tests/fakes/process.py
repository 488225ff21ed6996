"""The fake provider as a process of its own, for tests of whole processes and of memory."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]


@contextmanager
def provider(
    tmp_path: Path,
    name: str,
    *,
    then: Sequence[dict[str, Any]] = (),
    keys: Sequence[str] = (),
    for_s: float = 100,
    **always: Any,
) -> Iterator[tuple[str, Path]]:
    """Its base URL, and the file of what it served. It answers as `then` says, in order, then always so.

    Without `keys` it takes any credential, or none.
    """
    truth, script = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.json"
    script.write_text(json.dumps({"then": list(then), "always": always}))
    command = [sys.executable, "-m", "fakes.provider", "--truth", truth, "--script", script, "--for-s", for_s]
    command += [word for key in keys for word in ("--key", key)]
    with subprocess.Popen([str(w) for w in command], cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], truth
        finally:
            process.kill()


def asked(truth: Path) -> list[dict[str, Any]]:
    """Every request that ended, the proofs of credentials (`GET …/models`) among them."""
    return [json.loads(line) for line in truth.read_text().splitlines()] if truth.exists() else []


def served(truth: Path) -> list[dict[str, Any]]:
    """Those that a provider would bill."""
    return [one for one in asked(truth) if one["method"] == "POST"]
