"""What a name leads to: the nouns of choosing, prepared once per table and shared by all requests.

A *target* is what a namespace means by a name. It serves in *groups*, one for each model of its chain (a route's
own endpoints, then each of its fallback models); a group holds *slots*, an endpoint together with the route that
names it. Everything about a slot that no request can change is worked out here.
"""

from typing import Literal

from byway_contract.money import FREE, Price
from byway_contract.table import Account, Endpoint, Route, RouteEndpoint
from msgspec import Struct

from byway_proxy.meter.minute_limits import Rate, of_account

Sort = Literal["price", "throughput", "latency"]

Reason = Literal[
    "only",
    "ignore",
    "order",
    "allow_fallbacks",
    "data_collection",
    "zdr",
    "policy_training",
    "policy_retention",
    "policy_region",
    "floor",
    "floor_training",
    "floor_retention",
    "floor_region",
    "floor_models",
    "max_price",
    "context_length",
    "max_tokens",
    "modality",
    "require_parameters",
    "lacks_feature",
    "missing",
    "rejected",
    "unknown_model",
    "allowed_models",
]
"""Why a candidate was left out. `policy_…` is the route's own data policy, `floor…` the platform's demands on the
caller's namespace (`floor` alone: nobody can tell what they are), `data_collection` and `zdr` are the caller's;
`allowed_models` are those of the caller's access key;
`lacks_feature` is soft: others of the same model have it."""

MOST_ATTEMPTS = 8
"""In one chain, whatever a route says."""

# A slug ending so is a service tier: it is never meant by its base alone.
TIERS = ("flex", "priority")


class LeftOut(Struct, frozen=True):
    """An endpoint that was not a candidate, and why. `endpoint_id` is empty where there is none."""

    model: str
    """As the chain names it."""
    endpoint_id: str
    provider: str
    reason: Reason
    detail: str


class Slot(Struct, frozen=True):
    """An endpoint as one target offers it."""

    endpoint_id: str
    endpoint: Endpoint
    account_id: str
    account: Account
    route_id: str
    """Empty for a catalogue name."""
    route: Route | None
    member: RouteEndpoint | None
    step: int
    """The route's `order`: a later step serves when all before it are out or full."""
    price: Price | None
    """None is unpriced. An in-cluster Service without a price costs nothing."""
    own: bool
    """By a key of the namespace that resolved the name; a shared key otherwise."""
    tier: int
    """0 costs nothing, 1 own, 2 shared: the order in which a balanced draw takes them."""
    pull: float
    """1 / price²; 1 for what is free, 0 for what has no price."""
    slugs: frozenset[str]
    """Lower-case words of `provider.order|only|ignore` that mean this endpoint."""
    caps: tuple[tuple[str, int], ...]
    """What to count concurrent attempts under, and the fleet's cap."""
    rates: tuple[Rate, ...]
    """How fast its provider key may be used, by the fleet."""
    credential: str
    """Hash of the provider key's credential, to see that it was changed; empty is keyless."""
    budgets: tuple[str, str]
    """The retry budgets it draws on: its route's (or the name's, where there is none) and its account's."""
    recorded: tuple[str, str, str, str, str, Price | None, Price | None]
    """What a record of an attempt says of it: route, endpoint, account, provider, model, price, list price."""


class Group(Struct, frozen=True):
    """One model of a chain: its endpoints, and those that can never serve it."""

    name: str
    route: Route | None
    slots: tuple[Slot, ...]
    left_out: tuple[LeftOut, ...]
    sort: Sort | None
    """From a variant of the name: `:floor` is price, `:nitro` throughput."""
    least_context: int | None
    """The smallest known of its endpoints: a request that fits this needs no look at each."""
    least_output: int | None


class Served(Struct, frozen=True):
    name: str
    groups: tuple[Group, ...]
    route_id: str
    route: Route | None
    ignored: tuple[str, ...]
    """Variants that were accepted and do nothing."""
    only: Slot | None
    """The endpoint, where there is but one in the whole chain."""
    most_attempts: int


class Rejected(Struct, frozen=True):
    """The name is a route's, and that route serves nothing. It does not fall through to others."""

    name: str
    route_id: str
    reason: str


class Unknown(Struct, frozen=True):
    name: str


Target = Served | Rejected | Unknown


def slot(
    endpoint_id: str,
    endpoint: Endpoint,
    account: Account,
    *,
    own: bool,
    credential: str,
    name: str,
    route_id: str = "",
    route: Route | None = None,
    member: RouteEndpoint | None = None,
) -> Slot:
    price = FREE if endpoint.price is None and account.in_cluster else endpoint.price
    free = price is not None and price.free
    return Slot(
        endpoint_id=endpoint_id,
        endpoint=endpoint,
        account_id=endpoint.account,
        account=account,
        route_id=route_id,
        route=route,
        member=member,
        step=member.order if member else 0,
        price=price,
        own=own,
        tier=0 if free else 1 if own else 2,
        pull=_pull(price),
        slugs=_slugs(account),
        caps=_caps(endpoint.account, account, route_id, member),
        rates=of_account(endpoint.account, account),
        credential=credential,
        budgets=(f"route {route_id or name}", f"account {endpoint.account}"),
        recorded=(
            route_id,
            endpoint_id,
            endpoint.account,
            account.provider,
            endpoint.model,
            price,
            endpoint.list_price,
        ),
    )


def served(
    name: str, groups: tuple[Group, ...], route_id: str, route: Route | None, ignored: tuple[str, ...]
) -> Served:
    only = groups[0].slots[0] if len(groups) == 1 and len(groups[0].slots) == 1 else None
    most = route.max_attempts if route is not None and route.max_attempts else MOST_ATTEMPTS
    return Served(name, groups, route_id, route, ignored, only, min(most, MOST_ATTEMPTS))


def group(
    name: str, route: Route | None, slots: tuple[Slot, ...], left_out: tuple[LeftOut, ...], sort: Sort | None
) -> Group:
    contexts = [s.endpoint.context_length for s in slots if s.endpoint.context_length is not None]
    outputs = [s.endpoint.max_output_tokens for s in slots if s.endpoint.max_output_tokens is not None]
    return Group(name, route, slots, left_out, sort, min(contexts, default=None), min(outputs, default=None))


def _pull(price: Price | None) -> float:
    if price is None:
        return 0.0
    # A price per request alone has no weight to compare by: the smallest one then.
    return 1.0 if price.free else 1.0 / max(price.weight, 1) ** 2


def _slugs(account: Account) -> frozenset[str]:
    """`acme/eu-west` answers to itself, to `acme` and to its display name; `acme/flex` to itself alone."""
    slug = account.provider.lower()
    parts = slug.split("/")
    if parts[-1] in TIERS:
        return frozenset((slug,))
    return frozenset("/".join(parts[:n]) for n in range(1, len(parts) + 1)) | {account.display_name.lower()}


def _caps(
    account_id: str, account: Account, route_id: str, member: RouteEndpoint | None
) -> tuple[tuple[str, int], ...]:
    caps = []
    if account.max_concurrent is not None:
        caps.append((account_id, account.max_concurrent))
    if member is not None and member.max_concurrent is not None:
        caps.append((f"{route_id}#{member.name}", member.max_concurrent))
    return tuple(caps)
