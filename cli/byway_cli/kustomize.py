"""What Kustomize must be told of our kinds, which fields name other objects, and what lists are kept by.

Without the first the hash that secretGenerator puts behind a Secret's name does not reach `secretRef.name`; without
the second a patch of one endpoint takes the others away. Both are made from the CustomResourceDefinitions.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from byway_operator.tell.crds import GROUP, MODELS, VERSION, crd

NAMES, SCHEMA = "names.yaml", "schema.yaml"
COMPONENT = {
    "apiVersion": "kustomize.config.k8s.io/v1alpha1",
    "kind": "Component",
    "configurations": [NAMES],
    "openapi": {"path": SCHEMA},
}

REFERENCES: Mapping[str, tuple[str, str]] = {
    "secretRef": ("", "Secret"),
    "serviceRef": ("", "Service"),
    "providerKeyRef": (GROUP, "ProviderKey"),
}
"""A field, and the group and kind of what its `name` is of."""

Schema = Mapping[str, Any]


def files() -> dict[str, dict[str, Any]]:
    """A component, by the names of its files: a kustomization needs nothing but to list it under `components`."""
    return {"kustomization.yaml": COMPONENT, NAMES: names(), SCHEMA: schema()}


def names() -> dict[str, Any]:
    """For `configurations`."""
    found: dict[str, list[dict[str, str]]] = {field: [] for field in REFERENCES}
    for kind in MODELS:
        for field, path in _references(_spec(kind), "spec"):
            found[field].append({"group": GROUP, "kind": kind, "path": f"{path}/name"})
    return {"nameReference": [_reference(*REFERENCES[field], specs) for field, specs in found.items()]}


def schema() -> dict[str, Any]:
    """For `openapi.path`."""
    definitions = {f"{_reversed(GROUP)}.{VERSION}.{kind}": _definition(kind) for kind in MODELS}
    return {"definitions": definitions}


def _reference(group: str, kind: str, specs: list[dict[str, str]]) -> dict[str, Any]:
    named = {"group": group} if group else {"version": "v1"}
    return {**named, "kind": kind, "fieldSpecs": specs}


def _references(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    """Each field that names an object, and its path as Kustomize writes it: through lists without a word."""
    for name, inner in (schema.get("properties") or {}).items():
        if name in REFERENCES:
            yield name, f"{path}/{name}"
        else:
            yield from _references(inner, f"{path}/{name}")
            yield from _references(inner.get("items") or {}, f"{path}/{name}")


def _definition(kind: str) -> dict[str, Any]:
    return {
        "type": "object",
        "x-kubernetes-group-version-kind": [{"group": GROUP, "kind": kind, "version": VERSION}],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _merging(_spec(kind)),
        },
    }


def _merging(schema: Schema) -> dict[str, Any]:
    """Types alone, and how patches meet lists: those kept by a key one by one, sets and tuples as a whole."""
    made: dict[str, Any] = {"type": schema["type"]}
    if schema.get("x-kubernetes-list-type") == "map":
        (made["x-kubernetes-patch-merge-key"],) = schema["x-kubernetes-list-map-keys"]
        made["x-kubernetes-patch-strategy"] = "merge"
    if "items" in schema:
        made["items"] = _merging(schema["items"])
    if "properties" in schema:
        made["properties"] = {name: _merging(inner) for name, inner in schema["properties"].items()}
    if "additionalProperties" in schema:
        made["additionalProperties"] = _merging(schema["additionalProperties"])
    return made


def _spec(kind: str) -> Schema:
    spec: Schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return spec


def _reversed(group: str) -> str:
    return ".".join(reversed(group.split(".")))
