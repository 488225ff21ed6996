"""Refused for want of a budget's room, in OpenRouter's words: 403 spent, 402 does not fit, 503 nobody can say.

A budget of another namespace is the platform's, and its limit may be shared with others: such a caller is told its
name and when it resets, and how it stands only where it counts nobody else.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from byway_contract.money import dollars

from byway_proxy.api.errors import ApiError
from byway_proxy.api.fee_refusals import no_credits, no_free_requests
from byway_proxy.meter.denial import Denial

AGAIN_S = 1.0
LEDGER_AGAIN_S = 2.0
_PERIOD = {"Minute": "a minute", "Day": "a day", "Week": "a week", "Month": "a month", "Lifetime": "in all"}


def from_denial(why: Denial, namespace: str, wall: float) -> ApiError:
    """`namespace`: the caller's. `wall`: now, in seconds since 1970."""
    if why.budget is not None and why.denied is not None and why.reason != "ledger":
        match why.budget.purpose:
            case "credits":
                return no_credits(why, why.denied, namespace)
            case "free":
                return no_free_requests(why, why.denied, wall)
    match why.reason:
        case "ledger":
            return _ledger(why)
        case "unbudgeted":
            return _unbudgeted(namespace)
        case "unpriced":
            return _unpriced(why)
        case "spent":
            return _spent(why, namespace)
    return _too_much(why, namespace)


def _ledger(why: Denial) -> ApiError:
    named = f' whether budget "{why.budget.id}" has room' if why.budget is not None else ""
    return ApiError(
        503,
        f"nobody can say just now{named}: the ledger does not answer; try again",
        "ledger_unavailable",
        retry_after_s=LEDGER_AGAIN_S,
        metadata={"reason": "ledger_unavailable"},
    )


def _unbudgeted(namespace: str) -> ApiError:
    return ApiError(
        403,
        f'namespace "{namespace}" is served only under a Budget in US dollars that is enforced, and none binds this'
        " request; ask for one, or create one there",
        "permission_denied",
        metadata={"reason": "budget_required", "remedy_hint": "create_budget"},
    )


def _unpriced(why: Denial) -> ApiError:
    assert why.budget is not None, "it is a budget that wants a price"
    return ApiError(
        403,
        f'endpoint "{why.endpoint}" has no price, and budget "{why.budget.id}" counts dollars; give it one in'
        " models[] of its ProviderKey",
        "permission_denied",
        metadata={"reason": "unpriced", "scope": why.budget.id, "remedy_hint": "set_price"},
    )


def _spent(why: Denial, namespace: str) -> ApiError:
    assert why.budget is not None
    stands = _standing(why, namespace)
    until = f"; it resets at {stands['resets_at']}" if stands.get("resets_at") else ""
    return ApiError(
        403,
        f'budget "{why.budget.id}" is spent{_told(why, namespace)}{until}',
        "permission_denied",
        metadata={"reason": "budget_spent", **stands, "remedy_hint": "wait_for_reset" if until else "raise_budget"},
    )


def _too_much(why: Denial, namespace: str) -> ApiError:
    assert why.budget is not None
    passing = why.reason == "in_flight"
    message = f'This request requires more than is left of budget "{why.budget.id}", or fewer max_tokens.'
    metadata: dict[str, Any] = {"reason": "in_flight_budget_exhausted" if passing else "budget_exceeded"}
    if _alone(why, namespace) and why.line is not None and why.line.unit != "requests":
        message += f" You requested up to {why.asked} tokens, but can only afford {why.fits}."
        metadata["max_tokens"] = why.fits
    message += " Requests under way hold the rest of it; try again." if passing else ""
    metadata |= _standing(why, namespace)
    metadata["remedy_hint"] = "retry" if passing else "lower_max_tokens" if why.fits else "raise_budget"
    return ApiError(402, message, "payment_required", retry_after_s=AGAIN_S if passing else None, metadata=metadata)


def _standing(why: Denial, namespace: str) -> dict[str, Any]:
    said, budget, line = why.denied, why.budget, why.line
    assert said is not None
    assert budget is not None
    assert line is not None
    stands: dict[str, Any] = {"limit_source": _source(why.reason), "scope": budget.id}
    if said.resets_at is not None:
        stands["resets_at"] = datetime.fromtimestamp(said.resets_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not _alone(why, namespace):
        return stands
    if line.unit == "nanodollars":
        # Plain decimals, whole nanodollars that they are.
        stands["limit_usd"] = msgspec.Raw(dollars(said.amount).encode())
        stands["spend_usd"] = msgspec.Raw(dollars(said.spent).encode())
    else:
        stands |= {"unit": line.unit, "limit": said.amount, "spent": said.spent}
    return stands


def _source(reason: str) -> str:
    return "openrouter_in_flight_budget" if reason == "in_flight" else "openrouter_workspace_budget"


def _told(why: Denial, namespace: str) -> str:
    said, line = why.denied, why.line
    if said is None or line is None or not _alone(why, namespace):
        return ""
    # `namespace/name/period/unit`, as `Budget.limit_id` makes it.
    period = _PERIOD[line.limit.rsplit("/", 2)[1]]
    if line.unit == "nanodollars":
        return f": ${dollars(said.spent)} of ${dollars(said.amount)} {period}"
    return f": {said.spent:,} of {said.amount:,} {line.unit} {period}"


def _alone(why: Denial, namespace: str) -> bool:
    """Whether how it stands says nothing of anybody else."""
    budget = why.budget
    if budget is None or why.line is None:
        return False
    return budget.namespace == namespace or bool(why.line.subject) or budget.match.namespaces == (namespace,)
