"""How things look: columns like kubectl's, YAML, JSON, and the lines of running processes.

Colour only where a person looks: on a terminal, and not where `NO_COLOR` is set. In a pipe every line is plain and
whole, however long.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

GOOD, BAD, DIM, BOLD = "green", "red", "dim", "bold"
_CELLS = {"True": GOOD, "False": BAD, "Unknown": "yellow"}
_LEVELS = {"debug": DIM, "info": "cyan", "warning": "yellow", "error": "bold red"}
_NOT_FIELDS = frozenset({"at", "level", "process", "what"})


class Output(StrEnum):
    table = "table"
    json = "json"
    yaml = "yaml"


def out() -> Console:
    return _console(stderr=False)


def err() -> Console:
    return _console(stderr=True)


def line(console: Console, *parts: str | tuple[str, str]) -> None:
    """One line of text, its parts styled or not; never wrapped, never cut, no markup read from it."""
    text = Text.assemble(*parts)
    console.print(text, soft_wrap=True, highlight=False)


def warn(message: str) -> None:
    line(err(), ("byway: ", BAD), message)


def note(message: str) -> None:
    """Something to know beside what was asked for; on standard error, where no program reads it."""
    line(err(), ("note: ", DIM), message)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell, three spaces between: what `kubectl get` prints."""
    console = out()
    for number, cells in enumerate(columns([headers, *rows])):
        if number == 0:
            line(console, ("".join(cells), BOLD))
        else:
            line(console, *((cell, _CELLS.get(cell.strip(), "")) for cell in cells))


def columns(rows: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Each row's cells padded to their columns, up to its last one that says something."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        told = max((number for number, cell in enumerate(row) if cell), default=0)
        padded = [cell.ljust(width + 3) for cell, width in zip(row[:told], widths, strict=False)]
        yield [*padded, row[told]]


def document(value: Any, output: Output) -> None:
    """A value as YAML or JSON. `value` is what JSON can hold."""
    if output is Output.json:
        text = json.dumps(value, indent=2, ensure_ascii=False)
    else:
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=2**31 - 1).rstrip("\n")
    sys.stdout.write(text + "\n")


def log_parts(who: str, written: str) -> list[str | tuple[str, str]]:
    """A line that a process of ours logged, for people; any other line (a traceback) as it is, marked by `|`."""
    fields = _logged(written)
    if fields is None:
        return [(f"{who:<9} ", DIM), ("| ", DIM), written]
    level = str(fields.get("level", "info"))
    named = [f"{name}={_short(value)}" for name, value in fields.items() if name not in _NOT_FIELDS]
    parts: list[str | tuple[str, str]] = [(f"{who:<9} ", DIM), (f"{level:<8} ", _LEVELS.get(level, ""))]
    parts.append(str(fields["what"]))
    if named:
        parts.append(("  " + "  ".join(named), DIM))
    return parts


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count} {one}" if count == 1 else f"{count} {many or one + 's'}"


def _console(stderr: bool) -> Console:
    # Without a width of our own, rich would wrap at 80 in a pipe.
    return Console(stderr=stderr, soft_wrap=True, markup=False, highlight=False, emoji=False)


def _logged(written: str) -> Mapping[str, Any] | None:
    if not written.startswith("{"):
        return None
    try:
        fields = json.loads(written)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "what" in fields else None


def _short(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if not value or " " in value or "\n" in value else value
    return json.dumps(value, ensure_ascii=False)
