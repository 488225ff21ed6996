"""What an ended attempt costs, and who pays. Pure.

The caller pays for the run that answered, and for no other: what failed attempts cost us is absorbed. A run that
answered with nothing (no output tokens and no finish reason), or that finished in an error, is not billed either,
even where the provider charges for it.
"""

import msgspec
from byway_contract.fees import fee_of
from byway_contract.money import MOST, Cost, Usage
from byway_contract.records import Intent, UsageFrom, owed, parts_owed

MOST_TOKENS = 1_000_000_000
"""A thousand of the longest contexts: no attempt has more, whatever a provider says."""

# Without output by nature, so that no output is no failure there.
_APIS_WITHOUT_OUTPUT = frozenset({"embeddings"})


class Charge(msgspec.Struct, frozen=True, gc=False):
    """Nanodollars; `cost - billed` is absorbed. `usage` and `usage_from` are what was charged for."""

    cost: int
    billed: int
    reckoned: int
    """What would be billed by the list price; 0 where there is none."""
    usage: Usage
    usage_from: UsageFrom
    fee: int
    """The platform's, on the dearer of `billed` and `reckoned`."""
    parts: Cost | None
    """Of `cost`; None where there is no price."""


def charge(intent: Intent, usage: Usage, usage_from: UsageFrom, *, answered: bool, finish: str) -> Charge:
    """What the attempt costs by the price in its INTENT. `answered`: it is the run that the client was given.

    Usage that cannot be true (negative, more cached than sent) is made to add up and counts as estimated.
    """
    if not _adds_up(usage):
        possible = _possible(usage)
        usage, usage_from = possible, "estimated" if usage_from == "provider" else usage_from
    parts = parts_owed(intent.price, usage, usage_from)
    cost = 0 if parts is None else min(parts.total, MOST)
    paid = answered and not _empty(intent, usage, finish)
    # A tenant that prices its own key at nothing is billed nothing, and reckoned all the same.
    reckoned = owed(intent.list_price, usage, usage_from) if paid and intent.list_price is not None else 0
    billed = cost if paid else 0
    # On the list price too, or a tenant would price its own key at nothing.
    fee = fee_of(max(billed, reckoned), intent.fee_ppm)
    return Charge(cost, billed, reckoned, usage, usage_from, fee, parts)


def _empty(intent: Intent, usage: Usage, finish: str) -> bool:
    if finish == "error":
        return True
    return not usage.completion and not finish and intent.api not in _APIS_WITHOUT_OUTPUT


def _adds_up(usage: Usage) -> bool:
    return usage.prompt <= MOST_TOKENS and usage.completion <= MOST_TOKENS and usage.adds_up


def _possible(usage: Usage) -> Usage:
    prompt, completion = _within(usage.prompt, MOST_TOKENS), _within(usage.completion, MOST_TOKENS)
    cached = _within(usage.cached, prompt)
    heard, spoken = _within(usage.audio_prompt, prompt), _within(usage.audio_completion, completion)
    return msgspec.structs.replace(
        usage,
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=_within(usage.cache_write, prompt - cached),
        reasoning=_within(usage.reasoning, completion),
        audio_prompt=heard,
        audio_completion=spoken,
        image_prompt=_within(usage.image_prompt, prompt - heard),
        image_completion=_within(usage.image_completion, completion - spoken),
    )


def _within(count: int, most: int) -> int:
    return min(max(count, 0), most)
