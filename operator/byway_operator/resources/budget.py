"""Budget: a limit on what callers or accounts spend and use."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from byway_operator.resources.common import (
    MAP_BY_NAME,
    SET,
    Glob,
    Label,
    ListType,
    Metadata,
    ModelName,
    Money,
    ObjectName,
    Part,
    Rule,
    Time,
    moment,
)
from byway_operator.resources.shared import LabelSelector

Period = Literal["Minute", "Day", "Week", "Month", "Lifetime"]
Count = Annotated[int, Field(ge=0, le=1_000_000_000_000_000)]
More = Annotated[int, Field(ge=1, le=1_000_000_000_000_000)]
User = Annotated[str, Field(min_length=1, max_length=256)]


class BudgetNamespaces(Part):
    """Namespaces by name or by label. Only in a trusted namespace."""

    names: Annotated[tuple[Label, ...], Field(min_length=1, max_length=256), SET] = ()
    """Namespaces by name."""
    selector: LabelSelector | None = None
    """Namespaces by label."""

    rules: ClassVar = (
        Rule(
            "has(self.names) != has(self.selector)",
            "set names or selector",
            lambda self: bool(self.names) != (self.selector is not None),
        ),
    )


class AppliesTo(Part):
    """Whose requests count: those that fit every field given, and of each field any entry."""

    provider_keys: Annotated[tuple[ObjectName, ...], Field(min_length=1, max_length=64), SET] = ()
    """What these accounts pay for."""
    models: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=64), SET] = ()
    """Models by name: `openai/*`."""
    service_accounts: Annotated[tuple[ObjectName, ...], Field(min_length=1, max_length=64), SET] = ()
    """What these ServiceAccounts call."""
    access_keys: Annotated[tuple[ObjectName, ...], Field(min_length=1, max_length=64), SET] = ()
    """What is called with these AccessKeys."""
    users: Annotated[tuple[User, ...], Field(min_length=1, max_length=64), SET] = ()
    """What these users call."""
    namespaces: BudgetNamespaces | None = None
    """Default: this namespace."""


class Limit(Part):
    """What may be spent and used within one period."""

    period: Period
    """Minute, Day, Week, Month or Lifetime."""
    usd: Money | None = None
    """US dollars, a quoted decimal."""
    tokens: Count | None = None
    """Tokens of prompts and completions."""
    requests: Count | None = None
    """Requests, whatever they cost."""

    rules: ClassVar = (
        Rule(
            "has(self.usd) || has(self.tokens) || has(self.requests)",
            "set at least one of usd, tokens, requests",
            lambda self: (self.usd, self.tokens, self.requests) != (None, None, None),
        ),
        Rule(
            "self.period != 'Minute' || !has(self.usd)",
            "a Minute limit is a rate limit: requests and tokens only",
            lambda self: self.period != "Minute" or self.usd is None,
            ".usd",
        ),
    )


class Downgrade(Part):
    """From there on another model answers."""

    at_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Share of the tightest usd limit. Default: 100."""
    model: ModelName
    """Its name is resolved as the caller would. At 100 % only what costs nothing fits."""


class TopUp(Part):
    """More of a limit, for a while."""

    name: Label
    """Name of this top-up within the list."""
    period: Period
    """Of which limit."""
    usd: Money | None = None
    """So many US dollars more, a quoted decimal."""
    tokens: More | None = None
    """So many tokens more."""
    requests: More | None = None
    """So many requests more."""
    for_: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Whose counter, where `per` makes several: a namespace, a ServiceAccount or AccessKey (of another namespace:
    `namespace/name`), or a user. Default: each."""
    until: Time | None = None
    """From then on the limit is what it was. Default: without end."""

    rules: ClassVar = (
        Rule(
            "!has(self.usd) || !self.usd.matches('^0([.]0+)?$')",
            "raises nothing; leave the top-up out",
            lambda self: self.usd is None or re.fullmatch(r"0([.]0+)?", self.usd) is None,
            ".usd",
        ),
        Rule(
            "",
            'no calendar has this time; want one like "2027-01-01T00:00:00Z"',
            lambda self: self.until is None or moment(self.until) is not None,
            ".until",
        ),
    )

    @property
    def ends(self) -> int | None:
        """Seconds since 1970; None: never."""
        return None if self.until is None else moment(self.until)


def _top_ups_fit(spec: "BudgetSpec") -> bool:
    limits = {limit.period: limit for limit in spec.limits}
    return all(
        top_up.period in limits and _units(top_up) and _units(top_up) <= _units(limits[top_up.period])
        for top_up in spec.top_ups
    )


def _units(part: Limit | TopUp) -> set[str]:
    return {unit for unit in ("usd", "tokens", "requests") if getattr(part, unit) is not None}


class BudgetSpec(Part):
    """You may budget what your namespace calls, or what its keys pay for."""

    applies_to: AppliesTo | None = None
    """Whose requests count. Default: all that this namespace calls."""
    per: Literal["Namespace", "ServiceAccount", "AccessKey", "User"] | None = None
    """A counter for each. Default: one that all share."""
    limits: Annotated[tuple[Limit, ...], Field(min_length=1, max_length=5), ListType("period")]
    """At most one for each period."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Where days, weeks and months begin: Europe/Berlin. Default: UTC."""
    admission: Literal["Strict", "Metered"] | None = None
    """Strict: the worst case is set aside before each attempt. Default: Strict."""
    enforcement: Literal["Enforce", "Observe"] | None = None
    """Observe: count and tell, refuse nothing. Default: Enforce."""
    downgrade: Downgrade | None = None
    """Default: none."""
    top_ups: Annotated[tuple[TopUp, ...], Field(max_length=32), MAP_BY_NAME] = ()
    """More of a limit, for a while."""

    rules: ClassVar = (
        Rule(
            "!has(self.downgrade) || self.limits.exists(l, has(l.usd))",
            "downgrade needs a usd limit",
            lambda spec: spec.downgrade is None or any(limit.usd is not None for limit in spec.limits),
            ".downgrade",
        ),
        Rule(
            "!has(self.topUps) || self.topUps.all(t, (has(t.usd) || has(t.tokens) || has(t.requests))"
            " && self.limits.exists(l, l.period == t.period && (!has(t.usd) || has(l.usd))"
            " && (!has(t.tokens) || has(l.tokens)) && (!has(t.requests) || has(l.requests))))",
            "a top-up raises a limit of the same period and unit",
            _top_ups_fit,
            ".topUps",
        ),
        Rule(
            "!has(self.topUps) || has(self.per) || self.topUps.all(t, !has(t.__for__))",
            "for says whose counter, and goes with per; without it there is one counter",
            lambda spec: spec.per is not None or all(top_up.for_ is None for top_up in spec.top_ups),
            ".topUps",
        ),
        Rule(
            "!has(self.downgrade) || !has(self.enforcement) || self.enforcement == 'Enforce'",
            "downgrade goes with enforcement: Enforce; a budget that only observes changes no answer",
            lambda spec: spec.downgrade is None or spec.enforcement != "Observe",
            ".downgrade",
        ),
    )


class Budget(Part):
    """A limit on money, tokens and requests, of callers or of accounts."""

    api_version: Literal["byway.dev/v1alpha1"]
    kind: Literal["Budget"]
    metadata: Metadata
    spec: BudgetSpec
    status: Any = None

    short_name: ClassVar[str] = "bdg"
