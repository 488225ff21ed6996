"""What a client is told when nobody answered: one status for a chain of refusals.

A provider's 401, 402 or 403 is about the company's credential, not the caller's: it is never passed on as such. If
all were busy it is 429; if they failed alike, their status; if they failed differently, 503.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from byway_proxy.choose.candidate import Candidate
from byway_proxy.choose.trouble import Kind, Trouble
from byway_proxy.meter.denial import Denial

Ending = Kind | Literal["left"]

TOLD: dict[Ending, tuple[int, str, str]] = {
    "connect": (502, "provider_unavailable", "could not be reached"),
    "off_limits": (502, "provider_unavailable", "has an address that may not be called"),
    "reset": (502, "provider_unavailable", "closed the connection"),
    "server_error": (502, "provider_unavailable", "failed"),
    "overloaded": (503, "provider_overloaded", "is overloaded"),
    "timeout": (504, "timeout", "took too long"),
    "first_token_timeout": (504, "timeout", "took too long to begin"),
    "bad_answer": (502, "provider_unavailable", "gave no valid answer"),
    "empty": (502, "provider_unavailable", "gave an empty answer"),
    "cut": (502, "provider_unavailable", "broke off in the middle of its answer"),
    "rate_limited": (429, "rate_limit_exceeded", "is at its rate limit"),
    "payment_required": (502, "provider_unavailable", "refused our account: it has no credit left"),
    "unauthorized": (502, "provider_unavailable", "refused our credential"),
    "forbidden": (502, "provider_unavailable", "does not permit this model to our account"),
    "model_missing": (404, "not_found", "does not have this model"),
    "bad_request": (400, "invalid_request", "refused the request"),
    "too_large": (413, "payload_too_large", "refused the request as too large"),
    "unprocessable": (422, "unprocessable", "could not process the request"),
    "context_length": (400, "context_length_exceeded", "has too short a context for this request"),
    "content_filter": (400, "content_policy_violation", "refused the content of this request"),
    "at_capacity": (429, "rate_limit_exceeded", "is at the cap of concurrent requests set for it"),
    "at_rate": (429, "rate_limit_exceeded", "is at the rate set for its provider key"),
    "over_rate": (429, "rate_limit_exceeded", "was not asked: a budget's limit of a minute is reached"),
    "budget": (402, "payment_required", "costs more than the budget has left"),
    "ledger": (503, "ledger_unavailable", "cannot be paid for: the ledger does not answer"),
    "deadline": (504, "timeout", "did not answer before the request's deadline"),
    "left": (499, "unmapped", "lost its client"),
}
"""Status, `error_type`, and how the sentence goes on after the provider's name."""

NOT_ASKED: tuple[Kind, ...] = ("at_capacity", "at_rate", "over_rate", "budget", "ledger")
"""We ourselves refused."""
OF_CREDENTIAL = ("payment_required", "unauthorized", "forbidden")
CALLERS = ("bad_request", "too_large", "unprocessable", "context_length", "content_filter")

AVAILABILITY = {404: "model_unavailable_upstream", 429: "capacity_exhausted", 503: "temporarily_unavailable"}

# Where no provider named a time. Clients that repeat a 5xx without one do it at once, for up to an hour.
PAUSE_S = 1.0
# Somebody has to mend the account first.
CREDENTIAL_PAUSE_S = 30.0


class Past(Struct, frozen=True):
    """An entry of `metadata.previous_errors`."""

    provider: str
    code: str
    status: int


class Failure(Struct, frozen=True):
    """The end of a chain. If `as_is`, the provider's own error body is what the caller should see."""

    kind: Ending
    status: int
    error_type: str
    message: str
    candidate: Candidate | None
    """Whose error it is: the last one tried."""
    retry_after_s: float | None = None
    previous: tuple[Past, ...] = ()
    """The refusals before the last."""
    availability: str | None = None
    should_retry: bool | None = None
    """False is the header `x-should-retry: false`."""
    as_is: bool = False
    denial: Denial | None = None
    """No provider was asked, for want of a budget's room."""
    committed: bool = False
    """Content had been delivered: this is an event in the stream, not a status."""


Refusals = Sequence[tuple[Candidate, Trouble]]


def failure(refusals: Refusals, *, no_retry: bool = False, as_is: bool = False, committed: bool = False) -> Failure:
    """The last refusal speaks for all; our own (a cap, a rate, a budget) only where no provider was asked."""
    asked = [(c, t) for c, t in refusals if t.kind not in NOT_ASKED] or list(refusals)
    candidate, last = _speaker(asked)
    told_status, error_type, says = TOLD[last.kind]
    callers = last.kind in CALLERS
    status = last.status if callers and last.status and last.status >= 400 else told_status
    if not callers and not as_is and last.kind != "deadline":
        status, error_type = _of_all(asked, status, error_type)
    return Failure(
        kind=last.kind,
        status=status,
        error_type=error_type,
        message=_message(asked, candidate, says),
        candidate=candidate,
        retry_after_s=_retry_after(asked, status, last),
        previous=tuple(_past(c, t) for c, t in refusals if t is not last),
        availability=_availability(status, callers),
        should_retry=False if no_retry or last.kind in OF_CREDENTIAL else None,
        as_is=as_is or callers,
        denial=last.denial,
        committed=committed,
    )


def _speaker(asked: Refusals) -> tuple[Candidate, Trouble]:
    """The last; but what may be otherwise in a moment goes before what may not."""
    return next((one for one in reversed(asked) if one[1].kind == "ledger"), asked[-1])


def left(candidate: Candidate | None, committed: bool) -> Failure:
    status, error_type, _ = TOLD["left"]
    return Failure("left", status, error_type, "the client closed the connection", candidate, committed=committed)


def _of_all(asked: Refusals, status: int, error_type: str) -> tuple[int, str]:
    statuses = {TOLD[t.kind][0] for _, t in asked}
    if len(statuses) == 1:
        return status, error_type
    return 503, "provider_unavailable" if status != 503 else error_type


def _retry_after(asked: Refusals, status: int, last: Trouble) -> float | None:
    if status < 429 or status == 499:
        return None
    told = [t.retry_after_s for _, t in asked if t.retry_after_s is not None]
    if status == 429 and any(t.kind == "rate_limited" for _, t in asked):
        # A client that waits less than one of them asked for would only be refused again: all or nothing.
        return min(told) if len(told) == len(asked) else None
    pause = CREDENTIAL_PAUSE_S if last.kind in OF_CREDENTIAL else PAUSE_S
    return min(told, default=pause)


def _availability(status: int, callers: bool) -> str | None:
    if callers:
        return None
    return {404: "model_unavailable_upstream", 429: "capacity_exhausted", 503: "temporarily_unavailable"}.get(
        status
    )


def _message(asked: Refusals, candidate: Candidate, says: str) -> str:
    name = candidate.account.display_name
    if len(asked) == 1:
        return f"{name} {says}"
    return f'{len(asked)} attempts for "{asked[0][0].model}" failed; in the last, {name} {says}'


def _past(candidate: Candidate, trouble: Trouble) -> Past:
    status, error_type, _ = TOLD[trouble.kind]
    return Past(candidate.account.provider, error_type, trouble.status or status)
