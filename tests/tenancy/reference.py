"""The rules of tenancy once more, in the plainest words: written from the reference's table, sharing no code with
the product. Slow and without shame; whatever the product answers otherwise is a bug of one of the two.
"""

from dataclasses import dataclass, field

from tenancy.worlds import CATALOGUE, FACTS, RELEASE, Consent, Demand, Floor, Member, ModelRoute, ProviderKey, World

AUTHORS = {name.split("/")[0] for offers in CATALOGUE.values() for name, _ in offers.values()}
Place = tuple[str, str]


@dataclass(frozen=True)
class Way:
    """An endpoint that a caller reaches."""

    endpoint: str
    rank: tuple[int, int]
    """The route's order, then own before shared."""
    price: int | None
    """US dollars; None: nobody knows."""


@dataclass(frozen=True)
class Answer:
    what: str
    """`unknown`, `rejected`, or `served`, be it by nobody."""
    groups: tuple[frozenset[Way], ...] = ()
    """The name's own ways, then those of each fallback."""


@dataclass
class Good:
    """What served last: the forms to go back to."""

    keys: dict[Place, ProviderKey] = field(default_factory=dict)
    routes: dict[Place, ModelRoute] = field(default_factory=dict)
    floors: tuple[Floor, ...] | None = None


class Reference:
    def __init__(self, world: World, before: Good) -> None:
        self.world = world
        self.good = Good()
        self.closed = False
        self.floors: tuple[Floor, ...] = ()
        self.keys: dict[Place, ProviderKey] = {}
        self.routes: dict[Place, ModelRoute] = {}
        self.rejected: dict[Place, ModelRoute] = {}
        self.owner: dict[Place, Place] = {}
        """(namespace, name) → route."""
        self.won: dict[Place, Place] = {}
        """Of a route that lost a name: who has it."""
        self.not_permitted: set[Place] = set()
        self._read_floor(before)
        self._read_keys(before)
        self._read_routes(before)

    # ---- which forms serve

    def _read_floor(self, before: Good) -> None:
        if not self.world.floors and not self.world.floor_broken:
            return
        if not self.world.floor_broken:
            self.floors = self.good.floors = self.world.floors
        elif before.floors is not None:
            self.floors = self.good.floors = before.floors
        else:
            self.closed = True

    def _read_keys(self, before: Good) -> None:
        for place, key in self.world.keys.items():
            if place in before.keys:
                self.good.keys[place] = before.keys[place]
            denied = place[0] not in self.world.trusted and any(
                floor.no_own_keys for floor in self._floors_over(place[0])
            )
            if denied:
                self.not_permitted.add(place)
            for form in (key, before.keys.get(place)):
                if form is not None and not form.broken and self._can_tell(form.consent) and not denied:
                    self.keys[place] = form
                    self.good.keys[place] = form
                    break

    def _read_routes(self, before: Good) -> None:
        for place, route in sorted(self.world.routes.items(), key=lambda pair: (pair[1].created, pair[0])):
            home = place[0]
            lost = [self.owner[home, n] for n in names_of(route) if (home, n) in self.owner]
            well = not route.broken and self._can_tell(route.consent)
            if well and lost:
                self.won[place] = lost[0]
            old = before.routes.get(place)
            if old is not None:
                self.good.routes[place] = old
            if well and not lost:
                self.routes[place] = self.good.routes[place] = serving = route
            elif old is not None and self._can_tell(old.consent):
                self.routes[place] = serving = old
            else:
                self.rejected[place] = serving = route
            for name in names_of(serving):
                self.owner.setdefault((home, name), place)

    def _can_tell(self, consent: Consent) -> bool:
        return consent.to != "Selector" or bool(self.world.labels)

    # ---- who may use what

    def _shares(self, home: str, consent: Consent, caller: str) -> bool:
        if home == caller or consent.to == "All":
            return True
        if consent.to == "Names":
            return caller in consent.names
        if consent.to == "Selector":
            return caller in self.world.labels and fits(consent.labels, self.world.labels[caller])
        return False

    def _route_shares(self, place: Place, caller: str) -> bool:
        route = self.routes.get(place) or self.rejected[place]
        if not self._can_tell(route.consent):
            return place[0] == caller or place[0] in self.world.trusted
        return self._shares(place[0], route.consent, caller)

    def _usable_keys(self, caller: str) -> list[tuple[ProviderKey, bool]]:
        """Own ones, then those that trusted namespaces share; with whether each is its own."""
        own = [key for place, key in sorted(self.keys.items()) if place[0] == caller]
        lent = [
            key
            for place, key in sorted(self.keys.items())
            if place[0] != caller and place[0] in self.world.trusted and self._shares(place[0], key.consent, caller)
        ]
        return [(key, True) for key in own] + [(key, False) for key in lent]

    # ---- what a key has

    def _present(self, key: ProviderKey) -> bool:
        return not key.secret or (key.home, key.name) in self.world.secrets

    # ---- the answer

    def ask(self, caller: str, name: str) -> Answer:
        answer = self._look_up(caller, name, caller, [])
        if answer.what == "unknown" and name.endswith(":floor"):
            answer = self._look_up(caller, name.removesuffix(":floor"), caller, [])
        return answer

    def _look_up(self, home: str, name: str, caller: str, policies: list[Demand]) -> Answer:
        # 1 its own routes
        if (home, name) in self.owner:
            return self._route(self.owner[home, name], caller, policies)
        # 2 names that trusted namespaces share
        for trusted in sorted(self.world.trusted):
            place = self.owner.get((trusted, name))
            if place is not None and self._route_shares(place, home):
                return self._route(place, caller, policies)
        # 3 catalogue names: own keys, then those that trusted namespaces share
        ways = set()
        found = False
        for key, own in self._usable_keys(home):
            if self._present(key) and name in callable_models(key):
                found = True
                upstream, price = callable_models(key)[name]
                if self._obeys_key(key, name, upstream, caller, policies):
                    ways.add(Way(f"{key.home}/{key.name}:{upstream}", (0, 0 if own else 1), price))
        if found:
            return Answer("served", (frozenset(ways),))
        # 4 namespace/route
        where, _, route = name.partition("/")
        place = (where, route)
        known = place in self.routes or place in self.rejected
        if known and where not in AUTHORS and self._route_shares(place, home):
            return self._route(place, caller, policies)
        return Answer("unknown")

    def _route(self, place: Place, caller: str, policies: list[Demand]) -> Answer:
        if place in self.rejected:
            return Answer("rejected")
        route = self.routes[place]
        if route.policy:
            policies = [*policies, route.policy]
        ways = [way for member in route.members for way in self._member(place[0], member, caller, policies)]
        groups = [frozenset(ways)]
        for fallback in route.fallbacks:
            answer = self._look_up(place[0], fallback, caller, policies)
            groups += answer.groups if answer.what == "served" else [frozenset()]
        return Answer("served", tuple(groups))

    def _member(self, home: str, member: Member, caller: str, policies: list[Demand]) -> list[Way]:
        if member.service:
            if not self._obeys_service(home, caller, policies):
                return []
            return [Way(f"svc:{home}/vllm:8000:{member.model}", (member.order, 0), 0)]
        if member.key is not None:
            key = self.keys.get((member.key_home or home, member.key))
            if key is None or not self._shares(key.home, key.consent, home) or not self._present(key):
                return []
            named = by_route(key, member.model)
            if named is None:
                return []
            name, upstream, price = named
            if not self._obeys_key(key, name, upstream, caller, policies):
                return []
            return [Way(f"{key.home}/{key.name}:{upstream}", (member.order, 0), price)]
        ways = []
        for key, own in self._usable_keys(home):
            if self._present(key) and member.model in callable_models(key):
                upstream, price = callable_models(key)[member.model]
                if self._obeys_key(key, member.model, upstream, caller, policies):
                    rank = (member.order, 0 if own else 1)
                    ways.append(Way(f"{key.home}/{key.name}:{upstream}", rank, price))
        return ways

    # ---- policies

    def _floors_over(self, caller: str) -> list[Floor]:
        labels = self.world.labels.get(caller)
        found = []
        for floor in self.floors:
            if floor.names:
                binds = caller in floor.names
            elif floor.labels:
                binds = labels is None or fits(floor.labels, labels)
            else:
                binds = True
            if binds:
                found.append(floor)
        return found

    def _obeys_key(self, key: ProviderKey, name: str, upstream: str, caller: str, policies: list[Demand]) -> bool:
        if self.closed:
            return False
        promised = (True, None, ()) if key.own_url else FACTS[key.provider]
        said = (
            promised[0] if key.trains is None else key.trains,
            promised[1] if key.days is None else key.days,
            key.regions or promised[2],
        )
        believed = key.home in self.world.trusted
        named_well = believed or (not key.own_url and CATALOGUE[key.provider].get(upstream, ("",))[0] == name)
        for floor in self._floors_over(caller):
            if floor.policy and not satisfies(floor.policy, said if believed else promised):
                return False
            if floor.allowed and not (named_well and any(glob_fits(glob, name) for glob in floor.allowed)):
                return False
        return all(satisfies(policy, said) for policy in policies)

    def _obeys_service(self, home: str, caller: str, policies: list[Demand]) -> bool:
        if self.closed:
            return False
        in_cluster: tuple[bool, int | None, tuple[str, ...]] = (False, 0, ())
        believed = home in self.world.trusted
        for floor in self._floors_over(caller):
            if floor.policy:
                facts = in_cluster if believed or home == caller else (True, None, ())
                if not satisfies(floor.policy, facts):
                    return False
            if floor.allowed and not (believed and any(glob_fits(glob, "local") for glob in floor.allowed)):
                return False
        return all(satisfies(policy, in_cluster) for policy in policies)


def names_of(route: ModelRoute) -> tuple[str, ...]:
    return route.names or (route.name,)


def models_of(key: ProviderKey) -> dict[str, tuple[str, int | None]]:
    """Public name → upstream name and price: the catalogue's, with what the key says laid over it."""
    listed = dict(CATALOGUE[key.provider])
    if key.model is None:
        return {name: (upstream, price) for upstream, (name, price) in listed.items()}
    name, upstream, price = key.model
    by_name = {public: (up, cost) for up, (public, cost) in listed.items()}
    said = upstream or (by_name[name][0] if name in by_name else name)
    known = listed[said][1] if said in listed else by_name[name][1] if name in by_name else None
    cost = price if price is not None else known
    listed.pop(said, None)
    return {public: (up, amount) for up, (public, amount) in listed.items()} | {name: (said, cost)}


def callable_models(key: ProviderKey) -> dict[str, tuple[str, int | None]]:
    return {name: found for name, found in models_of(key).items() if allowed_by(key, name)}


def by_route(key: ProviderKey, model: str) -> tuple[str, str, int | None] | None:
    """A key's model as a route names it: by its public name, its upstream name, or one that nobody listed."""
    models = models_of(key)
    name = next((public for public, (upstream, _) in models.items() if upstream == model), model)
    if name in models:
        return (name, *models[name]) if allowed_by(key, name) else None
    return (model, model, None) if allowed_by(key, model) else None


def allowed_by(key: ProviderKey, name: str) -> bool:
    return not key.allowed or any(glob_fits(glob, name) for glob in key.allowed)


def glob_fits(glob: str, name: str) -> bool:
    """Of one star at most."""
    if "*" not in glob:
        return glob == name
    before, after = glob.split("*")
    return name.startswith(before) and name.endswith(after)


def fits(wanted: tuple[tuple[str, str], ...], labels: dict[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in wanted)


def satisfies(demand: Demand, facts: tuple[bool, int | None, tuple[str, ...]]) -> bool:
    trains, days, regions = facts
    if demand.training and trains:
        return False
    if demand.days is not None and (days is None or days > demand.days):
        return False
    return not demand.regions or (bool(regions) and all(region in demand.regions for region in regions))


__all__ = ["RELEASE", "Answer", "Good", "Reference", "Way"]
