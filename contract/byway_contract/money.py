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


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an endpoint charges: nanodollars per million tokens, `per_request` in nanodollars.

    A price that is None is charged like `input` (cached reads and writes).
    """

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    per_request: int = 0
    tiers: tuple[Tier, ...] = ()
    """Rising by `above_prompt_tokens`; the last one that applies holds for the whole request."""

    @property
    def free(self) -> bool:
        return not (self.input or self.output or self.per_request or self.cache_read or self.cache_write)

    @property
    def weight(self) -> int:
        """One number to compare prices by: (3 × input + output) / 4, here times four to stay whole."""
        return 3 * self.input + self.output


FREE = Price(input=0, output=0)


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Tokens of one completed run.

    `prompt` includes `cached` and `cache_write`, and `completion` includes `reasoning`, as in OpenAI's usage;
    dialects that count otherwise convert before they get here.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What one run costs, and its two parts. `total` is rounded once; the parts are for people to read."""

    total: int
    prompt: int
    completion: int


def cost(usage: Usage, price: Price) -> Cost:
    """What one completed run costs, in nanodollars, rounded half up once.

    Cached tokens are charged at the cached price only.
    Raises ValueError if more tokens were cached or written than sent, or a count is negative.
    """
    cached, written = usage.cached, usage.cache_write
    plain = usage.prompt - cached - written
    if plain < 0 or cached < 0 or written < 0 or usage.completion < 0:
        raise ValueError(f"token counts do not add up: {usage}")
    rates = _rates(usage.prompt, price) if price.tiers else price
    prompt = plain * rates.input
    if cached:
        prompt += cached * (rates.input if rates.cache_read is None else rates.cache_read)
    if written:
        prompt += written * (rates.input if rates.cache_write is None else rates.cache_write)
    completion = usage.completion * rates.output
    total = prompt + completion + price.per_request * MILLION
    return Cost((total + HALF) // MILLION, (prompt + HALF) // MILLION, (completion + HALF) // MILLION)


def dearest_cost(price: Price, prompt: int, completion: int) -> int:
    """The most that a run of at most so many tokens can cost, in nanodollars, rounded up.

    Whichever tier its prompt falls into, and whether all of it is read from a cache, written to one, or neither.
    """
    tiers = [tier for tier in price.tiers if prompt > tier.above_prompt_tokens]
    worst = max(_most(rates, prompt, completion) for rates in (price, *tiers))
    return min(-(-worst // MILLION) + price.per_request, MOST)


def _most(rates: Price | Tier, prompt: int, completion: int) -> int:
    return prompt * max(rates.input, rates.cache_read or 0, rates.cache_write or 0) + completion * rates.output


def _rates(prompt_tokens: int, price: Price) -> Price | Tier:
    rates: Price | Tier = price
    for tier in price.tiers:
        if prompt_tokens > tier.above_prompt_tokens:
            rates = tier
    return rates
