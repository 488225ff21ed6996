"""How much to give of a limit, and what an ended attempt does to it. Pure: a store reads what is asked for, and
writes what is decided, in one transaction.

Of a counter's limit so much is

    spent | reserved (in grants) | stranded (in grants of a lost log) | left

and only what is left is given. An attempt moves its part from reserved to spent, a RELEASE moves it back to left, a
lost log moves it to stranded. Nothing moves because of time: whoever was given something may have spent it already,
and says so later.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from byway_contract.grants import Denied, Granted, Limit, Limits, Renewed, Unit, Want, weight
from byway_contract.money import MOST
from byway_contract.periods import Period, Window, window
from byway_contract.records import Intent, Release, Settle
from msgspec.structs import replace

# Escrow with a margin: a proxy gets at most a quarter of its even share of what is left, so that the last of it is
# spread over many small grants, and a proxy that goes away keeps little from the others.
SHARES = 4
# Long enough that a proxy renews twice while the ledger restarts, short enough that a recall is heard in a while.
USE_FOR_S = 30.0
# How long after a denial the others are asked to give back: a few of their reports.
WANTED_FOR_S = 5.0
_MOST_KNOWN = 10_000

Key = tuple[str, str, int]
"""(limit, subject, start of the window)."""


class Counter(msgspec.Struct, frozen=True):
    limit: str
    subject: str
    start: int
    end: int | None = None
    spent: int = 0
    """As the rows of the books say."""
    extra: int = 0
    """Charged beyond what rows say: a crash is charged its hold, a platform's limit the dearer of two prices."""
    reserved: int = 0
    stranded: int = 0
    metered: int = 0
    unmetered: int = 0
    overrun: int = 0
    wanted_until: float = 0.0
    bought: int = 0
    """Of credits: what the subject may spend beside what the limit amounts to for everybody."""

    @property
    def key(self) -> Key:
        return (self.limit, self.subject, self.start)

    @property
    def used(self) -> int:
        return self.spent + self.extra + self.reserved + self.stranded

    def worth(self, limit: Limit, now: float) -> int:
        return min(MOST, limit.worth(self.subject, now) + self.bought)

    def left(self, amount: int) -> int:
        return max(0, amount - self.used)


class Grant(msgspec.Struct, frozen=True):
    id: str
    source: str
    epoch: int
    limit: str
    subject: str
    start: int
    amount: int
    rest: int
    """Neither spent nor given back, as far as the books know."""

    @property
    def key(self) -> Key:
        return (self.limit, self.subject, self.start)


@dataclass
class Rules:
    """The limits in force, and which of them an attempt fits, remembered for each kind of attempt."""

    hash: str = ""
    limits: Mapping[str, Limit] = field(default_factory=dict)
    _known: dict[tuple[str, ...], tuple[Limit, ...]] = field(default_factory=dict)
    _windows: dict[tuple[Period, str], Window] = field(default_factory=dict)

    def around(self, limit: Limit, at: float) -> Window:
        """`window`, remembered: attempts come nearly in the order of their time."""
        kind = (limit.period, limit.time_zone)
        found = self._windows.get(kind)
        if found is None or at < found.start or (found.end is not None and at >= found.end):
            found = self._windows[kind] = window(limit.period, limit.time_zone, at)
        return found

    def matching(self, intent: Intent) -> tuple[Limit, ...]:
        kind = (
            intent.namespace, intent.service_account, intent.access_key, intent.user_id, intent.account,
            intent.model,
        )  # fmt: skip
        found = self._known.get(kind)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = tuple(limit for limit in self.limits.values() if limit.match.fits(intent))
            self._known[kind] = found
        return found


def rules(limits: Limits) -> Rules:
    """Raises ValueError: a limit stands twice among them, or counts in a time zone that is none."""
    by_id: dict[str, Limit] = {}
    for limit in limits.limits:
        if by_id.setdefault(limit.id, limit) is not limit:
            raise ValueError(f"limits: {limit.id} stands there twice; one period and unit of a budget is one limit")
        try:
            window(limit.period, limit.time_zone, 0.0)
        except ValueError as error:
            raise ValueError(f"limits: {limit.id}: {error}") from error
    return Rules(limits.hash, by_id)


def opening(old: Rules, new: Rules) -> list[Limit]:
    """Limits that begin to count, or count other attempts than before: from what is booked in their window."""
    return [limit for limit in new.limits.values() if not _goes_on(old.limits.get(limit.id), limit)]


def _goes_on(before: Limit | None, limit: Limit) -> bool:
    return before is not None and before.same_counters(limit)


def current(limit: Limit, now: float, latest: Window | None) -> Window:
    """The window to give from. A ledger's clock that is set back never opens a closed one again."""
    shown = window(limit.period, limit.time_zone, now)
    return latest if latest is not None and latest.start > shown.start else shown


def give(want: Want, left: int, proxies: int, holds: int) -> int:
    """How much of what is `left` a proxy is given; 0 if it is less than it needs.

    `proxies` share the limit; `holds`: what this one has of it already. Near the end it is what is needed, exactly.
    """
    if want.need > left:
        return 0
    share = left // (SHARES * max(1, proxies)) - holds
    return max(want.need, min(want.want, share, left))


def granted(want: Want, grant: Grant, counter: Counter, amount: int, now: float) -> Granted:
    """`counter`: with the grant in it; `amount`: what the limit is worth."""
    exact = grant.amount <= want.need
    return Granted(
        grant=grant.id,
        limit=grant.limit,
        amount=grant.amount,
        use_for_s=use_for(counter.end, now),
        start=grant.start,
        low_water=0 if exact else grant.amount // 2,
        subject=grant.subject,
        limited=amount,
        used=min(MOST, counter.used),
    )


def use_for(end: int | None, now: float) -> float:
    return USE_FOR_S if end is None else max(0.0, min(USE_FOR_S, end - now))


def denied(want: Want, counter: Counter, amount: int, holds: int) -> Denied:
    """`holds`: what the asking proxy itself has of it."""
    left = counter.left(amount)
    return Denied(
        limit=want.limit,
        reason="too_much" if left else "spent",
        subject=want.subject,
        left=left,
        returning=max(0, counter.reserved - holds),
        amount=amount,
        spent=min(MOST, counter.spent + counter.extra),
        resets_at=counter.end,
    )


def renewed(grant: Grant, counter: Counter, in_force: bool, now: float) -> Renewed:
    return Renewed(grant.id, use_for(counter.end, now) if in_force and grant.rest else 0.0)


def recalled(held: Iterable[tuple[Grant, Counter]], rules_in_force: Rules, now: float) -> tuple[str, ...]:
    """Which of a proxy's grants it should give back."""
    return tuple(grant.id for grant, counter in held if grant.rest and _recalled(counter, rules_in_force, now))


def _recalled(counter: Counter, rules_in_force: Rules, now: float) -> bool:
    limit = rules_in_force.limits.get(counter.limit)
    if limit is None or counter.wanted_until > now or (counter.end is not None and counter.end <= now):
        return True
    return counter.used > counter.worth(limit, now)


@dataclass(frozen=True)
class Ended:
    """An attempt whose SETTLE is booked now."""

    intent: Intent
    settle: Settle


@dataclass
class Posting:
    counters: dict[Key, Counter]
    grants: dict[str, Grant]


def touched(ended: Iterable[Ended], grants: Mapping[str, Grant], in_force: Rules, now: float) -> dict[Key, Window]:
    """The counters that `posted` moves, with their windows."""
    keys: dict[Key, Window] = {}
    for one in ended:
        drawn = _drawn(one.settle, grants)
        for limit in in_force.matching(one.intent):
            if limit.id not in drawn:
                around = in_force.around(limit, _moment(one.intent, now))
                keys[(limit.id, limit.subject(one.intent), around.start)] = around
    return keys


def posted(
    ended: Iterable[Ended],
    released: Iterable[Release],
    counters: Mapping[Key, Counter],
    grants: Mapping[str, Grant],
    in_force: Rules,
    now: float,
) -> Posting:
    """What counters and grants are afterwards. `counters`: those of `touched` and of the grants."""
    books = Posting(dict(counters), dict(grants))
    for one in ended:
        drawn = _drawn(one.settle, grants)
        for name, amount in one.settle.legs:
            if name in books.grants:
                _draw(books, name, amount)
        for limit_id, legs in drawn.items():
            _count_drawn(books, legs, one, in_force.limits.get(limit_id))
        for limit in in_force.matching(one.intent):
            if limit.id not in drawn:
                around = in_force.around(limit, _moment(one.intent, now))
                _count_undrawn(books, (limit.id, limit.subject(one.intent), around.start), one, limit)
    for release in released:
        if release.grant in books.grants:
            _give_back(books, release)
    return books


def _drawn(settle: Settle, grants: Mapping[str, Grant]) -> dict[str, dict[Key, int]]:
    """By limit, and by counter of it: a hold may lie in grants of two windows."""
    drawn: dict[str, dict[Key, int]] = {}
    for name, amount in settle.legs:
        if name in grants:
            legs = drawn.setdefault(grants[name].limit, {})
            legs[grants[name].key] = legs.get(grants[name].key, 0) + amount
    return drawn


def _moment(intent: Intent, now: float) -> float:
    """By the proxy's clock; but only the ledger's opens a window, so never later than now."""
    return min(intent.at, now) if intent.at >= 0.0 else now


def _draw(books: Posting, name: str, amount: int) -> None:
    """Charged as `extra` for now; `_count_drawn` turns into `spent` what the attempt's row says."""
    grant = books.grants[name]
    counter, covered = books.counters[grant.key], min(amount, grant.rest)
    books.grants[name] = replace(grant, rest=grant.rest - covered)
    books.counters[grant.key] = replace(
        counter,
        reserved=counter.reserved - covered,
        extra=min(MOST, counter.extra + amount),
        overrun=min(MOST, counter.overrun + amount - covered),
    )


def _count_drawn(books: Posting, legs: Mapping[Key, int], one: Ended, limit: Limit | None) -> None:
    first, *_ = legs
    row = _row_of_none(first, legs, one) if limit is None else limit.counts(one.intent, one.settle)
    for key, leg in legs.items():
        counter, part = books.counters[key], min(row, leg)
        row -= part
        books.counters[key] = replace(
            counter,
            spent=min(MOST, counter.spent + part),
            extra=max(0, counter.extra - part),
            metered=counter.metered + (key == first),
        )
    if row:
        # Its hold was too small, and nothing free was left beside it.
        counter = books.counters[first]
        books.counters[first] = replace(
            counter, spent=min(MOST, counter.spent + row), overrun=min(MOST, counter.overrun + row)
        )


def _row_of_none(key: Key, legs: Mapping[Key, int], one: Ended) -> int:
    """What an attempt's row says of a limit that is gone. What its legs say beyond that (a crash: all of it) stays
    charged when the limit is made again, which then begins with its rows. Never more than the legs: what it counted
    is known no more."""
    *_, unit = key[0].split("/")
    row = weight(msgspec.convert(unit, Unit), True, one.intent, one.settle)
    return min(row, sum(legs.values()))


def _count_undrawn(books: Posting, key: Key, one: Ended, limit: Limit) -> None:
    if row := limit.counts(one.intent, one.settle):
        counter = books.counters[key]
        books.counters[key] = replace(
            counter, spent=min(MOST, counter.spent + row), unmetered=counter.unmetered + 1
        )


def _give_back(books: Posting, release: Release) -> None:
    grant = books.grants[release.grant]
    counter, back = books.counters[grant.key], min(release.amount, grant.rest)
    books.grants[grant.id] = replace(grant, rest=grant.rest - back)
    books.counters[grant.key] = replace(counter, reserved=counter.reserved - back)


def put_back(grants: Sequence[Grant], counters: Mapping[Key, Counter]) -> Posting:
    """A log is settled to its end: what its grants still hold was never spent."""
    books = Posting(dict(counters), {grant.id: grant for grant in grants})
    for grant in grants:
        _give_back(books, Release(grant.id, grant.rest))
    return books


def stranded(grants: Sequence[Grant], counters: Mapping[Key, Counter]) -> Posting:
    """A log is lost: what its grants still hold may have been spent, so it is."""
    books = put_back(grants, counters)
    for grant in grants:
        counter = books.counters[grant.key]
        books.counters[grant.key] = replace(counter, stranded=counter.stranded + grant.rest)
    return books


@dataclass(frozen=True)
class Decided:
    """About the wants of one ask."""

    given: tuple[Granted, ...]
    denied: tuple[Denied, ...]
    grants: tuple[Grant, ...]
    counters: dict[Key, Counter]


@dataclass(frozen=True)
class Asker:
    source: str
    epoch: int
    proxies: int
    holds: Mapping[Key, int]
    """What it has in grants already."""


def decide(
    wants: Sequence[tuple[Want, Key | None]],
    counters: Mapping[Key, Counter],
    in_force: Rules,
    asker: Asker,
    now: float,
    mint: Callable[[], str],
) -> Decided:
    """`mint` gives a grant its name, which nobody has had before."""
    books, holds = dict(counters), dict(asker.holds)
    given: list[Granted] = []
    refused: list[Denied] = []
    made: list[Grant] = []
    for want, key in wants:
        limit = in_force.limits.get(want.limit)
        if limit is None or key is None:
            refused.append(Denied(want.limit, "unknown", want.subject))
            continue
        counter = books[key]
        amount = counter.worth(limit, now)
        size = give(want, counter.left(amount), asker.proxies, holds.get(key, 0))
        if not size:
            refused.append(denied(want, counter, amount, holds.get(key, 0)))
            # Nobody could make room for what is more than the whole limit.
            if want.need <= amount - counter.spent - counter.extra - counter.stranded:
                books[key] = replace(counter, wanted_until=now + WANTED_FOR_S)
            continue
        grant = Grant(mint(), asker.source, asker.epoch, *key, amount=size, rest=size)
        made.append(grant)
        holds[key] = holds.get(key, 0) + size
        books[key] = replace(counter, reserved=counter.reserved + size)
        given.append(granted(want, grant, books[key], amount, now))
    return Decided(tuple(given), tuple(refused), tuple(made), books)
