"""What `health` keeps of each endpoint and account, and how that reads in a report. Times are monotonic seconds."""

from collections import deque
from collections.abc import Callable, Mapping
from statistics import median

from byway_contract.report import EndpointReport, EndpointState, LastError, ProviderKeyReport
from msgspec import Struct

from byway_proxy.choose.quota import quota
from byway_proxy.choose.trouble import Kind

At = Callable[[float], float]
"""From a moment of ours to seconds since 1970."""


class Rest(Struct, frozen=True):
    since: float
    until: float
    credential: str | None
    """Of when the rest began: another one ends it. None: only time does."""

    def over(self, now: float, credential: str) -> bool:
        return now >= self.until or (self.credential is not None and self.credential != credential)


Mishap = tuple[Kind, float, int | None, str]
"""What kind, when, the provider's status if one came, and why nothing came if we know."""


class EndpointHistory:
    __slots__ = (
        "account_id",
        "attempts",
        "ejected_at",
        "ejected_until",
        "ejections",
        "failed_at",
        "failures",
        "first_tokens",
        "in_a_row",
        "inflight",
        "last_back",
        "last_error",
        "on_trial",
        "rate",
        "recent",
        "rest",
        "speeds",
        "warm_from",
    )

    def __init__(self, account_id: str, samples: int) -> None:
        self.account_id = account_id
        self.attempts = self.failures = self.inflight = self.recent = self.ejections = 0
        self.in_a_row = self.rate = 0.0
        self.failed_at: float | None = None
        self.ejected_at = 0.0
        self.ejected_until: float | None = None
        self.warm_from: float | None = None
        self.last_back: float | None = None
        self.on_trial = False
        self.rest: Rest | None = None
        self.last_error: Mishap | None = None
        self.first_tokens, self.speeds = Recent(samples), Recent(samples)


class AccountHistory:
    __slots__ = ("attempts", "failures", "head", "last_error", "last_ok", "last_used")

    def __init__(self) -> None:
        self.attempts = self.failures = 0
        self.last_used: float | None = None
        self.last_ok: float | None = None
        self.last_error: Mishap | None = None
        self.head: Mapping[bytes, bytes] = {}
        """Headers of the last answer: what they say of limits is read when somebody asks, not at each request."""

    def renewed(self) -> "AccountHistory":
        """The same account by another credential, or elsewhere: what was proven is no more."""
        new = AccountHistory()
        new.attempts, new.failures, new.last_used = self.attempts, self.failures, self.last_used
        return new


class Recent:
    """The last few measurements and when; the median is worked out when somebody asks."""

    __slots__ = ("_seen",)

    def __init__(self, samples: int) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=samples)

    def add(self, now: float, value: float) -> None:
        self._seen.append((now, value))

    def median(self, since: float) -> float | None:
        values = [value for at, value in self._seen if at >= since]
        return median(values) if values else None

    def quantile(self, since: float, percent: int) -> float | None:
        """The nearest one measured."""
        values = sorted(value for at, value in self._seen if at >= since)
        return values[min(len(values) - 1, len(values) * percent // 100)] if values else None


def told(error: Mishap | None, at: Callable[[float], float]) -> LastError | None:
    return None if error is None else LastError(error[0], at(error[1]), error[2], error[3])


def endpoint_report(
    state: EndpointHistory, account: Rest | None, now: float, since: float, at: At
) -> EndpointReport:
    """`account`: the rest of its whole account. `since`: how far back measurements count."""
    name: EndpointState = "healthy"
    until = None
    if state.ejected_until is not None and (now < state.ejected_until or state.on_trial):
        name, until = "ejected", state.ejected_until
    for rest in (state.rest, account):
        if rest is not None and rest.until > now:
            name, until = "resting", rest.until
    return EndpointReport(
        state=name,
        requests=state.attempts,
        failures=state.failures,
        error_rate=round(state.rate, 4),
        first_token_p50_ms=state.first_tokens.median(since),
        resting_until=None if until is None else at(until),
        last_error=told(state.last_error, at),
    )


def account_report(state: AccountHistory, at: At) -> ProviderKeyReport:
    return ProviderKeyReport(
        last_used=None if state.last_used is None else at(state.last_used),
        last_ok=None if state.last_ok is None else at(state.last_ok),
        last_error=told(state.last_error, at),
        requests=state.attempts,
        failures=state.failures,
        quota=quota(state.head),
    )
