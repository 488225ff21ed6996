"""`byway explain MODEL`: which endpoints would answer, in which order, and why every other one is left out."""

import os
from typing import Annotated

import typer

from byway_cli import asking, printing
from byway_cli.options import Dir, Form, State
from byway_cli.printing import Output


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As a caller writes it.")],
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="The caller's. [default: default]")
    ] = None,
    output: Form = Output.table,
    state: State = None,
    directory: Dir = None,
) -> None:
    """Print who would answer for a model, and why."""
    proxy = asking.a_proxy(asking.state_of(state, directory, os.environ))
    answer = asking.ask(proxy, "/v1/explain", model=model, namespace=namespace)
    if output is not Output.table:
        printing.document(answer, output)
        return
    candidates, left_out = answer.get("candidates", ()), answer.get("left_out", ())
    if candidates:
        keys = ("place", "endpoint", "provider", "price", "why")
        printing.table(
            [key.upper() for key in keys], [[str(one.get(key, "")) for key in keys] for one in candidates]
        )
    else:
        printing.warn(answer.get("error") or f"nobody would answer {model!r} just now")
    if left_out:
        print()
        rows = [[str(one.get(key, "")) for key in ("endpoint", "reason", "detail")] for one in left_out]
        printing.table(["LEFT OUT", "REASON", "DETAIL"], rows)
