"""Programmed: do the proxies serve this form of this object? By their own acks, never by our hopes."""

from collections.abc import Iterable

from byway_operator.compile.verdict import Condition, Verdict
from byway_operator.push.fleet import FleetView
from byway_operator.resources.manifest import Manifest
from byway_operator.tell.conditions import Status, earlier

# Longer than any healthy proxy needs, reconnecting included.
PENDING_S = 30.0


def programmed(
    verdict: Verdict, fleet: FleetView, good: Manifest | None, previous: Status | None, now: float
) -> Condition:
    """`good`: the last good form, if it is what serves. `previous`: the status told last."""
    refusal = _refusal(verdict, fleet)
    if refusal is not None:
        return Condition("False", "RejectedByProxy", f"a proxy refused it: {refusal}; {_serving(verdict, good)}")
    if fleet.counted == 0:
        return Condition("Unknown", "NoProxies", _no_proxies(fleet))
    if verdict.serves != "current":
        return Condition(
            "False", "Pending", f"generation {verdict.generation} is not served; {_serving(verdict, good)}"
        )
    return _unchanged(verdict, fleet, previous) or _by_acks(verdict, fleet, now)


def share(verdict: Verdict, fleet: FleetView, previous: Status | None) -> str:
    """`2/3`: how many proxies serve what is to be served of this object just now."""
    if _unchanged(verdict, fleet, previous) is not None and previous is not None and "proxies" in previous:
        return str(previous["proxies"])
    return f"{_holding(verdict, fleet)}/{fleet.counted}"


def _unchanged(verdict: Verdict, fleet: FleetView, previous: Status | None) -> Condition | None:
    """A proxy that dials again, as all do when another operator takes the lead, serves on with what it had.

    So what was said of this generation stands until the proxy has had time to say it again.
    """
    before = earlier(previous, "Programmed")
    if before.get("status") != "True" or before.get("observedGeneration") != verdict.generation:
        return None
    missing = fleet.counted - _holding(verdict, fleet)
    if missing == 0 or missing > fleet.given_time(verdict.key, verdict.fingerprint):
        return None
    return Condition("True", str(before["reason"]), str(before.get("message", "")))


def _no_proxies(fleet: FleetView) -> str:
    if isinstance(fleet.expected, frozenset):
        return "no proxy is ready: kubectl get pods shows why"
    return "no proxy is connected and ready"


def _by_acks(verdict: Verdict, fleet: FleetView, now: float) -> Condition:
    having, counted = _holding(verdict, fleet), fleet.counted
    part = f"{having}/{counted} at generation {verdict.generation}"
    if having >= counted:
        return Condition("True", "Programmed", part)
    nack = _nack(fleet)
    if nack:
        return Condition("False", "RejectedByProxy", f"{part}; a proxy refused the whole table: {nack}")
    since = fleet.since(verdict.key, verdict.fingerprint)
    if since is None or now - since < PENDING_S:
        return Condition("False", "Pending", part)
    return Condition("False", "PartiallyProgrammed", f"{part}; {_behind(verdict, fleet)}")


def _holding(verdict: Verdict, fleet: FleetView) -> int:
    return fleet.holding(verdict.key, verdict.fingerprint)


def _refusal(verdict: Verdict, fleet: FleetView) -> str | None:
    """The refusal of the form that the resource now has. An older form's says nothing about this one."""
    refusal = fleet.refusals.get(verdict.key)
    if refusal is None or verdict.accepted.status == "False":
        return None
    current = verdict.serves == "current"
    return refusal.message if not current or refusal.fingerprint == verdict.fingerprint else None


def _nack(fleet: FleetView) -> str:
    newest = fleet.ring[-1].hash if fleet.ring else None
    if fleet.stuck:
        return fleet.stuck
    for proxy in fleet.proxies:
        if proxy.nack is not None and proxy.nack.hash == newest:
            return f"{proxy.pod.name}: {proxy.nack.message}"
    return ""


def _behind(verdict: Verdict, fleet: FleetView) -> str:
    """Who is missing, as far as they are connected at all."""
    newest = {sent.hash for sent in fleet.ring if sent.fingerprints.get(verdict.key) == verdict.fingerprint}
    behind = [proxy.pod.name for proxy in fleet.proxies if fleet.counts(proxy) and proxy.acked not in newest]
    parts = (("behind", behind), ("not connected to the operator", fleet.absent))
    said = "; ".join(f"{what}: {_named(names)}" for what, names in parts if names)
    return said or "the others are not connected"


def _named(names: Iterable[str]) -> str:
    known = sorted(names)
    return ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")


def _serving(verdict: Verdict, good: Manifest | None) -> str:
    if verdict.serves == "last-good":
        return f"generation {good.generation} serves on" if good else "its last good form serves on"
    return "nothing serves in its place"
