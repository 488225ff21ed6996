"""One function costs an attempt: exactly, once, and never more than what was set aside for it."""

from fractions import Fraction

import pytest
from byway_contract.money import MILLION, Price, Tier, Usage, cost, dearest_cost
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

DOLLAR = 1_000_000_000
rate = st.integers(0, 1000 * DOLLAR)
maybe = st.none() | rate
OTHERS = (
    "cache_read", "cache_write", "reasoning", "audio_input", "audio_output", "image_input", "image_output",
)  # fmt: skip
rates = st.fixed_dictionaries({"input": rate, "output": rate, **dict.fromkeys(OTHERS, maybe)})


@st.composite
def prices(draw: st.DrawFn) -> Price:
    above = sorted(draw(st.sets(st.integers(0, 3000), max_size=3)))
    tiers = tuple(Tier(above_prompt_tokens=start, **draw(rates)) for start in above)
    return Price(**draw(rates), per_request=draw(st.integers(0, DOLLAR)), tiers=tiers)


@st.composite
def usages(draw: st.DrawFn, most_prompt: int = 4000, most_completion: int = 4000) -> Usage:
    def part(of: int) -> int:
        return draw(st.integers(0, of))

    prompt, completion = part(most_prompt), part(most_completion)
    cached, heard, spoken = part(prompt), part(prompt), part(completion)
    return Usage(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=part(prompt - cached),
        reasoning=part(completion),
        audio_prompt=heard,
        image_prompt=part(prompt - heard),
        audio_completion=spoken,
        image_completion=part(completion - spoken),
    )


def exactly(usage: Usage, price: Price) -> tuple[Fraction, Fraction]:
    """Of prompt and completion, in nanodollars: one token after the other."""
    at: Price | Tier = price
    for tier in price.tiers:
        at = tier if usage.prompt > tier.above_prompt_tokens else at
    sent = ["cache_read"] * usage.cached + ["cache_write"] * usage.cache_write
    sent += ["audio_input"] * usage.audio_prompt + ["image_input"] * usage.image_prompt
    sent = (sent + ["input"] * usage.prompt)[: usage.prompt]
    # Tokens that were thought cost no other than the rest where nobody says what they cost.
    made = ["reasoning"] * usage.reasoning if at.reasoning is not None else []
    made += ["audio_output"] * usage.audio_completion + ["image_output"] * usage.image_completion
    made = (made + ["output"] * usage.completion)[: usage.completion]

    def total(kinds: list[str], usual: int) -> Fraction:
        found = {kind: getattr(at, kind) for kind in set(kinds)}
        each = {kind: usual if rate is None else rate for kind, rate in found.items()}
        return sum((Fraction(kinds.count(kind) * rate, MILLION) for kind, rate in each.items()), Fraction())

    return total(sent, at.input), total(made, at.output)


@given(usages(), prices())
def test_a_run_costs_what_its_tokens_cost_one_by_one_rounded_once(usage: Usage, price: Price) -> None:
    found, (prompt, completion) = cost(usage, price), exactly(usage, price)
    for amount, exact in (
        (found.total, prompt + completion + price.per_request),
        (found.prompt, prompt),
        (found.completion, completion),
    ):
        assert Fraction(-1, 2) < amount - exact <= Fraction(1, 2)  # half up
        assert amount >= 0


@given(st.data(), prices(), st.integers(0, 4000), st.integers(0, 4000))
def test_no_run_within_the_bounds_costs_more_than_was_set_aside(
    data: st.DataObject, price: Price, prompt: int, completion: int
) -> None:
    usage = data.draw(usages(prompt, completion))
    assert cost(usage, price).total <= dearest_cost(price, prompt, completion)


@given(prices(), st.integers(0, 4000), st.integers(0, 4000), st.integers(0, 500), st.integers(0, 500))
def test_whoever_may_send_more_sets_aside_no_less(
    price: Price, prompt: int, completion: int, longer: int, more: int
) -> None:
    assert dearest_cost(price, prompt, completion) <= dearest_cost(price, prompt + longer, completion + more)


@given(usages(), prices(), st.integers(0, 1000))
def test_what_is_made_beyond_never_makes_a_run_cheaper(usage: Usage, price: Price, more: int) -> None:
    longer = replace(usage, completion=usage.completion + more)
    assert cost(usage, price).total <= cost(longer, price).total


@given(usages(), prices(), rates)
def test_a_dearer_price_never_makes_a_run_cheaper(usage: Usage, price: Price, more: dict[str, int | None]) -> None:
    def dearer(one: Price | Tier) -> dict[str, int | None]:
        found = {name: getattr(one, name) for name in more}
        return {name: rate if rate is None else rate + (more[name] or 0) for name, rate in found.items()}

    tiers = tuple(replace(tier, **dearer(tier)) for tier in price.tiers)
    assert cost(usage, price).total <= cost(usage, replace(price, tiers=tiers, **dearer(price))).total


@given(usages(), usages(), prices())
def test_two_runs_cost_what_they_cost_together_up_to_a_rounding(one: Usage, other: Usage, price: Price) -> None:
    flat = replace(price, tiers=(), per_request=0)
    # Of a run that is cached and heard at once nobody knows how much is both, so only such that are not are added.
    one, other = (replace(run, audio_prompt=0, image_prompt=0, reasoning=0) for run in (one, other))
    both = Usage(**{name: getattr(one, name) + getattr(other, name) for name in Usage.__struct_fields__})
    apart = cost(one, flat).total + cost(other, flat).total
    assert abs(cost(both, flat).total - apart) <= 1


PRICE = Price(
    input=1 * DOLLAR, output=8 * DOLLAR, cache_read=DOLLAR // 10, reasoning=10 * DOLLAR, audio_input=4 * DOLLAR,
    audio_output=16 * DOLLAR, image_input=2 * DOLLAR, per_request=1000,
    tiers=(Tier(above_prompt_tokens=1000, input=2 * DOLLAR, output=12 * DOLLAR),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "total"),
    [
        (Usage(100, 10), 100_000 + 80_000),
        (Usage(100, 10, cached=60), 40_000 + 6_000 + 80_000),
        (Usage(100, 10, cache_write=60), 100_000 + 80_000),
        (Usage(100, 10, reasoning=4), 100_000 + 48_000 + 40_000),
        (Usage(100, 10, audio_prompt=50, image_prompt=10), 40_000 + 200_000 + 20_000 + 80_000),
        (Usage(100, 10, audio_completion=10), 100_000 + 160_000),
        # Cached and heard: as few as can be are both.
        (Usage(100, 10, cached=60, audio_prompt=50), 6_000 + 40 * 4_000 + 80_000),
        (Usage(1000, 10), 1_000_000 + 80_000),
        (Usage(1001, 10, reasoning=10), 2_002_000 + 120_000),
    ],
)
def test_each_kind_of_token_has_its_price(usage: Usage, total: int) -> None:
    assert cost(usage, PRICE).total == total + 1000


@pytest.mark.parametrize(
    "usage",
    [
        Usage(10, 1, cached=11), Usage(10, 1, cached=6, cache_write=5), Usage(10, 1, cached=-1), Usage(-1, 1),
        Usage(1, -1), Usage(10, 1, reasoning=2), Usage(10, 1, reasoning=-1), Usage(10, 1, audio_prompt=11),
        Usage(10, 1, audio_prompt=6, image_prompt=5), Usage(10, 1, image_prompt=-1),
        Usage(10, 1, audio_completion=2),
    ],
)  # fmt: skip
def test_usage_that_cannot_be_costs_nothing_at_all_but_an_error(usage: Usage) -> None:
    assert not usage.adds_up
    with pytest.raises(ValueError, match="do not add up"):
        cost(usage, PRICE)


def test_only_what_has_no_price_of_any_kind_is_free() -> None:
    assert Price(input=0, output=0).free
    assert not any(Price(input=0, output=0, **{name: 1}).free for name in OTHERS)
    assert not Price(input=0, output=0, per_request=1).free
    assert not Price(input=0, output=0, tiers=(Tier(above_prompt_tokens=9, input=0, output=1),)).free
