"""Who leads, decided from the Lease as it was read. No I/O: see `elector` for that.

    nobody's, or let expire --> take it        ours --> renew it        another's --> wait

Whether another's Lease has expired is told by our own clock alone: since when *we* have seen it unchanged. So
clocks that disagree between two nodes harm nobody. A Lease that was deleted is made anew by whoever comes first,
its holder included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# Kubernetes' own figure for its controllers, and so are the shares of it below.
LEASE_S = 15

TERM = "byway.dev/term"
ADDRESS = "byway.dev/address"

Lease = Mapping[str, Any]


@dataclass(frozen=True)
class Pace:
    """Seconds."""

    lease_s: int = LEASE_S
    """For so long after a leader's last word nobody else takes the Lease. Whole, as the API has it."""

    @property
    def renew_within_s(self) -> float:
        """A leader that has not renewed for so long leads no longer, well before another may."""
        return self.lease_s * 2 / 3

    @property
    def retry_s(self) -> float:
        return self.lease_s * 2 / 15


@dataclass(frozen=True)
class Candidate:
    """One that would lead."""

    name: str
    """Unlike any other's: a pod's name."""
    address: str
    """`host:port` of its control stream, for those who dial another."""


@dataclass(frozen=True)
class Seen:
    """A Lease, and since when it has been as it is."""

    lease: Lease | None
    """None: there is none."""
    since: float
    """Monotonic seconds."""

    @property
    def holder(self) -> str:
        return str(self._spec.get("holderIdentity") or "")

    @property
    def address(self) -> str | None:
        """Of the leader's control stream."""
        return self._annotations.get(ADDRESS) if self.holder else None

    @property
    def term(self) -> int:
        """Of the last reign; 0 if the Lease does not say."""
        said = self._annotations.get(TERM, "")
        return int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0

    def again(self, lease: Lease | None, now: float) -> "Seen":
        """It was read again."""
        return self if _version(lease) == _version(self.lease) else Seen(lease, now)

    def expired(self, now: float) -> bool:
        return not self.holder or now - self.since >= float(self._spec.get("leaseDurationSeconds") or LEASE_S)

    @property
    def _spec(self) -> Mapping[str, Any]:
        return (self.lease or {}).get("spec") or {}

    @property
    def _annotations(self) -> Mapping[str, str]:
        return (self.lease or {}).get("metadata", {}).get("annotations") or {}


def may_take(seen: Seen, candidate: Candidate, now: float) -> bool:
    return seen.holder == candidate.name or seen.expired(now)


def new_term(seen: Seen, wall_s: float) -> int:
    """A reign later than every earlier one: a Lease that was deleted no longer knows the last, the clock does."""
    return max(seen.term + 1, int(wall_s * 1000))


def taken(seen: Seen, candidate: Candidate, term: int, name: str, wall_s: float, lease_s: int = LEASE_S) -> Lease:
    """The Lease to write for `candidate` to lead, or to lead on."""
    old = seen.lease or {}
    before = old.get("spec") or {}
    ours = seen.holder == candidate.name
    now = _micro_time(wall_s)
    metadata = {**old.get("metadata", {}), "name": name}
    metadata.pop("managedFields", None)
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        TERM: str(term),
        ADDRESS: candidate.address,
    }
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": candidate.name,
            "leaseDurationSeconds": lease_s,
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not ours and seen.lease is not None),
        },
    }


def released(seen: Seen, wall_s: float) -> Lease:
    """The Lease to write so that another may lead at once. The term stays in it."""
    assert seen.lease is not None
    spec = {**seen.lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time(wall_s)}
    return {**seen.lease, "spec": spec}


def _version(lease: Lease | None) -> tuple[str, str] | None:
    metadata = (lease or {}).get("metadata") or {}
    return (str(metadata.get("uid")), str(metadata.get("resourceVersion"))) if lease is not None else None


def _micro_time(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
