"""`byway usage`: what was spent, from the ledger's books."""

import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from byway_contract.activity import BY, FOCUS_PATH

from byway_cli import asking, printing
from byway_cli.errors import CommandError
from byway_cli.options import Dir, Form, State
from byway_cli.printing import Output

_COUNTS = ("requests", "attempts", "prompt_tokens", "completion_tokens")
_DOLLARS = ("cost", "billed", "absorbed")
"""What providers are owed, what callers pay, and the difference: attempts that failed on the way to an answer."""


GROUPS = "route,provider,model"


class Export(StrEnum):
    focus = "focus"


def usage(
    by: Annotated[str, typer.Option(help=f"Group by: {', '.join(BY).replace('_', '-')}.")] = GROUPS,
    since: Annotated[str | None, typer.Option(help="From this time on, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time, RFC 3339.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    output: Form = Output.table,
    form: Annotated[
        Export | None, typer.Option("--format", help="All of it by day, as a CSV file in the columns of FOCUS 1.2.")
    ] = None,
    state: State = None,
    directory: Dir = None,
) -> None:
    """Print what was used and what it cost.

    In US dollars. COST is what providers are owed, BILLED what callers pay, ABSORBED the difference: attempts that
    failed on the way to an answer.
    """
    ledger = asking.state_of(state, directory, os.environ) / "run/ledger.sock"
    if form is Export.focus:
        if by != GROUPS or limit is not None or output is not Output.table:
            raise CommandError(
                "--format focus has rows and columns of its own; of the rest only --since and --until"
            )
        _export(ledger, since, until)
        return
    most = None if limit is None else str(limit)
    rows = asking.ask(ledger, "/v1/usage", by=by, since=since, until=until, limit=most)["rows"]
    if output is not Output.table:
        printing.document(rows, output)
    elif rows:
        headers, *lines = table(rows)
        printing.table(headers, lines)
    else:
        printing.warn("nothing has been booked yet")


def _export(ledger: Path, since: str | None, until: str | None) -> None:
    try:
        asking.copy(ledger, FOCUS_PATH, sys.stdout.buffer, since=since, until=until)
    except BrokenPipeError:
        # As `| head` does. Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Header and lines: the fields the rows are grouped by, then how much, then what it cost."""
    groups = list(rows[0]["key"])
    head = [name.upper().replace("_", "-") for name in (*groups, *_COUNTS, *_DOLLARS)]
    lines = [
        [row["key"][group] or "-" for group in groups]
        + [str(row[count]) for count in _COUNTS]
        + [f"${row[dollars]}" for dollars in _DOLLARS]
        for row in rows
    ]
    return [head, *lines]
