"""The two indexes a view looks names up in, and who may use what. One pass over a table, when it is swapped in."""

from byway_contract.table import EVERY_NAMESPACE, Account, Route, Table


def shared(thing: Route | Account, namespace: str) -> bool:
    """Whether a namespace may use a route or an account."""
    to = thing.shared_with
    return thing.namespace == namespace or (bool(to) and (namespace in to or EVERY_NAMESPACE in to))


def by_model_name(table: Table) -> dict[str, dict[str, str]]:
    """namespace → model name → route id. Of two routes with one name the serving one has it, then the first."""
    index: dict[str, dict[str, str]] = {}
    for route_id, route in sorted(table.routes.items(), key=_serving_first):
        mine = index.setdefault(route.namespace, {})
        for name in route.model_names:
            mine.setdefault(name, route_id)
    return index


def _serving_first(item: tuple[str, Route]) -> tuple[bool, str]:
    route_id, route = item
    return route.rejected is not None, route_id


def by_model(table: Table) -> dict[str, list[str]]:
    index: dict[str, list[str]] = {}
    for endpoint_id, endpoint in table.endpoints.items():
        if endpoint.by_name:
            index.setdefault(endpoint.model, []).append(endpoint_id)
    return index
