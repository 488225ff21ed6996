"""Random clusters for the rules of tenancy: small, crowded, with a past. Plain values, and manifests of them.

Everybody wants the same few names, so that nearly every world has a conflict, a consent or a broken object in it.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import yaml
from byway_operator.resources.manifest import Key, Manifest

TENANTS = ("acme", "team-a", "team-b")
PLATFORM = ("core", "platform")
NAMESPACES = (*PLATFORM, *TENANTS)
NOBODY = "ghost"
"""A namespace that no list of namespaces has."""
RELEASE = "platform"

# provider → (upstream name → public name and US dollars per million tokens), what it does with prompts
CATALOGUE: dict[str, dict[str, tuple[str, int | None]]] = {
    "solid": {"one": ("acme/one", 2), "two": ("acme/two", 3)},
    "loose": {"uno": ("acme/one", 1), "x": ("beta/x", None)},
    "openai-compatible": {},
}
FACTS: dict[str, tuple[bool, int | None, tuple[str, ...]]] = {
    "solid": (False, 0, ("eu",)),
    "loose": (True, 30, ("us",)),
    "openai-compatible": (True, None, ()),
}

ROUTES = ("smart", "fast")
NAMES = ("smart", "fast", "acme/one", "beta/x", "team-b/smart")
LAST = ("last", "spare")
"""Names and routes that may be fallen back to, and fall back to nobody: so there are no circles."""
ASKED = (
    *("smart", "fast", "acme/one", "acme/two", "beta/x", "own/thing", "last", "acme/one:floor", "nobody/knows"),
    *(f"{namespace}/smart" for namespace in NAMESPACES),
    *("platform/last", "team-b/last"),
)


@dataclass(frozen=True)
class Consent:
    to: str = "Same"
    names: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Demand:
    """A data policy."""

    training: bool = False
    days: int | None = None
    regions: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProviderKey:
    home: str
    name: str
    provider: str
    secret: bool = False
    """Whether it names one, called as itself."""
    own_url: bool = False
    model: tuple[str, str | None, int | None] | None = None
    """An entry of models[]: name, upstream name, price."""
    allowed: tuple[str, ...] = ()
    consent: Consent = Consent()
    trains: bool | None = None
    days: int | None = None
    regions: tuple[str, ...] = ()
    broken: bool = False


@dataclass(frozen=True)
class Member:
    model: str
    key: str | None = None
    key_home: str | None = None
    service: bool = False
    order: int = 0


@dataclass(frozen=True)
class ModelRoute:
    home: str
    name: str
    created: int
    names: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    fallbacks: tuple[str, ...] = ()
    policy: Demand | None = None
    consent: Consent = Consent()
    broken: bool = False


@dataclass(frozen=True)
class Floor:
    name: str
    names: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    """Neither: everybody."""
    policy: Demand | None = None
    allowed: tuple[str, ...] = ()
    no_own_keys: bool = False


@dataclass(frozen=True)
class World:
    trusted: tuple[str, ...]
    labels: dict[str, dict[str, str]]
    keys: dict[tuple[str, str], ProviderKey] = field(default_factory=dict)
    routes: dict[tuple[str, str], ModelRoute] = field(default_factory=dict)
    secrets: frozenset[tuple[str, str]] = frozenset()
    floors: tuple[Floor, ...] = ()
    floor_broken: bool = False


def random_world(dice: random.Random, before: World | None = None) -> World:
    """Or what becomes of one before: things are deleted, broken, made anew, relabelled."""
    trusted = before.trusted if before else tuple(n for n in PLATFORM if dice.random() < 0.8)
    labels = {n: _labels(dice) for n in NAMESPACES if dice.random() < 0.95} if dice.random() < 0.95 else {}
    if before and dice.random() < 0.5:
        labels = before.labels
    keys = dict(before.keys) if before else {}
    routes = dict(before.routes) if before else {}
    for place in [*keys]:
        if dice.random() < 0.2:
            del keys[place]
    for place in [*routes]:
        if dice.random() < 0.2:
            del routes[place]
    for _ in range(dice.randint(0, 2) if before else dice.randint(2, 6)):
        key = _key(dice)
        keys[key.home, key.name] = key
    for _ in range(dice.randint(0, 2) if before else dice.randint(2, 9)):
        route = _route(dice)
        old = routes.get((route.home, route.name))
        routes[route.home, route.name] = route if old is None else _aged(route, old.created)
    secrets = frozenset((k.home, k.name) for k in keys.values() if dice.random() < 0.85)
    floors, broken = (before.floors, False) if before and dice.random() < 0.6 else _floors(dice)
    return World(trusted, labels, keys, routes, secrets, floors, broken and bool(before))


def _aged(route: ModelRoute, created: int) -> ModelRoute:
    return ModelRoute(**{**route.__dict__, "created": created})


def _labels(dice: random.Random) -> dict[str, str]:
    return {name: dice.choice(("blue", "red")) for name in ("tier", "data") if dice.random() < 0.7}


def _consent(dice: random.Random) -> Consent:
    match dice.choice(("Same", "Same", "All", "Names", "Selector")):
        case "All":
            return Consent("All")
        case "Names":
            return Consent("Names", names=tuple(sorted(dice.sample((*NAMESPACES, NOBODY), dice.randint(1, 2)))))
        case "Selector":
            return Consent("Selector", labels=((dice.choice(("tier", "data")), dice.choice(("blue", "red"))),))
        case _:
            return Consent()


def _demand(dice: random.Random) -> Demand:
    return dice.choice((Demand(training=True), Demand(days=dice.choice((0, 30))), Demand(regions=("eu",))))


def _key(dice: random.Random) -> ProviderKey:
    provider = dice.choice(("solid", "loose", "solid", "loose", "openai-compatible"))
    model = None
    if dice.random() < 0.4:
        upstream = dice.choice((None, "one", "uno", "mine"))
        model = (dice.choice(("acme/one", "own/thing", "team-b/smart")), upstream, dice.choice((None, 0, 7)))
    said = dice.random() < 0.3
    return ProviderKey(
        home=dice.choice(NAMESPACES),
        name=dice.choice(("k", "l")),
        provider=provider,
        secret=dice.random() < 0.6,
        own_url=provider == "openai-compatible" or dice.random() < 0.1,
        model=model,
        allowed=() if dice.random() < 0.7 else dice.choice((("acme/*",), ("beta/x", "own/*"), ("*one",))),
        consent=_consent(dice),
        trains=dice.choice((True, False)) if said else None,
        days=dice.choice((0, 5)) if said and dice.random() < 0.5 else None,
        regions=("eu",) if said and dice.random() < 0.5 else (),
        broken=dice.random() < 0.1,
    )


def _route(dice: random.Random) -> ModelRoute:
    last = dice.random() < 0.25
    return ModelRoute(
        home=dice.choice(NAMESPACES),
        name=dice.choice(LAST if last else ROUTES),
        created=dice.randint(0, 3),
        names=() if dice.random() < 0.5 else tuple(dice.sample(LAST if last else NAMES, dice.randint(1, 2))),
        members=tuple(_member(dice) for _ in range(dice.randint(1, 3))),
        fallbacks=() if last or dice.random() < 0.6 else (dice.choice((*LAST, "platform/last", "team-b/last")),),
        policy=_demand(dice) if dice.random() < 0.3 else None,
        consent=_consent(dice),
        broken=dice.random() < 0.15,
    )


def _member(dice: random.Random) -> Member:
    model = dice.choice(("acme/one", "acme/two", "beta/x", "own/thing", "uno", "unlisted"))
    order = dice.randint(0, 1)
    match dice.choice(("any", "own", "theirs", "service")):
        case "own":
            return Member(model, key=dice.choice(("k", "l")), order=order)
        case "theirs":
            return Member(model, key=dice.choice(("k", "l")), key_home=dice.choice(NAMESPACES), order=order)
        case "service":
            return Member("local", service=True, order=order)
        case _:
            return Member(model, order=order)


def _floors(dice: random.Random) -> tuple[tuple[Floor, ...], bool]:
    if dice.random() < 0.6:
        return (), False
    floors = []
    for name in ("first", "second")[: dice.randint(1, 2)]:
        names: tuple[str, ...] = ()
        labels: tuple[tuple[str, str], ...] = ()
        match dice.choice(("names", "labels", "all")):
            case "names":
                names = tuple(dice.sample((*NAMESPACES, NOBODY), dice.randint(1, 3)))
            case "labels":
                labels = ((dice.choice(("tier", "data")), dice.choice(("blue", "red"))),)
        match dice.choice(("policy", "allowed", "keys")):
            case "policy":
                floors.append(Floor(name, names, labels, policy=_demand(dice)))
            case "allowed":
                floors.append(Floor(name, names, labels, allowed=dice.choice((("acme/*",), ("*two", "beta/x")))))
            case _:
                floors.append(Floor(name, names, labels, no_own_keys=True))
    return tuple(floors), dice.random() < 0.2


def manifests(world: World) -> dict[Key, Manifest]:
    """As a cluster would give them."""
    found = [_of_key(key) for key in world.keys.values()]
    found += [_of_route(route) for route in world.routes.values()]
    found += [_of_secret(*place) for place in world.secrets]
    if world.floors or world.floor_broken:
        found.append(_of_floors(world))
    return {manifest.key: manifest for manifest in found}


def _of_key(key: ProviderKey) -> Manifest:
    spec: dict[str, Any] = {"provider": "no such" if key.broken else key.provider}
    if key.secret:
        spec["secretRef"] = {"name": key.name}
    if key.own_url:
        spec["baseURL"] = "https://llm.example/v1"
    if key.model:
        name, upstream, price = key.model
        entry: dict[str, Any] = {"name": name}
        if upstream:
            entry["upstreamName"] = upstream
        if price is not None:
            entry["price"] = {"perMillionTokens": {"input": str(price), "output": str(price)}}
        spec["models"] = [entry]
    if key.allowed:
        spec["allowedModels"] = list(key.allowed)
    handling: dict[str, Any] = {}
    if key.trains is not None:
        handling["training"] = "Possible" if key.trains else "Never"
    if key.days is not None:
        handling["retentionDays"] = key.days
    if key.regions:
        handling["regions"] = list(key.regions)
    if handling:
        spec["dataHandling"] = handling
    return _manifest("ProviderKey", key.home, key.name, spec | _of_consent(key.consent))


def _of_route(route: ModelRoute) -> Manifest:
    spec: dict[str, Any] = {"endpoints": [_of_member(n, member) for n, member in enumerate(route.members)]}
    if route.names:
        spec["modelNames"] = list(route.names)
    if route.fallbacks:
        spec["fallbackModels"] = list(route.fallbacks)
    if route.policy:
        spec["dataPolicy"] = _of_demand(route.policy)
    if route.broken:
        spec["strategy"] = "Whatever"
    return _manifest("ModelRoute", route.home, route.name, spec | _of_consent(route.consent), route.created)


def _of_member(number: int, member: Member) -> dict[str, Any]:
    said: dict[str, Any] = {"name": f"m{number}", "model": member.model, "order": member.order}
    if member.service:
        said["serviceRef"] = {"name": "vllm", "port": 8000}
    if member.key:
        said["providerKeyRef"] = {"name": member.key} | ({"namespace": member.key_home} if member.key_home else {})
    return said


def _of_consent(consent: Consent) -> dict[str, Any]:
    match consent.to:
        case "Same":
            return {}
        case "Names":
            return {"allowedNamespaces": {"from": "Names", "names": list(consent.names)}}
        case "Selector":
            selector = {"matchLabels": dict(consent.labels)}
            return {"allowedNamespaces": {"from": "Selector", "selector": selector}}
        case word:
            return {"allowedNamespaces": {"from": word}}


def _of_demand(demand: Demand) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if demand.training:
        said["training"] = "Deny"
    if demand.days is not None:
        said["maxRetentionDays"] = demand.days
    if demand.regions:
        said["regions"] = list(demand.regions)
    return said


def _of_secret(home: str, name: str) -> Manifest:
    labels = {"byway.dev/credential": "true"}
    metadata = {"name": name, "namespace": home, "labels": labels}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"apiKey": f"sk-{home}-{name}"},
    }
    return Manifest(Key("Secret", home, name), body)


def _of_floors(world: World) -> Manifest:
    said: list[dict[str, Any]] = []
    for floor in world.floors:
        one: dict[str, Any] = {"name": floor.name}
        if floor.names:
            one["namespaces"] = {"names": list(floor.names)}
        if floor.labels:
            one["namespaces"] = {"selector": {"matchLabels": dict(floor.labels)}}
        if floor.policy:
            one["dataPolicy"] = _of_demand(floor.policy)
        if floor.allowed:
            one["allowedModels"] = list(floor.allowed)
        if floor.no_own_keys:
            one["ownKeys"] = "Deny"
        said.append(one)
    content = {"flors": said} if world.floor_broken else {"floors": said}
    labels = {"byway.dev/floor": "true"}
    metadata = {"name": "byway-floor", "namespace": RELEASE, "labels": labels}
    data = {"floor.yaml": yaml.safe_dump(content)}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return Manifest(Key("ConfigMap", RELEASE, "byway-floor"), body)


def _manifest(kind: str, home: str, name: str, spec: dict[str, Any], created: int = 0) -> Manifest:
    metadata = {"name": name, "namespace": home}
    body = {"apiVersion": "byway.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    return Manifest(Key(kind, home, name), body, created=f"2026-01-0{created + 1}T00:00:00Z")
