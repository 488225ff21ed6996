"""Tell: a resource's `status`, from what the compiler thinks of it and what the proxies say.

Pure. Who writes it, and how often, is decided elsewhere.

    verdict ------> Accepted, ResolvedRefs --+
    acks, nacks --> Programmed --------------+--> Ready, Reconciling | Stalled
    reports ------> Available | Valid, counts and times
    books --------> Enforcing, Exceeded, figures of a Budget

What twitches is told coarsely, so that a status differs only when there is something to read: a time moves when it
is half a minute old, a duration by a tenth.
"""

from typing import Any

from byway_contract.report import Quota

from byway_operator.compile.verdict import Condition, Verdict
from byway_operator.push.fleet import FleetView
from byway_operator.resources.manifest import Manifest
from byway_operator.tell.available import available, members, told
from byway_operator.tell.books import Books
from byway_operator.tell.budgets import budget_status, with_limits
from byway_operator.tell.coarse import coarse_time
from byway_operator.tell.conditions import Status, progress, ready, rfc3339, written
from byway_operator.tell.programmed import programmed, share
from byway_operator.tell.summary import Summary, median_ms
from byway_operator.tell.valid import valid

_COARSE_SHARE = 0.1


def status_of(
    verdict: Verdict,
    manifest: Manifest,
    fleet: FleetView,
    health: Summary,
    previous: Status | None,
    now: float,
    good: Manifest | None = None,
    books: Books | None = None,
) -> dict[str, Any]:
    """The whole of `status`. `previous` is what was told last; `good` the last good form, if there is one."""
    kind = verdict.key.kind
    books = books or Books()
    programmed_ = programmed(verdict, fleet, good, previous, now)
    if kind == "Budget":
        programmed_ = with_limits(programmed_, books, verdict, previous)
    conditions = [
        ("Accepted", verdict.accepted),
        ("ResolvedRefs", verdict.resolved),
        ("Programmed", programmed_),
        ("Ready", ready(verdict.accepted, verdict.resolved, programmed_)),
    ]
    moving = progress(verdict.accepted, verdict.resolved, programmed_, previous, now)
    if moving is not None:
        conditions.append((moving[0], Condition("True", moving[1].reason, moving[1].message)))
    if kind == "Budget":
        extra, fields = budget_status(verdict, programmed_, books, fleet, health, previous, now)
    else:
        extra, fields = _of_kind(kind, verdict, fleet, health, previous, now)
    return {
        "observedGeneration": manifest.generation,
        "conditions": written([*conditions, *extra], manifest.generation, previous, now),
        **fields,
    }


def _of_kind(
    kind: str, verdict: Verdict, fleet: FleetView, health: Summary, previous: Status | None, now: float
) -> tuple[list[tuple[str, Condition]], dict[str, Any]]:
    match kind:
        case "ModelRoute":
            return _of_route(verdict, fleet, health, previous, now)
        case "ProviderKey":
            return _of_provider_key(verdict, health, previous)
        case "AccessKey":
            return [], _of_access_key(verdict, health, previous)
        case _:
            return [], {}


def _of_route(
    verdict: Verdict, fleet: FleetView, health: Summary, previous: Status | None, now: float
) -> tuple[list[tuple[str, Condition]], dict[str, Any]]:
    endpoints = members(verdict.endpoints, health, previous, now)
    ids = {fact.endpoint for fact in verdict.endpoints if fact.endpoint is not None}
    known = [health.endpoints[name] for name in sorted(ids & health.endpoints.keys())]
    fields: dict[str, Any] = {
        "modelNames": list(verdict.model_names),
        "endpointsAvailable": f"{sum(member.available for member in endpoints)}/{len(endpoints)}",
        "proxies": share(verdict, fleet, previous),
        "endpoints": [told(member) for member in endpoints],
    }
    first_token = _coarse_duration(median_ms(known), previous)
    if first_token:
        fields["firstTokenP50"] = first_token
    return [("Available", available(endpoints))], fields


def _of_provider_key(
    verdict: Verdict, health: Summary, previous: Status | None
) -> tuple[list[tuple[str, Condition]], dict[str, Any]]:
    account = health.accounts.get(f"{verdict.key.namespace}/{verdict.key.name}")
    fields: dict[str, Any] = {"models": verdict.models}
    last_used = coarse_time(account.last_used if account else None, (previous or {}).get("lastUsed"))
    if last_used:
        fields["lastUsed"] = last_used
    if account is not None and account.requests:
        fields["errorRate"] = percent(account.error_rate)
    elif previous is not None and "errorRate" in previous and not health.complete:
        fields["errorRate"] = previous["errorRate"]
    credential = (previous or {}).get("credential", {})
    verified = coarse_time(account.last_ok if account else None, credential.get("verifiedAt"))
    if verified:
        fields["credential"] = {"verifiedAt": verified}
    quota = _quota(account.quota) if account is not None and account.quota else (previous or {}).get("quota")
    if quota:
        fields["quota"] = quota
    same_form = (previous or {}).get("observedGeneration") == verdict.generation
    return [("Valid", valid(account, previous if same_form else None))], fields


def _of_access_key(verdict: Verdict, health: Summary, previous: Status | None) -> dict[str, Any]:
    before = {told_["name"]: told_.get("lastUsed") for told_ in (previous or {}).get("keys", ())}
    keys, used = [], [(previous or {}).get("lastUsed")]
    for fact in verdict.keys:
        at = health.access_keys.get(f"{verdict.key.namespace}/{verdict.key.name}/{fact.name}")
        told_ = {"name": fact.name, "label": fact.label}
        if last := coarse_time(at, before.get(fact.name)):
            told_["lastUsed"] = last
            used.append(last)
        keys.append(told_)
    fields: dict[str, Any] = {"keys": keys}
    # All are of one form, so the greatest is the latest.
    if last := max(filter(None, used), default=None):
        fields["lastUsed"] = last
    ends = [fact.expires for fact in verdict.keys if fact.expires is not None]
    if ends and len(ends) == len(verdict.keys):
        fields["expiresAt"] = rfc3339(max(ends))
    return fields


def _quota(quota: Quota) -> dict[str, int]:
    said = {"requestsRemaining": quota.requests_remaining, "tokensRemaining": quota.tokens_remaining}
    return {name: left for name, left in said.items() if left is not None}


def duration(milliseconds: float) -> str:
    """`340ms`, `1s200ms`, `75s`: as durations are written in a spec, to two digits or so."""
    if round(milliseconds) < 1000:
        return f"{max(round(milliseconds), 1)}ms"
    tenths = round(milliseconds / 100)
    whole, rest = divmod(tenths, 10)
    return f"{whole}s" if whole >= 10 or rest == 0 else f"{whole}s{rest * 100}ms"


def percent(share: float) -> str:
    """`0%`, `0.4%`, `12%`. What is not nothing is not called nothing."""
    value = share * 100
    if value >= 10 or value == 0:
        return f"{value:.0f}%"
    return f"{max(value, 0.1):.1f}%"


def _coarse_duration(milliseconds: float | None, previous: Status | None) -> str | None:
    before = (previous or {}).get("firstTokenP50")
    if milliseconds is None:
        return before
    was = _milliseconds(before) if before else None
    near = was is not None and abs(milliseconds - was) <= was * _COARSE_SHARE
    return before if near else duration(milliseconds)


def _milliseconds(text: str) -> float | None:
    """The inverse of `duration`."""
    whole, _, rest = text.partition("s") if not text.endswith("ms") or text.count("s") > 1 else ("0", "", text)
    try:
        return float(whole) * 1000 + (float(rest.removesuffix("ms")) if rest else 0.0)
    except ValueError:
        return None
