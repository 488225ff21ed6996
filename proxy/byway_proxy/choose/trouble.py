"""What can go wrong with an attempt, as one closed set of words, and what each says of the endpoint."""

from typing import Literal

from msgspec import Struct

from byway_proxy.meter.denial import Denial

Kind = Literal[
    "connect",
    "off_limits",
    "reset",
    "server_error",
    "overloaded",
    "timeout",
    "first_token_timeout",
    "bad_answer",
    "empty",
    "cut",
    "rate_limited",
    "payment_required",
    "unauthorized",
    "forbidden",
    "model_missing",
    "bad_request",
    "too_large",
    "unprocessable",
    "context_length",
    "content_filter",
    "at_capacity",
    "at_rate",
    "over_rate",
    "budget",
    "ledger",
    "deadline",
]
"""What an attempt ended with, where it did not end well. `off_limits`: our own rules forbid its address. `reset`:
the connection broke before the first byte of an answer, so the provider may have worked for nothing. `cut`: it
broke after. `bad_answer`: a 200 that is an error or no answer. `at_capacity`, `at_rate`: as many as
its provider key may have at once, or in a minute; `over_rate`: as many as a budget allows its caller in a minute.
`ledger`: nobody can say whether a budget has room.
The last six are our own doing, and the five before them the caller's: they say nothing of the endpoint."""

# How bad a failure is. Slow is half as bad as broken: the next one may only have asked for less.
FAILURES: dict[Kind, float] = {
    "connect": 1.0,
    "off_limits": 1.0,
    "reset": 1.0,
    "server_error": 1.0,
    "overloaded": 1.0,
    "timeout": 1.0,
    "bad_answer": 1.0,
    "empty": 1.0,
    "cut": 1.0,
    "first_token_timeout": 0.5,
}
RESTS_ENDPOINT: tuple[Kind, ...] = ("rate_limited", "forbidden", "model_missing")
RESTS_ACCOUNT: tuple[Kind, ...] = ("payment_required", "unauthorized")
# A new credential cannot mend a rate limit's clock or a missing model; these it can.
ENDED_BY_CREDENTIAL: tuple[Kind, ...] = ("payment_required", "unauthorized", "forbidden")


class Trouble(Struct, frozen=True):
    kind: Kind
    status: int | None = None
    retry_after_s: float | None = None
    """What the provider asked for."""
    why: str = ""
    """Why no connection came about, in a sentence of ours."""
    denial: Denial | None = None
    """Why it may not be paid for."""


class Limits(Struct, frozen=True):
    """Times in seconds. Figures are Envoy's where it has one: five in a row, base time × how often."""

    eject: bool = True
    in_a_row: float = 5.0
    rate: float = 0.5
    rate_over: int = 10
    """How many attempts since it was last ejected make the rate worth believing."""
    eject_s: float = 30.0
    eject_most_s: float = 300.0
    jitter: float = 0.1
    outage_s: float = 30.0
    """How long a failure keeps an endpoint behind those without one."""
    outage_rate: float = 0.2
    """Below this share of failures a single one is no outage (unless it was the last thing that happened)."""
    smoothing: float = 0.1
    slow_start_s: float = 30.0
    throttled_s: float = 10.0
    """Rest after a 429 that names no time. A guess."""
    rest_most_s: float = 600.0
    refused_s: float = 600.0
    """Rest after 401, 402, 403 and 404, should nothing change before. Not for ever: providers have answered 401 in
    an outage of theirs, and one failed-over attempt in ten minutes costs nobody much."""
    window_s: float = 300.0
    samples: int = 64
