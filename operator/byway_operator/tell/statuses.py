"""What `status` holds, for the CRDs: the words `kubectl explain` says, and bounds.

Only a description: `tell` writes a status as plain JSON, and nobody parses one by these. They are open, because a
status may be written by an operator that is newer than the CRD, or read by an older one.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from byway_operator.resources.common import ATOMIC, MAP_BY_NAME, IntOrString, ListType, Part

Word = Annotated[str, Field(max_length=316)]
Line = Annotated[str, Field(max_length=1024)]
# The API server's own bound of a condition's message.
Text = Annotated[str, Field(max_length=32768)]
# Money is a decimal of US dollars, as in a spec; tokens and requests are whole numbers.
Amount = Annotated[int | str, IntOrString()]
Instant = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]


class Told(Part):
    model_config = ConfigDict(extra="allow")


class ConditionTold(Told):
    """One thing that is so, is not so, or is not known yet."""

    type: Word
    """Accepted, ResolvedRefs, Programmed, Ready, and those of the kind; Reconciling or Stalled only while True."""
    status: Literal["True", "False", "Unknown"]
    """True, False, or Unknown."""
    reason: Line
    """Why, as one word for programs."""
    message: Text
    """Why, for people: the field, what is wrong with it, and the way out."""
    last_transition_time: Instant
    """When status last changed."""
    observed_generation: int | None = None
    """Of which metadata.generation this was said."""


class StatusTold(Told):
    """What became of it, by the operator and by the proxies' own word."""

    observed_generation: int | None = None
    """The metadata.generation that was looked at; -1: none yet."""
    conditions: Annotated[tuple[ConditionTold, ...], Field(max_length=16), ListType("type")] = ()
    """What is so, by type. Ready is Accepted, ResolvedRefs and Programmed together."""


class EndpointTold(Told):
    """One of the route's endpoints, as the proxies have it."""

    name: Word
    """Its name in spec.endpoints."""
    available: bool
    """Whether requests are sent there just now."""
    reason: Line | None = None
    """Why not."""
    price: Line | None = None
    """US dollars per million tokens, in and out."""
    price_origin: Line | None = None
    """Where the price comes from."""


class ModelRouteStatus(StatusTold):
    """What became of the route, by the operator and by the proxies' own word."""

    model_names: Annotated[tuple[Line, ...], Field(max_length=64), ATOMIC] = ()
    """The names that lead here."""
    endpoints_available: Word | None = None
    """How many endpoints are available, of how many: 2/3."""
    first_token_p50: Annotated[Word | None, Field(alias="firstTokenP50")] = None
    """Median time to the first token, over all its endpoints."""
    proxies: Word | None = None
    """How many proxies serve it in this form, of how many: 3/3."""
    endpoints: Annotated[tuple[EndpointTold, ...], Field(max_length=64), MAP_BY_NAME] = ()
    """Each endpoint, as the proxies have it."""


class CredentialTold(Told):
    """What is known of the credential itself."""

    verified_at: Instant | None = None
    """When the provider last accepted it, to half a minute."""


class QuotaTold(Told):
    """What the provider last said is left of its own limits, until they open again."""

    requests_remaining: Annotated[int, Field(ge=0)] | None = None
    """Requests."""
    tokens_remaining: Annotated[int, Field(ge=0)] | None = None
    """Tokens."""


class ProviderKeyStatus(StatusTold):
    """What became of the key, by the operator and by the proxies' own word."""

    models: Annotated[int, Field(ge=0)] | None = None
    """How many models are callable with it."""
    last_used: Instant | None = None
    """When it was last used, to half a minute."""
    error_rate: Word | None = None
    """Share of recent attempts that failed: 0.4%."""
    credential: CredentialTold | None = None
    """What is known of the credential itself."""
    quota: QuotaTold | None = None
    """What the provider last said is left of its own limits, where it says so."""


class TightestTold(Told):
    """One of the budget's limits, and what is left of it: of its counters the one with the least."""

    period: Word
    """The period of spec.limits."""
    unit: Word | None = None
    """What is limited: usd, tokens or requests."""
    name: Line | None = None
    """Whose counter this is, where spec.per makes several."""
    limit: Amount | None = None
    """How much may be spent in the period, with the top-ups of now."""
    spent: Amount | None = None
    """What is booked; of a Minute limit, what was used in the last minute."""
    reserved: Amount | None = None
    """What proxies have set aside, for requests under way and the next ones."""
    remaining: Amount | None = None
    """What may still be set aside."""
    resets_at: Instant | None = None
    """When the period ends and counting begins anew."""


class LimitTold(TightestTold):
    """One of the budget's limits in one unit, and what is left of it: of its counters the one with the least."""

    stranded: Amount | None = None
    """What was set aside in a proxy's log that is lost: it counts as spent, for nobody can say whether it was."""
    forecast: Amount | None = None
    """What will be spent when the period ends, at the pace of this period so far. An estimate."""


class ConsumerTold(Told):
    """Who spends, and how near to a limit."""

    name: Line
    """Namespace, ServiceAccount, AccessKey or user, as spec.per says."""
    period: Word | None = None
    """The period of the limit it is nearest to."""
    unit: Word | None = None
    """And its unit: usd, tokens or requests."""
    spent: Amount | None = None
    """What it has spent of that limit."""
    limit: Amount | None = None
    """How much that limit is for it, with the top-ups of now."""
    refused_at: Instant | None = None
    """When a request was last refused, if within ten minutes; where it only observes, would have been."""


class BudgetStatus(StatusTold):
    """What became of the budget, and what is left of it."""

    tightest: TightestTold | None = None
    """The limit of which the smallest share is left."""
    limits: Annotated[tuple[LimitTold, ...], Field(max_length=15), ATOMIC] = ()
    """Each limit, a line for each of its units."""
    consumers: Annotated[tuple[ConsumerTold, ...], Field(max_length=20), ATOMIC] = ()
    """Those who are nearest to a limit, and those who were refused."""
    refused: Annotated[tuple[Line, ...], Field(max_length=20), ATOMIC] = ()
    """Who was refused within the last minute; where it only observes, would have been. Absent: nobody."""
    overspend_bound: Line | None = None
    """What may be spent beyond limits of a day and longer at most. Strict: 0. Metered: so much for each stream that
    is running when they are reached."""


class KeyTold(Told):
    """One of the keys that let callers in."""

    name: Word
    """Its name in spec.keys."""
    label: Word
    """Its beginning and its end, to tell keys apart; of one that only its digest is known of, the digest's."""
    last_used: Instant | None = None
    """When it was last used, to half a minute."""


class AccessKeyStatus(StatusTold):
    """What became of the access key, and when it was used."""

    last_used: Instant | None = None
    """When it was last used, to half a minute."""
    expires_at: Instant | None = None
    """When the last of its keys ends; absent where one never does."""
    keys: Annotated[tuple[KeyTold, ...], Field(max_length=4), MAP_BY_NAME] = ()
    """The keys that let callers in."""


STATUSES: Mapping[str, type[StatusTold]] = {
    "ModelRoute": ModelRouteStatus,
    "ProviderKey": ProviderKeyStatus,
    "Budget": BudgetStatus,
    "AccessKey": AccessKeyStatus,
}


def status_model(kind: str) -> type[StatusTold]:
    return STATUSES.get(kind, StatusTold)
