"""What `byway --help` says fits its lines, and names the exit codes."""

import subprocess
import sys

import pytest


def _help(*words: str) -> str:
    command = [sys.executable, "-m", "byway_cli", *words, "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return ended.stdout


def test_the_list_of_commands_cuts_no_sentence_off_and_names_the_exit_codes() -> None:
    said = _help()
    assert "..." not in said.partition("Commands:")[2]
    assert "Exit codes: 0 done, 1 " in said


@pytest.mark.parametrize("command", ["up", "check", "explain"])
def test_a_command_with_exit_codes_of_its_own_says_them(command: str) -> None:
    assert "xit code" in _help(command)
