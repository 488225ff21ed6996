"""What an endpoint costs and who says so: the account's owner, else the platform's price book, else the catalogue,
else nobody.

Nobody knows is not free: an unpriced endpoint sorts last, and budgets in dollars refuse it, unless whoever runs
Byway has it charged the dearest price there is. A Service in the cluster that nobody priced costs nothing.

What a tenant says of its own key is believed for its own budgets. The platform's count the *list price* where that
is more: what the endpoint would cost if its owner had said nothing.
"""

from dataclasses import dataclass, replace

from byway_contract.money import FREE, Price, dollars
from byway_contract.table import Endpoint

from byway_operator.compile.catalogue.catalogue import Catalogue, Offer
from byway_operator.compile.price_book import Book, Place
from byway_operator.compile.said_prices import as_price
from byway_operator.compile.settings import Settings
from byway_operator.resources.shared import ModelPrice


@dataclass(frozen=True)
class Priced:
    price: Price | None
    origin: str
    date: str = ""
    list_price: Price | None = None


@dataclass(frozen=True)
class Prices:
    """Who is asked, beside the account's owner."""

    book: Book
    dearest: Price | None = None
    """For what nobody knows the price of. None: it has none."""

    def known(self, model: str, offer: Offer | None, at: Place) -> Priced | None:
        """By the platform's word or the catalogue's."""
        ours = self.book.price(model, at)
        if ours is not None:
            return Priced(ours, "PriceBook")
        if offer is not None and offer.price is not None:
            return Priced(offer.price, offer.origin, offer.date)
        return None


@dataclass(frozen=True)
class AccountPrices:
    """Of the models of one ProviderKey, or of one Service that routes name."""

    prices: Prices
    at: Place
    trusted: bool
    """Whether its namespace's word counts before the platform's budgets."""
    in_cluster: bool = False

    def of(self, model: str, offer: Offer | None = None, said: ModelPrice | None = None) -> Priced:
        """`offer` is the catalogue's of what is really called, by whatever name."""
        stated = self._unsaid(model, offer) if said is None else Priced(as_price(said), self._owners_word)
        if self.trusted:
            return stated
        # By the catalogue's name for it: the other is the tenant's own word, as its price is.
        known = self.prices.known(offer.model if offer is not None else model, offer, self.at)
        return stated if known is None or known.price == stated.price else replace(stated, list_price=known.price)

    @property
    def _owners_word(self) -> str:
        return "ModelRoute" if self.at.service else "ProviderKey"

    def _unsaid(self, model: str, offer: Offer | None) -> Priced:
        known = self.prices.known(model, offer, self.at)
        if known is not None:
            return known
        if self.in_cluster:
            return Priced(FREE, "InCluster")
        dearest = self.prices.dearest
        return Priced(dearest, "Dearest") if dearest is not None else Priced(None, "Unpriced")


def prices(book: Book, settings: Settings, catalogue: Catalogue) -> Prices:
    return Prices(book, catalogue.dearest if settings.unpriced == "Dearest" else None)


def as_read(endpoint: Endpoint) -> str:
    """`0.25/2`: US dollars per million tokens, in and out. Empty where nobody knows."""
    price = endpoint.price
    return "" if price is None else f"{dollars(price.input)}/{dollars(price.output)}"
