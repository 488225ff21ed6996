"""The options that several commands share, said once."""

from pathlib import Path
from typing import Annotated

import typer

from byway_cli.printing import Output

State = Annotated[
    Path | None, typer.Option(help="State of the `byway up` that is meant. [default: the one that runs]")
]
Dir = Annotated[Path | None, typer.Option("--dir", help="Folder of the `byway up` that is meant.")]
Form = Annotated[Output, typer.Option("--output", "-o", help="How it is printed.")]
