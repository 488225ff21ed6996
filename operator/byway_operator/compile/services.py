"""Services in the cluster that routes name directly: accounts without a ProviderKey.

Two routes that name one Service's port share its account and its endpoints, so they have to agree. What one leaves
out the other may say; where they say different things the older route is right and the other is `Conflicted`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from byway_contract.table import Account, Endpoint, Handling

from byway_operator.compile import addresses
from byway_operator.compile.accounts import features, modalities
from byway_operator.compile.faults import NotAccepted
from byway_operator.compile.price_book import Place
from byway_operator.compile.prices import AccountPrices, Prices
from byway_operator.compile.said_prices import as_price
from byway_operator.compile.settings import Settings
from byway_operator.resources.manifest import Key
from byway_operator.resources.model_route import ModelRoute, RouteEndpoint
from byway_operator.resources.shared import Capabilities, ModelPrice, ServiceRef

_Said = TypeVar("_Said")


@dataclass
class Services:
    """What routes say of Services, oldest route first; then what that comes to."""

    prices: Prices
    _refs: dict[str, tuple[ServiceRef, Key]] = field(default_factory=dict)
    _prices: dict[str, tuple[ModelPrice, Key]] = field(default_factory=dict)
    _capabilities: dict[str, tuple[Capabilities, Key]] = field(default_factory=dict)

    def hear(self, key: Key, route: ModelRoute) -> None:
        """Take what a route says. Raises NotAccepted where an older one, or itself, says otherwise; then nothing is
        taken."""
        itself = Services(self.prices)
        for index, member, ref in _statements(route):
            self._check(key, index, member, ref)
            itself._check(key, index, member, ref)
            itself._take(key, member, ref)
        for _, member, ref in _statements(route):
            self._take(key, member, ref)

    def account(self, namespace: str, ref: ServiceRef, settings: Settings, field: str, said: str) -> Account:
        """Raises Unresolved on one machine that was given no address for the Service."""
        return Account(
            namespace=namespace,
            name=ref.name,
            provider=ref.name,
            display_name=ref.name,
            base_url=addresses.service_url(ref, namespace, settings, field, said),
            vouched=None if namespace in settings.trusted_namespaces else Handling(),
            # It is the cluster's own: prompts stay where they are.
            may_train=False,
            retention_days=0,
            in_cluster=True,
        )

    def endpoint(self, namespace: str, ref: ServiceRef, model: str, settings: Settings) -> Endpoint:
        name = endpoint_id(namespace, ref, model)
        price, capabilities = _of(self._prices, name), _of(self._capabilities, name)
        trusted = namespace in settings.trusted_namespaces
        at = Place(service=f"{namespace}/{ref.name}")
        priced = AccountPrices(self.prices, at, trusted, in_cluster=True).of(model, said=price)
        return Endpoint(
            account=account_id(namespace, ref),
            model=model,
            upstream_model=model,
            price=priced.price,
            price_origin=priced.origin,
            list_price=priced.list_price,
            context_length=capabilities.context_length if capabilities else None,
            max_output_tokens=capabilities.max_output_tokens if capabilities else None,
            input_modalities=modalities(capabilities) or ("text",),
            features=features(capabilities),
            by_name=False,
            vouched=trusted,
        )

    def _take(self, key: Key, member: RouteEndpoint, ref: ServiceRef) -> None:
        self._refs.setdefault(account_id(key.namespace, ref), (ref, key))
        name = endpoint_id(key.namespace, ref, member.model)
        if member.price is not None:
            self._prices.setdefault(name, (member.price, key))
        if member.capabilities is not None:
            self._capabilities.setdefault(name, (member.capabilities, key))

    def _check(self, key: Key, index: int, member: RouteEndpoint, ref: ServiceRef) -> None:
        name = endpoint_id(key.namespace, ref, member.model)
        other = self._refs.get(account_id(key.namespace, ref))
        if other and (other[0].effective_scheme, other[0].effective_path) != (
            ref.effective_scheme,
            ref.effective_path,
        ):
            raise _conflict(
                index, member.name, "serviceRef", "another scheme or path for this Service", key, other[1]
            )
        priced = self._prices.get(name)
        if priced and member.price and as_price(priced[0]) != as_price(member.price):
            raise _conflict(index, member.name, "price", "another price for this Service's model", key, priced[1])
        capable = self._capabilities.get(name)
        if capable and member.capabilities and capable[0] != member.capabilities:
            raise _conflict(
                index, member.name, "capabilities", "other capabilities for this Service's model", key, capable[1]
            )


def account_id(namespace: str, ref: ServiceRef) -> str:
    return f"svc:{addresses.service_id(ref, namespace)}"


def endpoint_id(namespace: str, ref: ServiceRef, model: str) -> str:
    return f"{account_id(namespace, ref)}:{model}"


def _statements(route: ModelRoute) -> Iterable[tuple[int, RouteEndpoint, ServiceRef]]:
    for index, member in enumerate(route.spec.endpoints):
        if member.service_ref is not None:
            yield index, member, member.service_ref


def _of(said: Mapping[str, tuple[_Said, Key]], name: str) -> _Said | None:
    found = said.get(name)
    return found[0] if found else None


def _conflict(index: int, name: str, part: str, what: str, key: Key, winner: Key) -> NotAccepted:
    who = "an endpoint above" if winner == key else f"{winner} is older and"
    return NotAccepted(
        "Conflicted",
        f"spec.endpoints[{index}].{part}",
        f"spec.endpoints[{name}].{part}: {who} says {what}; say the same, or nothing",
    )
