"""Budgets of a minute, and attempts that come under them: name only what the test is about."""

from typing import Any

from byway_contract.budget import Budget, Line
from byway_contract.grants import Match, TopUp
from byway_contract.records import Intent
from byway_contract.table import Table, canonical, decode
from byway_proxy.meter.rates import Over, Rates, Taken

WALL = 1_800_000_000.0


def a_minute(
    requests: int | None = None,
    tokens: int | None = None,
    name: str = "rate",
    namespace: str = "team-a",
    match: Match | None = None,
    top_ups: tuple[TopUp, ...] = (),
    **fields: Any,
) -> Budget:
    """Binds its own namespace, if `match` says nothing else."""
    amounts = (("requests", requests), ("tokens", tokens))
    lines = tuple(Line("Minute", unit, n, top_ups) for unit, n in amounts if n is not None)  # type: ignore[arg-type]  # units
    return Budget(namespace, name, lines, match or Match(namespaces=(namespace,)), **fields)


def with_budgets(table: Table, *budgets: Budget) -> Table:
    return decode({**table.raw, "budgets": {budget.id: canonical(budget) for budget in budgets}})


def obeying(*budgets: Budget, proxies: int = 1) -> Rates:
    rates = Rates()
    rates.obey({budget.id: budget for budget in budgets})
    rates.proxies = proxies
    return rates


def attempt(namespace: str = "team-a", **fields: Any) -> Intent:
    usual = {"route": "", "endpoint": "team-a/a:acme/m", "account": "team-a/a", "provider": "a", "model": "acme/m"}
    return Intent("att", "gen-1", WALL, namespace, **(usual | fields))


def enter(
    rates: Rates,
    now: float = 0.0,
    tokens: int = 1,
    intent: Intent | None = None,
    counted: set[str] | None = None,
    wall: float = WALL,
) -> Taken | Over:
    return rates.admit(intent or attempt(), (), tokens, set() if counted is None else counted, now, wall)


def entered(rates: Rates, now: float = 0.0, **how: Any) -> bool:
    return isinstance(enter(rates, now, **how), Taken)
