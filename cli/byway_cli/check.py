"""`byway check DIR`: compile a folder offline and print every verdict. Touches nothing, dials nobody."""

from pathlib import Path
from typing import Annotated

import typer

from byway_cli.errors import CommandError
from byway_cli.options import Form
from byway_cli.printing import Output


def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder your resources are in.")],
    output: Form = Output.table,
) -> None:
    """Say what Byway thinks of a folder of resources; exit 1 if it would refuse any."""
    raise CommandError(f"{directory}: check is not built yet")
