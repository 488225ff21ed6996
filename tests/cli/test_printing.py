"""What people and pipes are shown. A terminal is a real one: a pseudo-terminal."""

import os
import pty
import subprocess
import sys

from byway_cli import printing

TABLE = (
    "from byway_cli import printing; printing.table(['NAME', 'READY'], [['smart', 'True'], ['qwen3:32b', 'False']])"
)
LOGGED = (
    '{"at":"2026-11-24T12:00:00Z","level":"warning","process":"proxy-0","what":"table refused","path":"routes/a/b"}'
)


def test_a_table_has_columns_as_wide_as_their_widest_cell_and_no_blanks_at_the_end() -> None:
    rows = [["NAME", "READY"], ["smart", "True"], ["qwen3:32b", ""]]
    assert ["".join(row) for row in printing.columns(rows)] == [
        "NAME        READY",
        "smart       True",
        "qwen3:32b",
    ]


def test_a_pipe_gets_plain_lines() -> None:
    assert _in_a_pipe(TABLE) == "NAME        READY\nsmart       True\nqwen3:32b   False\n"


def test_a_terminal_gets_colour() -> None:
    shown = _on_a_terminal(TABLE)
    assert "\x1b[1mNAME" in shown
    assert "\x1b[32mTrue" in shown
    assert "\x1b[31mFalse" in shown


def test_a_terminal_with_no_color_set_gets_none() -> None:
    assert "\x1b[3" not in _on_a_terminal(TABLE, NO_COLOR="1")


def test_a_long_line_is_neither_wrapped_nor_cut_in_a_pipe() -> None:
    program = "from byway_cli import printing; printing.line(printing.out(), 'a [red]b[/red] :smile: ' + 'x' * 500)"
    assert _in_a_pipe(program) == "a [red]b[/red] :smile: " + "x" * 500 + "\n"


def test_a_logged_line_is_shown_as_a_sentence_with_its_fields() -> None:
    assert _plain("proxy-0", LOGGED) == "proxy-0   warning  table refused  path=routes/a/b"


def test_a_field_of_several_words_is_quoted_and_anything_else_is_as_in_json() -> None:
    line = '{"level":"info","what":"live","why":"two words","none":null,"names":["a"],"n":3}'
    assert _plain("operator", line) == 'operator  info     live  why="two words"  none=null  names=["a"]  n=3'


def test_a_line_that_is_no_log_is_shown_as_it_is() -> None:
    assert (
        _plain("ledger", "Traceback (most recent call last):") == "ledger    | Traceback (most recent call last):"
    )
    assert _plain("ledger", '{"what": broken') == 'ledger    | {"what": broken'


def _plain(who: str, line: str) -> str:
    return "".join(part if isinstance(part, str) else part[0] for part in printing.log_parts(who, line))


def _in_a_pipe(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20).stdout


def _on_a_terminal(program: str, **environment: str) -> str:
    ours, theirs = pty.openpty()
    fresh = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    whole = {**fresh, "TERM": "xterm-256color", **environment}
    try:
        subprocess.run(
            [sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=whole, timeout=20, check=True
        )
        return os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
