"""Merge what all proxies report into one view of each endpoint and each account.

A proxy knows only what it tried itself, and forgets when it ends; so counts are sums over those that are connected,
and an endpoint is out only when every proxy that tried it says so. `since` is carried from one summary to the next,
for those that must not follow every twitch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from byway_contract.report import BudgetReport, EndpointReport, LastError, ProviderKeyReport, Quota, Report


@dataclass(frozen=True)
class EndpointHealth:
    up: bool
    since: float
    """When `up` last changed, as far as we saw. Seconds since 1970."""
    state: str = "healthy"
    requests: int = 0
    error_rate: float = 0.0
    """Recent, weighted by each proxy's requests."""
    first_token_p50_ms: float | None = None
    last_error: LastError | None = None


@dataclass(frozen=True)
class AccountHealth:
    last_used: float | None = None
    last_ok: float | None = None
    """When the provider last accepted this credential."""
    last_error: LastError | None = None
    requests: int = 0
    error_rate: float = 0.0
    quota: Quota | None = None
    """As the proxy that used it last was told."""


@dataclass(frozen=True)
class BudgetHealth:
    counted: int = 0
    """Attempts that were held against it."""
    used: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of Minute limits: unit → subject → what was used in the last minute."""
    refused: Mapping[str, float] = field(default_factory=dict)
    """Subject → when a request of it was last refused. Seconds since 1970."""
    unpriced: tuple[str, ...] = ()
    """Endpoints that were refused because they have no price."""


@dataclass(frozen=True)
class Summary:
    endpoints: Mapping[str, EndpointHealth] = field(default_factory=dict)
    accounts: Mapping[str, AccountHealth] = field(default_factory=dict)
    access_keys: Mapping[str, float] = field(default_factory=dict)
    """By `namespace/name/key`: when it was last used. Seconds since 1970."""
    budgets: Mapping[str, BudgetHealth] = field(default_factory=dict)
    """By `namespace/name`."""
    complete: bool = True
    """Whether every proxy has reported, so that silence of an endpoint says nobody tried it lately."""


def summarize(reports: Iterable[Report], before: Summary, now: float, complete: bool = True) -> Summary:
    by_endpoint: dict[str, list[EndpointReport]] = {}
    by_account: dict[str, list[ProviderKeyReport]] = {}
    by_budget: dict[str, list[BudgetReport]] = {}
    access_keys: dict[str, float] = {}
    for report in reports:
        for name, endpoint in report.endpoints.items():
            by_endpoint.setdefault(name, []).append(endpoint)
        for name, account in report.provider_keys.items():
            by_account.setdefault(name, []).append(account)
        for name, budget in report.budgets.items():
            by_budget.setdefault(name, []).append(budget)
        for name, used in report.access_keys.items():
            access_keys[name] = max(used, access_keys.get(name, 0.0))
    endpoints = {name: _endpoint(said, before.endpoints.get(name), now) for name, said in by_endpoint.items()}
    rates = _error_rates(endpoints)
    accounts = {name: _account(said, rates.get(name)) for name, said in by_account.items()}
    budgets: Mapping[str, BudgetHealth] = {name: _budget(said) for name, said in by_budget.items()}
    if budgets == before.budgets:
        budgets = before.budgets  # the same object: then nothing is worked out anew for it
    return Summary(endpoints, accounts, access_keys, budgets, complete)


def median_ms(endpoints: Iterable[EndpointHealth]) -> float | None:
    """First-token time of several together: each one's median, weighted by its requests. An estimate."""
    timed = [(e.first_token_p50_ms, max(e.requests, 1)) for e in endpoints if e.first_token_p50_ms is not None]
    return _mean(timed) if timed else None


def _endpoint(said: list[EndpointReport], before: EndpointHealth | None, now: float) -> EndpointHealth:
    up = any(report.state == "healthy" for report in said)
    since = before.since if before is not None and before.up == up else now
    worst = max(said, key=lambda report: ("healthy", "resting", "ejected").index(report.state))
    timed = [(r.first_token_p50_ms, max(r.requests, 1)) for r in said if r.first_token_p50_ms is not None]
    return EndpointHealth(
        up,
        since,
        "healthy" if up else worst.state,
        sum(report.requests for report in said),
        _mean([(report.error_rate, report.requests) for report in said]),
        _mean(timed) if timed else None,
        _latest(report.last_error for report in said),
    )


def _account(said: list[ProviderKeyReport], error_rate: float | None) -> AccountHealth:
    requests, failures = sum(report.requests for report in said), sum(report.failures for report in said)
    return AccountHealth(
        max((report.last_used for report in said if report.last_used is not None), default=None),
        max((report.last_ok for report in said if report.last_ok is not None), default=None),
        _latest(report.last_error for report in said),
        requests,
        error_rate if error_rate is not None else failures / requests if requests else 0.0,
        max(said, key=lambda report: (report.quota is not None, report.last_used or 0.0)).quota,
    )


def _budget(said: list[BudgetReport]) -> BudgetHealth:
    used: dict[str, dict[str, int]] = {}
    refused: dict[str, float] = {}
    for report in said:
        for unit, subjects in report.used.items():
            for subject, amount in subjects.items():
                sums = used.setdefault(unit, {})
                sums[subject] = sums.get(subject, 0) + amount
        for subject, at in report.refused.items():
            refused[subject] = max(at, refused.get(subject, 0.0))
    unpriced = tuple(sorted({name for report in said for name in report.unpriced}))
    return BudgetHealth(sum(report.counted for report in said), used, refused, unpriced)


def _error_rates(endpoints: Mapping[str, EndpointHealth]) -> Mapping[str, float]:
    """By account: an endpoint's id begins with its account's. Recent, where an account's counts are for ever."""
    weighed: dict[str, list[tuple[float, int]]] = {}
    for name, endpoint in endpoints.items():
        if not name.startswith("svc:"):
            weighed.setdefault(name.partition(":")[0], []).append((endpoint.error_rate, endpoint.requests))
    return {account: _mean(rates) for account, rates in weighed.items()}


def _latest(errors: Iterable[LastError | None]) -> LastError | None:
    return max((error for error in errors if error is not None), key=lambda error: error.at, default=None)


def _mean(weighed: list[tuple[float, int]]) -> float:
    weight = sum(requests for _, requests in weighed)
    return sum(value * requests for value, requests in weighed) / weight if weight else 0.0
