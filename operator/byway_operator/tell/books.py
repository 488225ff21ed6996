"""What the statuses of budgets are told on: budgets as compiled, and what ledger and proxies say of them.

Pure; time is an argument. It remembers two things that no single answer says: which limits a hash stands for, and
whether a limit that traffic fits is counted at all.

    counted grows              --> it is measured, whatever passed it by before
    only uncounted traffic     --> after half a minute of it: it is not measured
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from byway_contract.budget import Budget
from byway_contract.globs import allows
from byway_contract.grants import Counter, Limit
from byway_contract.money import Price, Tier
from byway_contract.table import Endpoint, Sections, decode_object

from byway_operator.push.spend import Spend, budget_of
from byway_operator.tell.summary import BudgetHealth

# Three answers missed.
AWAY_S = 15.0
# An attempt is booked as much as a few seconds after it was counted; one that began before its budget was never.
PASSING_S = 30.0
_MOST_HASHES = 16


@dataclass(frozen=True)
class Book:
    """Of one budget."""

    budget: Budget
    limits: Mapping[str, Limit] = field(default_factory=dict)
    """By id; those that the ledger counts."""
    counters: tuple[Counter, ...] = ()
    """Of windows that are open."""
    passed_by: tuple[str, int] | None = None
    """A limit that traffic passes by uncounted, and how many attempts did."""
    taken: bool | None = None
    """Whether the ledger has these limits. None: nobody knows."""
    dearest_output: int = 0
    """Nanodollars per million tokens, of all endpoints it may apply to; of a metered one."""
    unpriced: tuple[str, ...] = ()
    """Endpoints that were refused for it, and have no price still."""


@dataclass(frozen=True)
class Books:
    books: Mapping[str, Book] = field(default_factory=dict)
    """By budget: `namespace/name`."""
    heard: bool = False
    """Whether the ledger ever answered this process."""
    away: str = ""
    """Why its word is not to be had, once that has lasted a while."""


@dataclass
class _Meter:
    counted: int
    uncounted: int
    held: int
    """As the proxies have it: an attempt is held long before it is booked."""
    base: int
    """`uncounted` when something was last counted."""
    since: float | None = None
    """Since when there is more than that."""


class Bookkeeping:
    def __init__(self) -> None:
        self._sections: Sections = {}
        self._budgets: Mapping[str, Book] = {}
        self._by_hash: OrderedDict[str, Mapping[str, Limit]] = OrderedDict()
        self._meters: dict[str, _Meter] = {}
        self._heard_on: tuple[object, ...] = ()
        self._books = Books()

    def know(self, sections: Sections, limits: Iterable[Limit], limits_hash: str) -> None:
        """What was compiled last."""
        by_id = {limit.id: limit for limit in limits}
        self._by_hash[limits_hash] = by_id
        self._by_hash.move_to_end(limits_hash)
        while len(self._by_hash) > _MOST_HASHES:
            self._by_hash.popitem(last=False)
        self._sections = sections
        self._budgets = {name: self._compiled(name, by_id) for name in sections.get("budgets", {})}
        self._heard_on = ()

    def hear(self, spend: Spend | None, health: Mapping[str, BudgetHealth], now: float, brought: str = "") -> Books:
        """The books as they are now. `spend` is None where there is no ledger; `brought` is the hash of the limits
        that it took last from us."""
        away = _away(spend, now)
        heard_on = (spend, health, away, brought)
        waiting = any(meter.since is not None for meter in self._meters.values())
        if waiting or len(self._heard_on) != 4 or not all(map(_is, heard_on, self._heard_on)):
            heard = spend or Spend()
            # What is in force there may hold limits beside these, which are on their way out: then we know no such
            # hash, and go by what was brought.
            in_force = [self._by_hash[each] for each in (heard.hash, brought) if each in self._by_hash]
            books = {
                name: self._heard(name, book, heard.counters.get(name, ()), in_force, health.get(name), now)
                for name, book in self._budgets.items()
            }
            self._forget()
            self._books = Books(books, heard.answered, away)
            self._heard_on = heard_on
        return self._books

    def _compiled(self, name: str, limits: Mapping[str, Limit]) -> Book:
        budget = decode_object("budgets", name, self._sections["budgets"][name])
        assert isinstance(budget, Budget)
        ids = [budget.limit_id(line) for line in budget.counted()]
        mine = {id_: limits[id_] for id_ in ids if id_ in limits}
        return Book(budget, mine, dearest_output=self._dearest_output(budget) if budget.metered else 0)

    def _dearest_output(self, budget: Budget) -> int:
        fits, found = allows(budget.match.models), 0
        for name in self._sections.get("endpoints", {}):
            endpoint = self._endpoint(name)
            if fits(endpoint.model) and (not budget.match.accounts or endpoint.account in budget.match.accounts):
                listed = endpoint.list_price if budget.dearest else None
                prices = [price for price in (endpoint.price, listed) if price is not None]
                found = max([found, *(output for price in prices for output in _outputs(price))])
        return found

    def _endpoint(self, name: str) -> Endpoint:
        found = decode_object("endpoints", name, self._sections["endpoints"][name])
        assert isinstance(found, Endpoint)
        return found

    def _unpriced(self, reported: Iterable[str]) -> tuple[str, ...]:
        """In the table of now: a proxy may speak of an earlier one."""
        there = self._sections.get("endpoints", {})
        return tuple(name for name in reported if name in there and self._endpoint(name).price is None)

    def _heard(
        self,
        name: str,
        book: Book,
        counters: tuple[Counter, ...],
        in_force: Sequence[Mapping[str, Limit]],
        health: BudgetHealth | None,
        now: float,
    ) -> Book:
        health = health or BudgetHealth()
        taken = any(all(each.get(id_) == limit for id_, limit in book.limits.items()) for each in in_force)
        return Book(
            book.budget,
            book.limits,
            counters,
            self._passed_by(book, counters, health.counted, now),
            taken if in_force else None,
            book.dearest_output,
            self._unpriced(health.unpriced),
        )

    def _passed_by(
        self, book: Book, counters: tuple[Counter, ...], held: int, now: float
    ) -> tuple[str, int] | None:
        found = None
        for limit in book.limits:
            mine = [one for one in counters if one.limit == limit]
            counted, uncounted = sum(one.metered for one in mine), sum(one.unmetered for one in mine)
            passed = self._passed(limit, counted, uncounted, held, now)
            if passed and (found is None or passed > found[1]):
                found = (limit, passed)
        return found

    def _passed(self, limit: str, counted: int, uncounted: int, held: int, now: float) -> int:
        meter = self._meters.get(limit)
        if meter is None or counted < meter.counted or uncounted < meter.uncounted:
            # Seen for the first time, or its windows are others.
            since = meter.since if meter is not None else None
            meter = self._meters[limit] = _Meter(counted, uncounted, held, uncounted if counted else 0, since)
        elif counted > meter.counted or held > meter.held:
            meter.base = uncounted
        meter.counted, meter.uncounted, meter.held = counted, uncounted, held
        passed = uncounted - meter.base
        meter.since = (now if meter.since is None else meter.since) if passed else None
        return passed if meter.since is not None and now - meter.since >= PASSING_S else 0

    def _forget(self) -> None:
        for limit in [limit for limit in self._meters if budget_of(limit) not in self._budgets]:
            del self._meters[limit]


def _outputs(price: Price) -> Iterator[int]:
    """What a token of an answer may cost."""
    rates: tuple[Price | Tier, ...] = (price, *price.tiers)
    for each in rates:
        yield from (each.output, each.reasoning or 0, each.audio_output or 0, each.image_output or 0)


def _away(spend: Spend | None, now: float) -> str:
    if spend is None:
        return "no ledger is configured (BYWAY_LEDGER)"
    if spend.silent_since is None or now - spend.silent_since < AWAY_S:
        return ""
    return spend.why


def _is(one: object, other: object) -> bool:
    return one is other or (isinstance(one, str) and one == other)
