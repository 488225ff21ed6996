"""The objects in the text of one file, each with its place, and what is wrong there. Pure.

The folder may be the one that is given to `kubectl apply`, so it may hold more than our kinds: other objects of
Kubernetes are passed over in silence. A word that is nearly one of ours is a slip, and is told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from byway_operator.resources.common import LABEL_PATTERN, SUBDOMAIN_PATTERN
from byway_operator.resources.config_map import says
from byway_operator.resources.faults import nearest
from byway_operator.resources.fees import FEES_LABEL, FEES_NAME
from byway_operator.resources.floor import FLOOR_LABEL, FLOOR_NAME
from byway_operator.resources.manifest import Key, Manifest, Place, Problem
from byway_operator.resources.price_book import PRICE_BOOK_LABEL, PRICE_BOOK_NAME
from byway_operator.resources.yaml_text import Document, NotReadable, documents_of

GROUP, VERSION = "byway.dev", "byway.dev/v1alpha1"
PLATFORMS_OWN = (
    (FLOOR_LABEL, FLOOR_NAME, "floor"),
    (PRICE_BOOK_LABEL, PRICE_BOOK_NAME, "price book"),
    (FEES_LABEL, FEES_NAME, "fees"),
)
"""ConfigMaps that are read: label, name, what they are."""
KINDS = ("ModelRoute", "ProviderKey", "Budget", "AccessKey")
CORE_KINDS = (
    "Secret",
    "ConfigMap",
    "Namespace",
    "Service",
    "ServiceAccount",
    "Pod",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Endpoints",
    "Event",
    "LimitRange",
    "Node",
    "PodTemplate",
    "ReplicationController",
    "ResourceQuota",
)


@dataclass(frozen=True)
class Reading:
    """What one file says. `problems` empty: it was understood to the last word, and what it lacks is meant."""

    manifests: tuple[Manifest, ...] = ()
    problems: tuple[Problem, ...] = ()
    passed_over: tuple[str, ...] = ()
    """Objects of other kinds: `Deployment web`."""


def read_documents(file: str, payload: bytes, namespace: str = "default") -> Reading:
    """`file` is its name as people know it, within the folder; `namespace` that of objects which say none."""
    try:
        documents = documents_of(payload, json=file.endswith(".json"))
    except NotReadable as error:
        return Reading(problems=(Problem(Place(file, error.line), error.message),))
    found = [_judge(file, document, namespace) for whole in documents for document in _unlisted(whole)]
    return Reading(
        manifests=tuple(thing for thing in found if isinstance(thing, Manifest)),
        problems=tuple(thing for thing in found if isinstance(thing, Problem)),
        passed_over=tuple(thing for thing in found if isinstance(thing, str)),
    )


def _unlisted(document: Document) -> Iterator[Document]:
    """The entries of a `kind: List`, as `kubectl get -o yaml` prints it; else the document itself."""
    value = document.value
    if not (isinstance(value, dict) and _is_list(value) and isinstance(value.get("items"), list)):
        yield document
        return
    for index, item in enumerate(value["items"]):
        start = f"items[{index}]"
        lines = {
            path[len(start) :].removeprefix("."): line
            for path, line in document.lines.items()
            if path == start or path.startswith((f"{start}.", f"{start}["))
        }
        yield Document(item, lines.get("", document.line), lines)


def _is_list(value: dict[str, Any]) -> bool:
    kind = value.get("kind")
    return kind == "List" or (isinstance(kind, str) and kind.removesuffix("List") in KINDS)


def _judge(file: str, document: Document, namespace: str) -> Manifest | Problem | str:
    place = Place(file, document.line, document.lines)
    body = document.value
    if not isinstance(body, dict):
        return Problem(place, "no object: want apiVersion, kind, metadata and spec")
    version, kind = body.get("apiVersion"), body.get("kind")
    for field, value in (("apiVersion", version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            return Problem(place.of(field), f"{field}: required, as in `apiVersion: {VERSION}`, `kind: ModelRoute`")
    wrong = _not_ours(str(version), str(kind))
    if wrong is not None:
        field, message = wrong
        return Problem(place.of(field), f"{field}: {message}")
    if not _read_here(str(version), str(kind)) and not (kind == "ConfigMap" and _is_platforms(body)):
        unlabelled = _unlabelled(str(version), str(kind), body)
        return Problem(place.of("metadata"), unlabelled) if unlabelled else f"{kind} {_name_in(body)}"
    return _manifest(str(kind), body, place, namespace)


def _read_here(version: str, kind: str) -> bool:
    return version == VERSION or (version == "v1" and kind in ("Secret", "Namespace"))


def _is_platforms(body: dict[str, Any]) -> bool:
    """By its label, as in a cluster."""
    return any(says(body, label) for label, _, _ in PLATFORMS_OWN)


def _unlabelled(version: str, kind: str, body: dict[str, Any]) -> str:
    """What is wrong with one that has the name and not the label: it was hardly meant to do nothing."""
    if (version, kind) == ("v1", "ConfigMap"):
        for label, name, word in PLATFORMS_OWN:
            if _name_in(body) == name:
                return f'metadata.labels: want {label}: "true"; a cluster takes it for no {word} without'
    return ""


def _not_ours(version: str, kind: str) -> tuple[str, str] | None:
    """A slip in apiVersion or kind: which of the two, and what is wrong with it."""
    group = version.partition("/")[0]
    if version == VERSION:
        if kind in KINDS:
            return None
        meant = nearest(kind, KINDS)
        return "kind", f'no kind "{kind[:63]}"; ' + (
            f"did you mean {meant}?" if meant else "want " + ", ".join(KINDS)
        )
    if group == GROUP:
        return "apiVersion", f'"{version[:63]}" is not read by this version; want {VERSION}'
    if kind in KINDS:
        return "apiVersion", f"{kind} is of {VERSION}"
    if version == "v1" and kind not in CORE_KINDS and kind != "List":
        meant = nearest(kind, CORE_KINDS)
        return "kind", f'no kind "{kind[:63]}" in v1' + (f"; did you mean {meant}?" if meant else "")
    if nearest(group, (GROUP,)) and nearest(kind, KINDS):
        return "apiVersion", f"did you mean {VERSION}?"
    return None


def _name_in(body: dict[str, Any]) -> str:
    metadata = body.get("metadata")
    return str(metadata.get("name", ""))[:253] if isinstance(metadata, dict) else ""


def _manifest(kind: str, body: dict[str, Any], place: Place, unsaid: str) -> Manifest | Problem:
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        return Problem(place.of("metadata"), "metadata: required, as in `metadata: {name: smart}`")
    name, namespace = metadata.get("name"), metadata.get("namespace", unsaid)
    if name is None:
        return Problem(place.of("metadata"), "metadata.name: required; a generated name has no meaning in a folder")
    if not isinstance(name, str) or len(name) > 253 or not re.fullmatch(SUBDOMAIN_PATTERN, name):
        said = "want lower-case letters, digits, dashes and dots, at most 253 (a number goes in quotes)"
        return Problem(place.of("metadata.name"), f"metadata.name: {said}")
    if kind == "Namespace":
        return _namespace(metadata, name, body, place)
    if not isinstance(namespace, str) or not re.fullmatch(LABEL_PATTERN, namespace):
        said = "want lower-case letters, digits and dashes, at most 63; leave it out for default"
        return Problem(place.of("metadata.namespace"), f"metadata.namespace: {said}")
    return _placed(Key(kind, namespace, name), metadata, body, place)


def _namespace(metadata: dict[str, Any], name: str, body: dict[str, Any], place: Place) -> Manifest | Problem:
    """Its labels are what a Selector chooses by."""
    labels = metadata.get("labels") or {}
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        return Problem(place.of("metadata.labels"), "metadata.labels: want words; numbers and true go in quotes")
    return _placed(Key("Namespace", "", name), metadata, body, place)


def _placed(key: Key, metadata: dict[str, Any], body: dict[str, Any], place: Place) -> Manifest:
    created = metadata.get("creationTimestamp")
    return Manifest(key, body, created=created if isinstance(created, str) else "", place=place)
