"""`byway check DIR`: compile a folder offline and print every verdict. Touches nothing, dials nobody.

Refused means: not accepted, or a file that cannot be read. What is accepted but refers to something that is not in
the folder (often a Secret, which nobody keeps in Git) is told, and refuses nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from byway_cli import printing
from byway_cli.options import AllowedCidrs, Form, Services, allowed_cidrs, services
from byway_cli.printing import Output

if TYPE_CHECKING:
    from byway_cli.verdicts import Line


def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder your resources are in.")],
    output: Form = Output.table,
    service: Services = None,
    allow_cidr: AllowedCidrs = None,
) -> None:
    """Judge a folder of resources, offline.

    A line for each resource; exit code 1 if any of them, or any file, would be refused. What refers to something
    that is not in the folder is told and refuses nothing: secrets often come from elsewhere.
    """
    # The compiler takes half a second to import, which no other command should pay.
    from byway_cli.verdicts import judge, on_one_machine, read

    lines = judge(read(directory), on_one_machine(services(service), allowed_cidrs(allow_cidr)))
    print_lines(directory, lines, output)


def print_lines(directory: Path, lines: "Sequence[Line]", output: Output) -> None:
    """Raises Exit where anything is refused."""
    if output is not Output.table:
        printing.document([asdict(line) for line in lines], output)
    elif lines:
        rows = [[line.place, line.resource or "-", line.verdict, line.message] for line in lines]
        printing.table(["PLACE", "RESOURCE", "VERDICT", "MESSAGE"], rows)
    refused = sum(line.refused for line in lines)
    if refused:
        printing.warn(f"{printing.plural(len(lines), 'verdict')}, {refused} refused")
        raise typer.Exit(1)
    if not lines:
        printing.warn(f"{directory}: no resources of ours in it")
