"""What each resource is told of an attempt: accepted or not, what is missing, and which form of it serves."""

from dataclasses import replace

from byway_operator.compile.access_keys import DraftAccessKey
from byway_operator.compile.accounts import DraftAccount
from byway_operator.compile.attempt import Attempt
from byway_operator.compile.budgets import DraftBudget
from byway_operator.compile.fees import fees_key
from byway_operator.compile.floors import floor_key
from byway_operator.compile.price_book import price_book_key
from byway_operator.compile.routes import DraftRoute
from byway_operator.compile.standing import Standing
from byway_operator.compile.verdict import ACCEPTED, RESOLVED, Condition, Verdict
from byway_operator.resources.manifest import Key

_NOT_LOOKED = Condition("Unknown", "Pending", "not looked at while the object serves nothing")


def verdicts(made: Attempt) -> dict[Key, Verdict]:
    """A Secret is somebody else's object: it has a verdict only where it cannot be read."""
    return {
        key: _verdict(made, standing)
        for key, standing in made.standings.items()
        if key.kind != "Secret" or standing.fault is not None
    }


def _verdict(made: Attempt, standing: Standing) -> Verdict:
    key = standing.key
    account, route, access = made.accounts.get(key), made.routes.get(key), made.access_keys.get(key)
    budget = made.budgets.get(key)
    looked = standing.resource is not None
    return Verdict(
        key=key,
        generation=standing.manifest.generation,
        accepted=_accepted(made, standing),
        resolved=_resolved(account, route, access, budget) if looked else _NOT_LOOKED,
        objects=made.assembly.made_of(key),
        fingerprint=made.assembly.fingerprint(key),
        serves="nothing" if (account and account.missing) or (access and access.known is None) else standing.form,
        model_names=made.names.get(key, ()),
        endpoints=route.facts if route else (),
        models=len(account.models) if account and account.missing is None else 0,
        keys=access.facts if access else (),
        budget=budget.known if budget else None,
        limits=budget.limits if budget else (),
    )


def _resolved(
    account: DraftAccount | None,
    route: DraftRoute | None,
    access: DraftAccessKey | None,
    budget: DraftBudget | None,
) -> Condition:
    if account is not None:
        return account.missing or RESOLVED
    if access is not None:
        return access.missing or RESOLVED
    if budget is not None:
        return budget.resolved
    return route.resolved if route is not None else RESOLVED


def _accepted(made: Attempt, standing: Standing) -> Condition:
    fault = standing.fault
    if fault is None:
        return ACCEPTED
    told = replace(fault, message="; ".join(filter(None, [fault.message, _consequence(made, standing)])))
    # The operator takes it; that a proxy does not is said by `Programmed`.
    return replace(ACCEPTED, message=told.message) if standing.by_proxy else told


def _consequence(made: Attempt, standing: Standing) -> str:
    match standing.key.kind, standing.form:
        case _, "last-good":
            return "its last good form serves on"
        case "ModelRoute", _:
            names = ", ".join(f'"{name}"' for name in made.names.get(standing.key, ()))
            return f"callers of {names} get 404 with this reason" if names else "it serves nothing"
        case "ProviderKey", _:
            return "nothing can be called with it"
        case "AccessKey", _:
            return "nobody is let in with it"
        case "Budget", _:
            return "it limits nobody"
        case "ConfigMap", _ if standing.key == floor_key(made.settings.namespace):
            return "until it is, nobody is served anything: it may have forbidden it"
        case "ConfigMap", _ if standing.key == price_book_key(made.settings.namespace):
            return "until it is, models cost what the catalogue says"
        case "ConfigMap", _ if standing.key == fees_key(made.settings.namespace):
            return "until it is, no fees are asked for, and no credits"
        case "Secret", _:
            return "what names it has no credential"
        case _:
            return ""
