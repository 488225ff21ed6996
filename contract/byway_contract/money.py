"""Money: whole nanodollars (10⁻⁹ US dollar) in an int, never a float; and what an attempt costs.

Prices are whole nanodollars per million tokens, so every price anybody publishes is an integer and a cost is
exact rational arithmetic until the one rounding at its end.
"""

from decimal import Decimal
from typing import NewType

import msgspec

Nanodollars = NewType("Nanodollars", int)
"""10⁻⁹ US dollar. Fits int64: at most 9.2 billion dollars."""

NANO = 1_000_000_000
MILLION = 1_000_000
HALF = MILLION // 2
MOST = 2**63 - 1


def nanodollars(text: str) -> Nanodollars:
    """`"0.22"` (US dollars as a decimal) as whole nanodollars.

    Raises ValueError if it is no decimal number, is negative, or is finer than a nanodollar.
    """
    try:
        amount = Decimal(text) * NANO
    except ArithmeticError as error:
        raise ValueError(f"want US dollars as a decimal, not {text!r}") from error
    if not amount.is_finite() or amount < 0 or amount > MOST or amount != int(amount):
        raise ValueError(f"want US dollars from 0 up, with at most nine decimals, not {text!r}")
    return Nanodollars(int(amount))


def dollars(amount: int) -> str:
    """Nanodollars as a plain decimal in US dollars: `492_000` → `"0.000492"`. The inverse of `nanodollars`."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, rest = divmod(amount, NANO)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else f"{sign}{whole}"


class Tier(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prices that hold instead of the base ones when the whole prompt is longer than `above_prompt_tokens`."""

    above_prompt_tokens: int
    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an endpoint charges: nanodollars per million tokens, `per_request` in nanodollars.

    A price that is None is charged like `input` (what is sent) or like `output` (what is made).
    """

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    per_request: int = 0
    tiers: tuple[Tier, ...] = ()
    """Rising by `above_prompt_tokens`; the last one that applies holds for the whole request."""
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None

    @property
    def free(self) -> bool:
        return not (self.per_request or _costs(self) or any(map(_costs, self.tiers)))

    @property
    def weight(self) -> int:
        """One number to compare prices by: (3 × input + output) / 4, here times four to stay whole."""
        return 3 * self.input + self.output


FREE = Price(input=0, output=0)


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Tokens of one completed run.

    `prompt` includes all that was sent, cached, written, audio and image, and `completion` all that was made,
    reasoning, audio and image, as in OpenAI's usage; dialects that count otherwise convert before they get here.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_prompt: int = 0
    audio_completion: int = 0
    image_prompt: int = 0
    image_completion: int = 0

    @property
    def adds_up(self) -> bool:
        """No part is negative or more than its whole. Of audio and images a part may be cached as well."""
        prompt, completion, cached, written = self.prompt, self.completion, self.cached, self.cache_write
        if cached < 0 or written < 0 or cached + written > prompt or not 0 <= self.reasoning <= completion:
            return False
        audio, drawn = self.audio_prompt, self.image_prompt
        said, painted = self.audio_completion, self.image_completion
        if not (audio or drawn or said or painted):
            return True
        return min(audio, drawn, said, painted) >= 0 and audio + drawn <= prompt and said + painted <= completion


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What one run costs, and its two parts. `total` is rounded once; the parts are for people to read."""

    total: int
    prompt: int
    completion: int


def cost(usage: Usage, price: Price) -> Cost:
    """What one completed run costs, in nanodollars, rounded half up once.

    Every token is charged once: what was cached or written as that, of the rest what is known to be audio or image
    as that. Nobody says which of the audio tokens were cached, so as few as possible are taken to be.
    Raises ValueError if more tokens were cached or written than sent, or a count is negative.
    """
    if not usage.adds_up:
        raise ValueError(f"token counts do not add up: {usage}")
    rates = _rates(usage.prompt, price) if price.tiers else price
    prompt, completion = _of_prompt(usage, rates), _of_completion(usage, rates)
    total = prompt + completion + price.per_request * MILLION
    return Cost((total + HALF) // MILLION, (prompt + HALF) // MILLION, (completion + HALF) // MILLION)


def dearest_cost(price: Price, prompt_tokens: int, completion_tokens: int) -> int:
    """The most that any run can cost with no more tokens than these: each at the dearest rate that it may have."""
    most = prompt_tokens * _dearest_input(price) + completion_tokens * _dearest_output(price)
    for tier in price.tiers:
        if prompt_tokens > tier.above_prompt_tokens:
            of_tier = prompt_tokens * _dearest_input(tier) + completion_tokens * _dearest_output(tier)
            most = max(most, of_tier)
    return (most + price.per_request * MILLION + HALF) // MILLION


def _rates(prompt_tokens: int, price: Price) -> Price | Tier:
    rates: Price | Tier = price
    for tier in price.tiers:
        if prompt_tokens > tier.above_prompt_tokens:
            rates = tier
    return rates


def _of_prompt(usage: Usage, rates: Price | Tier) -> int:
    cached, written, rate = usage.cached, usage.cache_write, rates.input
    plain = usage.prompt - cached - written
    amount = 0
    if cached:
        amount += cached * (rate if rates.cache_read is None else rates.cache_read)
    if written:
        amount += written * (rate if rates.cache_write is None else rates.cache_write)
    if usage.audio_prompt or usage.image_prompt:
        audio = min(usage.audio_prompt, plain)
        image = min(usage.image_prompt, plain - audio)
        plain -= audio + image
        amount += audio * (rate if rates.audio_input is None else rates.audio_input)
        amount += image * (rate if rates.image_input is None else rates.image_input)
    return amount + plain * rate


def _of_completion(usage: Usage, rates: Price | Tier) -> int:
    plain, rate, amount = usage.completion, rates.output, 0
    if usage.reasoning and rates.reasoning is not None:
        plain -= usage.reasoning
        amount += usage.reasoning * rates.reasoning
    if usage.audio_completion or usage.image_completion:
        audio = min(usage.audio_completion, plain)
        image = min(usage.image_completion, plain - audio)
        plain -= audio + image
        amount += audio * (rate if rates.audio_output is None else rates.audio_output)
        amount += image * (rate if rates.image_output is None else rates.image_output)
    return amount + plain * rate


def _dearest_input(rates: Price | Tier) -> int:
    others = (rates.cache_read, rates.cache_write, rates.audio_input, rates.image_input)
    return _dearest(rates.input, others)


def _dearest_output(rates: Price | Tier) -> int:
    return _dearest(rates.output, (rates.reasoning, rates.audio_output, rates.image_output))


def _dearest(most: int, others: tuple[int | None, ...]) -> int:
    for rate in others:
        if rate is not None and rate > most:
            most = rate
    return most


def _costs(rates: Price | Tier) -> bool:
    return bool(_dearest_input(rates) or _dearest_output(rates))
