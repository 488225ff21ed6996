"""The floor becomes what binds each namespace, and says whose own keys are refused.

Fail closed, twice over:

    a namespace whose labels nobody knows     is bound by every floor that goes by labels
    a floor that cannot be read, no good one  binds everybody, and nothing is served: it may have forbidden anything
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from byway_contract.table import EVERY_NAMESPACE, DataPolicy
from byway_contract.table import Floor as Bound

from byway_operator.resources.floor import FLOOR_NAME, Floor, OneFloor
from byway_operator.resources.manifest import Key
from byway_operator.resources.model_route import RouteDataPolicy


def floor_key(release: str) -> Key:
    return Key("ConfigMap", release, FLOOR_NAME)


@dataclass(frozen=True)
class Floors:
    floors: tuple[OneFloor, ...] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    closed: str | None = None
    """Why there is a floor and nobody can tell which."""

    def over(self, namespace: str) -> tuple[OneFloor, ...]:
        labels = self.labels.get(namespace)
        return tuple(floor for floor in self.floors if _binds(floor, namespace, labels))

    def denies_own_keys(self, namespace: str) -> str | None:
        """The name of the floor that does. A trusted namespace's keys are the platform's."""
        if namespace in self.trusted:
            return None
        return next((floor.name for floor in self.over(namespace) if floor.own_keys == "Deny"), None)

    def bound(self) -> Iterator[tuple[str, Bound]]:
        """What callers are bound by: an object for each combination of floors, and one for all that is unknown."""
        if self.closed is not None:
            yield "floor:", Bound((EVERY_NAMESPACE,), closed=self.closed)
            return
        unknown = tuple(floor for floor in self.floors if floor.namespaces is None or not floor.namespaces.names)
        members = {_id(unknown): (unknown, [EVERY_NAMESPACE])}
        named = {name for floor in self.floors if floor.namespaces for name in floor.namespaces.names}
        for namespace in sorted(named | self.labels.keys()):
            floors = self.over(namespace)
            if floors != unknown:
                members.setdefault(_id(floors), (floors, []))[1].append(namespace)
        for name, (floors, namespaces) in members.items():
            if floors or unknown:
                yield name, _bound(floors, namespaces)


def read(floor: Floor, labels: Mapping[str, Mapping[str, str]], trusted: tuple[str, ...]) -> Floors:
    return Floors(tuple(sorted(floor.floor.floors, key=lambda one: one.name)), labels, trusted)


def data_policy(said: RouteDataPolicy) -> DataPolicy:
    return DataPolicy(
        deny_training=said.training == "Deny",
        max_retention_days=said.max_retention_days,
        regions=tuple(sorted(said.regions)),
    )


def _binds(floor: OneFloor, namespace: str, labels: Mapping[str, str] | None) -> bool:
    if floor.namespaces is None:
        return True
    if floor.namespaces.selector is None:
        return namespace in floor.namespaces.names
    return labels is None or floor.namespaces.selector.fits(labels)


def _id(floors: tuple[OneFloor, ...]) -> str:
    return f"floor:{'+'.join(floor.name for floor in floors)}"


def _bound(floors: tuple[OneFloor, ...], namespaces: list[str]) -> Bound:
    return Bound(
        tuple(namespaces),
        tuple(data_policy(floor.data_policy) for floor in floors if floor.data_policy is not None),
        tuple(tuple(sorted(floor.allowed_models)) for floor in floors if floor.allowed_models),
        require_budget=any(floor.require_budget for floor in floors),
    )
