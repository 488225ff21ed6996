"""Fees as proxies and the ledger are told them: rates, and limits that nobody wrote as a Budget.

Fees that cannot be read serve on in their last good form. Without one there are none, and their status says so: a
fee is not asked for on the word of nobody.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from byway_contract.budget import Budget, Line
from byway_contract.fees import ALLOWANCE, CREDITS, FREE_MODELS, HOME
from byway_contract.grants import Limit, Match, Per, Purpose
from byway_contract.money import nanodollars
from byway_contract.table import Fees as Known

from byway_operator.resources.fees import FEES_NAME, CreditTerms, Fees, FeesSpec
from byway_operator.resources.manifest import Key

MOST_FEE_LIMITS = 3
FREE_NAMES = ("*:free",)


def fees_key(release: str) -> Key:
    return Key("ConfigMap", release, FEES_NAME)


@dataclass(frozen=True)
class Asked:
    """`known` is None: nothing is asked for."""

    known: Known | None = None
    budgets: dict[str, Budget] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()


def read(resource: Fees) -> Asked:
    said = resource.fees
    budgets = {budget.id: budget for budget in _budgets(said)}
    limits = [_limit(budget, line) for budget in budgets.values() for line in budget.lines]
    if said.credits is not None:
        limits.append(_credits_limit(said.credits))
    known = Known(
        byok_ppm=0 if said.byok is None else ppm(said.byok.percent),
        platform_ppm=0 if said.platform is None else ppm(said.platform.percent),
    )
    if said.credits is not None and said.credits.required:
        budgets |= {_credits().id: _credits()}
    return Asked(known, budgets, tuple(limits))


def ppm(percent: str) -> int:
    """Millionths; four decimals of a percent are whole ones."""
    return int(Decimal(percent) * 10_000)


def _budgets(said: FeesSpec) -> list[Budget]:
    """But for credits, whose amount is what was bought."""
    made: list[Budget] = []
    if said.byok is not None and said.byok.free_requests_per_month is not None:
        line = Line("Month", "requests", said.byok.free_requests_per_month)
        made.append(_budget(ALLOWANCE, "allowance", "Namespace", line))
    if said.free is not None:
        line = Line("Day", "requests", said.free.requests_per_day)
        made.append(_budget(FREE_MODELS, "free", "Caller", line, Match(models=FREE_NAMES)))
    return made


_ALL = Match()


def _budget(name: str, purpose: Purpose, per: Per, line: Line, match: Match = _ALL) -> Budget:
    return Budget(HOME, name, (line,), match=match, per=per, purpose=purpose)


def _credits() -> Budget:
    return _budget(CREDITS, "credits", "Namespace", Line("Lifetime", "nanodollars", 0))


def _limit(budget: Budget, line: Line) -> Limit:
    return Limit(
        budget.id, line.period, line.unit, line.amount, per=budget.per, match=budget.match, purpose=budget.purpose
    )


def _credits_limit(said: CreditTerms) -> Limit:
    budget = _credits()
    return Limit(
        budget.id, "Lifetime", "nanodollars", 0, per=budget.per, purpose=budget.purpose,
        fee_ppm=ppm(said.percent or "0"),
        fee_minimum=nanodollars(said.minimum or "0"),
    )  # fmt: skip
