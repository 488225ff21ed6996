"""Tests of the whole script the fake from outside: one process, its first line, its file of truth."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

TESTS = Path(__file__).parents[1]


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[str]:
    """Its base URL, while it runs."""
    running = subprocess.Popen(
        [sys.executable, "-m", "fakes.provider", "--port", "0", "--for-s", "20", *arguments],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    try:
        yield json.loads(cast(IO[bytes], running.stdout).readline())["url"]
    finally:
        running.terminate()
        out, _ = running.communicate(timeout=5)
        assert (running.returncode, out) == (0, b"")


def call(url: str, body: Any = None, key: str = "sk-a") -> tuple[int, Any]:
    asked = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    asked.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_process_obeys_its_script_and_writes_the_truth(tmp_path: Path) -> None:
    script, truth = tmp_path / "script.json", tmp_path / "truth.jsonl"
    script.write_text('{"then": [{"kind": "status", "status": 503}], "always": {"text": "one two"}}')
    with process("--key", "sk-a", "--script", str(script), "--truth", str(truth)) as url:
        chat = {"model": "m", "messages": []}
        assert call(f"{url}/chat/completions", chat)[0] == 503
        code, answer = call(f"{url}/chat/completions", chat)
        assert (code, answer["usage"]["completion_tokens"]) == (200, 2)
        assert call(f"{url}/chat/completions", chat, key="sk-b")[0] == 401
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    assert [(line["status"], line["completion_tokens"], line["key"]) for line in lines] == [
        (503, 0, 0),
        (200, 2, 0),
        (401, 0, -1),
    ]


def test_a_process_is_scripted_anew_while_it_runs() -> None:
    with process() as url:
        control = url.removesuffix("/v1") + "/__fake"
        assert call(f"{control}/script", {"models": {"m": {"kind": "status", "status": 402}}})[0] == 200
        assert call(f"{url}/chat/completions", {"model": "m"})[0] == 402
        code, said = call(f"{control}/script", {"always": {"kind": "nonsense"}})
        assert code == 400
        assert "nonsense" in said["error"]
        assert [served["status"] for served in call(f"{control}/served")[1]] == [402]
