"""Which endpoints may serve a request at all, and the sentence for each that may not.

Hard filters, in the order they are tried (the first that excludes is the one told): `only`, `ignore`, `order`
without fallbacks, data policy, `max_price`, modality, room, `require_parameters`. Then the soft ones: if some of a
model's endpoints have a feature the request uses, only those serve; if none has, all stay and the provider judges.

Room is judged only where it is plain that it cannot fit, because we do not count tokens: a prompt is taken to have
a token for each 8 bytes (text has one for each 3 to 5), and none at all where it holds more than text, whose bytes
say nothing about tokens. What nobody knows of an endpoint excludes nothing, but for `require_parameters`.
"""

from byway_contract.money import dollars
from msgspec.structs import replace

from byway_proxy.choose.policy import collects, zero_retention
from byway_proxy.choose.target import Group, LeftOut, Reason, Slot
from byway_proxy.choose.wanted import PLAIN, TEXT, MaxPrice, Wanted

SURE_BYTES_PER_TOKEN = 8
SOFT = ("tools", "structured_outputs", "json_object")

Why = tuple[Reason, str]


def passing(group: Group, wanted: Wanted, out: list[LeftOut]) -> list[Slot]:
    """The slots that may serve; what may not is added to `out`."""
    out.extend(group.left_out)
    wanted = _capped(group, wanted)
    if nothing_to_ask(group, wanted):
        return list(group.slots)
    kept = []
    for slot in group.slots:
        why = why_not(slot, wanted)
        if why is None:
            kept.append(slot)
        else:
            out.append(LeftOut(group.name, slot.endpoint_id, slot.account.provider, *why))
    return _with_features(group, kept, wanted, out) if wanted.features else kept


def why_not(slot: Slot, wanted: Wanted) -> Why | None:
    if wanted.preferences is not PLAIN:
        why = _against_preferences(slot, wanted)
        if why is not None:
            return why
    return _against_modality(slot, wanted) or _against_room(slot, wanted) or _against_required(slot, wanted)


def _capped(group: Group, wanted: Wanted) -> Wanted:
    """A route lowers what is asked for to its cap, and what is left must fit."""
    most = None if group.route is None else group.route.max_output_tokens
    return wanted if most is None or wanted.max_tokens <= most else replace(wanted, max_tokens=most)


def nothing_to_ask(group: Group, wanted: Wanted) -> bool:
    """The usual request: no preference, text, and small enough for every endpoint. Text is what all take."""
    if wanted.preferences is not PLAIN or wanted.features or wanted.modalities != TEXT:
        return False
    context, output = group.least_context, group.least_output
    return (context is None or _tokens(wanted) <= context) and (output is None or wanted.max_tokens <= output)


def _against_preferences(slot: Slot, wanted: Wanted) -> Why | None:
    liked, name = wanted.preferences, slot.account.display_name
    if liked.only is not None and slot.slugs.isdisjoint(liked.only):
        return "only", f"{name} is not in provider.only"
    if not slot.slugs.isdisjoint(liked.ignore):
        return "ignore", f"{name} is in provider.ignore"
    if liked.order and not liked.allow_fallbacks and slot.slugs.isdisjoint(liked.order):
        return "order", f"{name} is not in provider.order, and provider.allow_fallbacks is false"
    if liked.zdr and not zero_retention(slot.account):
        return "zdr", f"{name} is not known to retain nothing"
    if liked.deny_collection and collects(slot.account):
        return "data_collection", f"{name} is not known neither to store nor to train"
    return _against_price(slot, liked.max_price) if liked.max_price is not None else None


def _against_price(slot: Slot, most: MaxPrice) -> Why | None:
    if slot.price is None:
        return "max_price", f"{slot.account.display_name} has no known price"
    for what, price, ceiling in (
        ("prompt", slot.price.input, most.prompt),
        ("completion", slot.price.output, most.completion),
        ("request", slot.price.per_request, most.request),
    ):
        if ceiling is not None and price > ceiling:
            unit = "" if what == "request" else "/M"
            return "max_price", f"{what} price is ${dollars(price)}{unit}, above ${dollars(ceiling)}{unit}"
    return None


def _against_modality(slot: Slot, wanted: Wanted) -> Why | None:
    if wanted.modalities == TEXT:
        return None
    lacking = [m for m in wanted.modalities if m not in slot.endpoint.input_modalities]
    return ("modality", f"takes no {lacking[0]}") if lacking else None


def _against_room(slot: Slot, wanted: Wanted) -> Why | None:
    endpoint = slot.endpoint
    if endpoint.context_length is not None and _tokens(wanted) > endpoint.context_length:
        return "context_length", f"at least {_tokens(wanted)} tokens do not fit into {endpoint.context_length}"
    if endpoint.max_output_tokens is not None and wanted.max_tokens > endpoint.max_output_tokens:
        return "max_tokens", f"max_tokens {wanted.max_tokens} is above its {endpoint.max_output_tokens}"
    return None


def _against_required(slot: Slot, wanted: Wanted) -> Why | None:
    if not wanted.preferences.require_parameters or wanted.features <= set(slot.endpoint.features or ()):
        return None
    lacking = ", ".join(sorted(wanted.features - set(slot.endpoint.features or ())))
    return "require_parameters", f"is not known to support {lacking}"


def _tokens(wanted: Wanted) -> int:
    prompt = wanted.prompt_bytes // SURE_BYTES_PER_TOKEN if wanted.modalities in (TEXT, ()) else 0
    return prompt + wanted.max_tokens


def _with_features(group: Group, slots: list[Slot], wanted: Wanted, out: list[LeftOut]) -> list[Slot]:
    for feature in SOFT:
        if feature not in wanted.features:
            continue
        able = [s for s in slots if s.endpoint.features is None or feature in s.endpoint.features]
        if able and len(able) < len(slots):
            detail = f"does not support {feature}; others of this model do"
            out.extend(
                LeftOut(group.name, s.endpoint_id, s.account.provider, "lacks_feature", detail)
                for s in slots
                if s not in able
            )
            slots = able
    return slots
