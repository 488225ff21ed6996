"""Why there is no answer, in OpenRouter's words: from what choosing and carrying found to an ApiError."""

from typing import Any

from byway_proxy.api.budget_refusals import from_denial
from byway_proxy.api.errors import ApiError
from byway_proxy.carry.carry import GaveUp
from byway_proxy.choose.explain import explain_nothing
from byway_proxy.choose.nothing import Nothing
from byway_proxy.meter.rates import Over

_ERROR_TYPE = {400: "invalid_request", 403: "permission_denied", 404: "not_found"}


def from_nothing(nothing: Nothing) -> ApiError:
    """A 4xx always: what is certain not to work must not look as if it could later."""
    availability: dict[str, Any] = {
        "code": nothing.code,
        "retryable": False,
        "requested_models": nothing.requested,
    }
    if nothing.affected_providers:
        availability["affected_providers"] = nothing.affected_providers
    if nothing.excluded_by:
        availability["excluded_by"] = nothing.excluded_by
    if nothing.constraint is not None:
        availability["constraint"] = {"field": nothing.constraint[0], "detail": nothing.constraint[1]}
    if nothing.nearest:
        availability["nearest_models"] = nothing.nearest
    return ApiError(
        nothing.status,
        nothing.message,
        _ERROR_TYPE.get(nothing.status, ""),
        param="model" if nothing.code == "model_not_found" else None,
        availability=availability,
    )


def from_giving_up(gave_up: GaveUp, models: tuple[str, ...], namespace: str, wall: float) -> ApiError:
    """`namespace`: the caller's; `wall`: now, in seconds since 1970."""
    failure = gave_up.failure
    if failure.denial is not None:
        return from_denial(failure.denial, namespace, wall)
    if failure.kind == "over_rate" and failure.status == 429 and gave_up.over is not None:
        return over_rate(gave_up.over, models, wall)
    metadata: dict[str, Any] = {}
    if failure.candidate is not None:
        metadata["provider_name"] = failure.candidate.account.display_name
        metadata["model_slug"] = failure.candidate.endpoint.model
    if failure.previous:
        metadata["previous_errors"] = [
            {"provider": past.provider, "code": past.code, "status": past.status} for past in failure.previous
        ]
    availability = None
    if failure.availability is not None:
        availability = {
            "code": failure.availability,
            "retryable": failure.status in (429, 503),
            "requested_models": models,
        }
        if failure.retry_after_s is not None:
            availability["retry_after"] = _whole_seconds(failure.retry_after_s)
    message = failure.message
    said = gave_up.said
    if failure.as_is and said is not None and said.message:
        # Their fault or their wish to know: the caller reads what the provider said of the caller's own request.
        message = f"{message}: {said.message}"
        metadata["provider_code"] = said.code or said.type or None
    return ApiError(
        failure.status,
        message,
        failure.error_type,
        retry_after_s=failure.retry_after_s,
        metadata=metadata,
        availability=availability,
        should_retry=failure.should_retry,
    )


def over_rate(over: Over, models: tuple[str, ...], wall: float) -> ApiError:
    """A budget's limit of a minute: 429 and when to come again. Never for money: that takes longer to come back."""
    unit = over.unit if over.limit != 1 else over.unit[:-1]
    limit = f'budget "{over.budget}" allows {over.limit:,} {unit} a minute'
    rate = {"X-RateLimit-Limit": str(over.limit), "X-RateLimit-Remaining": str(over.remaining)}
    if over.after_s is None:
        message = f"{limit}, and this request alone asks for {over.need:,}; send less, or lower max_tokens"
    else:
        seconds = _whole_seconds(over.after_s)
        rate["X-RateLimit-Reset"] = str(int((wall + seconds) * 1000))  # milliseconds, as OpenRouter's
        message = f"{limit}, and they are used up; try again in {seconds} s"
    availability: dict[str, Any] = {
        "code": "capacity_exhausted",
        "retryable": over.after_s is not None,
        "requested_models": models,
    }
    if over.after_s is not None:
        availability["retry_after"] = _whole_seconds(over.after_s)
    return ApiError(
        429,
        message,
        retry_after_s=over.after_s,
        metadata={"scope": over.budget, "headers": rate},
        availability=availability,
        should_retry=None if over.after_s is not None else False,
        more_headers="".join(f"{name}: {value}\r\n" for name, value in rate.items()).encode(),
    )


def _whole_seconds(seconds: float) -> int:
    """As `Retry-After` says it."""
    return max(1, round(seconds + 0.499))


def explained_nothing(nothing: Nothing) -> dict[str, Any]:
    return {"candidates": [], "left_out": explain_nothing(nothing), "error": nothing.message}
