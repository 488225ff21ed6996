"""What is known after load and kills, from clients, providers, the ledger's books and its counters.

Each request has a name of its own, its *mark*, which all witnesses know it by.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

How = Literal["ok", "cut", "left", "broke", "refused", "unavailable", "nobody"]
"""`refused`: a budget had no room; `unavailable`: nobody could say whether it had; `nobody` listened."""
Act = Literal["kill", "stop"]


@dataclass(frozen=True)
class Seen:
    """What one client saw. `broke`: its connection did, from `began` to `ended` in seconds since 1970."""

    user: str
    how: How
    began: float
    ended: float
    generation: str = ""
    completion: int = 0
    wrong: str = ""
    caller: str = ""
    """Of `callers.CALLERS`."""
    status: int = 0


@dataclass(frozen=True)
class Death:
    name: str
    at: float
    act: Act = "kill"


@dataclass(frozen=True)
class Look:
    """A counter of the ledger, at a moment of the run."""

    at: float
    limit: str
    subject: str
    amount: int
    spent: int
    reserved: int
    stranded: int

    @property
    def left(self) -> int:
        return self.amount - self.spent - self.reserved - self.stranded


@dataclass
class Story:
    killed: list[Death] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    served: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By account."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    counters: list[dict[str, Any]] = field(default_factory=list)
    """At the end, when every process had ended; as the ledger's tables have them."""
    seconds: float = 0.0
    """Of load."""

    def deaths(self, of: str, act: Act = "kill") -> list[float]:
        return [death.at for death in self.killed if death.name.startswith(of) and death.act == act]

    def of_kind(self, kind: str) -> Iterator[dict[str, Any]]:
        return (one for all_of in self.served.values() for one in all_of if one["kind"] == kind)
