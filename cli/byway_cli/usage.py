"""`byway usage`: what was spent, from the ledger's books."""

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from byway_cli import asking, printing
from byway_cli.options import Dir, Form, State
from byway_cli.printing import Output

# What rows may hold beside the columns they are grouped by, in the order people read: how much, then what it cost.
_AMOUNTS = ("requests", "attempts", "prompt_tokens", "completion_tokens", "cost", "billed", "absorbed")


def usage(
    by: Annotated[str, typer.Option(help="Group by: route, namespace, model, provider, account, day, request.")] = (
        "route,provider,model"
    ),
    since: Annotated[str | None, typer.Option(help="From this time on, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time, RFC 3339.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    output: Form = Output.table,
    state: State = None,
    directory: Dir = None,
) -> None:
    """Print what was asked for and what it cost, in US dollars."""
    ledger = asking.state_of(state, directory, os.environ) / "run/ledger.sock"
    most = None if limit is None else str(limit)
    rows = asking.ask(ledger, "/v1/usage", by=by, since=since, until=until, limit=most)["rows"]
    if output is not Output.table:
        printing.document(rows, output)
    elif rows:
        groups = [group for group in by.split(",") if group]
        headers = present(rows, groups)
        printing.table(
            [header.upper().replace("_", "-") for header in headers], [_cells(row, headers) for row in rows]
        )
    else:
        printing.warn("nothing has been booked yet")


def present(rows: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> list[str]:
    """The columns worth printing: the groups, then those amounts that the ledger told."""
    return [*groups, *(amount for amount in _AMOUNTS if any(amount in row for row in rows))]


def _cells(row: Mapping[str, Any], headers: Sequence[str]) -> list[str]:
    return [str(row.get(header) if row.get(header) is not None else "") or "-" for header in headers]
