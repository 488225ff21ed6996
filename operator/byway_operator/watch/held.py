"""What is known of the objects of one kind, by what LISTs and watches say in whatever order it arrives. Pure.

    LIST at version v     is complete: whatever is not in it and not newer than v is gone
    event at version v    is news if nothing newer is known of that object

A watch may be ahead of a LIST that is on its way, or behind one: an object made meanwhile stays, one deleted
meanwhile does not come back, and an event from before the LIST changes nothing. A resourceVersion only grows, over
all objects of a kind.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

MOST_GONE = 10_000
"""Deletions remembered until the next LIST. Without memory of one a LIST that began before it brings the object
back, until the LIST after that."""

Object = Mapping[str, Any]
"""As the API gives it."""
Name = tuple[str, str]
"""Namespace (empty for what is in none) and name."""
T = TypeVar("T")


@dataclass(frozen=True)
class Relisted:
    """What a LIST changed. `pruned`: objects whose deletion no watch had told."""

    changed: bool
    pruned: int = 0


class Held(Generic[T]):
    """Values made from objects. Those that compare equal are the same to whoever asks whether something changed."""

    def __init__(self, read: Callable[[Object, T | None], T]) -> None:
        """`read` makes a value of an object, and of the value from before, if there is one."""
        self._read = read
        self._values: dict[Name, tuple[int, T]] = {}
        self._gone: dict[Name, int] = {}
        self._listed = 0

    def __iter__(self) -> Iterator[T]:
        return (value for _, value in self._values.values())

    def items(self) -> Iterator[tuple[Name, T]]:
        return ((name, value) for name, (_, value) in self._values.items())

    def take(self, found: Object) -> bool:
        """An object is, or is otherwise. True: that is news."""
        return self._take(found, self._listed)

    def drop(self, found: Object) -> bool:
        """An object was deleted; `found` is its last form, its version that of the deletion."""
        name, version = _name(found), _version(found)
        if version <= self._listed and name not in self._values:
            return False
        self._gone[name] = max(version, self._gone.pop(name, 0))
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
        known = self._values.get(name)
        if known is None or known[0] > version:
            return False
        del self._values[name]
        return True

    def names_after(self, found: Iterable[Object], version: int) -> frozenset[Name]:
        """What there would be after such a LIST."""
        listed = {_name(item) for item in found if _version(item) > self._gone.get(_name(item), 0)}
        newer = {name for name, (known, _) in self._values.items() if known > version}
        return frozenset(listed | newer)

    def relist(self, found: Iterable[Object], version: int) -> Relisted:
        """A LIST. One that is older than the last is not believed."""
        if version < self._listed:
            return Relisted(False)
        changed, names = False, set()
        for item in found:
            names.add(_name(item))
            changed |= self._take(item, 0)
        lost = [name for name, (known, _) in self._values.items() if known <= version and name not in names]
        for name in lost:
            del self._values[name]
        self._listed = version
        self._gone = {name: gone for name, gone in self._gone.items() if gone > version}
        return Relisted(changed or bool(lost), len(lost))

    def _take(self, found: Object, listed: int) -> bool:
        name, version = _name(found), _version(found)
        known = self._values.get(name)
        # What a LIST lacks was not there any more at its version.
        oldest = max(self._gone.get(name, 0), listed) if known is None else known[0]
        if version <= oldest:
            return False
        before = known[1] if known is not None else None
        value = self._read(found, before)
        self._values[name] = (version, value)
        return known is None or before != value


def _name(found: Object) -> Name:
    metadata = found["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _version(found: Object) -> int:
    return int(found["metadata"]["resourceVersion"])
