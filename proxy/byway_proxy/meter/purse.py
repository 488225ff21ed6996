"""What this process may spend: the grants it was given, and what is set aside in them. Pure, and never waits.

Of a grant so much is

    held (by attempts under way) | free | drawn (by attempts that ended) | given back

and only what is free is held, so nothing is spent twice whatever happens. A hold is all or nothing; it may lie in
several grants of one counter, and never in one whose use has ended or that was recalled. Time is monotonic.
"""

from collections.abc import Iterable, Iterator, Sequence

from byway_contract.grants import Denied, Granted, Grants, Want, weight
from byway_contract.money import MOST
from byway_contract.records import Intent, Legs, Release, Settle

from byway_proxy.meter.held import Claim, Hold, Key, Part, Share

# What nobody has held in for so long is of more use to others.
IDLE_S = 20.0
# What a refill should last, so that asking stays off the path of requests.
LASTS_S = 10
# A slice may be small, and low again at once.
REFILL_EVERY_S = 0.1
# Over how long the speed of spending is measured.
MEASURED_S = 1.0
# How long what the ledger said of a counter is worth remembering: a downgrade goes by it.
KNOWN_S = 60.0


class _Grant:
    __slots__ = ("ended", "free", "held", "id", "key", "start", "until", "use_for_s", "used_at")

    def __init__(self, given: Granted, sent_at: float) -> None:
        self.id, self.key, self.start = given.grant, (given.limit, given.subject), given.start
        self.free, self.held = given.amount, 0
        self.use_for_s = given.use_for_s
        self.until = sent_at + given.use_for_s
        self.ended = given.use_for_s <= 0.0
        self.used_at = sent_at


class _Counter:
    __slots__ = ("grants", "low_water", "measured_at", "need", "per_s", "refilled_at", "share", "spent", "used_at")

    def __init__(self, now: float) -> None:
        self.grants: list[_Grant] = []
        """In the order they came; they are used up in it."""
        self.low_water, self.need = 0, 1
        self.share = Share(0, 0)
        self.spent, self.per_s, self.measured_at = 0, 0, now
        self.used_at = self.refilled_at = now

    def usable(self, now: float) -> Iterator[_Grant]:
        return (grant for grant in self.grants if not grant.ended and now < grant.until)

    def free(self, now: float) -> int:
        return sum(grant.free for grant in self.usable(now))


class Purse:
    """One for each process."""

    def __init__(self) -> None:
        self._grants: dict[str, _Grant] = {}
        self._counters: dict[Key, _Counter] = {}
        self._ended: dict[str, _Grant] = {}
        """Those that must go back as soon as nobody holds in them."""
        self.low = False
        """Something may be worth a refill; whoever sees to it says False again."""

    @property
    def empty(self) -> bool:
        return not self._grants

    @property
    def owes(self) -> bool:
        """Something is to be given back: see `due`."""
        return any(grant.free for grant in self._ended.values())

    # --- Holding

    def hold(self, claims: Sequence[Claim], now: float) -> Hold | None:
        """All of it, or None: then nothing has changed."""
        for claim in claims:
            if claim.need and not self._fits(claim, now):
                return None
        return Hold(tuple(Part(claim.line, self._set_aside(claim, now)) for claim in claims))

    def unhold(self, hold: Hold) -> None:
        """Nothing was sent."""
        for part in hold.parts:
            for name, amount in part.legs:
                if amount:
                    self._move(self._grants[name], held=-amount, free=amount)

    def settle(self, hold: Hold, intent: Intent, settle: Settle) -> Legs:
        """What the attempt draws, now that it has ended: never more of a grant than it held there and what is free
        there. What that does not cover is in no leg, and the ledger counts it from the attempt's row.
        """
        drawn: list[tuple[str, int]] = []
        for part in hold.parts:
            line = part.line
            actual = weight(line.unit, line.budget.dearest, intent, settle, line.budget.purpose)
            drawn += self._draw(part, actual)
            if counter := self._counters.get((line.limit, line.subject)):
                counter.spent = min(MOST, counter.spent + actual)
        return tuple(drawn)

    def free(self, key: Key, now: float) -> int:
        counter = self._counters.get(key)
        return 0 if counter is None else counter.free(now)

    def held(self, key: Key) -> int:
        """By attempts under way: some of it comes back when they end."""
        counter = self._counters.get(key)
        return 0 if counter is None else sum(grant.held for grant in counter.grants)

    def share(self, key: Key) -> Share | None:
        """None: the ledger has never been asked."""
        counter = self._counters.get(key)
        return None if counter is None or not counter.share.limited else counter.share

    def _fits(self, claim: Claim, now: float) -> bool:
        counter = self._counters.get(claim.key)
        if counter is None:
            return False
        rest = counter.free(now) - claim.need
        self.low = self.low or rest < counter.low_water
        return rest >= 0

    def _set_aside(self, claim: Claim, now: float) -> Legs:
        counter = self._counters.get(claim.key)
        if counter is None:
            return ()
        counter.need, counter.used_at = claim.need or counter.need, now
        legs: list[tuple[str, int]] = []
        rest = claim.need
        for grant in counter.usable(now):
            part = min(grant.free, rest)
            # What needs nothing is still said to have been looked at, where there is a grant to say it of.
            if part or (not legs and not rest):
                grant.free -= part
                grant.held += part
                grant.used_at = now
                legs.append((grant.id, part))
                rest -= part
            if not rest:
                break
        return tuple(legs)

    def _draw(self, part: Part, actual: int) -> list[tuple[str, int]]:
        drawn: dict[str, int] = {}
        rest = actual
        touched = [self._grants[name] for name, _ in part.legs if name in self._grants]
        for name, amount in part.legs:
            drawn[name] = taken = min(amount, rest)
            rest -= taken
            if amount:
                self._grants[name].held -= amount
                self._grants[name].free += amount - taken
        if rest and touched:
            touched = self._beside(touched)
            for grant in touched:
                over = min(grant.free, rest)
                if over:
                    drawn[grant.id] = drawn.get(grant.id, 0) + over
                    grant.free -= over
                    rest -= over
        for grant in touched:
            self._move(grant, held=0, free=0)
        return list(drawn.items())

    def _beside(self, own: list[_Grant]) -> list[_Grant]:
        """Where an overrun may be drawn from: the grants of the hold, then others of the same window."""
        others = (grant for grant in self._counters[own[0].key].grants if grant.start == own[0].start)
        return list({grant.id: grant for grant in (*own, *others)}.values())

    def _move(self, grant: _Grant, *, held: int, free: int) -> None:
        grant.held += held
        grant.free += free
        assert grant.held >= 0 <= grant.free, f"grant {grant.id} is overdrawn"
        if not (grant.held or grant.free):
            self._drop(grant)

    def _drop(self, grant: _Grant) -> None:
        del self._grants[grant.id]
        self._ended.pop(grant.id, None)
        self._counters[grant.key].grants.remove(grant)

    # --- What the ledger says, and is told

    def take(self, answer: Grants, sent_at: float) -> None:
        """`sent_at`: when the ask was first sent, from which its grants' time counts."""
        for given in answer.given:
            self._put_in(given, sent_at)
        for denied in answer.denied:
            self._note(denied, sent_at)
        for renewed in answer.renewed:
            grant = self._grants.get(renewed.grant)
            if grant is not None and renewed.use_for_s > 0.0:
                grant.use_for_s = renewed.use_for_s
                grant.until = max(grant.until, sent_at + renewed.use_for_s)
            elif grant is not None:
                self._end(grant)
        self.recall(answer.recall)

    def recall(self, grants: Iterable[str]) -> None:
        """Others need them."""
        for name in grants:
            if name in self._grants:
                self._end(self._grants[name])

    def due(self) -> list[Release]:
        """What has to be given back now, and is no longer here."""
        back = [Release(grant.id, grant.free) for grant in self._ended.values() if grant.free]
        for release in back:
            self._move(self._grants[release.grant], held=0, free=-release.amount)
        return back

    def releases(self, now: float) -> list[Release]:
        """The same, after a look at what has ended or lies idle by now."""
        for grant in list(self._grants.values()):
            idle = not grant.held and now - grant.used_at >= IDLE_S
            if not grant.ended and (idle or now >= grant.until):
                self._end(grant)
        self._forget(now)
        return self.due()

    def leave(self) -> list[Release]:
        """The process ends: everything that nobody holds."""
        for grant in list(self._grants.values()):
            self._end(grant)
        return self.due()

    def renewals(self, now: float) -> list[str]:
        """Grants that are of use still, and whose time runs out."""
        return [
            grant.id
            for grant in self._grants.values()
            if not grant.ended
            and now < grant.until < now + grant.use_for_s * 2 / 3
            and (grant.held or now - grant.used_at < IDLE_S / 2)
        ]

    def refills(self, now: float) -> list[Want]:
        """Of counters in use that run low, before somebody has to wait for it."""
        wants = []
        for key, counter in self._counters.items():
            if now - counter.refilled_at >= REFILL_EVERY_S and counter.free(now) < counter.low_water:
                counter.refilled_at = now
                limit, subject = key
                wants.append(Want(limit, counter.need, self.enough(key, counter.need, now), subject))
        return wants

    def enough(self, key: Key, need: int, now: float) -> int:
        """What would last for a while, where `need` is needed."""
        counter = self._counters.get(key)
        if counter is None:
            return need
        if now - counter.measured_at >= MEASURED_S:
            fresh = counter.spent * 1000 // int(1000 * (now - counter.measured_at))
            counter.per_s = (7 * counter.per_s + 3 * fresh) // 10 if counter.per_s else fresh
            counter.spent, counter.measured_at = 0, now
        return min(MOST, need + LASTS_S * counter.per_s)

    def _put_in(self, given: Granted, sent_at: float) -> None:
        grant = _Grant(given, sent_at)
        counter = self._counter(grant.key, sent_at)
        self._grants[grant.id] = grant
        counter.grants.append(grant)
        counter.low_water = given.low_water
        if given.limited:
            counter.share = Share(given.used, given.limited)
        if grant.ended:
            self._ended[grant.id] = grant

    def _note(self, denied: Denied, sent_at: float) -> None:
        if denied.reason != "unknown":
            counter = self._counter((denied.limit, denied.subject), sent_at)
            counter.low_water = 0
            counter.share = Share(denied.amount - denied.left, denied.amount)

    def _counter(self, key: Key, now: float) -> _Counter:
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = _Counter(now)
        counter.used_at = max(counter.used_at, now)
        return counter

    def _end(self, grant: _Grant) -> None:
        grant.ended = True
        self._ended[grant.id] = grant

    def _forget(self, now: float) -> None:
        """Counters that nothing is held or known of."""
        for key, counter in list(self._counters.items()):
            if not counter.grants and now - counter.used_at >= KNOWN_S:
                del self._counters[key]
