"""Why an attempt may not be made for want of money, tokens or requests. Facts: the words are for who answers."""

from typing import Literal

import msgspec
from byway_contract.budget import Budget
from byway_contract.grants import Denied
from msgspec.structs import replace

from byway_proxy.meter.budgets import Line, Worst, completion_within
from byway_proxy.meter.waiting import Short

Reason = Literal["spent", "too_much", "in_flight", "unpriced", "unbudgeted", "ledger"]


class Denial(msgspec.Struct, frozen=True):
    """`spent`: nothing is left until it resets. `too_much`: there is something left, and less than this needs.
    `in_flight`: there may be enough when others end. `unpriced`: dollars are counted, and nobody knows the price.
    `unbudgeted`: the platform demands a budget, and none binds. `ledger`: nobody can say what is left.
    """

    reason: Reason
    budget: Budget | None = None
    line: Line | None = None
    denied: Denied | None = None
    """The ledger's word; as `spent` also what ended here and is not booked yet."""
    endpoint: str = ""
    asked: int = 0
    """Tokens, of the prompt and of its answers at most."""
    fits: int = 0
    """The longest answer, in tokens, that there is room for; 0: none."""


def denial(short: Short, worst: Worst, endpoint: str, *, held: int, free: int) -> Denial:
    """`held` and `free`: what this process has of it, set aside and not."""
    line, said = short.claim.line, short.denied
    if said is None or said.reason == "unknown":
        return Denial("ledger", line.budget, line, endpoint=endpoint)
    left = said.left + free
    gone = replace(said, spent=max(said.spent, said.amount - left - said.returning - held))
    fits = completion_within(worst, line, left)
    return Denial(
        _reason(said, short.claim.need, left, held),
        line.budget,
        line,
        gone,
        endpoint,
        worst.prompt + worst.completion,
        fits,
    )


def _reason(said: Denied, need: int, left: int, held: int) -> Reason:
    coming = said.returning + held
    if coming and need <= left + coming:
        return "in_flight"
    return "too_much" if left or coming else "spent"
