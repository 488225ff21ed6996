"""Rates: whether the Minute limits of budgets and provider keys have room for an attempt. Pure: both clocks are
arguments.

A limit is the whole fleet's. A proxy that hears nothing of the others keeps its share of it; one that does, through
Valkey, goes by its share of what was left when it last heard (`hear`). By how much either may exceed the limit is
in `byway_contract.rates`.

A budget's requests are counted once a request, with the first attempt that the limit binds; a provider key counts
every attempt, as the provider does. Tokens are set aside by an estimate, and corrected when the attempt ends.
"""

from collections.abc import Iterator, Mapping

from byway_contract.budget import Budget
from byway_contract.rates import share
from byway_contract.records import Intent
from byway_contract.report import MOST_SUBJECTS, BudgetReport
from msgspec import Struct

from byway_proxy.meter.minute_limits import Counter, MinuteLimits, Need, Rate, need_of, needs_of_key
from byway_proxy.meter.window import MINUTE_S, Window

MOST_COUNTERS = 20_000
"""Limits by subjects. Of more than that, those that were counted on last are remembered."""
HEARD_FOR_S = 1.0
"""What is known of the others is good for so long; after that, a proxy keeps to its share."""
REFUSED_FOR_S = 600.0


class Over(Struct, frozen=True, gc=False):
    """A rate has no room for an attempt."""

    budget: str
    """`namespace/name`; empty: it is the provider key's own rate."""
    unit: str
    need: int
    limit: int
    """The fleet's, with top-ups."""
    remaining: int
    """What this proxy would let in now."""
    after_s: float | None
    """When there may be room. None: never, for this request alone is more than the limit."""
    everywhere: bool
    """Whichever endpoint is tried."""


class Taken:
    """What one attempt was counted for, until `settle` or `cancel`. A second call does nothing."""

    __slots__ = ("_counted", "_entries")

    def __init__(self, entries: "list[_Entry]", counted: set[str]) -> None:
        self._entries, self._counted = entries, counted

    def settle(self, billed: int, used: int, now: float) -> None:
        """In tokens: what the caller is billed for, and what the provider counted."""
        for need, window, second in self._entries:
            if need.unit == "tokens":
                more = (used if need.rule is None else billed) - need.amount
                if more > 0:
                    window.add(more, now)
                else:
                    window.take_back(-more, second)
        self._entries = []

    def cancel(self) -> None:
        """It was not made."""
        for need, window, second in self._entries:
            window.take_back(need.amount, second)
            if need.rule is not None:
                self._counted.discard(need.counter[0])
        self._entries = []


_Entry = tuple[Need, Window, int]
NOTHING = Taken([], set())


class _Heard(Struct, frozen=True, gc=False):
    own: int
    """What we had told the others of,"""
    others: int
    """and what they had used, so far as they had told."""
    mark: int
    """Our window's `added`, then."""
    until: float


class _Told(Struct):
    counted: int
    refused: dict[str, float]
    """Subject → monotonic time."""


class Rates:
    def __init__(self, most_counters: int = MOST_COUNTERS) -> None:
        self.proxies = 1
        """How many share a limit."""
        self.refused = {"budget": 0, "provider_key": 0}
        self._most = most_counters
        # Plain dicts, the counter counted on last at their end: what cachetools has moves a key at each look.
        self._windows: dict[Counter, Window] = {}
        self._heard: dict[Counter, _Heard] = {}
        self._limits = MinuteLimits({})
        self._told: dict[str, _Told] = {}

    def obey(self, budgets: Mapping[str, Budget]) -> None:
        """A new table. What was counted stays, for limits that are still there by the same name."""
        self._limits = MinuteLimits(budgets)
        self._told = {name: told for name, told in self._told.items() if name in self._limits.budgets}

    def admit(
        self, intent: Intent, key: tuple[Rate, ...], tokens: int, counted: set[str], now: float, wall: float
    ) -> Taken | Over:
        """Room for an attempt: all of it is taken, or nothing.

        `key` are the rates of its provider key, `tokens` its `estimate`, `counted` the limits that its request has
        been counted for already; `wall` is seconds since 1970.
        """
        if not key and not self._limits.may_bind(intent.namespace):
            return NOTHING
        rules = self._limits.binding(intent)
        for budget in {rule.budget for rule in rules}:
            self._of(budget).counted += 1
        needs = [need_of(rule, intent, tokens, wall) for rule in rules if rule.limit.id not in counted]
        needs += needs_of_key(key, tokens)
        for need in needs:
            over = self._over(need, now)
            if over is not None and self._refuses(need, now):
                return over
        counted.update(n.counter[0] for n in needs if n.rule is not None and n.unit == "requests")
        return Taken([self._take(need, now) for need in needs], counted)

    def full(self, key: tuple[Rate, ...], now: float) -> bool:
        """Whether a provider key has no room for even the smallest request."""
        return any(self._over(need, now) is not None for need in needs_of_key(key, 1))

    def report(self, now: float, wall: float) -> dict[str, BudgetReport]:
        """Of budgets with Minute limits that bound an attempt."""
        used: dict[str, dict[str, dict[str, int]]] = {}
        for (limit_id, subject), window in self._windows.items():
            rule = self._limits.by_id.get(limit_id)
            if rule is not None and window.at(now):
                used.setdefault(rule.budget, {}).setdefault(rule.limit.unit, {})[subject] = window.used
        return {
            name: BudgetReport(
                counted=told.counted,
                used={unit: _largest(mine) for unit, mine in used.get(name, {}).items()},
                refused={s: round(wall - (now - at), 3) for s, at in _recent(told.refused, now)},
            )
            for name, told in self._told.items()
        }

    def tell(self, now: float) -> Iterator[tuple[Counter, int, int]]:
        """What the others should know: counter, what of it is used, and a mark for `hear`."""
        for counter, window in self._windows.items():
            if window.at(now):
                yield counter, window.used, window.added

    def hear(self, counter: Counter, own: int, others: int, mark: int, sent_at: float) -> None:
        """What the others have used, as of when `tell` said what we had."""
        if counter in self._windows:
            self._heard[counter] = _Heard(own, others, mark, sent_at + HEARD_FOR_S)

    def _over(self, need: Need, now: float) -> Over | None:
        window = self._windows.get(need.counter) or _UNUSED
        room, alone = self._room(need, window, now)
        if need.amount <= room or (alone and need.amount <= need.limit):
            return None
        after_s = None
        if need.amount <= need.limit:
            frees = window.frees_after_s(need.amount - room, now)
            after_s = min(max(frees, 1.0), MINUTE_S + 1.0)
        rule = need.rule
        return Over(
            budget=rule.budget if rule is not None else "",
            unit=need.unit,
            need=need.amount,
            limit=need.limit,
            remaining=max(room, 0),
            after_s=after_s,
            everywhere=rule is not None and rule.everywhere,
        )

    def _room(self, need: Need, window: Window, now: float) -> tuple[int, bool]:
        """What may still be let in; and whether one larger than that may be, because nothing else was."""
        heard = self._heard.get(need.counter) if self._heard else None
        used = window.at(now)
        if heard is None or now >= heard.until:
            return share(need.limit, self.proxies) - used, used == 0
        left = max(need.limit - heard.own - heard.others, 0)
        since = window.added - heard.mark
        return share(left, self.proxies) - since, since == 0 and need.amount <= left

    def _refuses(self, need: Need, now: float) -> bool:
        rule = need.rule
        if rule is None:
            self.refused["provider_key"] += 1
            return True
        refused, subject = self._of(rule.budget).refused, need.counter[1]
        refused.pop(subject, None)
        refused[subject] = now
        if len(refused) > MOST_SUBJECTS:
            del refused[next(iter(refused))]
        if not rule.observe:
            self.refused["budget"] += 1
        return not rule.observe

    def _take(self, need: Need, now: float) -> _Entry:
        window = self._windows.pop(need.counter, None) or Window()
        self._windows[need.counter] = window
        if len(self._windows) > self._most:
            oldest = next(iter(self._windows))
            del self._windows[oldest]
            self._heard.pop(oldest, None)
        return need, window, window.add(need.amount, now)

    def _of(self, budget: str) -> _Told:
        told = self._told.get(budget)
        if told is None:
            told = self._told[budget] = _Told(0, {})
        return told


_UNUSED = Window()


def _largest(used: dict[str, int]) -> dict[str, int]:
    return dict(sorted(used.items(), key=lambda item: -item[1])[:MOST_SUBJECTS])


def _recent(refused: dict[str, float], now: float) -> Iterator[tuple[str, float]]:
    return ((subject, at) for subject, at in refused.items() if now - at < REFUSED_FOR_S)
