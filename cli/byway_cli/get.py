"""`byway get KIND [NAME]`: on one machine what `kubectl get` is in a cluster, with the same columns."""

import difflib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.tell.columns import table_of

from byway_cli import asking, printing
from byway_cli.errors import CommandError
from byway_cli.options import Dir, Form, State
from byway_cli.printing import Output

KINDS: Mapping[str, str] = {
    "modelroutes": "ModelRoute",
    "modelroute": "ModelRoute",
    "mr": "ModelRoute",
    "providerkeys": "ProviderKey",
    "providerkey": "ProviderKey",
    "pk": "ProviderKey",
    "budgets": "Budget",
    "budget": "Budget",
    "bdg": "Budget",
    "accesskeys": "AccessKey",
    "accesskey": "AccessKey",
    "ak": "AccessKey",
}
"""Every name a kind is called by, in lower case."""

Item = Mapping[str, Any]


def get(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="modelroutes (mr), providerkeys (pk), budgets (bdg), accesskeys (ak)."),
    ],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One of them. [default: all]")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="[default: all]")] = None,
    output: Form = Output.table,
    state: State = None,
    directory: Dir = None,
) -> None:
    """Print resources and their status."""
    kinds = [kind_of(one) for one in kind.split(",") if one]
    operator = asking.state_of(state, directory, os.environ) / "run/operator.sock"
    found = {one: _items(operator, one, namespace, name) for one in kinds}
    if name and not any(found.values()):
        where = f" in namespace {namespace}" if namespace else ""
        raise CommandError(f"no {' or '.join(kinds)} named {name!r}{where}; `byway get {kind}` lists all")
    if output is Output.table:
        _print_tables(found, now=time.time())
    else:
        items = [item for items in found.values() for item in items]
        one = items[0] if name and len(items) == 1 else None
        printing.document(one or {"apiVersion": "v1", "kind": "List", "items": items}, output)


def kind_of(text: str) -> str:
    """The kind that is meant by what people type. Raises CommandError with the nearest one."""
    kind = KINDS.get(text.lower())
    if kind is None:
        near = difflib.get_close_matches(text.lower(), KINDS, 1)
        there = "there are modelroutes, providerkeys, budgets, accesskeys"
        raise CommandError(f"no kind {text!r}; " + (f"did you mean {near[0]}?" if near else there))
    return kind


def table(kind: str, items: Sequence[Item], now: float) -> list[list[str]]:
    """Header and rows as `kubectl get` has them. `now` is seconds since 1970."""
    resources = [(_manifest(kind, item), item.get("status", {})) for item in items]
    everywhere = len({manifest.key.namespace for manifest, _ in resources}) > 1
    return table_of(kind, resources, now, namespaces=everywhere)


def _print_tables(found: Mapping[str, Sequence[Item]], now: float) -> None:
    tables = [table(kind, items, now) for kind, items in found.items() if items]
    if not tables:
        printing.warn("no resources found")
    for number, (header, *rows) in enumerate(tables):
        if number:
            print()
        printing.table(header, rows)


def _manifest(kind: str, item: Item) -> Manifest:
    metadata = item["metadata"]
    key = Key(kind, metadata.get("namespace", ""), metadata["name"])
    return Manifest(key, item, created=metadata.get("creationTimestamp") or "")


def _items(operator: Path, kind: str, namespace: str | None, name: str | None) -> Sequence[Item]:
    items: Sequence[Item] = asking.ask(operator, "/v1/resources", kind=kind, namespace=namespace, name=name)[
        "items"
    ]
    return items
