"""What we take from the API's objects: manifests and their status, namespaces' labels, a Service's pods. Pure.

A manifest is what people wrote: no status, no `managedFields`, no annotations (`kubectl apply` keeps a copy of the
whole object there, of a Secret with its values), and no resourceVersion, so that an object is the same manifest
until somebody writes something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from byway_operator.resources.manifest import CORE_KINDS, Key, Manifest
from byway_operator.watch.held import Object

LABELS = "labels"
_KEPT = ("name", "namespace", "uid", LABELS, "creationTimestamp", "generation")


@dataclass(frozen=True)
class Known:
    """An object of ours, a Secret, the floor or the price book."""

    manifest: Manifest
    told: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """Its status, which is our own voice: no news to us."""


@dataclass(frozen=True)
class Reader:
    """Makes Known of objects of a kind: `Held(Reader("ModelRoute"))`."""

    kind: str

    def __call__(self, found: Object, before: Known | None) -> Known:
        told = found.get("status") if self.kind not in CORE_KINDS else None
        manifest = self._manifest(found)
        if before is None:
            return Known(manifest, told)
        if manifest.body == before.manifest.body:
            return replace(before, told=told)
        if "generation" not in found["metadata"]:
            manifest = replace(manifest, generation=before.manifest.generation + 1)
        return Known(manifest, told)

    def _manifest(self, found: Object) -> Manifest:
        metadata = found["metadata"]
        body = {
            # A LIST leaves these two out of its items where the server is an old one.
            "apiVersion": found.get("apiVersion", "v1" if self.kind in CORE_KINDS else "byway.dev/v1alpha1"),
            "kind": self.kind,
            **{name: value for name, value in found.items() if name not in ("apiVersion", "kind", "status")},
            "metadata": {name: metadata[name] for name in _KEPT if name in metadata},
        }
        key = Key(self.kind, metadata["namespace"], metadata["name"])
        # What is not ours has no generation: its changes are counted while we look.
        return Manifest(key, body, metadata.get("generation", 1), metadata.get("creationTimestamp") or "")


def unlabelled_secret(name: tuple[str, str]) -> Manifest:
    """A Secret of which we know that it is there, and not marked as a credential."""
    metadata = {"namespace": name[0], "name": name[1]}
    return Manifest(Key("Secret", *name), {"apiVersion": "v1", "kind": "Secret", "metadata": metadata})


def labels_of(found: Object, _before: Mapping[str, str] | None) -> Mapping[str, str]:
    """Of a Namespace."""
    return found["metadata"].get(LABELS) or {}


def ready_pods(found: Object, _before: frozenset[str] | None) -> frozenset[str]:
    """Of an EndpointSlice: the pods behind a Service that take traffic. Not said is ready, as the API has it."""
    return frozenset(
        endpoint["targetRef"]["name"]
        for endpoint in found.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        and (endpoint.get("targetRef") or {}).get("kind") == "Pod"
    )
