"""What a cluster holds that concerns us, kind by kind, made into one world. Pure.

A kind is looked at as a whole or namespace by namespace: each is a *view*, with LISTs and watches of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from byway_contract.table import Issuer

from byway_operator.resources.manifest import Key, Surroundings, World
from byway_operator.watch.held import Held, Object, Relisted
from byway_operator.watch.objects import Known, Reader, labels_of, ready_pods, unlabelled_secret

KINDS = {
    "modelroutes": "ModelRoute",
    "providerkeys": "ProviderKey",
    "budgets": "Budget",
    "accesskeys": "AccessKey",
    "secrets": "Secret",
}
"""By their plural, as in a URL."""
NAMESPACES, SLICES, CONFIG_MAPS = "namespaces", "endpointslices", "configmaps"
MANIFESTS = {**KINDS, CONFIG_MAPS: "ConfigMap"}
"""What becomes a manifest; the last in the release's namespace alone."""


@dataclass(frozen=True, order=True)
class View:
    """A kind in one namespace, or in all of them (None)."""

    plural: str
    namespace: str | None = None

    def __str__(self) -> str:
        return self.plural if self.namespace is None else f"{self.plural} in {self.namespace}"


def views(watch_namespaces: Sequence[str], release: str) -> tuple[View, ...]:
    """What is looked at; `watch_namespaces` empty is all."""
    where: Sequence[str | None] = sorted(set(watch_namespaces)) or (None,)
    resources = (View(plural, namespace) for plural in KINDS for namespace in where)
    return (*resources, View(NAMESPACES), View(SLICES, release), View(CONFIG_MAPS, release))


class ClusterInventory:
    def __init__(self, looked_at: Iterable[View]) -> None:
        self._known: dict[View, Held[Known]] = {}
        self._namespaces: Held[Mapping[str, str]] = Held(labels_of)
        self._slices: Held[frozenset[str]] = Held(ready_pods)
        self._issuer: Issuer | None = None
        self._unlabelled: frozenset[tuple[str, str]] = frozenset()
        for view in looked_at:
            if view.plural in MANIFESTS:
                self._known[view] = Held(Reader(MANIFESTS[view.plural]))

    def take(self, view: View, found: Object) -> bool:
        """An object is, or is otherwise. True: `world` is another."""
        return self._held(view).take(found)

    def drop(self, view: View, found: Object) -> bool:
        return self._held(view).drop(found)

    def relist(self, view: View, found: Sequence[Object], version: int) -> Relisted:
        return self._held(view).relist(found, version)

    def trust(self, issuer: Issuer | None) -> bool:
        """Who signs the tokens of callers."""
        changed, self._issuer = issuer != self._issuer, issuer
        return changed

    def unlabelled(self, names: frozenset[tuple[str, str]]) -> bool:
        """Secrets that are named, and are there without the label of a credential."""
        changed, self._unlabelled = names != self._unlabelled, names
        return changed

    def keys(self) -> frozenset[Key]:
        return frozenset(known.manifest.key for held in self._known.values() for known in held)

    def keys_after(self, view: View, found: Sequence[Object], version: int) -> frozenset[Key]:
        """What there would be after such a LIST."""
        if view not in self._known:
            return self.keys()
        others = (known.manifest.key for other, held in self._known.items() if other != view for known in held)
        names = self._known[view].names_after(found, version)
        return frozenset(others) | {Key(MANIFESTS[view.plural], *name) for name in names}

    def world(self) -> World:
        """Everything, as it is now: what happens later does not change it."""
        known = [known for held in self._known.values() for known in held]
        unlabelled = map(unlabelled_secret, sorted(self._unlabelled))
        return World(
            {
                **{manifest.key: manifest for manifest in unlabelled},
                **{each.manifest.key: each.manifest for each in known},
            },
            surroundings=Surroundings(
                {name: labels for (_, name), labels in self._namespaces.items()}, self._issuer
            ),
            told={each.manifest.key: each.told for each in known if each.told is not None},
            proxies=frozenset().union(*self._slices),
        )

    def _held(self, view: View) -> Held[Any]:
        match view.plural:
            case "namespaces":
                return self._namespaces
            case "endpointslices":
                return self._slices
            case _:
                return self._known[view]
