"""Which budgets bind a caller, and where they stand, in OpenRouter's words for `GET /key`. Pure.

Those in US dollars that refuse: a budget that only observes binds nobody, and OpenRouter's form has no other unit.
One that is about some models or some provider keys is told too, and says so; it is never the `effective_budget`,
for it leaves the rest of what the caller may do.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from byway_contract.budget import Budget, Line
from byway_contract.grants import Counter, Limit
from byway_contract.records import Intent
from msgspec import Struct
from msgspec.structs import replace

from byway_proxy.admit.caller import Caller
from byway_proxy.api.own import usd

_RESETS = {"Day": "daily", "Week": "weekly", "Month": "monthly", "Lifetime": None}
# As OpenRouter checks them: the person, the key, everybody of a workspace.
_SCOPES = ("member", "api_key", "workspace")


class Bound(Struct, frozen=True):
    budget: Budget
    line: Line
    subject: str
    """Whose counter is the caller's."""

    @property
    def counter(self) -> tuple[str, str]:
        return self.budget.limit_id(self.line), self.subject


def binding(budgets: Iterable[Budget], caller: Caller) -> list[Bound]:
    """In the order of their scopes, and then by name."""
    who = _as_attempt(caller)
    found = [
        Bound(budget, line, _subject(budget, line, who))
        for budget in budgets
        if not budget.observe
        and budget.purpose == "limit"
        and replace(budget.match, accounts=(), models=()).fits(who)
        for line in budget.counted()
        if line.unit == "nanodollars"
    ]
    return sorted(found, key=lambda one: (_SCOPES.index(_scope(one.budget)), one.budget.id, one.line.period))


def described(bound: Iterable[Bound], counters: Mapping[tuple[str, str], Counter]) -> list[dict[str, Any]]:
    """Those that the ledger counts."""
    return [_told(one, counters[one.counter]) for one in bound if one.counter in counters]


def effective(bound: Iterable[Bound], counters: Mapping[tuple[str, str], Counter]) -> dict[str, Any] | None:
    """The one that blocks first."""
    whole = [one for one in bound if one.counter in counters and not _partial(one.budget)]
    if not whole:
        return None
    first = min(whole, key=lambda one: _left(counters[one.counter]))
    return _told(first, counters[first.counter])


def _told(one: Bound, counter: Counter) -> dict[str, Any]:
    budget = one.budget
    return {
        "scope": _scope(budget),
        "budget_id": budget.id,
        "guardrail_id": None,
        "limit_usd": usd(counter.amount or 0),
        "spend_usd": usd(_spent(counter)),
        "remaining_usd": usd(_left(counter)),
        "include_byok": True,
        "reset_interval": _RESETS[one.line.period],
        "resets_at": None if counter.end is None else _instant(counter.end),
        # Ours:
        "models": budget.match.models or None,
        "provider_keys": budget.match.accounts or None,
    }


def _spent(counter: Counter) -> int:
    """What lies in proxies' grants is not spent: they give it back where it is needed."""
    return counter.spent + counter.stranded


def _left(counter: Counter) -> int:
    return (counter.amount or 0) - _spent(counter)


def _scope(budget: Budget) -> str:
    if budget.per == "User" or budget.match.users:
        return "member"
    if budget.per in ("AccessKey", "ServiceAccount") or budget.match.access_keys or budget.match.service_accounts:
        return "api_key"
    return "workspace"


def _partial(budget: Budget) -> bool:
    return bool(budget.match.models or budget.match.accounts)


def _subject(budget: Budget, line: Line, who: Intent) -> str:
    return Limit(budget.id, line.period, line.unit, line.amount, per=budget.per).subject(who)


def _as_attempt(caller: Caller) -> Intent:
    """As much of one as decides whom it counts for."""
    return Intent(
        "-", "-", 0.0, caller.namespace, "", "", "", "", "",
        service_account=caller.service_account, access_key=caller.access_key, user_id=caller.user,
    )  # fmt: skip


def _instant(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
