"""Does an endpoint satisfy the demands on a request? Fail closed: what is not known does not satisfy.

    floor of the caller's namespace  ∩  policies of the routes on the way  ∩  what the request asks (see `filter`)

Before a route's policy an account is what its owner says. Before a floor it is what the platform vouches for: a
tenant's word about its own keys does not count. That its own Service keeps prompts where they are does, for callers
of the same namespace: they come from there.
"""

from byway_contract.globs import allows
from byway_contract.table import Account, DataPolicy, Endpoint, Floor, Handling
from msgspec import Struct

from byway_proxy.choose.target import LeftOut, Reason, Slot

Broken = tuple[Reason, str]

_OF_FLOOR: dict[Reason, Reason] = {
    "policy_training": "floor_training",
    "policy_retention": "floor_retention",
    "policy_region": "floor_region",
}


class Demands(Struct, frozen=True):
    """What binds a request before it is known."""

    caller: str
    """The namespace."""
    floor: Floor | None = None
    policies: tuple[DataPolicy, ...] = ()
    """Of the routes that led here."""

    def under(self, policy: DataPolicy | None) -> "Demands":
        return self if policy is None else Demands(self.caller, self.floor, (*self.policies, policy))

    def obeyed(self, name: str, slots: list[Slot], out: list[LeftOut]) -> tuple[Slot, ...]:
        """Those that satisfy everything; the others are added to `out`."""
        if self.floor is None and not self.policies:
            return tuple(slots)
        kept = []
        for slot in slots:
            broken = self._broken(slot)
            if broken is None:
                kept.append(slot)
            else:
                out.append(LeftOut(name, slot.endpoint_id, slot.account.provider, *broken))
        return tuple(kept)

    def _broken(self, slot: Slot) -> Broken | None:
        if self.floor is not None:
            broken = _under_floor(self.floor, slot, self.caller)
            if broken is not None:
                return broken
        said = handling(slot.account)
        return _first(self.policies, said, slot.account.display_name, "the route")


def against(policy: DataPolicy, said: Handling, name: str, whose: str) -> Broken | None:
    """What of a policy whoever handles prompts so breaks, or None. `name` and `whose` are for the sentence."""
    days = said.retention_days
    if policy.deny_training and said.may_train:
        return "policy_training", f"{name} may train on requests; {whose} denies training"
    most = policy.max_retention_days
    if most is not None and (days is None or days > most):
        return "policy_retention", f"{name} keeps data {_days(days)}; {whose} allows {_days(most)}"
    if policy.regions and not (said.regions and set(said.regions) <= set(policy.regions)):
        where = ", ".join(said.regions) or "unknown regions"
        return "policy_region", f"{name} is in {where}; {whose} allows {', '.join(policy.regions)}"
    return None


def handling(account: Account) -> Handling:
    """By its owner's word."""
    return Handling(account.may_train, account.retention_days, account.regions)


def zero_retention(account: Account) -> bool:
    return account.retention_days == 0


def collects(account: Account) -> bool:
    """`data_collection: deny` wants neither training nor storing."""
    return account.may_train or not zero_retention(account)


def _under_floor(floor: Floor, slot: Slot, caller: str) -> Broken | None:
    if floor.closed is not None:
        return "floor", f"the platform's floor serves nobody: {floor.closed}"
    if not all(_allowed(globs, slot.endpoint) for globs in floor.allowed_models):
        return "floor_models", f"{slot.endpoint.model} is no model that the platform's floor allows"
    account = slot.account
    at_home = account.namespace == caller and slot.account_id.startswith("svc:")
    vouched = handling(account) if account.vouched is None or at_home else account.vouched
    broken = _first(floor.policies, vouched, account.display_name, "the platform's floor")
    return (_OF_FLOOR[broken[0]], broken[1]) if broken is not None else None


def _allowed(globs: tuple[str, ...], endpoint: Endpoint) -> bool:
    return endpoint.vouched and allows(globs)(endpoint.model)


def _first(policies: tuple[DataPolicy, ...], said: Handling, name: str, whose: str) -> Broken | None:
    return next((broken for policy in policies if (broken := against(policy, said, name, whose))), None)


def _days(days: int | None) -> str:
    return "for an unknown time" if days is None else f"for {days} days" if days else "not at all"
