"""A resource as its source delivered it, before anybody judged it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from byway_contract.table import Issuer

CORE_KINDS = frozenset({"Secret", "ConfigMap"})
"""Kubernetes' own kinds that we read: they have no status of ours."""


@dataclass(frozen=True, order=True)
class Key:
    """Which object. Prints as `ModelRoute team-a/smart`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Place:
    """Where a person finds it: `team.yaml:12`. A cluster has no such place."""

    file: str
    line: int
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)
    """Line of each field, by its path as the messages write it: `spec.endpoints[1].model`."""

    def of(self, path: str) -> "Place":
        """The place of a field, or of the nearest field around it."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return Place(self.file, self.lines.get(path, self.line), self.lines)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Manifest:
    """One object, its namespace filled in. `body` is the whole of it, `apiVersion` to `spec`."""

    key: Key
    body: Mapping[str, Any] = field(repr=False)
    """Not in the repr: that of a Secret would be seen in a log."""
    generation: int = 1
    """Counts changes of content."""
    created: str = ""
    """`metadata.creationTimestamp`; empty sorts first, then `namespace/name` decides."""
    place: Place | None = field(default=None, compare=False)
    broken: str | None = None
    """The file is unreadable just now, for this reason; `body` is what it said before."""

    @property
    def uid(self) -> str:
        """One life of an object in a cluster: made again under the same name it has another. Empty in a folder."""
        return str((self.body.get("metadata") or {}).get("uid") or "")


@dataclass(frozen=True)
class Problem:
    """Something wrong that belongs to no object: a file that is no YAML, a document without a kind."""

    place: Place
    message: str
    """Says what is wrong and the way out."""


@dataclass(frozen=True)
class Surroundings:
    """What a cluster says beside resources, and the compiler looks at."""

    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels, by namespace. A folder has none."""
    issuer: Issuer | None = None
    """Who signs the tokens of callers. None: nobody has one."""


@dataclass(frozen=True)
class World:
    """Everything a source holds, in one reading."""

    manifests: Mapping[Key, Manifest]
    problems: tuple[Problem, ...] = ()
    first_seen: Mapping[Key, str] = field(default_factory=dict)
    """Since when the source has had an object, as a creationTimestamp. For people only, and no part of a manifest:
    the same folder compiles to the same table whenever it was first seen."""
    surroundings: Surroundings = Surroundings()
    told: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict)
    """Each object's `status` as the source has it: what an operator before this one said. No part of a manifest."""
    proxies: frozenset[str] | None = None
    """Names of the pods that ought to hold the table; None: nobody knows."""
