"""What is known of an attempt that has not ended, and what becomes of it when its process is no more. Pure.

    INTENT --> Begun --PROG--> Begun … --no SETTLE--> crash: the limits are charged all that was held

Its row shows what was seen of its answer, and a little more, since the last word of it is older than the crash.
"""

import msgspec
from byway_contract.money import Price, Usage
from byway_contract.records import Intent, Legs, Progress, Settle, owed
from msgspec.structs import replace

UNSEEN_TOKENS = 16
"""A PROG comes with every sixteenth token."""


class Begun(msgspec.Struct, frozen=True, gc=False):
    seq: int
    """Of its INTENT; 0 where that is deleted already."""
    legs: Legs = ()
    """What it holds."""
    price: Price | None = None
    prompt: int = 0
    """Tokens, estimated, as is"""
    completion: int = 0
    """what was seen of its answer; 0: nothing is known."""


def begun(intent: Intent, seq: int) -> Begun:
    return Begun(seq, intent.legs, intent.price)


def grown(one: Begun, progress: Progress) -> Begun:
    return replace(
        one,
        legs=together(one.legs, progress.legs) if progress.legs else one.legs,
        prompt=progress.prompt,
        completion=progress.completion,
    )


def crash_of(attempt: str, one: Begun, at: float) -> Settle:
    if not one.completion:
        return Settle(attempt=attempt, at=at, outcome="crash", reason="crash", legs=one.legs)
    usage = Usage(one.prompt, one.completion + UNSEEN_TOKENS)
    cost = owed(one.price, usage, "estimated")
    return Settle(
        attempt=attempt, at=at, outcome="crash", reason="crash", legs=one.legs,
        usage=usage, usage_from="estimated", cost=cost, billed=cost,
    )  # fmt: skip


def together(one: Legs, more: Legs) -> Legs:
    legs = dict(one)
    for name, amount in more:
        legs[name] = legs.get(name, 0) + amount
    return tuple(legs.items())
