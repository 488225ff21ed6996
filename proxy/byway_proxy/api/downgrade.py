"""When a budget would rather have a cheaper model answer. Decided over what the ledger last said of its limits."""

from collections.abc import Callable

from byway_contract.budget import Budget
from msgspec.structs import replace

from byway_proxy.choose.wanted import Preferences, Wanted
from byway_proxy.meter.budgets import Bound
from byway_proxy.meter.denial import Denial
from byway_proxy.meter.held import Key, Share


def due(bound: Bound, share: Callable[[Key], Share | None]) -> Budget | None:
    """The first of the budgets that bind whose fullest limit in dollars is as full as its author allows."""
    for line in bound.downgrades:
        stands, downgrade = share((line.limit, line.subject)), line.budget.downgrade
        if stands is not None and downgrade is not None and _full(stands, downgrade.at_percent):
            return line.budget
    return None


def spent(why: Denial | None) -> Budget | None:
    """The budget that refused for want of money, if it would rather have another model answer than nobody."""
    if why is None or why.line is None or why.line.unit != "nanodollars" or why.denied is None:
        return None
    # The last hundredth may be too little for anything, and is never spent then.
    over = why.reason == "spent" or why.denied.left * 100 < why.denied.amount
    return why.budget if over and why.budget is not None and why.budget.downgrade is not None else None


def lowered(wanted: Wanted, model: str) -> Wanted:
    """What the caller wished of a model it does not get now says nothing of this one; what it demands of whoever
    sees its prompt does."""
    asked = wanted.preferences
    kept = Preferences(deny_collection=asked.deny_collection, zdr=asked.zdr, ignored=asked.ignored)
    return replace(wanted, models=(model,), preferences=kept)


def _full(stands: Share, at_percent: int) -> bool:
    return stands.used * 100 >= stands.limited * at_percent
