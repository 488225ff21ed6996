"""What the platform asks for its service beside what models cost: fees, credits paid in advance, free models.

    operator, or a person on the ledger's machine   POST /v1/credits   Purchase → Bought
    the same, and proxies                           GET  /v1/credits   ?namespace=… → Credits

A fee is a rate in millionths: 5 % are 50,000. The limits that hold it all together are ordinary ones with a purpose
of their own (`grants.Purpose`); their budgets have names that no resource can have.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from byway_contract.money import MOST
from byway_contract.records import Amount, Id

CREDITS_PATH = "/v1/credits"
MOST_ENTRIES = 1000
WHOLE_PPM = 1_000_000

HOME = "byway:fees"
"""No namespace is called so: a colon is not allowed there."""
CREDITS, FREE_MODELS, ALLOWANCE = "credits", "free-models", "byok-free"
CREDITS_LIMIT = f"{HOME}/{CREDITS}/Lifetime/nanodollars"


def fee_of(amount: int, ppm: int) -> int:
    """Rounded once, half up."""
    return min(MOST, (amount * ppm + WHOLE_PPM // 2) // WHOLE_PPM)


def fee_at_most(amount: int, ppm: int) -> int:
    """What is set aside for it."""
    return min(MOST, -(-amount * ppm // WHOLE_PPM))


class Purchase(msgspec.Struct, frozen=True):
    """Credits bought. The fee comes on top: buying 10 dollars for a fee of 0.80 is to pay 10.80."""

    id: Id
    """Whoever buys gives it; the same one again buys nothing."""
    namespace: Annotated[str, Meta(min_length=1, max_length=63)]
    amount: Annotated[int, Meta(ge=1, le=MOST)]


class Entry(msgspec.Struct, frozen=True):
    """As it stands in the books, for ever."""

    id: str
    namespace: str
    at: float
    paid: int
    """`amount` and `fee` together."""
    fee: int
    amount: Amount
    """What there is to spend of it."""


class Bought(msgspec.Struct, frozen=True):
    entry: Entry
    before: bool = False
    """It was booked already, and nothing has happened now."""


class Taken(msgspec.Struct, frozen=True):
    """Another purchase has this id: told as 409, in words."""

    entry: Entry


class Credits(msgspec.Struct, frozen=True):
    total: int
    """Of all entries that were asked for."""
    entries: list[Entry]
    """The newest first."""
    more: bool = False
