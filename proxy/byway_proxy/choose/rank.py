"""In which order the candidates are tried.

Outermost first, an endpoint stands by: is it out (resting, ejected) or full · the model of the chain · the route's
step · then by the rule in force:

    Balanced        free ones first, in equal share; own keys before shared ones; recent outages behind; then a draw
                    by 1 / price²; unpriced last. The ones behind are drawn the same way, each from what is left.
    Cost            cheapest first, unpriced last
    Latency         lowest first-token median, Throughput the highest: what is not measured stands at the median of
                    the measured, and is put first one time in twenty, or it would never be measured
    Availability    lowest rate of failures
    Weighted        a draw by weight; weight 0 only behind all others
    provider.order  those named first, in that order; but own keys before shared ones even then
    preferred_…     whoever is slower than a caller would like goes behind all others, of later models too
    sort            `provider.sort`, `:floor`, `:nitro`: strict, without draw; own keys only settle a tie

The repeated draw is one number an endpoint, -ln(u) / weight, sorted: the smallest of such exponentials is each with
probability weight / sum of weights, and so on for the rest.
"""

from collections.abc import Callable, Sequence
from math import inf, log
from statistics import median

from msgspec import Struct

from byway_proxy.choose.candidate import Candidate
from byway_proxy.choose.health import Dice, Health, Standing
from byway_proxy.choose.target import Group, Slot, Sort
from byway_proxy.choose.wanted import Preferences

EXPLORE = 0.05
"""How often an unmeasured endpoint goes first under Latency and Throughput. A guess."""

Key = Callable[[Slot, Standing], tuple[float, ...]]
"""Less is sooner; all tuples of one rule have the same shape."""


class Shelf(Struct, frozen=True):
    """A group of the chain and what of it passed the filters."""

    number: int
    group: Group
    slots: list[Slot]


def ranked(shelves: Sequence[Shelf], liked: Preferences, health: Health, now: float, dice: Dice) -> list[Candidate]:
    """All of them, each once: the usable, then the resting (the least bad first), then the full."""
    ready: list[Candidate] = []
    resting: list[Candidate] = []
    full: list[Candidate] = []
    if liked.across_models and liked.sort is not None and len(shelves) > 1:
        _across(shelves, liked.sort, health, now, (ready, resting, full))
    else:
        for shelf in shelves:
            _one(shelf, liked, health, now, dice, (ready, resting, full))
    if liked.pace is not None:
        slow = {id(c) for c in ready if not health.keeps_pace(c.slot, liked.pace, now)}
        ready.sort(key=lambda c: id(c) in slow)
    if len(resting) > 1:
        resting.sort(key=lambda c: health.badness(c.slot, now))
    return ready + resting + full if resting or full else ready


_Piles = tuple[list[Candidate], list[Candidate], list[Candidate]]


def _one(shelf: Shelf, liked: Preferences, health: Health, now: float, dice: Dice, piles: _Piles) -> None:
    group = shelf.group
    if len(shelf.slots) == 1:
        slot = shelf.slots[0]
        _put(Candidate(slot, shelf.number, group.name, "only", health.standing(slot, now)), piles)
        return
    why, key = _rule(shelf, liked, health, now, dice)
    for _, _, slot, standing in _sorted(shelf.slots, key, health, now):
        _put(Candidate(slot, shelf.number, group.name, why, standing), piles)


def _across(shelves: Sequence[Shelf], sort: Sort, health: Health, now: float, piles: _Piles) -> None:
    homes = {id(slot): shelf for shelf in shelves for slot in shelf.slots}
    key = _strict(sort, health, now)
    for _, _, slot, standing in _sorted([s for shelf in shelves for s in shelf.slots], key, health, now):
        shelf = homes[id(slot)]
        _put(Candidate(slot, shelf.number, shelf.group.name, sort, standing), piles)


def _sorted(
    slots: list[Slot], key: Key, health: Health, now: float
) -> list[tuple[tuple[float, ...], int, Slot, Standing]]:
    # The number settles ties in the order of the table, and keeps slots from being compared.
    rows = []
    for number, slot in enumerate(slots):
        standing = health.standing(slot, now)
        rows.append((key(slot, standing), number, slot, standing))
    rows.sort()
    return rows


def _put(candidate: Candidate, piles: _Piles) -> None:
    standing = candidate.standing
    piles[0 if standing <= Standing.SHAKY else 1 if standing == Standing.RESTING else 2].append(candidate)


def _rule(shelf: Shelf, liked: Preferences, health: Health, now: float, dice: Dice) -> tuple[str, Key]:
    sort = liked.sort or shelf.group.sort
    rule = ("Balanced", _balanced(health, now, dice)) if sort is None else (sort, _strict(sort, health, now))
    if sort is None and shelf.group.route is not None:
        rule = _of_route(shelf, shelf.group.route.strategy, health, now, dice) or rule
    return ("order", _ordered(liked.order, rule[1])) if liked.order else rule


def _of_route(shelf: Shelf, strategy: str, health: Health, now: float, dice: Dice) -> tuple[str, Key] | None:
    match strategy:
        case "Cost":
            return strategy, lambda slot, standing: (slot.step, standing, _price(slot), not slot.own)
        case "Latency":
            known = {id(s): health.first_token_ms(s, now) for s in shelf.slots}
            return strategy, _measured(known, 1.0, dice)
        case "Throughput":
            known = {id(s): health.tokens_per_s(s, now) for s in shelf.slots}
            return strategy, _measured(known, -1.0, dice)
        case "Availability":
            return strategy, lambda slot, standing: (
                slot.step,
                standing,
                health.error_rate(slot),
                _race(slot.pull, dice),
            )
        case "Weighted":
            return strategy, _weighted(health, now, dice)
        case _:
            return None


def _balanced(health: Health, now: float, dice: Dice) -> Key:
    def key(slot: Slot, standing: Standing) -> tuple[float, ...]:
        pull = slot.pull
        if not pull:
            return slot.step, slot.tier, standing, 1.0, dice.random()
        return slot.step, slot.tier, standing, 0.0, -log(1.0 - dice.random()) / (pull * health.warmth(slot, now))

    return key


def _weighted(health: Health, now: float, dice: Dice) -> Key:
    def key(slot: Slot, standing: Standing) -> tuple[float, ...]:
        weight = slot.member.weight if slot.member is not None and slot.member.weight is not None else 1
        return slot.step, not weight, standing, _race(weight * health.warmth(slot, now), dice)

    return key


def _measured(known: dict[int, float | None], sign: float, dice: Dice) -> Key:
    values = [value for value in known.values() if value is not None]
    middle = median(values) if values else 0.0
    explore = len(values) < len(known) and dice.random() < EXPLORE

    def key(slot: Slot, standing: Standing) -> tuple[float, ...]:
        value = known[id(slot)]
        first = explore and value is None
        return slot.step, standing, not first, sign * (middle if value is None else value), dice.random()

    return key


def _ordered(order: tuple[str, ...], rest: Key) -> Key:
    def key(slot: Slot, standing: Standing) -> tuple[float, ...]:
        place = next((i for i, slug in enumerate(order) if slug in slot.slugs), len(order))
        return slot.step, not slot.own, place, *rest(slot, standing)

    return key


def _strict(sort: Sort, health: Health, now: float) -> Key:
    def key(slot: Slot, standing: Standing) -> tuple[float, ...]:
        if sort == "price":
            by = _price(slot)
        elif sort == "latency":
            by = _last(health.first_token_ms(slot, now))
        else:
            by = -(health.tokens_per_s(slot, now) or 0.0)
        return slot.step, by, not slot.own, standing

    return key


def _price(slot: Slot) -> float:
    return inf if slot.price is None else slot.price.weight


def _last(value: float | None) -> float:
    return inf if value is None else value


def _race(weight: float, dice: Dice) -> float:
    return -log(1.0 - dice.random()) / weight if weight else dice.random()
