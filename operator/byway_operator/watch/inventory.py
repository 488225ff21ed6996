"""What a folder holds: the last good reading of each file, made into one world.

A file with a problem removes nothing: what it said before stays, marked `broken`, until it is mended. A file that
is gone, or a file that is understood to the last word and no longer has an object, removes it. One object in two
files is the first file's, by name.

Generations count changes of content (never of metadata or status). They and the time when an object was first
seen outlive a restart by `remembered`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from byway_operator.resources.manifest import Key, Manifest, Problem, Surroundings, World
from byway_operator.watch.documents import Reading

MOST_REMEMBERED = 50_000
"""Generations kept, those of deleted objects included: a name that comes back goes on counting."""


@dataclass
class _File:
    manifests: dict[Key, Manifest] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    digests: dict[Key, str] = field(default_factory=dict)


class Inventory:
    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._generations: dict[Key, tuple[int, str]] = {}
        self._first_seen: dict[Key, str] = {}

    def files(self) -> frozenset[str]:
        return frozenset(self._files)

    def read(self, file: str, reading: Reading) -> None:
        """What a file says now."""
        before = self._files.get(file, _File())
        now = _File()
        twice = []
        for manifest in reading.manifests:
            if manifest.key in now.manifests:
                twice.append(_twice(manifest, now.manifests[manifest.key]))
            else:
                now.manifests[manifest.key] = manifest
                now.digests[manifest.key] = _digest(manifest)
        if reading.problems:
            why = f"{reading.problems[0].place}: {reading.problems[0].message}"
            for key in before.manifests.keys() - now.manifests.keys():
                now.manifests[key] = replace(before.manifests[key], broken=why)
                now.digests[key] = before.digests[key]
        now.problems = (*reading.problems, *twice)
        self._files[file] = now

    def gone(self, file: str) -> None:
        self._files.pop(file, None)

    def lacks(self, file: str, reading: Reading) -> bool:
        """Whether the file held an object that this reading of it has no more."""
        before = self._files.get(file)
        return before is not None and not before.manifests.keys() <= {m.key for m in reading.manifests}

    def world(self) -> World:
        """Everything, counted. In the order of files and lines."""
        manifests: dict[Key, Manifest] = {}
        problems = [problem for _, file in sorted(self._files.items()) for problem in file.problems]
        for manifest, digest in self._good_first():
            winner = manifests.get(manifest.key)
            if winner is None:
                manifests[manifest.key] = replace(manifest, generation=self._counted(manifest.key, digest))
            elif manifest.broken is None:
                problems.append(_twice(manifest, winner))
        namespaces = {key: manifests.pop(key) for key in list(manifests) if key.kind == "Namespace"}
        labels = {key.name: _labels(manifest) for key, manifest in namespaces.items()}
        return World(manifests, tuple(problems), surroundings=Surroundings(labels))

    def first_seen(self, manifests: Iterable[Key], now: str) -> Mapping[Key, str]:
        """When each was seen first, if not at `now`. One that is gone and comes back is new, as in a cluster."""
        self._first_seen = {key: self._first_seen.get(key, now) for key in manifests}
        return self._first_seen

    def remembered(self) -> dict[str, list[int | str]]:
        """Generations and first times as plain JSON, for `recall` after a restart. Digests, never content."""
        return {
            f"{key.kind}/{key.namespace}/{key.name}": [generation, digest, self._first_seen.get(key, "")]
            for key, (generation, digest) in self._generations.items()
        }

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """Before the first `read`. What is not of our form is passed over: then counting starts anew."""
        for name, value in remembered.items():
            match (name.split("/"), value):
                case ([kind, namespace, word], [int(generation), str(digest), *seen]):
                    key = Key(kind, namespace, word)
                    self._generations[key] = (generation, digest)
                    if seen and seen[0]:
                        self._first_seen[key] = str(seen[0])
                case _:
                    continue

    def _good_first(self) -> Iterator[tuple[Manifest, str]]:
        """Broken ones come last: an object that was moved out of a file since unreadable is the other file's."""
        files = [file for _, file in sorted(self._files.items())]
        for broken in (False, True):
            for file in files:
                for key, manifest in file.manifests.items():
                    if (manifest.broken is not None) == broken:
                        yield manifest, file.digests[key]

    def _counted(self, key: Key, digest: str) -> int:
        # Taken out and put back: the order is that of last use.
        generation, before = self._generations.pop(key, (0, ""))
        generation += digest != before
        self._generations[key] = (generation, digest)
        while len(self._generations) > MOST_REMEMBERED:
            del self._generations[next(iter(self._generations))]
        return generation


def _digest(manifest: Manifest) -> str:
    """Of the content. The object's name is in it, so that equal Secrets do not look equal."""
    content = {name: value for name, value in manifest.body.items() if name not in ("metadata", "status")}
    text = json.dumps([str(manifest.key), content], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _labels(namespace: Manifest) -> Mapping[str, str]:
    """A cluster gives every namespace this one."""
    return {**(namespace.body["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": namespace.key.name}


def _twice(loser: Manifest, winner: Manifest) -> Problem:
    assert loser.place is not None
    said = f"{loser.key} is in {winner.place} already, and that one holds; take one out or rename it"
    return Problem(loser.place, said)
