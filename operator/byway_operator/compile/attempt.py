"""One attempt at a table, given which forms of which resources turned out unfit in the attempts before.

    read → keys → access keys, budgets (oldest first) → names, Services (oldest first) → routes → assembly

It either makes a table, or says which further forms are unfit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from byway_contract.table import EVERY_NAMESPACE, Anonymous, Tenancy

from byway_operator.compile import fees as fees_
from byway_operator.compile import floors as floors_
from byway_operator.compile import price_book, secrets
from byway_operator.compile.access_keys import Digests, DraftAccessKey, draft_access_key
from byway_operator.compile.accounts import DraftAccount, account_id, draft_account
from byway_operator.compile.assembly import Assembly
from byway_operator.compile.budgets import DraftBudget, Room, draft_budget
from byway_operator.compile.cards import cards
from byway_operator.compile.catalogue.catalogue import Catalogue
from byway_operator.compile.directory import Directory
from byway_operator.compile.fallbacks import Fallbacks
from byway_operator.compile.faults import NotAccepted
from byway_operator.compile.fees import Asked, fees_key
from byway_operator.compile.floors import Floors, floor_key
from byway_operator.compile.names import Names, as_written, by_age, consent_as_written
from byway_operator.compile.price_book import Book, price_book_key
from byway_operator.compile.prices import Prices, prices
from byway_operator.compile.routes import DraftRoute, draft_route, rejected_route
from byway_operator.compile.services import Services
from byway_operator.compile.settings import Settings
from byway_operator.compile.sharing import Neighbours
from byway_operator.compile.standing import Form, Reader, Standing
from byway_operator.compile.verdict import Condition
from byway_operator.resources.access_key import AccessKey
from byway_operator.resources.budget import Budget
from byway_operator.resources.fees import Fees
from byway_operator.resources.floor import Floor
from byway_operator.resources.manifest import Key, Manifest, Surroundings
from byway_operator.resources.model_route import ModelRoute
from byway_operator.resources.parse import Resource
from byway_operator.resources.price_book import PriceBook
from byway_operator.resources.provider_key import ProviderKey
from byway_operator.resources.secret import Secret

Barred = dict[tuple[Key, Form], Condition]


@dataclass
class Attempt:
    settings: Settings
    catalogue: Catalogue
    surroundings: Surroundings
    neighbours: Neighbours
    floors: Floors = field(default_factory=Floors)
    book: Book = field(default_factory=Book)
    fees: Asked = field(default_factory=Asked)
    standings: dict[Key, Standing] = field(default_factory=dict)
    accounts: dict[Key, DraftAccount] = field(default_factory=dict)
    access_keys: dict[Key, DraftAccessKey] = field(default_factory=dict)
    budgets: dict[Key, DraftBudget] = field(default_factory=dict)
    names: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    shared: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    """With whom each route shares itself, those that serve nothing included."""
    routes: dict[Key, DraftRoute] = field(default_factory=dict)
    assembly: Assembly = field(default_factory=Assembly)
    unfit: Barred = field(default_factory=dict)

    @cached_property
    def prices(self) -> Prices:
        """Once the price book is read."""
        return prices(self.book, self.settings, self.catalogue)

    def of(self, kind: str) -> list[Standing]:
        return [standing for key, standing in self.standings.items() if key.kind == kind]

    def bar(self, key: Key, why: Condition) -> None:
        self.unfit[key, self.standings[key].form] = why


def attempt(
    world: Mapping[Key, Manifest],
    held_back: Mapping[Key, Manifest],
    barred: Barred,
    reader: Reader,
    settings: Settings,
    catalogue: Catalogue,
    surroundings: Surroundings,
) -> Attempt:
    """Look at `unfit` first: unless it is empty, the rest is not finished."""
    made = Attempt(settings, catalogue, surroundings, Neighbours(surroundings.namespaces))
    for key in sorted(world):
        standing = Standing(key, world[key], held_back.get(key), barred, reader)
        standing.rise()
        made.standings[key] = standing
    _read_platforms(made)
    held = _secrets(made)
    _draft_accounts(made, held)
    _draft_access_keys(made, held)
    _draft_budgets(made)
    services = _take_names(made)
    _bar_circles(made, held_back)
    if not made.unfit:
        _draft_routes(made, services)
    if not made.unfit:
        _assemble(made)
    return made


def _read_platforms(made: Attempt) -> None:
    """The floor, the price book and the fees."""
    ours = floor_key(made.settings.namespace)
    for standing in made.of("ConfigMap"):
        standing.accept(partial(_take_platforms, made, standing.key))
        if standing.key == ours and standing.resource is None:
            assert standing.fault is not None
            made.floors = Floors(closed=f"{ours} is not accepted ({standing.fault.reason})")


def _take_platforms(made: Attempt, key: Key, resource: Resource) -> None:
    if isinstance(resource, PriceBook):
        _take_price_book(made, key, resource)
        return
    if isinstance(resource, Fees):
        _take_fees(made, key, resource)
        return
    assert isinstance(resource, Floor)
    ours = floor_key(made.settings.namespace)
    if key != ours:
        raise NotAccepted("Invalid", "metadata.name", f"metadata: binds nobody; the floor is {ours}")
    made.floors = floors_.read(resource, made.surroundings.namespaces, made.settings.trusted_namespaces)


def _take_price_book(made: Attempt, key: Key, resource: PriceBook) -> None:
    ours = price_book_key(made.settings.namespace)
    if key != ours:
        raise NotAccepted("Invalid", "metadata.name", f"metadata: prices nothing; the price book is {ours}")
    made.book = price_book.read(resource)


def _take_fees(made: Attempt, key: Key, resource: Fees) -> None:
    ours = fees_key(made.settings.namespace)
    if key != ours:
        raise NotAccepted("Invalid", "metadata.name", f"metadata: asks nothing of anybody; the fees are {ours}")
    made.fees = fees_.read(resource)


def _secrets(made: Attempt) -> secrets.Secrets:
    held: dict[Key, Secret | Condition] = {}
    for standing in made.of("Secret"):
        if isinstance(standing.resource, Secret):
            held[standing.key] = standing.resource
        elif standing.fault is not None:
            held[standing.key] = standing.fault
    return held


def _draft_accounts(made: Attempt, held: secrets.Secrets) -> None:
    for standing in made.of("ProviderKey"):
        standing.accept(partial(_draft_account, made, standing.key, held))


def _draft_account(made: Attempt, key: Key, held: secrets.Secrets, resource: Resource) -> None:
    assert isinstance(resource, ProviderKey)
    denying = made.floors.denies_own_keys(key.namespace)
    if denying is not None:
        raise NotAccepted(
            "NotPermitted",
            "metadata.namespace",
            f'metadata.namespace: the platform\'s floor "{denying}" lets "{key.namespace}" have no ProviderKeys of '
            "its own; use those that the platform shares",
        )
    shared = made.neighbours.shared_with(resource.spec.allowed_namespaces, key.namespace)
    made.accounts[key] = draft_account(key, resource, held, made.settings, made.catalogue, shared, made.prices)


def _draft_access_keys(made: Attempt, held: secrets.Secrets) -> None:
    digests = Digests()
    for standing in sorted(made.of("AccessKey"), key=lambda standing: by_age(standing.manifest)):
        standing.accept(partial(_draft_access_key, made, standing, held, digests))


def _draft_access_key(
    made: Attempt, standing: Standing, held: secrets.Secrets, digests: Digests, resource: Resource
) -> None:
    assert isinstance(resource, AccessKey)
    key, current = standing.key, standing.form == "current"
    made.access_keys[key] = draft_access_key(key, resource, held, digests, current)


def _draft_budgets(made: Attempt) -> None:
    """The platform's first: a tenant's many must not be what leaves them out."""
    room, trusted = Room(), made.settings.trusted_namespaces
    standings = made.of("Budget")
    for standing in sorted(standings, key=lambda s: (s.key.namespace not in trusted, by_age(s.manifest))):
        standing.accept(partial(_draft_budget, made, standing.key, room))


def _draft_budget(made: Attempt, key: Key, room: Room, resource: Resource) -> None:
    assert isinstance(resource, Budget)
    trusted = key.namespace in made.settings.trusted_namespaces
    draft = draft_budget(key, resource, made.standings.keys(), made.neighbours, trusted)
    room.take(draft, trusted)
    made.budgets[key] = draft


def _take_names(made: Attempt) -> Services:
    """Names and what is said of Services, oldest route first."""
    names, services = Names(), Services(made.prices)
    for standing in sorted(made.of("ModelRoute"), key=lambda standing: by_age(standing.manifest)):
        standing.accept(partial(_take, made, standing, names, services))
        if standing.resource is None:
            made.names[standing.key] = names.take_free(standing.key, as_written(standing.manifest))
            made.shared[standing.key] = _as_written(made, standing)
    return services


def _take(made: Attempt, standing: Standing, names: Names, services: Services, resource: Resource) -> None:
    assert isinstance(resource, ModelRoute)
    shared = made.neighbours.shared_with(resource.spec.allowed_namespaces, standing.key.namespace)
    if standing.form == "current":
        names.check(standing.key, resource)
    services.hear(standing.key, resource)
    # What an older route took meanwhile does not come back by way of a last good form.
    made.names[standing.key] = names.take_free(standing.key, resource.effective_model_names)
    made.shared[standing.key] = shared


def _as_written(made: Attempt, standing: Standing) -> tuple[str, ...]:
    """With whom a route shares itself that may be wrong in every other respect: its name is kept for them too."""
    key = standing.key
    try:
        return made.neighbours.shared_with(consent_as_written(standing.manifest), key.namespace)
    except (NotAccepted, ValueError):
        # Nobody can tell. To whom a trusted namespace may have lent the name, it must not mean another model.
        return (EVERY_NAMESPACE,) if key.namespace in made.settings.trusted_namespaces else ()


def _bar_circles(made: Attempt, held_back: Mapping[Key, Manifest]) -> None:
    serving = {s.key: s.resource for s in made.of("ModelRoute") if isinstance(s.resource, ModelRoute)}
    owners = {(key.namespace, name): key for key, names in made.names.items() for name in names}
    trusted = tuple(sorted(made.settings.trusted_namespaces))
    for circle in Fallbacks(serving, owners, trusted, made.shared, made.catalogue.authors).cycles():
        closer = _who_closed(circle, made, held_back)
        after = circle[circle.index(closer) :] + circle[: circle.index(closer)]
        walked = " → ".join(f"{key.namespace}/{key.name}" for key in (*after, closer))
        made.bar(
            closer,
            Condition(
                "False",
                "FallbackCycle",
                f"spec.fallbackModels: they lead back here: {walked}; take one out",
                "spec.fallbackModels",
            ),
        )


def _who_closed(circle: tuple[Key, ...], made: Attempt, held_back: Mapping[Key, Manifest]) -> Key:
    """The newest of those that changed since the circle was open, else the newest; a tenant's, if there is one."""
    changed = [
        key
        for key in circle
        if made.standings[key].form == "current"
        and (key not in held_back or held_back[key].body != made.standings[key].manifest.body)
    ]
    found = changed or circle
    # A tenant's route must not be able to take the platform's down.
    tenants = [key for key in found if key.namespace not in made.settings.trusted_namespaces]
    return max(tenants or found, key=lambda key: by_age(made.standings[key].manifest))


def _draft_routes(made: Attempt, services: Services) -> None:
    rejected = {s.key: s.fault for s in made.of("ProviderKey") if s.resource is None and s.fault is not None}
    directory = Directory(made.accounts, rejected, made.settings.trusted_namespaces, made.catalogue)
    for standing in made.of("ModelRoute"):
        if isinstance(standing.resource, ModelRoute):
            _guarded(
                made, standing.key, partial(_draft_route, made, standing, standing.resource, directory, services)
            )


def _draft_route(
    made: Attempt, standing: Standing, resource: ModelRoute, directory: Directory, services: Services
) -> None:
    key = standing.key
    made.routes[key] = draft_route(
        key, resource, made.names[key], directory, services, made.settings, made.shared[key]
    )


def _guarded(made: Attempt, key: Key, step: Callable[[], None]) -> None:
    """A bug of ours that one object meets is that object's alone."""
    try:
        step()
    except Exception as error:
        standing = made.standings[key]
        why = standing.reader.stumbled(key, error)
        # Below nothing there is no other form: then the table goes without it.
        if standing.form != "nothing":
            made.bar(key, why)


def _assemble(made: Attempt) -> None:
    table = made.assembly
    present = [account for account in made.accounts.values() if account.missing is None]
    for account in present:
        _guarded(made, account.key, partial(_add_account, table, account))
    for name, model, keys in cards(present, made.catalogue):
        table.add("models", name, model)
        table.owned(("models", name), keys)
    for standing in made.of("ModelRoute"):
        _guarded(made, standing.key, partial(_add_route, made, standing))
    for access in made.access_keys.values():
        _guarded(made, access.key, partial(_add_access_key, table, access))
    for budget in made.budgets.values():
        _guarded(made, budget.key, partial(_add_budget, table, budget))
    _add_platform(table, made.settings, made.surroundings)
    table.add("policies", "tenancy", _tenancy(made))
    floor = floor_key(made.settings.namespace)
    if floor in made.standings:
        _guarded(made, floor, partial(_add_floor, made, floor))
    fees = fees_key(made.settings.namespace)
    if fees in made.standings:
        _guarded(made, fees, partial(_add_fees, made, fees))


def _add_fees(made: Attempt, key: Key) -> None:
    if made.fees.known is not None:
        made.assembly.add("policies", "fees", made.fees.known, key)
    for name, budget in made.fees.budgets.items():
        made.assembly.add("budgets", name, budget, key)


def _add_floor(made: Attempt, key: Key) -> None:
    for name, bound in made.floors.bound():
        made.assembly.add("policies", name, bound, key)


def _tenancy(made: Attempt) -> Tenancy:
    homes = {key.namespace for key in made.names}
    return Tenancy(
        tuple(sorted(set(made.settings.trusted_namespaces))), tuple(sorted(homes & made.catalogue.authors))
    )


def _add_platform(table: Assembly, settings: Settings, surroundings: Surroundings) -> None:
    table.add("policies", "egress", settings.egress)
    if settings.anonymous_namespace is not None:
        table.add("callers", "anonymous", Anonymous(settings.anonymous_namespace))
    if surroundings.issuer is not None:
        table.add("callers", "serviceaccounts", surroundings.issuer)


def _add_account(table: Assembly, account: DraftAccount) -> None:
    table.add("accounts", account.id, account.account, account.key)
    if account.credential is not None:
        table.add("credentials", account.id, account.credential, account.key)
    for endpoint in account.models.values():
        table.add("endpoints", account.endpoint_id(endpoint.upstream_model), endpoint, account.key)


def _add_access_key(table: Assembly, access: DraftAccessKey) -> None:
    if access.known is not None:
        table.add("callers", access.id, access.known, access.key)


def _add_budget(table: Assembly, budget: DraftBudget) -> None:
    if budget.known is not None:
        table.add("budgets", budget.known.id, budget.known, budget.key)


def _add_route(made: Attempt, standing: Standing) -> None:
    table, key = made.assembly, standing.key
    draft = made.routes.get(key)
    if draft is None:
        assert standing.fault is not None
        route = rejected_route(key, made.names[key], made.shared[key], standing.fault)
        table.add("routes", account_id(key), route, key)
        return
    for name, account in draft.accounts.items():
        table.add("accounts", name, account, key)
    for name, endpoint in draft.endpoints.items():
        table.add("endpoints", name, endpoint, key)
    table.add("routes", account_id(key), draft.route, key)
