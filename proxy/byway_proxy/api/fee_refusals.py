"""Refused for want of credits, or of free requests, in OpenRouter's words: 402 and 429."""

from typing import Any

import msgspec
from byway_contract.grants import Denied
from byway_contract.money import dollars

from byway_proxy.api.errors import ApiError
from byway_proxy.meter.denial import Denial

AGAIN_S = 1.0


def no_credits(why: Denial, said: Denied, namespace: str) -> ApiError:
    """Credits are a namespace's own, so it is told all of them."""
    passing = why.reason == "in_flight"
    left = max(0, said.amount - said.spent)
    message = f'namespace "{namespace}" has ${dollars(left)} of its credits left, and this request may need more.'
    metadata: dict[str, Any] = {
        "reason": "in_flight_budget_exhausted" if passing else "insufficient_credits",
        "limit_source": "openrouter_in_flight_budget" if passing else "openrouter_credits",
        "limit_usd": msgspec.Raw(dollars(said.amount).encode()),
        "spend_usd": msgspec.Raw(dollars(said.spent).encode()),
        "max_tokens": why.fits,
    }
    if passing:
        message += " Requests under way hold the rest; try again."
    elif why.fits:
        message += f" You requested up to {why.asked} tokens, but can only afford {why.fits}; lower max_tokens, or"
        message += " buy more credits."
    else:
        message += " Buy more credits."
    metadata["remedy_hint"] = "retry" if passing else "lower_max_tokens" if why.fits else "add_credits"
    return ApiError(402, message, "payment_required", retry_after_s=AGAIN_S if passing else None, metadata=metadata)


def no_free_requests(why: Denial, said: Denied, wall: float) -> ApiError:
    """The day's are used up, or are under way elsewhere just now."""
    passing = why.reason == "in_flight"
    rate = {"X-RateLimit-Limit": str(said.amount), "X-RateLimit-Remaining": "0"}
    after_s = AGAIN_S
    if said.resets_at is not None:
        rate["X-RateLimit-Reset"] = str(said.resets_at * 1000)  # milliseconds, as OpenRouter's
        after_s = AGAIN_S if passing else max(AGAIN_S, said.resets_at - wall)
    until = (
        "others of yours hold the last of them; try again" if passing else "they are used up until midnight, UTC"
    )
    return ApiError(
        429,
        f"free models answer {said.amount:,} requests a day, and {until}; others have no such limit",
        retry_after_s=after_s,
        metadata={"reason": "free_requests_spent", "scope": "free-models-per-day", "headers": rate},
        should_retry=None if passing else False,
        more_headers="".join(f"{name}: {value}\r\n" for name, value in rate.items()).encode(),
    )
