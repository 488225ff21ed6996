"""`byway crds [KIND]`: what a cluster must know before it takes our resources."""

import difflib
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from byway_cli.errors import CommandError

MADE = "# Made by `make crds` from the models in operator/byway_operator; changes here are lost.\n"


def crds(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="One of them. [default: all]")] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            writable=True,
            help="Write a file for each into this folder.",
        ),
    ] = None,
    kustomize: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            writable=True,
            help="Write what Kustomize must know of them into this folder, a component, and nothing else.",
        ),
    ] = None,
) -> None:
    """Print the CustomResourceDefinitions as YAML.

    A cluster must know them before it takes resources: byway crds | kubectl apply --server-side -f -
    """
    if kustomize is not None:
        _component(kustomize)
        return
    # pydantic takes a third of a second to import, which no other command should pay.
    from byway_operator.tell.crds import MODELS, crd, file_of

    kinds = [_kind_of(kind)] if kind else list(MODELS)
    if into is None:
        print("---\n".join(_text(crd(one)) for one in kinds), end="")
        return
    for one in kinds:
        (into / file_of(one)).write_text(MADE + _text(crd(one)))


def _component(folder: Path) -> None:
    from byway_cli.kustomize import files

    for name, value in files().items():
        (folder / name).write_text(MADE + _text(value))


def _kind_of(text: str) -> str:
    """Any name of a kind, upper or lower case. Raises CommandError with the nearest one."""
    from byway_operator.tell.crds import MODELS, plural_of

    called = {
        name: kind for kind, model in MODELS.items() for name in (kind.lower(), plural_of(kind), model.short_name)
    }
    wanted = text.lower()
    if wanted not in called:
        near = difflib.get_close_matches(wanted, called, 1)
        there = ", ".join(map(plural_of, MODELS))
        raise CommandError(f"no kind {text!r}; " + (f"did you mean {near[0]}?" if near else f"there are {there}"))
    return called[wanted]


def _text(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=116)
