"""Asking for a choice, in one line."""

import random
from collections.abc import Sequence
from typing import Any

from byway_contract.table import Table
from byway_proxy.choose.candidate import Candidate
from byway_proxy.choose.choose import Choice, choose
from byway_proxy.choose.health import Health
from byway_proxy.choose.target import LeftOut
from byway_proxy.choose.trouble import Kind, Trouble
from byway_proxy.choose.view import View
from byway_proxy.choose.wanted import Wanted, preferences


def ask(
    table: Table,
    *models: str,
    namespace: str = "team-a",
    provider: object = None,
    health: Health | None = None,
    now: float = 1000.0,
    dice: random.Random | None = None,
    **wanted: Any,
) -> Choice:
    """`provider` is the request's field of that name."""
    want = Wanted(namespace, models or ("acme/m",), preferences(provider), **wanted)
    return choose(want, View(table), health or Health(), now, dice or random.Random(7))


def order(choice: Choice) -> list[str]:
    """The providers, first to last."""
    return [candidate.account.provider for candidate in choice.candidates]


def reasons(left_out: Sequence[LeftOut]) -> dict[str, str]:
    """Provider → why it was left out."""
    return {each.provider: each.reason for each in left_out}


def slot_of(table: Table, provider: str, model: str = "acme/m") -> Candidate:
    return next(c for c in ask(table, model).candidates if c.account.provider == provider)


def fail(
    health: Health, candidate: Candidate, kind: Kind = "server_error", now: float = 1000.0, **trouble: Any
) -> None:
    attempt = health.begin(candidate.slot, now)
    assert attempt is not None
    health.failed(attempt, Trouble(kind, **trouble), now, random.Random(1))
    health.end(attempt)


def answer(health: Health, candidate: Candidate, now: float = 1000.0, ms: float | None = None) -> None:
    attempt = health.begin(candidate.slot, now)
    assert attempt is not None
    health.answered(attempt, now, ms)
    health.end(attempt)
