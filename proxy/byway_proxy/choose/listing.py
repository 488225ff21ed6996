"""What a namespace may call: for `GET /models`, and for the nearest names when one is unknown."""

import difflib

from byway_contract.globs import allows
from byway_contract.money import Price
from byway_contract.table import Endpoint, Model
from msgspec import Struct

from byway_proxy.choose import names
from byway_proxy.choose.target import Served
from byway_proxy.choose.view import View

# A comparison of two names is some 20 µs, and a client may guess as often as it likes.
MOST_COMPARED = 500


class Listed(Struct, frozen=True):
    """A callable name and what is known of it; of several endpoints the best of each."""

    id: str
    name: str
    route_id: str
    """Empty for a catalogue name."""
    endpoints: int
    created: int = 0
    description: str = ""
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    features: tuple[str, ...] | None = None
    price: Price | None = None
    """The cheapest; None where none is known."""
    knowledge_cutoff: str | None = None


def visible_models(view: View, namespace: str) -> tuple[Listed, ...]:
    """Sorted by name. A rejected route is not listed, and hides what it would fall through to; nor is what a floor
    forbids altogether."""
    listed = {}
    for name in visible_names(view, namespace):
        target = view.meant(namespace, name)
        if isinstance(target, Served) and not _forbidden(target):
            listed[name] = _listed(view, name, target)
    return tuple(listed[name] for name in sorted(listed))


def may_call(view: View, namespace: str, globs: tuple[str, ...], name: str) -> bool:
    """Whether an access key of these allowed models may call a name, as written or but for its routing variants."""
    allowed = allows(globs)
    if allowed(name):
        return True
    base = names.parse(name).base
    # `smart:nitro` may also be the whole name of something else.
    return base != name and allowed(base) and not view.named_as_written(namespace, name)


def visible_names(view: View, namespace: str) -> list[str]:
    routes = [name for name, _, route in view.routes(namespace) if route.rejected is None]
    taken = {name for name, _, _ in view.routes(namespace)}
    return routes + [m for m in view.models() if m not in taken and view.endpoints_by_name(namespace, m)]


def nearest(view: View, namespace: str, name: str, allowed: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names most like one that does not exist, of those this namespace may see and an access key allows."""
    seen = filter(allows(allowed), visible_names(view, namespace))
    near = [n for n in seen if abs(len(n) - len(name)) <= 8 or n.endswith(f"/{name}")]
    ends = tuple(n for n in near if n.endswith(f"/{name}"))[:2]
    # Its own author's models are the likeliest meant.
    near.sort(key=lambda n: n.split("/", 1)[0] != name.split("/", 1)[0])
    return ends or tuple(difflib.get_close_matches(name[:128], near[:MOST_COMPARED], 2, 0.6))


def _forbidden(target: Served) -> bool:
    if any(group.slots for group in target.groups):
        return False
    return any(each.reason.startswith("floor") for group in target.groups for each in group.left_out)


def _listed(view: View, name: str, target: Served) -> Listed:
    slots = target.groups[0].slots
    endpoints = [slot.endpoint for slot in slots]
    card = view.table.models.get(endpoints[0].model if target.route_id and endpoints else name)
    alone = len({e.model for e in endpoints}) == 1
    facts = _facts(endpoints, card if alone else None)
    title = target.route.display_name if target.route is not None else card.name if card is not None else ""
    priced = [slot.price for slot in slots if slot.price is not None]
    return Listed(
        id=name,
        name=title or name,
        route_id=target.route_id,
        endpoints=len(slots),
        created=card.created if card is not None and alone else 0,
        description=card.description if card is not None and not target.route_id else "",
        context_length=facts.context_length,
        max_output_tokens=facts.max_output_tokens,
        input_modalities=facts.input_modalities,
        output_modalities=facts.output_modalities,
        features=facts.features,
        price=min(priced, key=lambda price: price.weight, default=None),
        knowledge_cutoff=card.knowledge_cutoff if card is not None and alone else None,
    )


def _facts(endpoints: list[Endpoint], card: Model | None) -> Model:
    """What at least one endpoint offers, since choosing takes one that can; the catalogue where they are silent."""
    features = {f for e in endpoints for f in e.features or ()}
    return Model(
        name="",
        context_length=_most([e.context_length for e in endpoints]) or (card.context_length if card else None),
        max_output_tokens=_most([e.max_output_tokens for e in endpoints])
        or (card.max_output_tokens if card else None),
        input_modalities=_all([e.input_modalities for e in endpoints]) or ("text",),
        output_modalities=_all([e.output_modalities for e in endpoints]) or ("text",),
        features=tuple(sorted(features)) or (card.features if card else None),
    )


def _most(values: list[int | None]) -> int | None:
    return max((v for v in values if v is not None), default=None)


def _all(values: list[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for words in values for word in words))
