"""`byway get KIND [NAME]`: on one machine what `kubectl get` is in a cluster, with the same columns."""

import difflib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

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
}
"""Every name a kind is called by, in lower case."""

Item = Mapping[str, Any]
Columns = Sequence[tuple[str, str]]


def get(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="modelroutes (mr), providerkeys (pk); more by commas.")
    ],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="[default: all]")] = None,
    output: Form = Output.table,
    state: State = None,
    directory: Dir = None,
) -> None:
    """Print resources and their status, as `kubectl get` does."""
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
        raise CommandError(
            f"no kind {text!r}; " + (f"did you mean {near[0]}?" if near else "there are modelroutes, providerkeys")
        )
    return kind


def columns(item: Item, now: float) -> Columns:
    """The cells of one resource, each with its header. `now` is seconds since 1970."""
    metadata, status = item.get("metadata", {}), item.get("status", {})
    if item.get("kind") == "ModelRoute":
        middle = [
            ("READY", _condition(status, "Ready")),
            ("ENDPOINTS", status.get("endpointsAvailable", "")),
            ("TTFT", status.get("firstTokenP50", "")),
            ("PROGRAMMED", status.get("proxies", "")),
        ]
    else:
        used = status.get("lastUsed", "")
        middle = [
            ("PROVIDER", item.get("spec", {}).get("provider", "")),
            ("VALID", _condition(status, "Valid")),
            ("MODELS", str(status.get("models", ""))),
            ("LAST-USED", printing.age(used, now) if used else ""),
            ("ERRORS", str(status.get("errorRate", ""))),
        ]
    age = printing.age(metadata.get("creationTimestamp") or "", now)
    return [("NAME", metadata.get("name", "")), *middle, ("AGE", age)]


def _print_tables(found: Mapping[str, Sequence[Item]], now: float) -> None:
    if not any(found.values()):
        printing.warn("no resources found")
    first = True
    for kind, items in found.items():
        if not items:
            continue
        if not first:
            print()
        first = False
        prefix = f"{kind.lower()}/" if len(found) > 1 else ""
        everywhere = len({item["metadata"].get("namespace") for item in items}) > 1
        rows = [
            _row(columns(item, now), item["metadata"].get("namespace", ""), prefix, everywhere) for item in items
        ]
        printing.table([header for header, _ in rows[0]], [[cell for _, cell in row] for row in rows])


def _row(cells: Columns, namespace: str, prefix: str, everywhere: bool) -> Columns:
    (header, name), *rest = cells
    named = [(header, prefix + name), *rest]
    return [("NAMESPACE", namespace), *named] if everywhere else named


def _items(operator: Path, kind: str, namespace: str | None, name: str | None) -> Sequence[Item]:
    items: Sequence[Item] = asking.ask(operator, "/v1/resources", kind=kind, namespace=namespace, name=name)[
        "items"
    ]
    return items


def _condition(status: Item, kind: str) -> str:
    return next((one["status"] for one in status.get("conditions", ()) if one["type"] == kind), "")
