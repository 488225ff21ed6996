"""What a person may read of what the operator compiles, and what of it he may not.

Read are ModelRoutes and ProviderKeys of his namespace, of the trusted ones, and of those that these name; labels of
these namespaces; the platform's floor and price book. Never a Secret.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from byway_operator.kube.api import KubeError, Object
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.watch.objects import Reader

from byway_cli.errors import CommandError
from byway_cli.kube.calls import CRDS_MISSING, OwnRights

KINDS = {"modelroutes": "ModelRoute", "providerkeys": "ProviderKey"}


@dataclass(frozen=True)
class Platform:
    """What the operator was told of namespaces, as far as the person who asks knows it."""

    release: str
    trusted: tuple[str, ...]


@dataclass
class Seen:
    platform: Platform
    manifests: dict[Key, Manifest] = field(default_factory=dict)
    told: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    """Each one's status."""
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Of namespaces."""
    read: set[str] = field(default_factory=set)
    """Namespaces of which everything could be read."""
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By namespace: kinds that there is no right to list."""
    floor_unread: bool = False


async def look(
    api: OwnRights,
    namespaces: Sequence[str],
    platform: Platform,
    authors: frozenset[str],
    named: Sequence[str] = (),
) -> Seen:
    """What concerns these namespaces. `named` are others that they name already. Raises CommandError if they
    themselves cannot be read.
    """
    seen = Seen(platform)
    due = [*dict.fromkeys((*namespaces, *platform.trusted, *named))]
    while due:
        namespace = due.pop(0)
        await _look_into(api, namespace, seen)
        if namespace in namespaces and namespace in seen.unread:
            kinds = " and ".join(seen.unread[namespace])
            raise CommandError(
                f"no right to list {kinds} in namespace {namespace}; have somebody bind you the ClusterRole view "
                f"there: kubectl create rolebinding … --clusterrole=view --user=… -n {namespace}"
            )
        known = {*seen.read, *seen.unread, *due}
        due += [one for one in dict.fromkeys(named_in(seen.manifests)) if one not in known and one not in authors]
    await _look_at_the_floor(api, seen)
    return seen


def named_in(manifests: Mapping[Key, Manifest]) -> Iterator[str]:
    """Namespaces that routes name: of keys they use, and of routes they fall back to."""
    for key, manifest in manifests.items():
        spec = manifest.body.get("spec")
        if key.kind != "ModelRoute" or not isinstance(spec, dict):
            continue
        for endpoint in _listed(spec.get("endpoints")):
            ref = endpoint.get("providerKeyRef") if isinstance(endpoint, dict) else None
            if isinstance(ref, dict) and isinstance(ref.get("namespace"), str):
                yield ref["namespace"]
        for model in _listed(spec.get("fallbackModels")):
            if isinstance(model, str) and "/" in model:
                yield model.split("/")[0]


async def _look_into(api: OwnRights, namespace: str, seen: Seen) -> None:
    forbidden = []
    for plural, kind in KINDS.items():
        try:
            items = (await api.list_resources(plural, namespace)).items
        except KubeError as error:
            if error.status == 404:
                raise CommandError(CRDS_MISSING) from error
            if error.status != 403:
                raise
            forbidden.append(plural)
            continue
        for item in items:
            _take(kind, item, seen)
    if forbidden:
        seen.unread[namespace] = tuple(forbidden)
    else:
        seen.read.add(namespace)
    try:
        seen.labels[namespace] = (await api.read_namespace(namespace))["metadata"].get("labels") or {}
    except KubeError as error:
        if error.status not in (403, 404):
            raise


def _take(kind: str, item: Object, seen: Seen) -> None:
    known = Reader(kind)(item, None)
    seen.manifests[known.manifest.key] = known.manifest
    if known.told:
        seen.told[known.manifest.key] = known.told


async def _look_at_the_floor(api: OwnRights, seen: Seen) -> None:
    release = seen.platform.release
    try:
        found = (
            *(await api.list_floors(release)).items,
            *(await api.list_price_books(release)).items,
            *(await api.list_fees(release)).items,
        )
    except KubeError as error:
        if error.status != 403:
            raise
        seen.floor_unread = True
        return
    for item in found:
        manifest = Reader("ConfigMap")(item, None).manifest
        seen.manifests[manifest.key] = manifest


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
