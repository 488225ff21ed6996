"""`byway credits`: what namespaces have paid in advance; `byway credits add` books what one bought."""

import os
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from byway_contract.fees import CREDITS_PATH, Bought, Purchase
from byway_contract.fees import Credits as Told
from byway_contract.money import dollars, nanodollars

from byway_cli import asking, printing
from byway_cli.errors import CommandError
from byway_cli.options import Dir, Form, State
from byway_cli.printing import Output

credits_ = typer.Typer(help="What namespaces have paid in advance.", invoke_without_command=True)


@credits_.callback()
def shown(
    context: typer.Context,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Of this one alone.")] = None,
    output: Form = Output.table,
    state: State = None,
    directory: Dir = None,
) -> None:
    """Print what was bought, the newest first."""
    if context.invoked_subcommand is not None:
        return
    ledger = asking.state_of(state, directory, os.environ) / "run/ledger.sock"
    answer = asking.ask(ledger, CREDITS_PATH, namespace=namespace)
    if output is not Output.table:
        printing.document(answer, output)
        return
    told = msgspec.convert(answer, Told)
    if told.entries:
        lines = [
            [one.namespace, f"{datetime.fromtimestamp(one.at, UTC):%Y-%m-%dT%H:%M:%SZ}"]
            + [f"${dollars(amount)}" for amount in (one.amount, one.fee, one.paid)]
            + [one.id]
            for one in told.entries
        ]
        printing.table(["NAMESPACE", "AT", "CREDITS", "FEE", "PAID", "ID"], lines)
    else:
        printing.warn("no credits have been bought yet")


@credits_.command()
def add(
    namespace: Annotated[str, typer.Argument(help="Who buys.")],
    usd: Annotated[str, typer.Argument(help="Credits in US dollars: 10 or 10.50. The fee comes on top.")],
    name: Annotated[
        str, typer.Option("--id", help="Of the purchase, as on its invoice; twice the same buys once.")
    ],
    state: State = None,
    directory: Dir = None,
) -> None:
    """Book credits that a namespace bought, and print what it has to pay for them."""
    try:
        bought = msgspec.convert({"id": name, "namespace": namespace, "amount": nanodollars(usd)}, Purchase)
    except ValueError as error:
        raise CommandError(f"want a namespace, dollars as 10 or 10.50, and an --id: {error}") from error
    ledger = asking.state_of(state, directory, os.environ) / "run/ledger.sock"
    done = msgspec.convert(asking.tell(ledger, CREDITS_PATH, bought), Bought)
    entry, before = done.entry, " (booked before; nothing has changed)" if done.before else ""
    typer.echo(
        f"{entry.namespace}: ${dollars(entry.amount)} of credits, fee ${dollars(entry.fee)},"
        f" to pay ${dollars(entry.paid)}{before}"
    )
