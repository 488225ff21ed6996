"""A table as choosing sees it: what each namespace means by each name.

Built when a table is swapped in, by one pass over its routes and endpoints; what a name leads to is worked out
when it is first called and kept. In order, namespace X means by a name:

    1  its own routes' model names            a rejected route keeps its names: they never fall through
    2  routes that trusted namespaces share with it
    3  catalogue names: its own accounts, then those that trusted namespaces share with it
    4  `namespace/route`, for any route shared with it, unless the catalogue knows an author of that name

The name is looked for exactly as written first (`qwen3:32b` is a fine name), then without routing variants.

Whatever it leads to is bound by the floor of the *caller's* namespace, other namespaces' fallback models included.
What another namespace's route lacks, and why it is rejected, is told in one word: the rest is for its owner.
"""

from collections.abc import Iterator

from byway_contract.table import EVERY_NAMESPACE, Account, Endpoint, Floor, Route, RouteEndpoint, Table, object_hash
from cachetools import LRUCache

from byway_proxy.choose import names
from byway_proxy.choose.index import by_model, by_model_name, shared
from byway_proxy.choose.policy import Demands
from byway_proxy.choose.target import (
    Group,
    LeftOut,
    Rejected,
    Served,
    Slot,
    Sort,
    Target,
    Unknown,
    group,
    served,
    slot,
)

# Names are short; what is longer is no name and is not looked for, nor kept.
LONGEST_NAME = 256
# Of names that lead somewhere: more than a cluster's apps use. The others are kept apart, so that a client
# guessing names cannot push out the ones in use.
KNOWN, UNKNOWN = 8192, 512


class View:
    def __init__(self, table: Table) -> None:
        self.table = table
        self.trusted = table.trusted_namespaces
        self._routes = by_model_name(table)
        self._catalogue = by_model(table)
        self._authors = frozenset(table.tenancy.authors)
        self._floors = {namespace: floor for floor in table.floors for namespace in floor.namespaces}
        self._credentials: dict[str, str] = {}
        # The dict is what a hit costs; its bound is kept where it grows.
        self._known: dict[tuple[str, str], Served] = {}
        self._others: LRUCache[tuple[str, str], Target] = LRUCache(UNKNOWN)

    def resolve(self, namespace: str, name: str) -> Target:
        key = (namespace, name)
        served = self._known.get(key)
        if served is not None:
            return served
        if len(name) > LONGEST_NAME:
            return Unknown(name[:LONGEST_NAME])
        other = self._others.get(key)
        return other if other is not None else self._keep(key, self.meant(namespace, name))

    def meant(self, namespace: str, name: str) -> Target:
        """The same, worked out anew and not kept: for those who go through all names."""
        return self._meant(namespace, name, Demands(namespace, self.floor(namespace)), ())

    def floor(self, namespace: str) -> Floor | None:
        """What binds callers of a namespace; one that no floor names is bound as all such are."""
        return self._floors.get(namespace) or self._floors.get(EVERY_NAMESPACE)

    def named_as_written(self, namespace: str, name: str) -> bool:
        """Whether the whole of a name leads somewhere, and not only what is left of it without variants."""
        return not isinstance(
            self._found(namespace, name, names.Name(name), Demands(namespace, self.floor(namespace)), ()), Unknown
        )

    def routes(self, namespace: str) -> Iterator[tuple[str, str, Route]]:
        """(name, route id, route) this namespace calls by bare name, its own first; rejected ones included."""
        seen: set[str] = set()
        for home in (namespace, *(t for t in self.trusted if t != namespace)):
            for name, route_id in self._routes.get(home, {}).items():
                route = self.table.routes[route_id]
                if name not in seen and shared(route, namespace):
                    seen.add(name)
                    yield name, route_id, route

    def models(self) -> Iterator[str]:
        """Every catalogue name of the table, whoever may call it."""
        return iter(self._catalogue)

    def endpoints_by_name(self, namespace: str, model: str) -> list[tuple[str, Endpoint, Account, bool]]:
        """(id, endpoint, account, whether the account is its own) that serve a catalogue name for a namespace."""
        own, lent = [], []
        for endpoint_id in self._catalogue.get(model, ()):
            endpoint = self.table.endpoints[endpoint_id]
            account = self.table.accounts[endpoint.account]
            if account.namespace == namespace:
                own.append((endpoint_id, endpoint, account, True))
            elif account.namespace in self.trusted and shared(account, namespace):
                lent.append((endpoint_id, endpoint, account, False))
        return own + lent

    def _keep(self, key: tuple[str, str], target: Target) -> Target:
        if isinstance(target, Served):
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[key] = target
        else:
            self._others[key] = target
        return target

    def _meant(self, namespace: str, name: str, demands: Demands, above: tuple[str, ...]) -> Target:
        """`above` are the ids of the routes this name is a fallback of."""
        exact = self._found(namespace, name, names.Name(name), demands, above)
        parsed = names.parse(name)
        if isinstance(exact, Unknown) and parsed.base != name:
            return self._found(namespace, name, parsed, demands, above)
        return exact

    def _found(
        self, namespace: str, name: str, parsed: names.Name, demands: Demands, above: tuple[str, ...]
    ) -> Target:
        route_id = self._route_id(namespace, parsed.base)
        if route_id is None:
            found = self.endpoints_by_name(namespace, parsed.base)
            if found:
                group = self._catalogue_group(name, parsed, found, demands)
                return served(name, (group,), "", None, parsed.ignored)
            route_id = self._named_in_full(namespace, parsed.base)
        if route_id is None:
            return Unknown(name)
        route = self.table.routes[route_id]
        if route.rejected is not None:
            return Rejected(name, route_id, _for(demands.caller, route, route.rejected))
        groups = tuple(self._chain(name, route_id, route, parsed.sort, demands, above))
        return served(name, groups, route_id, route, parsed.ignored)

    def _route_id(self, namespace: str, base: str) -> str | None:
        own = self._routes.get(namespace, {}).get(base)
        if own is not None:
            return own
        for home in self.trusted:
            route_id = self._routes.get(home, {}).get(base)
            if route_id is not None and shared(self.table.routes[route_id], namespace):
                return route_id
        return None

    def _named_in_full(self, namespace: str, base: str) -> str | None:
        route = self.table.routes.get(base)
        if route is None or base.split("/", 1)[0] in self._authors or not shared(route, namespace):
            return None
        return base

    def _chain(
        self,
        name: str,
        route_id: str,
        route: Route,
        sort: Sort | None,
        demands: Demands,
        above: tuple[str, ...],
    ) -> Iterator[Group]:
        """A route's own endpoints, then its fallback models as *its* namespace means them, under its policy."""
        if route_id in above:
            return  # The compiler refuses cycles; a table that has one all the same ends here.
        demands = demands.under(route.policy)
        yield self._route_group(name, route_id, route, sort, demands)
        for fallback in route.fallback_models:
            target = self._meant(route.namespace, fallback, demands, (*above, route_id))
            shown = fallback if demands.caller == route.namespace else name
            match target:
                case Served():
                    yield from target.groups
                case Rejected():
                    detail = _for(demands.caller, route, target.reason, "a fallback model is rejected")
                    yield group(shown, None, (), (LeftOut(shown, "", "", "rejected", detail),), None)
                case Unknown():
                    detail = f'no model named "{fallback}" in namespace "{route.namespace}"'
                    detail = _for(demands.caller, route, detail, "a fallback model is unknown")
                    yield group(shown, None, (), (LeftOut(shown, "", "", "unknown_model", detail),), None)

    def _route_group(self, name: str, route_id: str, route: Route, sort: Sort | None, demands: Demands) -> Group:
        slots, out = [], []
        for member in route.endpoints:
            if member.endpoint is None:
                out.append(_missing(name, route, member, demands.caller))
            else:
                slots.append(self._member(name, route_id, route, member, member.endpoint))
        return _obeying(name, route, slots, out, sort, demands)

    def _member(self, name: str, route_id: str, route: Route, member: RouteEndpoint, endpoint_id: str) -> Slot:
        endpoint = self.table.endpoints[endpoint_id]
        account = self.table.accounts[endpoint.account]
        # A member without a reference is a catalogue name, and becomes one entry for each key that serves it:
        # only among those do own keys go first. What a route names itself, it means to share alike.
        several = sum(1 for other in route.endpoints if other.name == member.name) > 1
        own = account.namespace == route.namespace or not several
        return slot(
            endpoint_id,
            endpoint,
            account,
            own=own,
            credential=self._credential(account),
            name=name,
            route_id=route_id,
            route=route,
            member=member,
        )

    def _catalogue_group(
        self,
        name: str,
        parsed: names.Name,
        found: list[tuple[str, Endpoint, Account, bool]],
        demands: Demands,
    ) -> Group:
        slots = [slot(i, e, a, own=own, credential=self._credential(a), name=name) for i, e, a, own in found]
        return _obeying(name, None, slots, [], parsed.sort, demands)

    def _credential(self, account: Account) -> str:
        if account.credential is None:
            return ""
        known = self._credentials.get(account.credential)
        if known is None:
            known = object_hash(self.table.raw["credentials"][account.credential])
            self._credentials[account.credential] = known
        return known


def _obeying(
    name: str,
    route: Route | None,
    slots: list[Slot],
    out: list[LeftOut],
    sort: Sort | None,
    demands: Demands,
) -> Group:
    kept = demands.obeyed(name, slots, out)
    return group(name, route, kept, tuple(out), sort)


def _missing(name: str, route: Route, member: RouteEndpoint, caller: str) -> LeftOut:
    detail = member.missing or "has no endpoint just now"
    if route.namespace == caller:
        return LeftOut(name, "", member.name, "missing", detail)
    return LeftOut(name, "", "", "missing", _for(caller, route, detail))


def _for(caller: str, route: Route, detail: str, word: str = "") -> str:
    """The names of what a route refers to, or what is wrong with it, are its own namespace's business."""
    if route.namespace == caller:
        return detail
    return f"{word or detail.partition(':')[0]}; the status of its ModelRoute says why, to its owner"
