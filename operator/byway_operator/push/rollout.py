"""Decide who is given a new table, and when. No I/O: `push` obeys.

    begin --> scouting --every scout acked, or waited long enough--> through: everybody
                 |
              a scout refused
                 v
              stopped: everybody keeps, or goes back to, the table before

One proxy of each distinct build goes first, because what one cannot take, none of its build can; builds are
few, so a bad table meets few proxies. Waiting is short: a scout that does not answer stops nobody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Seat:
    """A connected proxy, as far as a rollout cares."""

    id: int
    build: str
    acked: str | None = None
    busy: bool = False
    """It has not answered an earlier table yet, so it would answer this one late."""


@dataclass(frozen=True)
class Rollout:
    hash: str
    wait_until: float
    scouts: Mapping[str, int]
    """By build."""
    open: frozenset[int]
    """Scouts that have not answered."""
    stopped: bool = False

    def through(self, now: float) -> bool:
        return not self.stopped and (not self.open or now >= self.wait_until)

    def gives(self, seat: int, now: float) -> bool:
        """Whether this proxy is to have the new table now."""
        return self.through(now) or (not self.stopped and seat in self.scouts.values())


def begin(digest: str, seats: Iterable[Seat], now: float, wait_s: float) -> Rollout:
    scouts: dict[str, Seat] = {}
    for seat in sorted(seats, key=lambda seat: (seat.acked != digest, seat.busy, seat.id)):
        scouts.setdefault(seat.build, seat)
    # A proxy that serves this table already has shown that its build can.
    still_open = frozenset(seat.id for seat in scouts.values() if seat.acked != digest)
    return Rollout(digest, now + wait_s, {build: seat.id for build, seat in scouts.items()}, still_open)


def answered(rollout: Rollout, seat: int) -> Rollout:
    """It acked, or it left: there is nothing to wait for."""
    return replace(rollout, open=rollout.open - {seat})


def refused(rollout: Rollout, seat: int, now: float) -> Rollout:
    """A refusal from a scout stops the rollout; once through, it is that one proxy's affair."""
    return answered(rollout, seat) if rollout.through(now) else replace(rollout, stopped=True)


def joined(rollout: Rollout, seat: Seat, now: float) -> Rollout:
    """A proxy that dials while scouts are out is one, if it is the first of its build."""
    if rollout.through(now) or rollout.stopped or seat.build in rollout.scouts:
        return rollout
    still_open = rollout.open if seat.acked == rollout.hash else rollout.open | {seat.id}
    return replace(rollout, scouts={**rollout.scouts, seat.build: seat.id}, open=still_open)
