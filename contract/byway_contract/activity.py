"""What the ledger answers when it is asked: sums by some of the attempts' fields, and the attempts of a request.

    GET /v1/usage      ?by=route,day&since=…&until=…&limit=…&namespace=…    → Sums
    GET /v1/attempts   ?request=gen-…&namespace=…                           → Attempts
    GET /v1/focus      ?since=…&until=…                                     → CSV, in the columns of FOCUS 1.2

Every field of BY may be asked for by its value too (`namespace=team-a`): only such attempts leave the ledger then.
"""

from typing import Literal, get_args

import msgspec

from byway_contract.records import Intent, Settle

ATTEMPTS_PATH = "/v1/attempts"
FOCUS_PATH = "/v1/focus"

By = Literal[
    "route", "namespace", "service_account", "access_key", "user", "model", "provider", "account", "endpoint",
    "byok", "day", "request",
]  # fmt: skip
"""`user` is the proven one: an access key's, never what a request says of itself. `byok` is 0 or 1. Of `request`
alone nothing is kept beyond the attempts themselves."""
BY: tuple[By, ...] = get_args(By)


def by_of(name: str) -> By | None:
    """`access-key` and `access_key` are one."""
    spelt = name.replace("-", "_")
    return next((by for by in BY if by == spelt), None)


class Sum(msgspec.Struct, frozen=True):
    """A row of `GET /v1/usage`. Dollars are decimal strings, exact; the same amounts stand beside them whole."""

    key: dict[By, str]
    """The fields that were asked for, in that order. A day is a UTC date."""
    requests: int
    """Each is counted once, where its first attempt went, so that all rows together are all requests."""
    attempts: int
    open: int
    """Attempts that have not ended, as far as the ledger knows."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: str
    billed: str
    absorbed: str
    cost_nanodollars: int
    billed_nanodollars: int
    absorbed_nanodollars: int
    answered: int = 0
    """Attempts that a client was given an answer by, whole or not."""
    fee_nanodollars: int = 0
    """The platform's, beside what is billed."""
    charge_nanodollars: int = 0
    """What credits pay: fees, and what is billed but for runs on callers' own provider keys."""


class Sums(msgspec.Struct, frozen=True):
    rows: list[Sum]
    more: bool = False
    """There are more rows than `limit`."""


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt as booked."""

    intent: Intent
    settle: Settle | None = None
    flag: str = ""
    """`cost`: the ledger computes another cost; `usage`: the tokens do not add up; `orphan`: no INTENT came."""


class Attempts(msgspec.Struct, frozen=True):
    """The answer of `GET /v1/attempts?request=gen-…`: in the order they were made."""

    attempts: list[Attempt]
