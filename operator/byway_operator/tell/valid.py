"""Valid: does the provider take this credential? By live traffic, and where there is none by a proxy that asked."""

from byway_contract.report import LastError

from byway_operator.compile.verdict import Condition
from byway_operator.tell.conditions import Status, earlier, rfc3339
from byway_operator.tell.summary import AccountHealth

# A connection that breaks now and then says nothing of a credential that worked a minute ago; nor does a 403, which
# may be for one model that the account may not use while the others work.
DOUBT_S = 60.0

# Words of the proxy's `choose.trouble`.
_UNREACHED = frozenset({"connect", "timeout", "reset"})


def valid(account: AccountHealth | None, previous: Status | None) -> Condition:
    """Other errors (429, 5xx) neither prove nor refute a credential."""
    if account is None or (account.last_ok is None and account.last_error is None):
        return _before(previous) or Condition(
            "Unknown", "Unverified", "no request has used it yet, and no proxy could prove it"
        )
    error = account.last_error
    refuted = _refuted(error) if error is not None and error.at > (account.last_ok or 0.0) else None
    if refuted is not None and error is not None and _counts(refuted, error, account):
        return refuted
    if account.last_ok is not None:
        return Condition("True", "Verified")
    return _before(previous) or Condition("Unknown", "Unverified", "no request that used it was answered yet")


def _refuted(error: LastError) -> Condition | None:
    at = rfc3339(error.at)
    if error.kind == "unauthorized" or error.status == 401:
        return Condition("False", "Unauthorized", f"the provider refused the credential at {at}: check the Secret")
    if error.kind == "payment_required" or error.status == 402:
        return Condition(
            "False", "PaymentRequired", f"the provider wants to be paid since {at}: top the account up"
        )
    if error.kind == "forbidden" or error.status == 403:
        return Condition(
            "False",
            "Unauthorized",
            f"the provider forbids what it is used for since {at}: check what the key may do",
        )
    if error.kind == "off_limits":
        return Condition("False", "Unreachable", f"it is not called: {error.why}")
    if error.status is None and error.kind in _UNREACHED:
        return Condition(
            "False", "Unreachable", f"no answer from the provider at {at} ({error.why or _SAYS[error.kind]})"
        )
    return None


_SAYS = {
    "connect": "no connection",
    "timeout": "it took too long",
    "reset": "it closed the connection",
}


def _counts(refuted: Condition, error: LastError, account: AccountHealth) -> bool:
    """One broken connection is not an unreachable provider; one 401 after the last answer is a dead credential."""
    certain = error.kind in ("unauthorized", "payment_required", "off_limits") or error.status in (401, 402)
    return certain or account.last_ok is None or error.at - account.last_ok >= DOUBT_S


def _before(previous: Status | None) -> Condition | None:
    """What was known outlives the proxies that knew it."""
    condition = earlier(previous, "Valid")
    status = condition.get("status")
    if status == "True":
        return Condition("True", str(condition["reason"]), str(condition.get("message", "")))
    return (
        Condition("False", str(condition["reason"]), str(condition.get("message", "")))
        if status == "False"
        else None
    )
