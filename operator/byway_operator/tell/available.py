"""Available: can a route's endpoints answer just now? It follows upstreams: so apart from Ready, and slowly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from byway_operator.compile.verdict import Condition, EndpointFact
from byway_operator.tell.conditions import Status
from byway_operator.tell.summary import EndpointHealth, Summary

# Out after a few seconds of it, so that one bad answer is no news; back after longer, so that an endpoint which is
# tried, fails and rests again does not flap. Guesses, in the ratio that load balancers use for their checks.
OUT_S, BACK_S = 5.0, 15.0


@dataclass(frozen=True)
class Member:
    """A line of `status.endpoints`."""

    fact: EndpointFact
    available: bool
    reason: str = ""


def members(
    facts: tuple[EndpointFact, ...], health: Summary, previous: Status | None, now: float
) -> tuple[Member, ...]:
    before = {line.get("name"): line for line in (previous or {}).get("endpoints", ())}
    return tuple(_member(fact, health, before.get(fact.name), now) for fact in facts)


def available(endpoints: tuple[Member, ...]) -> Condition:
    out = [member for member in endpoints if not member.available]
    if not out and endpoints:
        return Condition("True", "AllEndpoints")
    why = (
        "; ".join(f"{member.fact.name}: {member.reason or 'out'}" for member in out) or "the route has no endpoint"
    )
    return (
        Condition("True", "SomeEndpoints", why)
        if len(out) < len(endpoints)
        else Condition("False", "NoEndpoint", why)
    )


def told(member: Member) -> dict[str, Any]:
    """As the API has it."""
    optional = {"reason": member.reason, "price": member.fact.price, "priceOrigin": member.fact.price_origin}
    known = {name: value for name, value in optional.items() if value}
    return {"name": member.fact.name, "available": member.available, **known}


def _member(fact: EndpointFact, health: Summary, before: Mapping[str, Any] | None, now: float) -> Member:
    if fact.endpoint is None:
        return Member(fact, False, fact.reason or "Unresolved")
    known = health.endpoints.get(fact.endpoint)
    was = before.get("available") if before is not None else None
    if known is None and was is False and before is not None and not health.complete:
        return Member(fact, False, str(before.get("reason", "")))
    # Nobody has tried it lately: no news is good news.
    up = known is None or _steady(known, was, now)
    return Member(fact, up, fact.reason if up else _why(known))


def _steady(known: EndpointHealth, was: bool | None, now: float) -> bool:
    if was is None or was == known.up:
        return known.up
    return known.up if now - known.since >= (BACK_S if known.up else OUT_S) else was


def _why(known: EndpointHealth | None) -> str:
    """A word, as reasons are: `RateLimited`, `Unauthorized`, `Status503`, else the state."""
    error = known.last_error if known else None
    if error is None:
        return (known.state if known else "out").capitalize()
    words: Mapping[int | None, str] = {
        401: "Unauthorized",
        402: "PaymentRequired",
        403: "Forbidden",
        429: "RateLimited",
    }
    if error.status in words:
        return words[error.status]
    return f"Status{error.status}" if error.status else "".join(part.title() for part in error.kind.split("_"))
