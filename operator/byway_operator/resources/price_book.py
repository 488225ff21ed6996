"""The price book: what models cost this company, where that is not what the catalogue says.

A ConfigMap in the release's namespace, always read strictly. The first entry that fits is the price.

    kind: ConfigMap
    metadata: {name: byway-prices, namespace: byway-system, labels: {byway.dev/price-book: "true"}}
    data:
      prices.yaml: |
        prices:
        - name: contract
          models: ["openai/gpt-5*"]
          providers: [openai]
          price: {perMillionTokens: {input: "1.10", output: "8.80"}}
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from byway_operator.resources.common import MAP_BY_NAME, SET, Glob, Label, Matches, Metadata, Part, Rule
from byway_operator.resources.provider_key import ProviderSlug
from byway_operator.resources.shared import ModelPrice

PRICE_BOOK_LABEL = "byway.dev/price-book"
PRICE_BOOK_NAME = "byway-prices"
PRICE_BOOK_ENTRY = "prices.yaml"
PRICE_BOOK_EXAMPLE = "prices: [{name: …, models: […], price: …}]"
MOST_ENTRIES = 512

Namespaced = Annotated[
    str,
    Field(max_length=317),
    Matches(r"^[a-z0-9][-a-z0-9]*/[a-z0-9][-.a-z0-9]*$", "want namespace/name: platform/openai"),
]


class PriceEntry(Part):
    """A price of some models, everywhere or at some accounts."""

    name: Label
    """For messages."""
    models: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=64), SET]
    """The models it is the price of, by public name."""
    providers: Annotated[tuple[ProviderSlug, ...], Field(min_length=1, max_length=64), SET] = ()
    """At these providers, as ProviderKeys name them. Default: everywhere, Services in the cluster included."""
    provider_keys: Annotated[tuple[Namespaced, ...], Field(min_length=1, max_length=64), SET] = ()
    """At these ProviderKeys."""
    services: Annotated[tuple[Namespaced, ...], Field(min_length=1, max_length=64), SET] = ()
    """At these Services in the cluster, as routes name them."""
    price: ModelPrice
    """What they cost."""

    rules: ClassVar = (
        Rule(
            "",
            "set one of providers, providerKeys and services, or none",
            lambda self: sum(map(bool, (self.providers, self.provider_keys, self.services))) <= 1,
        ),
    )


class PriceBookSpec(Part):
    """What is in the ConfigMap."""

    prices: Annotated[tuple[PriceEntry, ...], Field(min_length=1, max_length=MOST_ENTRIES), MAP_BY_NAME]


class PriceBook(Part):
    """The ConfigMap, its one entry read."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    book: PriceBookSpec
