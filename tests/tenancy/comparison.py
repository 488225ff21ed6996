"""The product beside the reference, over random worlds: `python -m tenancy.comparison 10000` (from `tests/`).

Each world has a past, so that last good forms, deletions and withdrawn consents count. For every caller and every
name it is compared what is reached: by the view of a proxy, and by its choice.
"""

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from byway_contract.money import Price
from byway_contract.table import Table, decode
from byway_operator.compile.catalogue.catalogue import Catalogue, Offer, Provider, Written, assemble
from byway_operator.compile.compile import compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import Compiled
from byway_operator.resources.manifest import Key, Manifest, Surroundings
from byway_proxy.choose.choose import choose
from byway_proxy.choose.health import Health
from byway_proxy.choose.nothing import Nothing
from byway_proxy.choose.target import Group, Rejected, Served
from byway_proxy.choose.view import View
from byway_proxy.choose.wanted import Wanted
from tenancy.reference import Answer, Good, Reference, Way
from tenancy.worlds import ASKED, CATALOGUE, FACTS, NAMESPACES, NOBODY, RELEASE, World, manifests, random_world

CALLERS = (*NAMESPACES, NOBODY)
DOLLAR = 1_000_000_000
Ranked = tuple[str, int, int | None]


def catalogue() -> Catalogue:
    providers = {
        slug: Provider(
            slug=slug,
            display_name=slug.title(),
            base_url=None if slug == "openai-compatible" else f"https://{slug}.example/v1",
            may_train=trains,
            retention_days=days,
            regions=regions,
        )
        for slug, (trains, days, regions) in FACTS.items()
    }
    offers = {
        slug: {upstream: Offer(name, _price(cost), "book") for upstream, (name, cost) in models.items()}
        for slug, models in CATALOGUE.items()
    }
    return assemble(providers, Written(models={}, offers=offers))


def _price(cost: int | None) -> Price | None:
    return None if cost is None else Price(input=cost * DOLLAR, output=cost * DOLLAR)


TINY = catalogue()


@dataclass
class Run:
    worlds: int = 0
    asked: int = 0
    served: int = 0
    rejected: int = 0
    conflicts: int = 0
    differences: list[str] = field(default_factory=list)


def compare(seed: int, run: Run) -> None:
    """One world and its past."""
    dice = random.Random(seed)
    run.worlds += 1
    past = random_world(dice)
    world = random_world(dice, past)
    before, good = _compiled(past, {}), Reference(past, Good()).good
    _compare_world(seed, world, _compiled(world, before.good), Reference(world, good), run)


def _compiled(world: World, held_back: dict[Key, Manifest] | object) -> Compiled:
    return compile_table(
        manifests(world),
        held_back=held_back,  # type: ignore[arg-type]  # what a compile called good
        refused={},
        settings=Settings(trusted_namespaces=world.trusted, namespace=RELEASE),
        catalogue=TINY,
        surroundings=Surroundings(world.labels),
    )


def _compare_world(seed: int, world: World, made: Compiled, reference: Reference, run: Run) -> None:
    assert not made.defects, (seed, made.defects)
    for said in _verdicts(made, reference, run):
        run.differences.append(f"seed {seed}: {said}")
    table = decode(made.sections)
    view = View(table)
    for caller in CALLERS:
        for name in ASKED:
            run.asked += 1
            wanted, found = reference.ask(caller, name), _answer(view, caller, name)
            run.served += any(wanted.groups)
            run.rejected += wanted.what == "rejected"
            if found != (wanted.what, [_ranked(group) for group in wanted.groups]):
                run.differences.append(f"seed {seed}: {caller} asks {name}: want {wanted}, found {found}")
            chosen = _chosen(view, caller, name)
            if chosen != _reached(wanted):
                run.differences.append(f"seed {seed}: {caller} gets {name}: want {wanted}, chosen {chosen}")


def _verdicts(made: Compiled, reference: Reference, run: Run) -> Iterator[str]:
    """Who lost a name is told who won it; whose keys the floor refuses, that."""
    for key, verdict in made.verdicts.items():
        place = (key.namespace, key.name)
        if key.kind == "ModelRoute":
            winner = reference.won.get(place)
            run.conflicts += winner is not None
            if (verdict.accepted.reason == "Conflicted") != (winner is not None):
                yield f"{key} is told {verdict.accepted}, and {winner} won"
            elif winner is not None and f"ModelRoute {'/'.join(winner)}" not in verdict.accepted.message:
                yield f"{key} is not told that {winner} won: {verdict.accepted.message}"
        elif key.kind == "ProviderKey" and not reference.world.keys[place].broken:
            permitted = place not in reference.not_permitted and reference._can_tell(
                reference.world.keys[place].consent
            )
            if (verdict.accepted.reason != "NotPermitted") != permitted:
                yield f"{key} is told {verdict.accepted}, permitted {permitted}"


def _answer(view: View, caller: str, name: str) -> tuple[str, list[list[Ranked]]]:
    target = view.resolve(caller, name)
    match target:
        case Served():
            return "served", [_of_group(group) for group in target.groups]
        case Rejected():
            return "rejected", []
        case _:
            return "unknown", []


def _of_group(group: Group) -> list[Ranked]:
    ways = set()
    for slot in group.slots:
        rank = (slot.step, 0) if slot.member is not None else (0, 0 if slot.own else 1)
        ways.add(Way(slot.endpoint_id, rank, slot.price.input // DOLLAR if slot.price is not None else None))
    return _ranked(frozenset(ways))


def _ranked(group: frozenset[Way]) -> list[Ranked]:
    """Ranks as their places: 0 is first."""
    places = {rank: place for place, rank in enumerate(sorted({way.rank for way in group}))}
    return sorted(
        ((way.endpoint, places[way.rank], way.price) for way in group), key=lambda ranked: (ranked[0], ranked[1])
    )


def _chosen(view: View, caller: str, name: str) -> set[str] | str:
    try:
        choice = choose(Wanted(caller, (name,)), view, Health(), 1000.0, random.Random(1))
    except Nothing as nothing:
        return {"model_not_found": "unknown"}.get(nothing.code, "nothing")
    return {candidate.endpoint_id for candidate in choice.candidates}


def _reached(wanted: Answer) -> set[str] | str:
    if wanted.what == "unknown":
        return "unknown"
    return {way.endpoint for group in wanted.groups for way in group} or "nothing"


def main(worlds: int) -> int:
    run, began = Run(), time.monotonic()
    for seed in range(worlds):
        compare(seed, run)
        if len(run.differences) > 20:
            break
    print(
        f"{run.worlds} worlds, {run.asked} callers' names: {run.served} served, {run.rejected} rejected, "
        f"{run.conflicts} conflicts, {len(run.differences)} differences; {time.monotonic() - began:.1f} s"
    )
    print("\n".join(run.differences[:20]))
    return 1 if run.differences else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))

__all__ = ["Run", "Table", "compare"]
