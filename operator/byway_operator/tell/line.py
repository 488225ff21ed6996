"""Who stands where in the line for a write. Each move takes a moment, however many thousands stand there."""

from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush

from byway_operator.resources.manifest import Key


class Haste(IntEnum):
    """The smaller, the sooner."""

    ASKED = 0
    TURNED = 1
    INFORMED = 2


_Ticket = tuple[float, int, Key]
"""Order, number, whose. Of each key's tickets only the last is good."""


@dataclass
class Line:
    _places: dict[Key, tuple[int, Haste, float, float]] = field(default_factory=dict)
    """Number of the good ticket, and what it was drawn for."""
    _ready: dict[Haste, list[_Ticket]] = field(default_factory=lambda: {haste: [] for haste in Haste})
    _later: list[_Ticket] = field(default_factory=list)
    _numbers: int = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def holds(self, *hastes: Haste) -> bool:
        return any(haste in hastes for _, haste, _, _ in self._places.values())

    def stand(self, key: Key, haste: Haste, due_at: float, order: float) -> None:
        """The least `order` goes first, among those of one haste that are due."""
        if key in self._places and self._places[key][1:] == (haste, due_at, order):
            return
        self._numbers += 1
        self._places[key] = (self._numbers, haste, due_at, order)
        heappush(self._later, (due_at, self._numbers, key))

    def leave(self, key: Key) -> None:
        self._places.pop(key, None)

    def wake(self, now: float) -> float:
        """Let step forward who is due; returns when the next will be."""
        while self._later:
            due_at, number, key = self._later[0]
            good = self._good(key, number)
            if good and due_at > now:
                return due_at
            heappop(self._later)
            if good:
                _, haste, _, order = self._places[key]
                heappush(self._ready[haste], (order, number, key))
        return float("inf")

    def first(self, haste: Haste) -> Key | None:
        ready = self._ready[haste]
        while ready and not self._good(ready[0][2], ready[0][1]):
            heappop(ready)
        return ready[0][2] if ready else None

    def _good(self, key: Key, number: int) -> bool:
        place = self._places.get(key)
        return place is not None and place[0] == number
