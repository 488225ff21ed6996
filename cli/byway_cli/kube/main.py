"""`kubectl byway`: kubectl finds the program `kubectl-byway` on the PATH and hands it all that follows."""

import sys

import typer

from byway_cli import printing
from byway_cli.errors import CommandError
from byway_cli.kube.check import check
from byway_cli.kube.explain import explain
from byway_cli.kube.status import status

app = typer.Typer(
    name="kubectl byway",
    help="Byway in the cluster that kubectl talks to, with your own rights.",
    epilog="Exit codes: 0 well, 1 refused, failed or not Ready (it is said why), 2 wrongly called.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(status)
app.command()(explain)
app.command()(check)


def main() -> None:
    try:
        app(prog_name="kubectl byway")
    except CommandError as error:
        printing.warn(str(error))
        sys.exit(error.code)


if __name__ == "__main__":
    main()
