"""Why there is no answer, in OpenRouter's words: from what choosing and carrying found to an ApiError."""

from typing import Any

from byway_proxy.api.budget_refusals import from_denial
from byway_proxy.api.errors import ApiError
from byway_proxy.carry.carry import GaveUp
from byway_proxy.choose.explain import explain_nothing
from byway_proxy.choose.nothing import Nothing

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


def from_giving_up(gave_up: GaveUp, models: tuple[str, ...], namespace: str) -> ApiError:
    """`namespace`: the caller's."""
    failure = gave_up.failure
    if failure.denial is not None:
        return from_denial(failure.denial, namespace)
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
            availability["retry_after"] = max(1, round(failure.retry_after_s + 0.499))
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


def explained_nothing(nothing: Nothing) -> dict[str, Any]:
    return {"candidates": [], "left_out": explain_nothing(nothing), "error": nothing.message}
