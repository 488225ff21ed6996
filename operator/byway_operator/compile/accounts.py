"""A ProviderKey becomes an account, a credential, and an endpoint for each model that may be called with it.

Which models those are: what the catalogue lists for the provider, with the ProviderKey's `models[]` laid over it by
public name, of it what `allowedModels` lets through. An upstream model has one public name at an account: where
`models[]` gives a listed one another name, the listed name goes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from byway_contract.globs import allows
from byway_contract.table import Account, Credential, Endpoint, Handling

from byway_operator.compile import addresses, secrets
from byway_operator.compile.catalogue.catalogue import Card, Catalogue, Offer, Provider
from byway_operator.compile.faults import NotAccepted, Unresolved
from byway_operator.compile.price_book import Place
from byway_operator.compile.prices import AccountPrices, Priced, Prices
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import Condition
from byway_operator.resources.manifest import Key
from byway_operator.resources.provider_key import DataHandling, KeyModel, ProviderKey, RateLimits
from byway_operator.resources.shared import FEATURE_WORDS, Capabilities

_T = TypeVar("_T")


@dataclass(frozen=True)
class DraftAccount:
    """What a ProviderKey becomes. While something is `missing` it is in no table, but still knows its models."""

    key: Key
    account: Account
    credential: Credential | None
    models: Mapping[str, Endpoint]
    """By public name, only what may be called."""
    upstreams: Mapping[str, str]
    """Upstream model → public name."""
    listed: frozenset[str]
    """All public names the account has, also those that `allowedModels` keeps back."""
    allows: Callable[[str], bool]
    prices: AccountPrices
    missing: Condition | None = None
    trusted: bool = False
    """Whether its namespace's word counts before a floor."""

    @property
    def id(self) -> str:
        return account_id(self.key)

    def endpoint_id(self, upstream: str) -> str:
        return f"{self.id}:{upstream}"

    def passed_through(self, model: str) -> Endpoint:
        """An upstream model that nobody listed: only a route may name it, and nobody knows its price."""
        priced = self.prices.of(model)
        return Endpoint(
            account=self.id,
            model=model,
            upstream_model=model,
            price=priced.price,
            price_origin=priced.origin,
            list_price=priced.list_price,
            by_name=False,
            vouched=self.trusted,
        )


def account_id(key: Key) -> str:
    return f"{key.namespace}/{key.name}"


def draft_account(
    key: Key,
    resource: ProviderKey,
    held: secrets.Secrets,
    settings: Settings,
    catalogue: Catalogue,
    shared_with: tuple[str, ...],
    prices: Prices,
) -> DraftAccount:
    """Raises NotAccepted."""
    provider = _provider(resource.spec.provider, catalogue)
    missing: Condition | None = None
    try:
        url = _url(key, resource, provider, settings)
    except Unresolved as unresolved:
        url, missing = "", unresolved.condition
    trusted = key.namespace in settings.trusted_namespaces
    account = _account(key, resource, provider, url, shared_with, trusted)
    credential = None
    if resource.spec.secret_ref is not None:
        try:
            credential = Credential(secrets.credential(resource.spec.secret_ref, key.namespace, held))
        except Unresolved as unresolved:
            missing = missing or unresolved.condition
    at = Place(provider.slug, account_id(key))
    priced = AccountPrices(prices, at, trusted, resource.spec.service_ref is not None)
    endpoints = _endpoints(key, resource, provider, catalogue, priced)
    if not trusted:
        endpoints = {name: _vouched(name, one, resource, catalogue) for name, one in endpoints.items()}
    allowed = allows(resource.spec.allowed_models)
    return DraftAccount(
        key=key,
        account=account,
        credential=credential,
        models={name: endpoint for name, endpoint in endpoints.items() if allowed(name)},
        upstreams={endpoint.upstream_model: name for name, endpoint in endpoints.items()},
        listed=frozenset(endpoints),
        allows=allowed,
        prices=priced,
        missing=missing,
        trusted=trusted,
    )


def _provider(slug: str, catalogue: Catalogue) -> Provider:
    provider = catalogue.provider(slug)
    if provider is None:
        nearest = catalogue.nearest(slug)
        meant = f'did you mean "{nearest}"? ' if nearest else ""
        raise NotAccepted(
            "UnknownProvider",
            "spec.provider",
            f'spec.provider: no provider "{slug}" in the catalogue; {meant}'
            "For any other that speaks OpenAI's API write openai-compatible and its baseURL",
        )
    if provider.planned:
        raise NotAccepted(
            "NotImplemented",
            "spec.provider",
            f"spec.provider: {slug} is not done in this version; an OpenAI-compatible gateway works with baseURL",
        )
    return provider


def _url(key: Key, resource: ProviderKey, provider: Provider, settings: Settings) -> str:
    ref = resource.spec.service_ref
    if ref is None:
        return addresses.base_url(resource.spec, provider, settings)
    return addresses.service_url(ref, key.namespace, settings, "spec.serviceRef", "spec.serviceRef")


def _account(
    key: Key, resource: ProviderKey, provider: Provider, url: str, shared_with: tuple[str, ...], trusted: bool
) -> Account:
    spec = resource.spec
    nameless = provider.slug.endswith("-compatible")
    promised = _promised(resource, provider)
    handling = _stated_handling(spec.data_handling, promised)
    limits = spec.rate_limits or RateLimits()
    return Account(
        namespace=key.namespace,
        name=key.name,
        provider=key.name if nameless else provider.slug,
        display_name=key.name if nameless else provider.display_name,
        base_url=url,
        auth=provider.auth,
        credential=account_id(key) if spec.secret_ref else None,
        headers={header.name: header.value for header in sorted(spec.headers, key=lambda header: header.name)},
        ca_bundle=spec.ca_bundle,
        shared_with=shared_with,
        max_concurrent=limits.max_concurrent_requests,
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        may_train=handling.may_train,
        retention_days=handling.retention_days,
        regions=handling.regions,
        vouched=None if trusted or handling == promised else promised,
        in_cluster=spec.service_ref is not None,
        quirks=provider.quirks,
        leaving=provider.leaving,
        verify=provider.verify,
        verify_headers=provider.verify_headers,
    )


def _promised(resource: ProviderKey, provider: Provider) -> Handling:
    """By the provider, as the catalogue has it. It binds nobody who stands in between."""
    return (
        Handling(provider.may_train, provider.retention_days, provider.regions) if _direct(resource) else Handling()
    )


def _stated_handling(said: DataHandling | None, promised: Handling) -> Handling:
    if said is None:
        return promised
    return Handling(
        promised.may_train if said.training is None else said.training == "Possible",
        _first(said.retention_days, promised.retention_days),
        tuple(sorted(said.regions)) or promised.regions,
    )


def _direct(resource: ProviderKey) -> bool:
    return resource.spec.base_url is None and resource.spec.service_ref is None


def _vouched(name: str, endpoint: Endpoint, resource: ProviderKey, catalogue: Catalogue) -> Endpoint:
    """A tenant's endpoint: the catalogue vouches for its name, or nobody does."""
    offer = catalogue.models(resource.spec.provider).get(endpoint.upstream_model)
    known = _direct(resource) and offer is not None and offer.model == name
    return endpoint if known else msgspec.structs.replace(endpoint, vouched=False)


def _endpoints(
    key: Key, resource: ProviderKey, provider: Provider, catalogue: Catalogue, prices: AccountPrices
) -> dict[str, Endpoint]:
    """By public name, all that the account has."""
    stated = {entry.name: _stated(key, entry, provider, catalogue, prices) for entry in resource.spec.models}
    taken: dict[str, str] = {}
    for index, (name, endpoint) in enumerate(stated.items()):
        other = taken.setdefault(endpoint.upstream_model, name)
        if other != name:
            raise NotAccepted(
                "Invalid",
                f"spec.models[{index}]",
                f'spec.models[{name}]: the upstream model "{endpoint.upstream_model}" is models[{other}] already; '
                "one upstream model has one name",
            )
    listed = {
        offer.model: _endpoint(key, offer.model, upstream, prices.of(offer.model, offer), offer, None)
        for upstream, offer in catalogue.models(provider.slug).items()
        if upstream not in taken
    }
    return {**listed, **stated}


def _stated(key: Key, entry: KeyModel, provider: Provider, catalogue: Catalogue, prices: AccountPrices) -> Endpoint:
    """A model of `models[]`; what it leaves out is the catalogue's: of what is called there, else of the name."""
    offers, named = catalogue.models(provider.slug), catalogue.upstream(provider.slug, entry.name)
    upstream = entry.upstream_name or named or entry.name
    offer = offers.get(upstream) or offers.get(named or "")
    priced = prices.of(entry.name, offer, entry.price)
    known = offer or catalogue.cards.get(entry.name)
    return _endpoint(key, entry.name, upstream, priced, known, entry.capabilities)


def _endpoint(
    key: Key,
    name: str,
    upstream: str,
    priced: Priced,
    known: Offer | Card | None,
    said: Capabilities | None,
) -> Endpoint:
    return Endpoint(
        account=account_id(key),
        model=name,
        upstream_model=upstream,
        price=priced.price,
        price_origin=priced.origin,
        price_date=priced.date,
        list_price=priced.list_price,
        context_length=_first(said.context_length if said else None, known.context_length if known else None),
        max_output_tokens=_first(
            said.max_output_tokens if said else None, known.max_output_tokens if known else None
        ),
        input_modalities=modalities(said) or (known.input_modalities if known else ("text",)),
        output_modalities=known.output_modalities if known else ("text",),
        features=_first(features(said), known.features if known else None),
    )


def modalities(said: Capabilities | None) -> tuple[str, ...]:
    """In the contract's words; empty where nothing is said."""
    return tuple(sorted(word.lower() for word in said.input_modalities)) if said else ()


def features(said: Capabilities | None) -> tuple[str, ...] | None:
    """In the contract's words; None where nothing is said."""
    if said is None or said.features is None:
        return None
    return tuple(sorted(FEATURE_WORDS[word] for word in said.features))


def _first(*choices: _T | None) -> _T | None:
    return next((choice for choice in choices if choice is not None), None)
