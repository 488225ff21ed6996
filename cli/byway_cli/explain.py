"""`byway explain MODEL`: which endpoints would answer, in which order, and why every other one is left out."""

import os
from collections.abc import Mapping
from typing import Annotated, Any

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
    """Print who would answer for a model, and why.

    Exit code 1 if nobody would just now.
    """
    proxy = asking.a_proxy(asking.state_of(state, directory, os.environ))
    answer = asking.ask(proxy, "/v1/explain", model=model, namespace=namespace)
    if output is Output.table:
        print_answer(model, answer)
    else:
        printing.document(answer, output)
    if not answer.get("candidates"):
        raise typer.Exit(1)


def print_answer(model: str, answer: Mapping[str, Any]) -> None:
    """As tables."""
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
        # One that could not be resolved has no endpoint's name; then its provider key's says which it is.
        rows = [
            [one.get("endpoint") or one.get("provider", ""), one.get("reason", ""), one.get("detail", "")]
            for one in left_out
        ]
        printing.table(["LEFT OUT", "REASON", "DETAIL"], rows)
