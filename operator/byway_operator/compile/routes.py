"""A ModelRoute becomes a route, and the endpoints that only it names.

A member is what `spec.endpoints[]` says: an endpoint of a ProviderKey or of a Service. One that names neither
stands for every key this namespace may use that has the model. Each is then a member of its own, named
`<endpoint>@<namespace>/<key>`, and they share what was said of the one: own keys come first (a step before shared
ones), the weight is divided among those of a step, and the cap on concurrent requests among all.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
from byway_contract.table import NO_DEFAULTS, Account, Endpoint, Route, Timeouts
from byway_contract.table import RouteEndpoint as Member
from msgspec import Raw

from byway_operator.compile import prices, services
from byway_operator.compile.directory import Directory, Found
from byway_operator.compile.faults import Unresolved
from byway_operator.compile.floors import data_policy
from byway_operator.compile.services import Services
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import RESOLVED, Condition, EndpointFact
from byway_operator.resources.common import milliseconds
from byway_operator.resources.manifest import Key
from byway_operator.resources.model_route import ModelRoute, ModelRouteSpec, RouteEndpoint

_json = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True)
class DraftRoute:
    route: Route
    accounts: dict[str, Account]
    """Services it names, by id."""
    endpoints: dict[str, Endpoint]
    """Endpoints that no ProviderKey makes callable by name, by id."""
    facts: tuple[EndpointFact, ...]
    resolved: Condition


@dataclass(frozen=True)
class _Piece:
    """A member before the members of a route are weighed against each other."""

    name: str
    said: RouteEndpoint
    own: bool = True
    id: str | None = None
    endpoint: Endpoint | None = None
    account: Account | None = None
    """Of a Service: it belongs to the route."""
    missing: Condition | None = None
    cap: int | None = None
    among: int = 1
    """How many of a step share its weight."""


def draft_route(
    key: Key,
    resource: ModelRoute,
    names: tuple[str, ...],
    directory: Directory,
    heard: Services,
    settings: Settings,
    shared_with: tuple[str, ...],
) -> DraftRoute:
    pieces = [
        piece
        for index, said in enumerate(resource.spec.endpoints)
        for piece in _pieces(key, index, said, directory, heard, settings)
    ]
    return DraftRoute(
        route=_route(key, resource.spec, names, pieces, shared_with),
        accounts={piece.endpoint.account: piece.account for piece in pieces if piece.account and piece.endpoint},
        endpoints={
            piece.id: piece.endpoint
            for piece in pieces
            if piece.id and piece.endpoint and not piece.endpoint.by_name
        },
        facts=tuple(_fact(piece) for piece in pieces),
        resolved=_resolved(pieces),
    )


def rejected_route(key: Key, names: tuple[str, ...], shared_with: tuple[str, ...], why: Condition) -> Route:
    """A route that serves nothing and keeps its names, for all whom it is shared with."""
    return Route(
        namespace=key.namespace,
        name=key.name,
        model_names=names,
        shared_with=shared_with,
        rejected=f"{why.reason}: {why.message}",
    )


def _route(
    key: Key, spec: ModelRouteSpec, names: tuple[str, ...], pieces: list[_Piece], shared_with: tuple[str, ...]
) -> Route:
    request, defaults = spec.request, spec.request.defaults if spec.request else None
    return Route(
        namespace=key.namespace,
        name=key.name,
        model_names=names,
        display_name=spec.display_name or "",
        endpoints=_members(spec, pieces),
        strategy=spec.effective_strategy,
        fallback_models=spec.fallback_models,
        timeouts=_timeouts(spec),
        max_attempts=spec.max_attempts,
        defaults=Raw(_json.encode(defaults)) if defaults else NO_DEFAULTS,
        max_output_tokens=request.max_output_tokens if request else None,
        policy=data_policy(spec.data_policy) if spec.data_policy is not None else None,
        shared_with=shared_with,
    )


def _pieces(
    key: Key, index: int, said: RouteEndpoint, directory: Directory, heard: Services, settings: Settings
) -> Iterator[_Piece]:
    try:
        if said.service_ref is not None:
            yield _service(key, index, said, heard, settings)
        elif said.provider_key_ref is not None:
            yield _by_key(key, index, said, directory)
        else:
            yield from _by_name(key, index, said, directory)
    except Unresolved as unresolved:
        yield _Piece(said.name, said, missing=unresolved.condition)


def _service(key: Key, index: int, said: RouteEndpoint, heard: Services, settings: Settings) -> _Piece:
    assert said.service_ref is not None
    at, read = _at(index, said, "serviceRef")
    return _Piece(
        said.name,
        said,
        id=services.endpoint_id(key.namespace, said.service_ref, said.model),
        endpoint=heard.endpoint(key.namespace, said.service_ref, said.model, settings),
        account=heard.account(key.namespace, said.service_ref, settings, at, read),
        cap=said.max_concurrent_requests,
    )


def _by_key(key: Key, index: int, said: RouteEndpoint, directory: Directory) -> _Piece:
    assert said.provider_key_ref is not None
    at, read = _at(index, said, "providerKeyRef")
    account = directory.by_ref(said.provider_key_ref, key.namespace, at, read)
    found = directory.named(account, said.model, *_at(index, said, "model"))
    _present(key, found, at, read)
    return _Piece(said.name, said, id=found.id, endpoint=found.endpoint, cap=said.max_concurrent_requests)


def _by_name(key: Key, index: int, said: RouteEndpoint, directory: Directory) -> Iterator[_Piece]:
    at, read = _at(index, said, "model")
    every = list(directory.offering(said.model, key.namespace))
    if not every:
        raise directory.nobody_has(said.model, key.namespace, at, read)
    there = [found for found in every if found.account.missing is None]
    if not there:
        _present(key, every[0], at, read)
    shares = _shares(said.max_concurrent_requests, len(there))
    used = [(found, share) for found, share in zip(there, shares, strict=True) if share != 0]
    for found, share in used:
        yield _Piece(
            f"{said.name}@{found.account.id}",
            said,
            own=found.own,
            id=found.id,
            endpoint=found.endpoint,
            cap=share,
            among=sum(other.own == found.own for other, _ in used),
        )


def _shares(cap: int | None, many: int) -> list[int | None]:
    """A cap on concurrent requests, divided: what one member may, another may not as well."""
    return [None if cap is None else cap // many + (place < cap % many) for place in range(many)]


def _present(key: Key, found: Found, at: str, read: str) -> None:
    """Raises Unresolved, with the account's own reason, if it is in no table just now."""
    missing = found.account.missing
    if missing is not None:
        # Another namespace's names (of its Secrets, say) are not told here.
        own = found.account.key.namespace == key.namespace
        why = missing.message if own else "is out of service; its own status says why"
        raise Unresolved(missing.reason, at, f'{read}: ProviderKey "{found.account.id}"{": " if own else " "}{why}')


def _at(index: int, said: RouteEndpoint, part: str) -> tuple[str, str]:
    """A field of a member: its path by index, and as people read it."""
    return f"spec.endpoints[{index}].{part}", f"spec.endpoints[{said.name}].{part}"


def _members(spec: ModelRouteSpec, pieces: list[_Piece]) -> tuple[Member, ...]:
    # Twice as many steps where a step falls into own keys and shared ones.
    widen = 2 if any(not piece.own for piece in pieces) else 1
    finer = math.lcm(*(piece.among for piece in pieces)) if spec.effective_strategy == "Weighted" else 1
    return tuple(
        Member(
            name=piece.name,
            endpoint=piece.id,
            missing=f"{piece.missing.reason}: {piece.missing.message}" if piece.missing else None,
            order=piece.said.effective_order * widen + (not piece.own),
            weight=None if piece.said.weight is None else piece.said.weight * finer // piece.among,
            max_concurrent=piece.cap,
        )
        for piece in pieces
    )


def _timeouts(spec: ModelRouteSpec) -> Timeouts:
    said = spec.timeouts
    if said is None:
        return Timeouts()
    return Timeouts(
        connect=milliseconds(said.connect) if said.connect else None,
        first_token=milliseconds(said.first_token) if said.first_token else None,
        idle=milliseconds(said.idle) if said.idle else None,
        request=milliseconds(said.request) if said.request else None,
    )


def _fact(piece: _Piece) -> EndpointFact:
    if piece.endpoint is None:
        return EndpointFact(piece.name, None, reason=piece.missing.reason if piece.missing else "")
    return EndpointFact(
        piece.name, piece.id, price=prices.as_read(piece.endpoint), price_origin=piece.endpoint.price_origin
    )


def _resolved(pieces: list[_Piece]) -> Condition:
    missing = [piece.missing for piece in pieces if piece.missing is not None]
    if not missing:
        return RESOLVED
    first, more = missing[0], len(missing) - 1
    return replace(first, message=first.message + (f" (and {more} more)" if more else ""))
