"""Conditions as the Kubernetes API has them: from what we found, with the times that earlier ones leave behind.

`lastTransitionTime` moves only when `status` does: that is what `kubectl wait` and people read from it.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from byway_operator.compile.verdict import Condition

Status = Mapping[str, Any]
"""A resource's `status`, as it is or was in the API."""

# A Secret comes a moment after what refers to it (external-secrets, sealed-secrets, `kubectl apply` of a folder).
LATE_S = 60.0
_LATE_REASONS = frozenset({"SecretNotFound", "SecretKeyMissing", "ProviderKeyNotFound", "AccessKeyNotFound"})

# The API server's own bound.
_MOST_MESSAGE = 32768


def rfc3339(at: float) -> str:
    return _spelled(int(at))


@lru_cache(64)
def _spelled(at: int) -> str:
    """Thousands of statuses are of the same second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float | None:
    """Seconds since 1970, or None if this is no time."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def earlier(previous: Status | None, kind: str) -> Mapping[str, Any]:
    """The condition of this type as it was, or nothing."""
    for condition in (previous or {}).get("conditions", ()):
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}


def held_for_s(previous: Status | None, kind: str, status: str, now: float) -> float:
    """How long the condition has had this status; 0 if it had another."""
    condition = earlier(previous, kind)
    since = seconds(str(condition.get("lastTransitionTime", "")))
    return max(now - since, 0.0) if since is not None and condition.get("status") == status else 0.0


def ready(accepted: Condition, resolved: Condition, programmed: Condition) -> Condition:
    """All three. Otherwise the first that is not true speaks, a False before an Unknown."""
    parts = (accepted, resolved, programmed)
    for status in ("False", "Unknown"):
        for part in parts:
            if part.status == status:
                return part
    return Condition("True", "Ready")


def progress(
    accepted: Condition, resolved: Condition, programmed: Condition, previous: Status | None, now: float
) -> tuple[str, Condition] | None:
    """`Reconciling`, `Stalled`, or neither; never both, because kstatus takes the first it meets.

    Stalled is what only a person can mend.
    """
    overall = ready(accepted, resolved, programmed)
    if overall.status == "True":
        return None
    if accepted.status == "False":
        return "Stalled", accepted
    if resolved.status == "False":
        late = resolved.reason in _LATE_REASONS
        waited = held_for_s(previous, "ResolvedRefs", "False", now)
        return ("Reconciling" if late and waited < LATE_S else "Stalled"), resolved
    if programmed.reason == "RejectedByProxy":
        return "Stalled", programmed
    return "Reconciling", overall


def written(
    conditions: Iterable[tuple[str, Condition]], generation: int, previous: Status | None, now: float
) -> list[dict[str, Any]]:
    """As the API has them."""
    return [_written(kind, condition, generation, previous, now) for kind, condition in conditions]


# What is well explains itself too: a person reads all conditions, not only the bad ones.
WELL: Mapping[str, str] = {
    "Accepted": "the spec is valid",
    "ResolvedRefs": "all that it refers to is there, and may be used",
    "Ready": "it is accepted, resolved, and served by every proxy",
    "Available": "every endpoint can answer",
    "Valid": "the provider takes the credential",
}


def _written(
    kind: str, condition: Condition, generation: int, previous: Status | None, now: float
) -> dict[str, Any]:
    before = earlier(previous, kind)
    same = before.get("status") == condition.status and before.get("lastTransitionTime")
    return {
        "type": kind,
        "status": condition.status,
        "reason": condition.reason,
        "message": _message(kind, condition),
        "lastTransitionTime": before["lastTransitionTime"] if same else rfc3339(now),
        "observedGeneration": generation,
    }


def _message(kind: str, condition: Condition) -> str:
    if not condition.message and condition.status == "True":
        return WELL.get(kind, "")
    return condition.message[:_MOST_MESSAGE]
