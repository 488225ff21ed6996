"""The front of this folder: a manifest as its source delivered it becomes a typed resource, or is refused.

From a folder and in `byway check` it is `strict`: a field that we do not know is an error. Behind an API server,
which has checked that already, an unknown field is ignored: an upgrade of the CRDs may run ahead of ours.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from byway_operator.resources.access_key import AccessKey
from byway_operator.resources.budget import Budget
from byway_operator.resources.config_map import NoEntry, says, unfolded
from byway_operator.resources.faults import Fault, Reason, empty_faults, form_faults, nearest, rule_faults
from byway_operator.resources.fees import FEES_ENTRY, FEES_EXAMPLE, FEES_LABEL, FEES_NAME, Fees
from byway_operator.resources.floor import ENTRY, EXAMPLE, FLOOR_LABEL, Floor
from byway_operator.resources.manifest import Manifest
from byway_operator.resources.model_route import ModelRoute
from byway_operator.resources.paths import as_read, by_index, document_order, position
from byway_operator.resources.price_book import (
    PRICE_BOOK_ENTRY,
    PRICE_BOOK_EXAMPLE,
    PRICE_BOOK_LABEL,
    PRICE_BOOK_NAME,
    PriceBook,
)
from byway_operator.resources.provider_key import ProviderKey
from byway_operator.resources.secret import Secret
from byway_operator.resources.undone import undone

Resource = ModelRoute | ProviderKey | Budget | AccessKey | Secret | Floor | PriceBook | Fees

KINDS: Mapping[str, type[Resource]] = {
    "ModelRoute": ModelRoute,
    "ProviderKey": ProviderKey,
    "Budget": Budget,
    "AccessKey": AccessKey,
    "Secret": Secret,
    "ConfigMap": Floor,
}


class Rejected(Exception):
    """A manifest that is no resource. `field` is the path by index, for `Place.of`; `message` names it as people
    read it."""

    def __init__(self, reason: Reason, field: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field
        self.message = message


def parse(manifest: Manifest, strict: bool) -> Resource:
    """Raises Rejected with the first fault, as one reads down the page, and how many more there are."""
    kind = _kind(manifest.key.kind)
    if manifest.key.kind == "ConfigMap":
        return _of_platform(manifest.key.name, manifest.body)
    return _validated(kind, manifest.body, "spec", strict)


def _of_platform(name: str, body: Mapping[str, Any]) -> Resource:
    """A price book, or fees, where it says so or has that name; but what says that it is a floor is one."""
    floor = says(body, FLOOR_LABEL)
    book = not floor and (says(body, PRICE_BOOK_LABEL) or name == PRICE_BOOK_NAME)
    try:
        if not floor and not book and (says(body, FEES_LABEL) or name == FEES_NAME):
            return _validated(Fees, unfolded(body, FEES_ENTRY, "fees", FEES_EXAMPLE), "fees", True)
        if book:
            content = unfolded(body, PRICE_BOOK_ENTRY, "book", PRICE_BOOK_EXAMPLE)
            return _validated(PriceBook, content, "book", True)
        return _validated(Floor, unfolded(body, ENTRY, "floor", EXAMPLE), "floor", True)
    except NoEntry as error:
        raise Rejected("Invalid", "data", str(error)) from error


def _validated(kind: type[Resource], body: Mapping[str, Any], content: str, strict: bool) -> Resource:
    """`content` is the field that people fill in."""
    said = body.get(content)
    faults = list(empty_faults(said, (content,))) if strict and said is not None else []
    try:
        # As JSON, so that lists may become tuples while a number in quotes stays wrong.
        resource = kind.model_validate_json(_json(body), extra="forbid" if strict else "ignore")
    except ValidationError as error:
        faults += form_faults(error, kind, _without_empty(body))
    else:
        faults += [*undone(resource), *rule_faults(resource)]
        if not faults:
            return resource
    raise _rejected(faults, body)


def _kind(name: str) -> type[Resource]:
    if name not in KINDS:
        meant = nearest(name, [*KINDS])
        raise Rejected("Invalid", "kind", f"kind: no kind {name!r}" + (f"; did you mean {meant}?" if meant else ""))
    return KINDS[name]


def _rejected(faults: Iterable[Fault], body: Mapping[str, Any]) -> Rejected:
    order = document_order(body)
    # One line, one fault: an empty field would else also be reported as missing.
    found = {fault.path: fault for fault in reversed(list(faults))}
    first, *others = sorted(found.values(), key=lambda fault: position(fault.path, order))
    more = f" (and {len(others)} more)" if others else ""
    path = as_read(first.path, body)
    return Rejected(first.reason, by_index(first.path), f"{path}: {first.message}{more}")


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(_without_empty(body), default=str)


def _without_empty(value: Any, within: tuple[str, ...] = ()) -> Any:
    """Without the fields that have no value, except where null may be meant: `request.defaults`."""
    if within[-2:] == ("request", "defaults"):
        return value
    if isinstance(value, Mapping):
        return {
            str(name): _without_empty(inner, (*within, str(name)))
            for name, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list | tuple):
        return [_without_empty(inner, within) for inner in value]
    return value


__all__ = ["KINDS", "Rejected", "Resource", "parse"]
