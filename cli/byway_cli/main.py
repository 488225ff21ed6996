"""The `byway` command: a file a subcommand, and one place where what went wrong is said."""

import sys

import typer

from byway_cli import printing
from byway_cli.check import check
from byway_cli.crds import crds
from byway_cli.credits import credits_
from byway_cli.errors import CommandError
from byway_cli.explain import explain
from byway_cli.get import get
from byway_cli.key import keys
from byway_cli.up.up import up
from byway_cli.usage import usage

app = typer.Typer(
    name="byway",
    help="OpenRouter inside your own Kubernetes cluster, or on this machine.",
    epilog="Exit codes: 0 done, 1 refused or failed (a line on standard error says why), 2 wrongly called.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.command()(check)
app.command()(get)
app.command()(usage)
app.command()(explain)
app.command()(crds)
app.add_typer(keys, name="key")
app.add_typer(credits_, name="credits")


def main() -> None:
    try:
        app()
    except CommandError as error:
        printing.warn(str(error))
        sys.exit(error.code)


if __name__ == "__main__":
    main()
