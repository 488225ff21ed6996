"""Builders for limits and asks, and where a limit stands."""

import itertools
from collections.abc import Callable
from typing import Any

from byway_contract.grants import Ask, Denied, Granted, Grants, Limit, Limits, Want
from byway_ledger.grants import Counter
from byway_ledger.stores.store import Store

NOON = 1_795_608_000.0
"""2026-11-25 12:00 UTC."""
MONTH = 1_793_491_200
"""Its month begins."""
TEAM = "platform/team-a/Month/nanodollars"


def limit(amount: int = 1_000_000, **fields: Any) -> Limit:
    usual: dict[str, Any] = {"budget": "platform/team-a", "period": "Month", "unit": "nanodollars"}
    return Limit(**{**usual, "amount": amount, **fields})


def limits(*all_of_them: Limit, generation: int = 1, term: int = 1) -> Limits:
    return Limits(term, generation, f"hash-{term}-{generation}", all_of_them)


def names() -> Callable[[], str]:
    count = itertools.count(1)
    return lambda: f"g-{next(count)}"


_MINTED = names()


def ask(number: int = 1, need: int = 100, want: int = 0, source: str = "s-1", **fields: Any) -> Ask:
    wants = fields.pop("wants", (Want(fields.pop("limit", TEAM), need, want, fields.pop("subject", "")),))
    return Ask(source, fields.pop("epoch", 1), number, wants=wants, **fields)


async def asked(store: Store, message: Ask, now: float = NOON, sender: str = "") -> Grants:
    answer = await store.ask(message, now, sender, _MINTED)
    assert isinstance(answer, Grants), answer
    return answer


async def given(store: Store, message: Ask, now: float = NOON) -> Granted:
    answer = await asked(store, message, now)
    assert not answer.denied
    (one,) = answer.given
    return one


async def denied(store: Store, message: Ask, now: float = NOON) -> Denied:
    answer = await asked(store, message, now)
    assert not answer.given
    (one,) = answer.denied
    return one


async def counter(store: Store, of: str = TEAM, subject: str = "", start: int = MONTH) -> Counter:
    _, counters, _ = await store.counters(10_000)
    found = [one for one in counters if one.key == (of, subject, start)]
    return found[0] if found else Counter(of, subject, start)
