"""What a proxy says of itself on the control stream. What a resource's status says is made of these, elsewhere."""

from typing import Literal

import msgspec

MOST_ACCESS_KEYS = 1000
MOST_SUBJECTS = 20

EndpointState = Literal["healthy", "resting", "ejected"]
"""resting: asked by the provider to wait (429, 402, 401 …); ejected: it failed too often."""


class LastError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Never holds a provider's body: only what kind of failure it was."""

    kind: str
    """A reason of `choose.health`: `connect`, `timeout`, `status`, `rate_limited`, `unauthorized` …"""
    at: float
    """Seconds since 1970."""
    status: int | None = None
    why: str = ""
    """Why no connection came about: a sentence of the proxy's own."""


class EndpointReport(msgspec.Struct, frozen=True, omit_defaults=True):
    state: EndpointState
    requests: int = 0
    """Attempts since the proxy started."""
    failures: int = 0
    error_rate: float = 0.0
    """Recent share of failures, 0 to 1."""
    first_token_p50_ms: float | None = None
    resting_until: float | None = None
    """Seconds since 1970."""
    last_error: LastError | None = None


class Quota(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider last said is left of its own limits, until they open again."""

    requests_remaining: int | None = None
    tokens_remaining: int | None = None


class ProviderKeyReport(msgspec.Struct, frozen=True, omit_defaults=True):
    last_used: float | None = None
    """Seconds since 1970."""
    last_ok: float | None = None
    """When the provider last accepted this credential."""
    last_error: LastError | None = None
    requests: int = 0
    failures: int = 0
    quota: Quota | None = None
    """Where the provider says it."""


class BudgetReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a proxy does for a budget, since it started."""

    counted: int = 0
    """Attempts that were held against it, or, where it only observes, would have been."""
    used: dict[str, dict[str, int]] = {}
    """Of Minute limits: unit → subject → what this proxy used in the last minute; the largest MOST_SUBJECTS."""
    refused: dict[str, float] = {}
    """Subject → when a request of it was last refused, or would have been. Seconds since 1970; the last
    MOST_SUBJECTS within ten minutes."""
    unpriced: tuple[str, ...] = ()
    """Endpoints that were refused because they have no price while it counts dollars; at most MOST_SUBJECTS."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    serving: str | None
    """Hash of the table that is live."""
    ready: bool
    inflight: int = 0
    loop_lag_ms: float = 0.0
    endpoints: dict[str, EndpointReport] = {}
    """By endpoint id; only those that were tried."""
    provider_keys: dict[str, ProviderKeyReport] = {}
    """By account id; only those that were used, or asked on the operator's behalf."""
    access_keys: dict[str, float] = {}
    """By `namespace/name/key`, the last part being the name within the AccessKey: when it last let somebody in.
    Seconds since 1970; at most MOST_ACCESS_KEYS, those used last."""
    budgets: dict[str, BudgetReport] = {}
    """By `namespace/name`; only those that something was held against."""
    ledger: bool = True
    """Whether the ledger answers."""
    valkey: bool = True
    """Whether Valkey does, where the proxy has one: else it keeps to its share of every limit of a minute."""
