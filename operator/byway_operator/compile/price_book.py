"""The price book as the compiler asks it: which price of the platform's holds for a model at an account.

A book that cannot be read serves on in its last good form. Without one there is no book, and its status says that
the catalogue's prices hold meanwhile: a price is known there as well, and nobody need be kept waiting for a better.
"""

from collections.abc import Callable
from dataclasses import dataclass

from byway_contract.globs import allows
from byway_contract.money import Price

from byway_operator.compile.said_prices import as_price
from byway_operator.resources.manifest import Key
from byway_operator.resources.price_book import PRICE_BOOK_NAME, PriceBook, PriceEntry


def price_book_key(release: str) -> Key:
    return Key("ConfigMap", release, PRICE_BOOK_NAME)


@dataclass(frozen=True)
class Place:
    """Where a model is to be had. One of the two accounts is empty."""

    provider: str = ""
    """As the ProviderKey has it; empty at a Service."""
    provider_key: str = ""
    """`namespace/name`, as is the Service."""
    service: str = ""


@dataclass(frozen=True)
class Entry:
    models: Callable[[str], bool]
    providers: frozenset[str]
    provider_keys: frozenset[str]
    services: frozenset[str]
    price: Price

    def fits(self, model: str, at: Place) -> bool:
        there = (
            not (self.providers or self.provider_keys or self.services)
            or at.provider in self.providers
            or at.provider_key in self.provider_keys
            or at.service in self.services
        )
        return there and self.models(model)


@dataclass(frozen=True)
class Book:
    entries: tuple[Entry, ...] = ()

    def price(self, model: str, at: Place) -> Price | None:
        """By the public name. The first entry that fits."""
        return next((entry.price for entry in self.entries if entry.fits(model, at)), None)


def read(resource: PriceBook) -> Book:
    return Book(tuple(map(_entry, resource.book.prices)))


def _entry(said: PriceEntry) -> Entry:
    return Entry(
        models=allows(said.models),
        providers=frozenset(said.providers),
        provider_keys=frozenset(said.provider_keys),
        services=frozenset(said.services),
        price=as_price(said.price),
    )
