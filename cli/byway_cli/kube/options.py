"""The options that the subcommands of `kubectl byway` share; kubectl's own have kubectl's names."""

from typing import Annotated

import typer

Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="Of the kubeconfig. [default: its current one]")
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NS", help="[default: the context's own]")
]
Release = Annotated[
    str, typer.Option("--release-namespace", metavar="NS", help="Where Byway itself was installed.")
]
Trusted = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted",
        metavar="NS",
        help="A trusted namespace, as in the chart's trustedNamespaces; repeatable. [default: the release's]",
    ),
]
