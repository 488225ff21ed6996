"""Does an account satisfy a data policy? Fail closed: what is not known does not satisfy."""

from byway_contract.table import Account, DataPolicy

from byway_proxy.choose.target import Reason

Broken = tuple[Reason, str]


def against(policy: DataPolicy, account: Account) -> Broken | None:
    """What of a route's policy an account breaks, or None."""
    days = account.retention_days
    if policy.deny_training and account.may_train:
        return "policy_training", f"{account.display_name} may train on requests; the route denies training"
    most = policy.max_retention_days
    if most is not None and (days is None or days > most):
        return (
            "policy_retention",
            f"{account.display_name} keeps data {_days(days)}; the route allows {_days(most)}",
        )
    if policy.regions and not (account.regions and set(account.regions) <= set(policy.regions)):
        where = ", ".join(account.regions) or "unknown regions"
        return (
            "policy_region",
            f"{account.display_name} is in {where}; the route allows {', '.join(policy.regions)}",
        )
    return None


def zero_retention(account: Account) -> bool:
    return account.retention_days == 0


def collects(account: Account) -> bool:
    """`data_collection: deny` wants neither training nor storing."""
    return account.may_train or not zero_retention(account)


def _days(days: int | None) -> str:
    return "for an unknown time" if days is None else f"for {days} days" if days else "not at all"
