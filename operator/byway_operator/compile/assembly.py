"""Put the objects of a table together, and remember which resource each came from."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from byway_contract.table import SECTIONS, SectionName, TableObject, canonical, object_hash
from msgspec import Raw

from byway_operator.compile.verdict import ObjectId
from byway_operator.resources.manifest import Key


@dataclass
class Assembly:
    _objects: dict[SectionName, dict[str, Raw]] = field(default_factory=lambda: {name: {} for name in SECTIONS})
    _owners: dict[ObjectId, set[Key]] = field(default_factory=dict)
    _made: dict[Key, dict[ObjectId, Raw]] = field(default_factory=dict)

    def add(self, section: SectionName, name: str, thing: TableObject, owner: Key | None = None) -> None:
        """An object with at most one resource behind it, or one of several that make the same of it."""
        raw = self._objects[section].get(name)
        if raw is None:
            raw = self._objects[section][name] = canonical(thing)
        if owner is not None:
            self.owned((section, name), (owner,))
            self._made.setdefault(owner, {})[section, name] = raw

    def owned(self, identity: ObjectId, owners: Iterable[Key]) -> None:
        """These resources answer for the object, though it is not theirs alone."""
        self._owners.setdefault(identity, set()).update(owners)

    def made_of(self, key: Key) -> frozenset[ObjectId]:
        return frozenset(self._made.get(key, ()))

    def fingerprint(self, key: Key) -> str:
        """Hash of what a resource became; empty if it became nothing."""
        made = self._made.get(key)
        if not made:
            return ""
        whole = hashlib.sha256()
        for (section, name), raw in sorted(made.items()):
            whole.update(f"{section}\0{name}\0{object_hash(raw)}\n".encode())
        return whole.hexdigest()

    def sections(self) -> dict[SectionName, dict[str, Raw]]:
        return {section: dict(sorted(objects.items())) for section, objects in self._objects.items()}

    def owners(self) -> Mapping[ObjectId, tuple[Key, ...]]:
        return {identity: tuple(sorted(keys)) for identity, keys in sorted(self._owners.items())}
