"""Who would answer for a model, by what a person may read, and what that leaves open. Pure.

What a proxy knows of endpoints' health reaches people by status alone: an endpoint that its route's status calls
unavailable stands as one that rests.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from byway_contract.table import decode
from byway_operator.compile.catalogue.catalogue import Catalogue
from byway_operator.compile.verdict import Compiled
from byway_operator.resources.manifest import Key
from byway_proxy.choose.choose import choose
from byway_proxy.choose.explain import explain, explain_nothing
from byway_proxy.choose.health import Dice, Health
from byway_proxy.choose.nothing import Nothing
from byway_proxy.choose.target import Served, Slot, Target
from byway_proxy.choose.trouble import Trouble
from byway_proxy.choose.view import View
from byway_proxy.choose.wanted import Wanted

from byway_cli.kube.judging import compiled, condition, refusal
from byway_cli.kube.reading import Seen

NOW = 0.0
"""Nothing here has a past."""
_RESTS_S = 3600.0


def explained(model: str, namespace: str, seen: Seen, catalogue: Catalogue, dice: Dice) -> dict[str, Any]:
    made = compiled(seen, catalogue)
    view = View(decode(made.sections))
    target = view.meant(namespace, model)
    out = dict(_out(made, seen))
    answer: dict[str, Any] = {"model": model, "namespace": namespace}
    try:
        choice = choose(Wanted(namespace, (model,)), view, _health(_slots(target), out, dice), NOW, dice)
        rows = explain(choice)
        answer["candidates"] = [_with_words(row, out, seen) for row in rows if "place" in row]
        answer["left_out"] = [row for row in rows if "place" not in row]
    except Nothing as nothing:
        answer |= {"candidates": [], "left_out": explain_nothing(nothing), "error": nothing.message}
    return answer | {"notes": [*_notes(namespace, made, seen)]}


def _out(made: Compiled, seen: Seen) -> Iterator[tuple[str, str]]:
    """Endpoints that a route's status says are out, and its word for why."""
    for key, verdict in made.verdicts.items():
        told = {line.get("name"): line for line in seen.told.get(key, {}).get("endpoints") or ()}
        for fact in verdict.endpoints:
            line = told.get(fact.name)
            if fact.endpoint is not None and line is not None and line.get("available") is False:
                yield fact.endpoint, str(line.get("reason") or "out")


def _slots(target: Target) -> Iterator[Slot]:
    if isinstance(target, Served):
        for group in target.groups:
            yield from group.slots


def _health(slots: Iterator[Slot], out: Mapping[str, str], dice: Dice) -> Health:
    health = Health()
    for slot in slots:
        attempt = health.begin(slot, NOW) if slot.endpoint_id in out else None
        if attempt is not None:
            health.failed(attempt, Trouble("rate_limited", retry_after_s=_RESTS_S), NOW, dice)
            health.end(attempt)
    return health


def _with_words(row: dict[str, object], out: Mapping[str, str], seen: Seen) -> dict[str, object]:
    """What status says of an endpoint and of its key, behind why it stands where it does."""
    endpoint = str(row["endpoint"])
    words = [f"status says {out[endpoint]}"] if endpoint in out else []
    account, _, _ = endpoint.partition(":")
    key = Key("ProviderKey", *account.split("/")) if account.count("/") == 1 else None
    if key in seen.manifests:
        valid = condition(seen.told.get(key), "Valid", seen.manifests[key].generation)
        if valid.get("status") == "False":
            words.append(f"its ProviderKey is not Valid: {valid.get('reason')}")
    return {**row, "why": "; ".join([str(row["why"]), *words])}


def _notes(namespace: str, made: Compiled, seen: Seen) -> Iterator[str]:
    """What could not be read and what follows from that; where the cluster's word and ours differ."""
    trusted = ", ".join(seen.platform.trusted)
    yield f"trusted namespaces are taken to be: {trusted} (--trusted says others)"
    for unread, kinds in sorted(seen.unread.items()):
        yield (
            f"no right to list {' and '.join(kinds)} in namespace {unread}: what it shares with {namespace} is not "
            "shown, or shown as missing; the ClusterRole view there would show it"
        )
        yield from _told_of(unread, namespace, seen)
    if namespace not in seen.labels:
        yield f"labels of namespace {namespace} cannot be read: what is shared by them is taken not to be shared"
    if seen.floor_unread:
        yield (
            f"no right to list configmaps in namespace {seen.platform.release}: the platform's floor, if there is "
            "one, may leave out more than is shown"
        )
    yield from _differences(made, seen)


def _told_of(unread: str, namespace: str, seen: Seen) -> Iterator[str]:
    """What a route's own status says of endpoints by keys that cannot be read."""
    for key, manifest in sorted(seen.manifests.items(), key=lambda pair: pair[0]):
        if key.kind != "ModelRoute" or key.namespace != namespace:
            continue
        lines = {line.get("name"): line for line in seen.told.get(key, {}).get("endpoints") or ()}
        for endpoint in manifest.body["spec"].get("endpoints") or ():
            line = lines.get(endpoint.get("name"))
            if (endpoint.get("providerKeyRef") or {}).get("namespace") == unread and line is not None:
                up = "available" if line.get("available") else f"out ({line.get('reason', 'no reason told')})"
                price = f", {line['price']}" if line.get("price") else ""
                yield f"by the status of {key}, its endpoint {line['name']} is {up}{price}"


def _differences(made: Compiled, seen: Seen) -> Iterator[str]:
    for key, verdict in sorted(made.verdicts.items(), key=lambda pair: pair[0]):
        status = seen.told.get(key)
        if key.kind not in ("ModelRoute", "ProviderKey"):
            continue
        if (status or {}).get("observedGeneration") != verdict.generation:
            yield f"{key}: the operator has not looked at its latest form yet"
        elif verdict.accepted.status == "False" and not refusal(status, verdict.generation):
            yield f"{key} is refused here ({verdict.accepted.message}), but the operator accepts it"
        elif verdict.accepted.status == "False":
            yield f"{key} is not accepted; if it was before, it serves on in that form, which cannot be read"
        elif verdict.resolved.status != "True":
            pass  # its reason is told where its endpoints are left out
        elif (programmed := condition(status, "Programmed", verdict.generation)).get("status") == "False":
            yield f"{key}: the proxies do not have this form yet ({programmed.get('reason')})"
