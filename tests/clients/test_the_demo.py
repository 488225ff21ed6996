"""`make demo` does all it says, with the official client and real model servers."""

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples/demo.py"


def test_everything_that_the_demo_says_happens() -> None:
    ended = subprocess.run([sys.executable, DEMO], capture_output=True, text=True, timeout=110)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = iter(line for line in ended.stdout.splitlines() if line.startswith("demo: "))
    for step in (
        "one answer",
        "one stream",
        "killed",
        "answered that same request",
        "usage",
        "get modelroutes",
        "all of",
    ):
        assert any(step in line for line in told), f"{step}: not said, or not in its order\n{ended.stdout}"
