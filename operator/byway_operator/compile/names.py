"""Which route a model name belongs to. Within a namespace the oldest wins, and the loser is told who won.

A route that is rejected keeps its names all the same: they never fall through to a shared or catalogue model.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from byway_operator.compile.faults import NotAccepted
from byway_operator.resources.faults import rule_faults
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.resources.model_route import ModelRoute
from byway_operator.resources.shared import AllowedNamespaces


@dataclass
class Names:
    """Names taken so far; routes come oldest first (see `by_age`)."""

    _owners: dict[tuple[str, str], Key] = field(default_factory=dict)

    def check(self, key: Key, route: ModelRoute) -> None:
        """Raises NotAccepted if one of the route's names belongs to an older route."""
        for index, name in enumerate(route.effective_model_names):
            winner = self._owners.get((key.namespace, name), key)
            if winner != key:
                at = f"spec.modelNames[{index}]" if route.spec.model_names else "metadata.name"
                raise NotAccepted(
                    "Conflicted", at, f'{at}: "{name}" belongs to {winner}, which is older; take another name'
                )

    def take_free(self, key: Key, wanted: Iterable[str]) -> tuple[str, ...]:
        """Of the names those that no older route has."""
        return tuple(name for name in wanted if self._owners.setdefault((key.namespace, name), key) == key)


def by_age(manifest: Manifest) -> tuple[str, Key]:
    """Oldest first. What has no time of creation is older than all that has one."""
    return manifest.created, manifest.key


def as_written(manifest: Manifest) -> tuple[str, ...]:
    """The names of a route that may be wrong in every other respect."""
    spec = manifest.body.get("spec")
    written = spec.get("modelNames") if isinstance(spec, Mapping) else None
    names = [name for name in written if _callable(name)] if isinstance(written, list) else []
    return tuple(names[:16]) or tuple(filter(_callable, [manifest.key.name]))


def consent_as_written(manifest: Manifest) -> AllowedNamespaces | None:
    """Of a route that may be wrong in every other respect. Raises ValueError if it is wrong in this one too."""
    spec = manifest.body.get("spec")
    written = spec.get("allowedNamespaces") if isinstance(spec, Mapping) else None
    if written is None:
        return None
    consent = AllowedNamespaces.model_validate_json(json.dumps(written, default=str), extra="ignore")
    if next(rule_faults(consent), None) is not None:
        raise ValueError("a consent that says two things")
    return consent


def _callable(name: object) -> bool:
    """A name that a well-formed route could have."""
    return isinstance(name, str) and len(name) <= 256 and re.fullmatch(r"[!-)+-~]+", name) is not None
