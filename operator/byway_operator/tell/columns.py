"""What `kubectl get` shows of each kind: paths into the object for the CRDs, and read here for `byway get`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from byway_operator.resources.manifest import Manifest
from byway_operator.tell.conditions import Status, seconds


@dataclass(frozen=True)
class Column:
    name: str
    path: str
    """A JSONPath as `additionalPrinterColumns` takes it; of its language only fields and one filter are used."""
    type: Literal["string", "integer", "date"] = "string"
    """A date is shown as how long ago it is."""
    wide: bool = False
    """Only with `kubectl get -o wide`."""


_READY = Column("READY", '.status.conditions[?(@.type=="Ready")].status')
_AGE = Column("AGE", ".metadata.creationTimestamp", "date")

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "ModelRoute": (
        _READY,
        Column("ENDPOINTS", ".status.endpointsAvailable"),
        Column("TTFT", ".status.firstTokenP50"),
        Column("PROGRAMMED", ".status.proxies"),
        _AGE,
    ),
    "ProviderKey": (
        Column("PROVIDER", ".spec.provider"),
        Column("VALID", '.status.conditions[?(@.type=="Valid")].status'),
        Column("MODELS", ".status.models", "integer"),
        Column("LAST-USED", ".status.lastUsed", "date"),
        Column("ERRORS", ".status.errorRate"),
        _AGE,
    ),
    "Budget": (
        Column("LIMIT", ".status.tightest.limit"),
        Column("SPENT", ".status.tightest.spent"),
        Column("RESERVED", ".status.tightest.reserved"),
        Column("REMAINING", ".status.tightest.remaining"),
        Column("RESETS", ".status.tightest.resetsAt"),
        Column("ENFORCING", '.status.conditions[?(@.type=="Enforcing")].status'),
        _AGE,
        Column("PERIOD", ".status.tightest.period", wide=True),
        Column("UNIT", ".status.tightest.unit", wide=True),
        Column("WHOSE", ".status.tightest.name", wide=True),
        Column("REASON", '.status.conditions[?(@.type=="Enforcing")].reason', wide=True),
    ),
    "AccessKey": (
        _READY,
        Column("USER", ".spec.user"),
        Column("LAST-USED", ".status.lastUsed", "date"),
        Column("EXPIRES", ".status.expiresAt"),
        _AGE,
    ),
}
_PLAIN = (_READY, _AGE)

_STEP = re.compile(r'\.(?P<field>\w+)(?:\[\?\(@\.(?P<key>\w+)=="(?P<value>\w+)"\)\])?')


def columns(kind: str) -> tuple[Column, ...]:
    """What follows NAME."""
    return COLUMNS.get(kind, _PLAIN)


def table_of(
    kind: str, resources: Iterable[tuple[Manifest, Status]], now: float, namespaces: bool = False
) -> list[list[str]]:
    """Header and rows, by namespace and name. What is not known is empty, as in kubectl."""
    shown = [column for column in columns(kind) if not column.wide]
    head = ["NAMESPACE", "NAME"] if namespaces else ["NAME"]
    rows = [[*head, *(column.name for column in shown)]]
    for manifest, status in sorted(resources, key=lambda pair: pair[0].key):
        name = [manifest.key.namespace, manifest.key.name] if namespaces else [manifest.key.name]
        rows.append([*name, *(_cell(column, manifest, status, now) for column in shown)])
    return rows


def ago(seconds_: float) -> str:
    """`45s`, `3m`, `2h5m`, `26h`, `4d`, as kubectl shortens."""
    whole = max(int(seconds_), 0)
    if whole < 120:
        return f"{whole}s"
    minutes, second = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{second}s" if second else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, minute = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{minute}m" if minute else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, hour = divmod(hours, 24)
    return f"{days}d{hour}h" if days < 8 and hour else f"{days}d"


def _cell(column: Column, manifest: Manifest, status: Status, now: float) -> str:
    body = {
        "metadata": {"creationTimestamp": manifest.created},
        "spec": manifest.body.get("spec", {}),
        "status": status,
    }
    value = _at(body, column.path)
    if value is None or value == "":
        return ""
    if column.type != "date":
        return str(value)
    at = seconds(str(value))
    return "<invalid>" if at is None else ago(now - at)


def _at(value: Any, path: str) -> Any:
    for step in _STEP.finditer(path):
        value = value.get(step["field"]) if isinstance(value, Mapping) else None
        if step["key"]:
            value = next((item for item in value or () if item.get(step["key"]) == step["value"]), None)
    return value
