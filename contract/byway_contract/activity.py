"""What the ledger answers when it is asked: sums by some of the attempts' fields, and the attempts of a request."""

from typing import Literal, get_args

import msgspec

from byway_contract.records import Intent, Settle

ATTEMPTS_PATH = "/v1/attempts"

By = Literal[
    "route", "namespace", "service_account", "access_key", "user", "model", "provider", "account", "day", "request"
]
"""`user` is the proven one: an access key's, never what a request says of itself."""
BY: tuple[By, ...] = get_args(By)


class Sum(msgspec.Struct, frozen=True):
    """A row of `GET /v1/usage`. Dollars are decimal strings, exact; the same amounts stand beside them whole."""

    key: dict[By, str]
    """The fields that were asked for, in that order. A day is a UTC date."""
    requests: int
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
