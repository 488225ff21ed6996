"""The front of choosing: from what a caller wants to whom to try, in order, and why the others are left out.

Whatever is certain not to work is a 4xx, never a 5xx: official clients repeat a 5xx for up to an hour.
"""

from msgspec import Struct
from msgspec.structs import replace

from byway_proxy.choose.candidate import Candidate
from byway_proxy.choose.filter import nothing_to_ask, passing
from byway_proxy.choose.health import Dice, Health, Standing
from byway_proxy.choose.listing import may_call, nearest
from byway_proxy.choose.nothing import Nothing, all_filtered, no_endpoints, not_allowed, rejected, unknown
from byway_proxy.choose.rank import Shelf, ranked
from byway_proxy.choose.target import MOST_ATTEMPTS, Group, LeftOut, Rejected, Served, Target, Unknown
from byway_proxy.choose.view import View
from byway_proxy.choose.wanted import Wanted

__all__ = ["Candidate", "Choice", "LeftOut", "Nothing", "choose"]


READY = Standing.READY


class Choice(Struct, frozen=True):
    candidates: tuple[Candidate, ...]
    """At least one, in the order to try them."""
    left_out: tuple[LeftOut, ...]
    ignored: tuple[str, ...]
    """What the caller sent that does nothing here."""
    most_attempts: int = MOST_ATTEMPTS
    fallbacks: bool = True
    """False: an upstream error is returned as it is."""


def choose(wanted: Wanted, view: View, health: Health, now: float, dice: Dice) -> Choice:
    """Raises Nothing."""
    out: list[LeftOut] = []
    if wanted.allowed_models:
        wanted = replace(wanted, models=_allowed(wanted, view, out))
    models = wanted.models
    if len(models) == 1:
        target = view.resolve(wanted.namespace, models[0])
        only = _only(target, wanted, health, now, out)
        if only is not None:
            return only
        targets = [target]
    else:
        targets = [view.resolve(wanted.namespace, model) for model in models]
    groups = _groups(targets, wanted, view, out)
    shelves = [Shelf(number, group, passing(group, wanted, out)) for number, group in enumerate(groups)]
    if len(shelves) > 1:
        shelves = _each_once(shelves)
    candidates = ranked(shelves, wanted.preferences, health, now, dice)
    if not candidates:
        raise _none(wanted, out)
    if not wanted.preferences.allow_fallbacks and not wanted.preferences.order:
        candidates = _top(candidates, out)
    return Choice(
        tuple(candidates), tuple(out), _ignored(targets, wanted), _most(targets), wanted.preferences.allow_fallbacks
    )


def _allowed(wanted: Wanted, view: View, out: list[LeftOut]) -> tuple[str, ...]:
    """A name that the access key does not allow is passed over while another one is left. Raises Nothing."""
    kept = []
    for model in wanted.models:
        if may_call(view, wanted.namespace, wanted.allowed_models, model):
            kept.append(model)
        else:
            detail = "this access key's allowedModels leave it out"
            out.append(LeftOut(model, "", "", "allowed_models", detail))
    if not kept:
        raise not_allowed(wanted, out)
    return tuple(kept)


def _only(target: Target, wanted: Wanted, health: Health, now: float, out: list[LeftOut]) -> Choice | None:
    """The usual case, where there is nothing to weigh: one endpoint, well, for a request that asks for nothing."""
    if not isinstance(target, Served):
        return None
    slot, group = target.only, target.groups[0]
    if slot is None or not nothing_to_ask(group, wanted) or health.standing(slot, now) is not READY:
        return None
    candidate = Candidate(slot, 0, group.name, "only", READY)
    left_out = (*out, *group.left_out) if out else group.left_out
    return Choice((candidate,), left_out, target.ignored, target.most_attempts)


def _groups(targets: list[Target], wanted: Wanted, view: View, out: list[LeftOut]) -> list[Group]:
    """The whole chain. A name that leads nowhere is passed over while another one serves."""
    groups: list[Group] = []
    for target in targets:
        match target:
            case Served():
                groups.extend(target.groups)
            case Rejected():
                out.append(LeftOut(target.name, "", "", "rejected", target.reason))
            case Unknown():
                out.append(LeftOut(target.name, "", "", "unknown_model", f'no model named "{target.name}" here'))
    if groups:
        return groups
    for target in targets:
        if isinstance(target, Rejected):
            raise rejected(wanted, target)
    raise unknown(wanted, nearest(view, wanted.namespace, wanted.models[0], wanted.allowed_models))


def _each_once(shelves: list[Shelf]) -> list[Shelf]:
    """One attempt an endpoint: what an earlier model of the chain has, a later one does not offer again."""
    seen: set[str] = set()
    once = []
    for shelf in shelves:
        fresh = [slot for slot in shelf.slots if slot.endpoint_id not in seen]
        seen.update(slot.endpoint_id for slot in fresh)
        once.append(Shelf(shelf.number, shelf.group, fresh))
    return once


def _top(candidates: list[Candidate], out: list[LeftOut]) -> list[Candidate]:
    detail = "provider.allow_fallbacks is false: only the first is tried"
    out.extend(
        LeftOut(other.model, other.endpoint_id, other.account.provider, "allow_fallbacks", detail)
        for other in candidates[1:]
    )
    return candidates[:1]


def _none(wanted: Wanted, out: list[LeftOut]) -> Nothing:
    return all_filtered(wanted, out) if any(each.endpoint_id for each in out) else no_endpoints(wanted, out)


def _ignored(targets: list[Target], wanted: Wanted) -> tuple[str, ...]:
    variants = tuple(i for target in targets if isinstance(target, Served) for i in target.ignored)
    return variants + wanted.preferences.ignored


def _most(targets: list[Target]) -> int:
    first = targets[0]
    return first.most_attempts if isinstance(first, Served) else MOST_ATTEMPTS
