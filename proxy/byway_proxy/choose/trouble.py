"""What can go wrong with an attempt, as one closed set of words, and what each says of the endpoint."""

from typing import Literal

from msgspec import Struct

Kind = Literal[
    "connect",
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
    "budget",
    "deadline",
]
"""What an attempt ended with, where it did not end well. `reset`: the connection broke before the first byte of an
answer, so the provider may have worked for nothing. `cut`: it broke after. `bad_answer`: a 200 that is an error or
no answer. The last three are our own doing, and the five before them the caller's: they say nothing of the
endpoint."""

# How bad a failure is. Slow is half as bad as broken: the next one may only have asked for less.
FAILURES: dict[Kind, float] = {
    "connect": 1.0,
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
