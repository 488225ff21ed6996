"""Whom a Budget binds. What it says in short is said in full here, for proxies and ledger alike.

    serviceAccounts, accessKeys   of this namespace (in a trusted one: of each of `namespaces`)
    providerKeys                  of this namespace; then callers of every namespace count, for this one pays
    users                         this namespace's callers only, or a tenant could bind another's

In a `Match` an empty field binds everybody, so a selector that chooses nobody must never become one.
"""

from collections.abc import Container

from byway_contract.grants import Match, Per

from byway_operator.compile.faults import NotAccepted
from byway_operator.compile.sharing import Neighbours
from byway_operator.compile.verdict import Condition
from byway_operator.resources.budget import AppliesTo
from byway_operator.resources.manifest import Key

NAMESPACES = "spec.appliesTo.namespaces"
MOST_PAIRS = 4096
"""Names times namespaces."""


def homes_of(key: Key, said: AppliesTo, neighbours: Neighbours, trusted: bool) -> tuple[str, ...]:
    """The namespaces whose callers and names are meant; none: a selector chooses nobody. Raises NotAccepted."""
    chosen = said.namespaces
    if chosen is None:
        return (key.namespace,)
    if not trusted:
        raise NotAccepted(
            "NotPermitted",
            NAMESPACES,
            f'{NAMESPACES}: only a trusted namespace may budget others, and "{key.namespace}" is none; leave '
            "it out, and the budget binds what this namespace calls",
        )
    if chosen.selector is None:
        return tuple(sorted(set(chosen.names)))
    return tuple(sorted(neighbours.chosen(chosen.selector, f"{NAMESPACES}.selector", "names")))


def match_of(home: str, said: AppliesTo, homes: tuple[str, ...]) -> Match:
    """Raises NotAccepted. Of no use where `homes` is empty."""
    anywhere = said.provider_keys and said.namespaces is None and not said.users
    return Match(
        namespaces=() if anywhere else homes,
        service_accounts=_of_each(homes, said.service_accounts, "serviceAccounts"),
        access_keys=_of_each(homes, said.access_keys, "accessKeys"),
        users=tuple(sorted(set(said.users))),
        accounts=_of_each((home,), said.provider_keys, "providerKeys"),
        models=tuple(sorted(set(said.models))),
    )


def counted(subject: str, per: Per | None, match: Match) -> bool:
    """Whether an attempt that fits can be of this counter."""
    if per == "User":
        return not match.users or subject in match.users
    named = {"ServiceAccount": match.service_accounts, "AccessKey": match.access_keys}.get(per or "", ())
    if named:
        return subject in named
    return not match.namespaces or subject.partition("/")[0] in match.namespaces


def resolved(key: Key, said: AppliesTo, homes: tuple[str, ...], there: Container[Key]) -> Condition | None:
    """What it names and is not there; None: nothing is missing."""
    for index, name in enumerate(said.provider_keys):
        if Key("ProviderKey", key.namespace, name) not in there:
            where = f'no ProviderKey "{name}" in namespace "{key.namespace}"'
            return _missing("ProviderKeyNotFound", "providerKeys", index, where)
    for index, name in enumerate(said.access_keys):
        if not any(Key("AccessKey", home, name) in there for home in homes):
            where = f'namespace "{homes[0]}"' if len(homes) == 1 else "any of these namespaces"
            return _missing("AccessKeyNotFound", "accessKeys", index, f'no AccessKey "{name}" in {where}')
    return None


def _of_each(homes: tuple[str, ...], names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Raises NotAccepted."""
    if len(homes) * len(names) > MOST_PAIRS:
        at = f"spec.appliesTo.{where}"
        raise NotAccepted(
            "Invalid",
            at,
            f"{at}: {len(names)} names in each of {len(homes)} namespaces are more than {MOST_PAIRS}; make several "
            "Budgets of it",
        )
    return tuple(sorted({f"{home}/{name}" for home in homes for name in names}))


def _missing(reason: str, field: str, index: int, what: str) -> Condition:
    at = f"spec.appliesTo.{field}"
    return Condition(
        "False", reason, f"{at}: {what}; for all else that it names the budget holds", f"{at}[{index}]"
    )
