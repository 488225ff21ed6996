"""A choice as plain rows, for `byway explain` and `X-Byway-Explain`: who would be tried, who not, and why."""

from byway_contract.money import dollars

from byway_proxy.choose.choose import Choice
from byway_proxy.choose.nothing import Nothing
from byway_proxy.choose.target import LeftOut, Slot

Row = dict[str, object]


def explain(choice: Choice) -> list[Row]:
    """Candidates by `place` from 1; then those left out, by `reason`."""
    tried: list[Row] = [
        {
            "place": place,
            "endpoint": candidate.endpoint_id,
            "provider": candidate.account.provider,
            "model": candidate.endpoint.model,
            "price": price(candidate.slot),
            "why": candidate.why,
        }
        for place, candidate in enumerate(choice.candidates, 1)
    ]
    return tried + [_left_out(each) for each in choice.left_out]


def explain_nothing(nothing: Nothing) -> list[Row]:
    return [_left_out(each) for each in nothing.left_out]


def price(slot: Slot) -> str:
    """US dollars per million tokens, in and out."""
    if slot.price is None:
        return "unpriced"
    return f"${dollars(slot.price.input)}/${dollars(slot.price.output)} per M" if not slot.price.free else "free"


def _left_out(each: LeftOut) -> Row:
    return {
        "endpoint": each.endpoint_id,
        "provider": each.provider,
        "model": each.model,
        "reason": each.reason,
        "detail": each.detail,
    }
