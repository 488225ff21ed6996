"""Decide which status is written next. Time is an argument; `kube.writer` obeys.

    tell --differs from what the API has--> waiting --take--> under way --settled: Written--> known
                                               ^                  |
                                               +--any other-------+   after a while that grows

Three kinds of haste. *Asked*: a person changed the object and may be waiting for the answer, which comes in two
parts, that it was seen and then what the proxies made of it. *Turned*: one of its conditions changed by itself.
*Informed*: nothing but times, rates and counts. A whole cluster's statuses are written at a start, one by one; a
person's own apply goes before them, and has an allowance of its own so that it never waits for theirs. Before them
goes also what turns for a few: somebody has deleted a Secret, say, and looks what comes of it. What turns for a
crowd at once is watched by nobody object by object.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from byway_operator.resources.manifest import Key
from byway_operator.tell.bucket import Allowance, Bucket
from byway_operator.tell.conditions import Status
from byway_operator.tell.line import Haste, Line
from byway_operator.tell.news import decided, same, turned
from byway_operator.tell.outcome import Outcome, again_s

_ASKED, _OTHERS = Allowance(per_s=50.0, burst=200), Allowance(per_s=10.0, burst=50)


@dataclass(frozen=True)
class Pace:
    """Seconds, unless the name says otherwise."""

    asked: Allowance = _ASKED
    """As fast as people and their tools apply: kubectl itself holds back at 50 a second."""
    others: Allowance = _OTHERS
    """Each write costs every watcher of the kind something, ours included."""
    quiet_s: float = 0.15
    """So long is waited for the proxies, so that one write says both parts of the answer."""
    informed_s: float = 30.0
    """Between two writes of one object that only inform."""
    at_once: int = 8
    """Writes under way."""
    others_at_once: int = 6
    """Of those, by what nobody asked for: a slow server must not fill all places with it."""
    echo_s: float = 5.0
    """What the source brings later than this after our own write, and says otherwise, somebody else has written."""
    crowd: int = 20
    """More that turn at once let what turns for fewer go before them."""
    most_wait_s: float = 60.0
    """Between two tries with one object."""
    most_silence_s: float = 10.0
    """While nobody is answered, with all of them."""


# Longer than the crowd of any cluster takes to be told, and still an end to the others' going before it.
_STEPS_BACK_S = 900.0


@dataclass(frozen=True)
class Write:
    key: Key
    uid: str
    status: Status
    before: Status
    """What the API has, as far as we know."""
    haste: Haste


@dataclass
class _Object:
    uid: str
    known: Status
    heard: Status | None
    want: Status
    asked: bool = False
    asked_at: float = 0.0
    since: float = 0.0
    """Since when it differs."""
    turned_at: float = 0.0
    """When what is to be read turned last; or as much later as its crowd steps back."""
    written_at: float = float("-inf")
    not_before: float = float("-inf")
    tries: int = 0
    under_way: bool = False


class Outbox:
    """What is to be written, coalesced: an object has one status to be written, the newest."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._objects: dict[Key, _Object] = {}
        self._line = Line()
        self._asked, self._others = Bucket(self._pace.asked), Bucket(self._pace.others)
        self._others_under_way = self._under_way = 0
        self._began = self.hurried = False
        self._unanswered = 0
        self._silent_until = float("-inf")

    @property
    def waiting(self) -> int:
        """How many statuses are not written yet, those under way included."""
        return len(self._line) + self._under_way

    @property
    def pressing(self) -> bool:
        """Whether there is, or is under way, what does more than inform."""
        return self._under_way > 0 or self._line.holds(Haste.ASKED, Haste.TURNED)

    def hurry(self) -> None:
        """We end soon: without allowances, and what only informs is left."""
        self.hurried = True
        for key, found in self._objects.items():
            if key in self._line:
                self._stand(key, found)

    def tell(
        self, statuses: Mapping[Key, Status], told: Mapping[Key, Status], uids: Mapping[Key, str], now: float
    ) -> None:
        """These are the statuses of all there is; `told` is what the API has, by the source's word."""
        for key in self._objects.keys() - statuses.keys():
            del self._objects[key]
            self._line.leave(key)
        turning = [
            key
            for key, status in statuses.items()
            if self._tell(key, uids.get(key, ""), status, told.get(key), now)
        ]
        turned_at = now + (_STEPS_BACK_S if len(turning) > self._pace.crowd else 0.0)
        for key in turning:
            self._objects[key].turned_at = turned_at
            if key in self._line:
                self._stand(key, self._objects[key])
        self._began = True

    def _tell(self, key: Key, uid: str, status: Status, told: Status | None, now: float) -> bool:
        """Whether it turns: what is to be read is something else than what was last."""
        found = self._objects.get(key)
        turns = found is None or found.uid != uid or (status is not found.want and turned(found.want, status))
        if found is None or found.uid != uid:
            found = self._objects[key] = _Object(uid, told or {}, told, status)
            self._line.leave(key)
        elif told is not found.heard:
            found.heard = told
            ours = now - found.written_at < self._pace.echo_s or found.under_way
            if told is not None and not ours and not same(told, found.known):
                found.known = told
        elif status is found.want or status == found.want:
            return False
        if status.get("observedGeneration") != found.want.get("observedGeneration"):
            found.asked_at = now
        found.want = status
        self._file(key, found, now)
        return turns

    def _file(self, key: Key, found: _Object, now: float) -> None:
        """Put it where it belongs, by what is known and wanted."""
        if found.under_way or same(found.known, found.want):
            self._line.leave(key)
            return
        seen = found.known.get("observedGeneration", -1)
        # At the start nobody has spoken of most objects of a new cluster: that is a bulk, not a person who waits.
        if seen != found.want.get("observedGeneration") and (self._began or seen > 0):
            found.asked = True
        if key not in self._line:
            found.since = now
            found.asked_at = max(found.asked_at, now) if found.asked else found.asked_at
        self._stand(key, found)

    def _stand(self, key: Key, found: _Object) -> None:
        haste = _haste(found)
        # Whoever applied last is still looking; of thousands applied at once nobody watches each.
        order = {Haste.ASKED: -found.asked_at, Haste.TURNED: found.turned_at, Haste.INFORMED: found.since}[haste]
        self._line.stand(key, haste, max(found.not_before, self._due_at(found, haste)), order)

    def take(self, now: float) -> tuple[list[Write], float | None]:
        """What to write now; and when to ask again, if nothing happens before. None: when something happens."""
        if now < self._silent_until:
            return [], self._silent_until if len(self._line) else None
        writes: list[Write] = []
        again_at = self._line.wake(now)
        for haste in Haste:
            if haste is Haste.INFORMED and self.hurried:
                break
            while self._under_way < self._pace.at_once and (key := self._line.first(haste)) is not None:
                ready_at = self._admit(haste, now)
                if ready_at is not None:
                    again_at = min(again_at, ready_at)
                    break
                writes.append(self._begin(key, haste))
        return writes, again_at if again_at < float("inf") else None

    def settled(self, write: Write, outcome: Outcome, now: float) -> None:
        """The answer to a write that was taken."""
        self._under_way -= 1
        self._others_under_way -= write.haste is not Haste.ASKED
        self._listen(outcome, now)
        found = self._objects.get(write.key)
        if found is None or found.uid != write.uid:
            return
        found.under_way = False
        if outcome is Outcome.WRITTEN:
            found.known, found.written_at, found.tries = write.status, now, 0
            found.asked = found.asked and not decided(write.status)
        else:
            found.not_before = now + again_s(outcome, found.tries, self._pace.most_wait_s)
            found.tries = min(found.tries + 1, 16)
        self._file(write.key, found, now)

    def _listen(self, outcome: Outcome, now: float) -> None:
        if outcome is not Outcome.NO_ANSWER:
            self._unanswered, self._silent_until = 0, float("-inf")
            return
        # Several were under way: they say the same thing once.
        if now >= self._silent_until:
            self._silent_until = now + again_s(outcome, self._unanswered, self._pace.most_silence_s)
            self._unanswered = min(self._unanswered + 1, 16)

    def _due_at(self, found: _Object, haste: Haste) -> float:
        if self.hurried:
            return float("-inf")
        if haste is Haste.INFORMED:
            return found.written_at + self._pace.informed_s
        undecided = haste is Haste.ASKED and not decided(found.want)
        return found.since + (self._pace.quiet_s if undecided else 0.0)

    def _admit(self, haste: Haste, now: float) -> float | None:
        """None: it may go. Otherwise when the next of its kind may, as far as that is a matter of time."""
        asked = haste is Haste.ASKED
        if not asked and self._others_under_way >= self._pace.others_at_once:
            return float("inf")
        return None if self.hurried else (self._asked if asked else self._others).take(now)

    def _begin(self, key: Key, haste: Haste) -> Write:
        found = self._objects[key]
        found.under_way = True
        self._line.leave(key)
        self._under_way += 1
        self._others_under_way += haste is not Haste.ASKED
        return Write(key, found.uid, found.want, found.known, haste)


def _haste(found: _Object) -> Haste:
    new = found.known.get("observedGeneration") != found.want.get("observedGeneration")
    if not new and not turned(found.known, found.want):
        return Haste.INFORMED
    return Haste.ASKED if found.asked else Haste.TURNED
