"""What an endpoint costs and who says so: the account's owner, else the catalogue, else nobody.

Nobody knows is not free: an unpriced endpoint sorts last. A Service in the cluster that nobody priced costs
nothing.
"""

from dataclasses import dataclass

from byway_contract.money import FREE, Price, dollars, nanodollars
from byway_contract.table import Endpoint

from byway_operator.compile.catalogue.catalogue import Offer
from byway_operator.resources.shared import ModelPrice


@dataclass(frozen=True)
class Priced:
    price: Price | None
    origin: str
    date: str = ""


def of_account(said: ModelPrice | None, offer: Offer | None, in_cluster: bool) -> Priced:
    """The price of a model of a ProviderKey."""
    if said is not None:
        return Priced(as_price(said), "ProviderKey")
    if offer is not None and offer.price is not None:
        return Priced(offer.price, offer.origin, offer.date)
    return Priced(FREE, "InCluster") if in_cluster else Priced(None, "Unpriced")


def of_service(said: ModelPrice | None) -> Priced:
    """The price of a model at a Service that a route names."""
    return Priced(as_price(said), "ModelRoute") if said is not None else Priced(FREE, "InCluster")


def as_price(said: ModelPrice) -> Price:
    tokens = said.per_million_tokens
    return Price(
        input=nanodollars(tokens.input),
        output=nanodollars(tokens.output),
        cache_read=nanodollars(tokens.cache_read) if tokens.cache_read is not None else None,
        cache_write=nanodollars(tokens.cache_write) if tokens.cache_write is not None else None,
        per_request=nanodollars(said.per_request) if said.per_request is not None else 0,
    )


def as_read(endpoint: Endpoint) -> str:
    """`0.25/2`: US dollars per million tokens, in and out. Empty where nobody knows."""
    price = endpoint.price
    return "" if price is None else f"{dollars(price.input)}/{dollars(price.output)}"
