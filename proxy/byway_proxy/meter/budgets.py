"""Which budgets bind an attempt, and what it needs of each at worst. Pure: what they have left is in `purse`.

Everything here goes by plain facts: who calls, which account pays, which model, at what price. All budgets that
match must have room, in each of their limits; a budget that only observes is counted and asked for nothing.
"""

from collections.abc import Iterable

import msgspec
from byway_contract.budget import Budget
from byway_contract.fees import fee_at_most
from byway_contract.grants import Purpose, Unit, subject
from byway_contract.money import MOST, Price, dearest_cost
from msgspec.structs import replace

MOST_KNOWN = 10_000

# What a provider adds around the words of a request: its template, and instructions where there are tools.
AROUND_TOKENS = 64
AROUND_TOOLS_TOKENS = 1024
# A picture given by its address says nothing of its size. The longest context that is usual.
UNKNOWN_TOKENS = 131_072


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What decides which budgets bind: `grants.Who`."""

    namespace: str
    service_account: str
    access_key: str
    user_id: str
    account: str
    model: str


class Line(msgspec.Struct, frozen=True, gc=False):
    """One limit that the ledger counts, for one caller."""

    limit: str
    """Its id at the ledger."""
    unit: Unit
    subject: str
    budget: Budget


class Bound(msgspec.Struct, frozen=True):
    """What binds one kind of attempt."""

    budgets: tuple[Budget, ...] = ()
    """All that match, those too that only observe or count minutes."""
    lines: tuple[Line, ...] = ()
    """What has to have room."""
    money: Budget | None = None
    """One that counts dollars and refuses; None: nothing does."""
    downgrades: tuple[Line, ...] = ()
    """Limits in dollars of budgets that would rather have another model answer."""
    metered: bool = False
    """No budget of these wants the whole set aside at once."""
    allowance: Line | None = None
    """Has room for runs on the caller's own provider key that are free of the platform's fee; refuses nobody."""


UNBOUND = Bound()


class Budgets:
    """Of one table."""

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self._budgets = tuple(budgets)
        self._known: dict[tuple[str, ...], Bound] = {}
        self.any_downgrade = any(budget.downgrade is not None for budget in self._budgets)

    def binding(
        self, namespace: str, service_account: str, access_key: str, user_id: str, account: str, model: str
    ) -> Bound:
        if not self._budgets:
            return UNBOUND
        kind = (namespace, service_account, access_key, user_id, account, model)
        found = self._known.get(kind)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[kind] = _bound(self._budgets, Facts(*kind))
        return found


def _bound(budgets: Iterable[Budget], facts: Facts) -> Bound:
    fitting = tuple(budget for budget in budgets if budget.match.fits(facts))
    found = [
        Line(budget.limit_id(line), line.unit, subject(budget.per, facts), budget)
        for budget in fitting
        if not budget.observe
        for line in budget.counted()
    ]
    lines = tuple(line for line in found if line.budget.purpose != "allowance")
    # What was bought is no limit that somebody set.
    money = [line for line in lines if line.unit == "nanodollars" and line.budget.purpose == "limit"]
    return Bound(
        budgets=fitting,
        lines=lines,
        money=money[0].budget if money else None,
        downgrades=tuple(line for line in money if line.budget.downgrade is not None),
        metered=bool(lines) and all(line.budget.metered for line in lines),
        allowance=next((line for line in found if line.budget.purpose == "allowance"), None),
    )


class Worst(msgspec.Struct, frozen=True, gc=False):
    """The most an attempt can come to."""

    prompt: int
    """Tokens, as are"""
    completion: int
    """all its answers together."""
    price: Price | None = None
    list_price: Price | None = None
    byok: bool = False
    """The caller's own provider key pays for it."""
    fee_ppm: int = 0

    def of(self, unit: Unit, dearest: bool, first: bool, purpose: Purpose = "limit") -> int:
        """`first`: it is the request's first attempt, with which requests are counted."""
        if purpose == "credits":
            return self._owed()
        match unit:
            case "requests":
                return int(first)
            case "tokens":
                return min(self.prompt + self.completion, MOST)
        at = _cost(self.price, self)
        return max(at, _cost(self.list_price, self)) if dearest else at

    def _owed(self) -> int:
        """To the platform: as `grants.charge`."""
        at = _cost(self.price, self)
        fee = fee_at_most(max(at, _cost(self.list_price, self)), self.fee_ppm)
        return min(MOST, (0 if self.byok else at) + fee)


def _cost(price: Price | None, worst: Worst) -> int:
    return 0 if price is None else min(MOST, dearest_cost(price, worst.prompt, worst.completion))


def prompt_bound(size: int, *, tools: bool, only_text: bool, context: int | None) -> int:
    """Tokens that `size` bytes of a request are at most: byte-level coding makes one of each byte at worst.

    `context`: what the model can read at all, where somebody trustworthy says it.
    """
    bound = size + (AROUND_TOOLS_TOKENS if tools else AROUND_TOKENS)
    if not only_text:
        bound = max(bound, UNKNOWN_TOKENS) if context is None else context
    return bound if context is None else min(bound, context)


def completion_within(worst: Worst, line: Line, left: int) -> int:
    """The longest answer, of at most `worst.completion` tokens, that `left` of a limit would allow; 0: none."""
    low, high = 0, worst.completion
    while low < high:
        middle = (low + high + 1) // 2
        smaller = replace(worst, completion=middle)
        if smaller.of(line.unit, line.budget.dearest, True, line.budget.purpose) <= left:
            low = middle
        else:
            high = middle - 1
    return low
