"""Small tables for tests: name only what the test is about."""

from typing import Any

from byway_contract.access_key import digest_of, key_of
from byway_contract.budget import Budget
from byway_contract.money import Price
from byway_contract.secret import Secret
from byway_contract.table import (
    AccessKey,
    Account,
    Anonymous,
    Credential,
    Endpoint,
    Floor,
    KeyDigest,
    Model,
    Route,
    RouteEndpoint,
    SectionName,
    Table,
    TableObject,
    Tenancy,
    canonical,
    decode,
)

DOLLAR = 1_000_000_000


def dollars(amount: float) -> Price:
    """The same per million tokens in and out."""
    return Price(input=round(amount * DOLLAR), output=round(amount * DOLLAR))


def account(provider: str, namespace: str = "team-a", **fields: Any) -> Account:
    usual = {"name": provider, "display_name": provider.title(), "base_url": f"https://{provider}.example"}
    return Account(namespace=namespace, provider=provider, **(usual | fields))


def endpoint(at: str, model: str = "acme/m", price: float | None = 1.0, **fields: Any) -> Endpoint:
    """`at` is the account's id."""
    fields = {"upstream_model": model} | fields
    return Endpoint(account=at, model=model, price=None if price is None else dollars(price), **fields)


def access_key(
    *keys: str, namespace: str = "team-a", name: str = "ci", expires: int | None = None, **fields: Any
) -> AccessKey:
    """Of keys as apps send them; they are named a, b, c …"""
    named = zip("abcd", keys, strict=False)
    digests = tuple(KeyDigest(digest_of(key), letter, expires) for letter, key in named)
    return AccessKey(namespace=namespace, name=name, keys=digests, **fields)


def a_key(number: int) -> str:
    """Another for each number, and the same each time."""
    return key_of(number.to_bytes(32, "big"))


def member(endpoint_id: str, name: str = "", **fields: Any) -> RouteEndpoint:
    return RouteEndpoint(name=name or endpoint_id, endpoint=endpoint_id, **fields)


def route(name: str, *members: RouteEndpoint, namespace: str = "team-a", **fields: Any) -> Route:
    fields = {"model_names": (name,)} | fields
    return Route(namespace=namespace, name=name, endpoints=members, **fields)


def table(
    accounts: list[Account],
    endpoints: list[Endpoint],
    routes: list[Route] | None = None,
    models: dict[str, Model] | None = None,
    trusted: tuple[str, ...] = (),
    credentials: dict[str, str] | None = None,
    anonymous: str | None = None,
    authors: tuple[str, ...] = (),
    floors: list[Floor] | None = None,
    budgets: list[Budget] | None = None,
) -> Table:
    """Ids are as the operator makes them: `team-a/openai`, `team-a/openai:acme/m`. `anonymous` is the namespace of
    whoever brings no credential."""
    objects: dict[SectionName, dict[str, TableObject]] = {
        "accounts": {f"{a.namespace}/{a.name}": a for a in accounts},
        "endpoints": {f"{e.account}:{e.upstream_model}": e for e in endpoints},
        "routes": {f"{r.namespace}/{r.name}": r for r in routes or []},
        "models": dict(models or {}),
        "policies": {"tenancy": Tenancy(trusted, authors)} | {f"floor:{n}": f for n, f in enumerate(floors or [])},
        "callers": {"anonymous": Anonymous(anonymous)} if anonymous else {},
        "budgets": {budget.id: budget for budget in budgets or []},
        "credentials": {i: Credential(Secret(value)) for i, value in (credentials or {}).items()},
    }
    return decode({s: {i: canonical(o) for i, o in members.items()} for s, members in objects.items()})


def providers(*priced: tuple[str, float | None], model: str = "acme/m", **account_fields: Any) -> Table:
    """One model at several providers of team-a."""
    accounts = [account(name, **account_fields) for name, _ in priced]
    return table(accounts, [endpoint(f"team-a/{name}", model, price) for name, price in priced])
