"""Which Minute limits an attempt comes under, and how much of each it needs: of budgets, and of a provider key.

Pure. Whether there is room is said in `rates`.
"""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Literal

from byway_contract.budget import Budget, Line
from byway_contract.grants import Limit
from byway_contract.records import Intent
from byway_contract.table import Account
from msgspec import Struct

Unit = Literal["requests", "tokens"]
Counter = tuple[str, str]
"""A limit's id, and whose counter."""

FIRST_PIECE = 1024
"""Tokens of an answer whose caller names no most. A guess, corrected when the answer ends."""


class Rate(Struct, frozen=True, gc=False):
    """Of a provider key."""

    id: str
    unit: Unit
    amount: int


class Rule(Struct, frozen=True):
    """One Minute limit of a budget, in one unit."""

    limit: Limit
    line: Line
    observe: bool
    everywhere: bool
    """Whichever endpoint is tried."""

    @property
    def budget(self) -> str:
        return self.limit.budget

    def amount(self, subject: str, wall: float) -> int:
        """With the top-ups of this moment."""
        ups = self.line.top_ups
        return self.line.amount + sum(up.amount for up in ups if wall < up.until and up.subject in (None, subject))


class Need(Struct, frozen=True, gc=False):
    """What an attempt asks of one counter."""

    counter: Counter
    unit: str
    amount: int
    limit: int
    """The fleet's."""
    rule: Rule | None = None
    """None: it is a provider key's rate."""


class MinuteLimits:
    """Of one table's budgets."""

    def __init__(self, budgets: Mapping[str, Budget]) -> None:
        rules = [rule for budget in budgets.values() for rule in _rules(budget)]
        self.by_id = {rule.limit.id: rule for rule in rules}
        self.budgets = {rule.budget for rule in rules}
        self._everybodys = tuple(rule for rule in rules if not rule.limit.match.namespaces)
        self._by_namespace: dict[str, tuple[Rule, ...]] = {}
        for rule in rules:
            for namespace in rule.limit.match.namespaces:
                self._by_namespace[namespace] = (*self._by_namespace.get(namespace, self._everybodys), rule)

    def may_bind(self, namespace: str) -> tuple[Rule, ...]:
        return self._by_namespace.get(namespace, self._everybodys)

    def binding(self, intent: Intent) -> list[Rule]:
        return [rule for rule in self.may_bind(intent.namespace) if rule.limit.match.fits(intent)]


def need_of(rule: Rule, intent: Intent, tokens: int, wall: float) -> Need:
    limit, subject = rule.limit, rule.limit.subject(intent)
    amount = tokens if limit.unit == "tokens" else 1
    return Need((limit.id, subject), limit.unit, amount, rule.amount(subject, wall), rule)


def needs_of_key(rates: tuple[Rate, ...], tokens: int) -> Iterator[Need]:
    return (Need((rate.id, ""), rate.unit, tokens if rate.unit == "tokens" else 1, rate.amount) for rate in rates)


def of_account(account_id: str, account: Account) -> tuple[Rate, ...]:
    amounts: tuple[tuple[Unit, int | None], ...] = (
        ("requests", account.requests_per_minute),
        ("tokens", account.tokens_per_minute),
    )
    return tuple(Rate(f"{account_id}#{unit}", unit, amount) for unit, amount in amounts if amount is not None)


def estimate(prompt_bytes: int, max_tokens: int | None, most: int | None) -> int:
    """Tokens of an attempt before it is made: four bytes sent are one, and the answer is as long as it may be.

    It need not be the worst case: unlike money, a minute's tokens come back. `most` is the endpoint's.
    """
    answer = FIRST_PIECE if max_tokens is None else max_tokens
    return ceil(prompt_bytes / 4) + (answer if most is None else min(answer, most))


def _rules(budget: Budget) -> Iterator[Rule]:
    everywhere = not budget.match.accounts and not budget.match.models
    for line in budget.rates():
        limit = Limit(budget.id, line.period, line.unit, line.amount, per=budget.per, match=budget.match)
        yield Rule(limit, line, budget.observe, everywhere)
