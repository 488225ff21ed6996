"""`kubectl byway explain MODEL`: `byway explain`, by what the person who asks may read of a cluster."""

import asyncio
import random
from typing import Annotated, Any

import typer

from byway_cli import printing
from byway_cli.explain import print_answer
from byway_cli.kube.options import Context, Namespace, Release, Trusted
from byway_cli.options import Form
from byway_cli.printing import Output


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As a caller writes it.")],
    namespace: Namespace = None,
    context: Context = None,
    output: Form = Output.table,
    release: Release = "byway",
    trusted: Trusted = None,
) -> None:
    """Print who would answer for a model, and why.

    As an app of the namespace would be answered. Needs no right but to list modelroutes and providerkeys there;
    reads no Secret. What cannot be read is said, and what follows from that. Exit code 1 if nobody would answer.
    """
    answer = asyncio.run(_answer(model, namespace, context, release, tuple(trusted or (release,))))
    if output is Output.table:
        print_answer(model, answer)
        for note in answer["notes"]:
            printing.note(note)
    else:
        printing.document(answer, output)
    if not answer["candidates"]:
        raise typer.Exit(1)


async def _answer(
    model: str, namespace: str | None, context: str | None, release: str, trusted: tuple[str, ...]
) -> dict[str, Any]:
    # Half a second to import, which no other command should pay.
    from byway_operator.compile.catalogue.catalogue import load

    from byway_cli.kube.explaining import explained
    from byway_cli.kube.reading import Platform
    from byway_cli.kube.session import session

    catalogue = load()
    async with session(context, namespace) as asking:
        named = [first for first, slash, _ in [model.partition("/")] if slash and first not in catalogue.authors]
        seen = await asking.look([asking.namespace], Platform(release, trusted), catalogue.authors, named)
    return explained(model, asking.namespace, seen, catalogue, random.Random())
