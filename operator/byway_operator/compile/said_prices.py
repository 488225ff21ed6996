"""A price as people write it in a resource becomes one of the table."""

from byway_contract.money import Price, nanodollars

from byway_operator.resources.shared import ModelPrice


def as_price(said: ModelPrice) -> Price:
    tokens = said.per_million_tokens
    return Price(
        input=nanodollars(tokens.input),
        output=nanodollars(tokens.output),
        cache_read=_rate(tokens.cache_read),
        cache_write=_rate(tokens.cache_write),
        per_request=nanodollars(said.per_request) if said.per_request is not None else 0,
        reasoning=_rate(tokens.reasoning),
        audio_input=_rate(tokens.audio_input),
        audio_output=_rate(tokens.audio_output),
        image_input=_rate(tokens.image_input),
        image_output=_rate(tokens.image_output),
    )


def _rate(said: str | None) -> int | None:
    return None if said is None else nanodollars(said)
