"""The options that several commands share, said once."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from byway_contract.reach import networks

from byway_cli.errors import CommandError
from byway_cli.printing import Output

State = Annotated[
    Path | None, typer.Option(help="State of the `byway up` that is meant. [default: the one that runs]")
]
Dir = Annotated[Path | None, typer.Option("--dir", help="Folder of the `byway up` that is meant.")]
Form = Annotated[Output, typer.Option("--output", "-o", help="How it is printed.")]
Services = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="NS/NAME:PORT=HOST:PORT", help="Where a Service is; repeatable."),
]


AllowedCidrs = Annotated[
    list[str] | None,
    typer.Option("--allow-cidr", metavar="CIDR", help="A private network that a baseURL may lead to; repeatable."),
]


class UnpricedModels(StrEnum):
    refuse = "Refuse"
    dearest = "Dearest"


Unpriced = Annotated[
    UnpricedModels,
    typer.Option(
        "--unpriced-models",
        help="Models that nobody priced: Budgets in US dollars refuse them, or they cost the catalogue's dearest.",
    ),
]


def allowed_cidrs(given: Sequence[str] | None) -> tuple[str, ...]:
    """Raises CommandError."""
    try:
        networks(given or ())
    except ValueError as error:
        raise CommandError(f"--allow-cidr: {error}") from error
    return tuple(given or ())


def services(given: Sequence[str] | None) -> dict[str, str]:
    """`namespace/name:port` → `host:port`. Raises CommandError."""
    return dict(map(_service, given or ()))


def _service(text: str) -> tuple[str, str]:
    service, equals, address = text.partition("=")
    name, _, port = service.partition(":")
    host, _, host_port = address.rpartition(":")
    fine = equals and name.count("/") == 1 and all(name.split("/")) and host and "," not in text
    if not (fine and port.isdecimal() and host_port.isdecimal()):
        example = "default/vllm:8000=127.0.0.1:8000"
        raise CommandError(f"--service {text}: want namespace/name:port=host:port, as in {example}")
    return service, address
