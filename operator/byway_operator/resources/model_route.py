"""ModelRoute: names of our own for a choice of endpoints."""

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from byway_operator.resources.common import (
    ATOMIC,
    DURATION_PATTERN,
    LONGEST,
    MAP_BY_NAME,
    SET,
    Concurrency,
    Duration,
    Label,
    Metadata,
    ModelName,
    ObjectName,
    Part,
    Region,
    Rule,
    Tokens,
    in_a_day,
    milliseconds,
)
from byway_operator.resources.shared import AllowedNamespaces, Capabilities, ModelPrice, ServiceRef

Strategy = Literal["Balanced", "Cost", "Latency", "Throughput", "Availability", "Weighted"]

# A caller is never silent about these, or the answer's very shape hangs on them.
NEVER_DEFAULTS = ("model", "models", "messages", "prompt", "input", "stream")
# These are said to the router, which would not hear them there.
ROUTERS_OWN = ("provider", "route", "plugins", "preset", "transforms", "user", "session_id", "stream_options")
MOST_DEFAULTS_BYTES = 65536


class ProviderKeyRef(Part):
    """A ProviderKey, in this namespace or in one that shares it."""

    name: ObjectName
    """Name of the ProviderKey."""
    namespace: Label | None = None
    """Its namespace. Default: the route's own."""


class RouteEndpoint(Part):
    """One way to reach a model: by an account, at a Service in the cluster, or by any key that has the model."""

    name: Label
    """Name of this endpoint within the route."""
    provider_key_ref: ProviderKeyRef | None = None
    """The account to use. Neither this nor serviceRef: every key this namespace may use that has the model,
    own keys first."""
    service_ref: ServiceRef | None = None
    """A Service in the route's namespace that speaks OpenAI's API."""
    model: ModelName
    """A name of the catalogue or of the ProviderKey's models[]; beside serviceRef, what the Service calls it."""
    order: Annotated[int, Field(ge=0, le=100)] | None = None
    """A step is used when all endpoints of the steps before it are out or full. Default: 0."""
    weight: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Share of this endpoint within its step; with strategy: Weighted, and then on every endpoint."""
    max_concurrent_requests: Concurrency | None = None
    """Requests at this endpoint at the same time, by all proxies together. Default: no limit."""
    price: ModelPrice | None = None
    """Beside serviceRef only. Default: nothing is charged for a Service in the cluster."""
    capabilities: Capabilities | None = None
    """Beside serviceRef only. Default: unknown."""

    rules: ClassVar = (
        Rule(
            "!(has(self.providerKeyRef) && has(self.serviceRef))",
            "set providerKeyRef or serviceRef, or neither",
            lambda self: self.provider_key_ref is None or self.service_ref is None,
            ".serviceRef",
        ),
        Rule(
            "has(self.serviceRef) || !(has(self.price) || has(self.capabilities))",
            "price and capabilities belong to the account: set them in the ProviderKey's models[]; "
            "here only beside serviceRef",
            lambda self: self.service_ref is not None or (self.price is None and self.capabilities is None),
        ),
    )

    @property
    def effective_order(self) -> int:
        return self.order or 0


def _unless_duration(name: str) -> str:
    """What is none has been told so already, and `duration()` would add a line that helps nobody."""
    return f"!has(self.{name}) || !self.{name}.matches(r'{DURATION_PATTERN}')"


def _lasts(name: str, attribute: str) -> Rule:
    return Rule(
        f"{_unless_duration(name)} || (duration(self.{name}) > duration('0s')"
        f" && duration(self.{name}) <= duration('{LONGEST}'))",
        f"want more than nothing and at most {LONGEST}",
        lambda self: in_a_day(getattr(self, attribute)),
        f".{name}",
    )


class RouteTimeouts(Part):
    """How long each stage of a request may take. Default for each: the proxy's setting."""

    connect: Duration | None = None
    """Until the connection stands."""
    first_token: Duration | None = None
    """Until the first byte of content; then the next endpoint is tried."""
    idle: Duration | None = None
    """Between two pieces of a stream."""
    request: Duration | None = None
    """The whole request, all attempts included."""

    rules: ClassVar = (
        _lasts("connect", "connect"),
        _lasts("firstToken", "first_token"),
        _lasts("idle", "idle"),
        _lasts("request", "request"),
        Rule(
            f"{_unless_duration('firstToken')} || {_unless_duration('request')}"
            " || duration(self.firstToken) <= duration(self.request)",
            "firstToken may not be longer than request",
            lambda self: (
                self.first_token is None
                or self.request is None
                or milliseconds(self.first_token) <= milliseconds(self.request)
            ),
            ".firstToken",
        ),
    )


class RequestSettings(Part):
    """What is done to a request on its way."""

    defaults: (
        Annotated[
            dict[str, Any], Field(max_length=64, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
        ]
        | None
    ) = None
    """Fields of the request, for where the caller is silent: temperature: 0.2."""
    max_output_tokens: Tokens | None = None
    """The most a caller may ask for; a higher demand is lowered to it, and so is silence."""

    rules: ClassVar = (
        Rule(
            "",
            f"defaults may not set {', '.join(NEVER_DEFAULTS)}: those are the caller's",
            lambda self: not set(self.defaults or ()) & set(NEVER_DEFAULTS),
            ".defaults",
        ),
        Rule(
            "",
            f"defaults may not set {', '.join(ROUTERS_OWN)}: no provider is sent those",
            lambda self: not set(self.defaults or ()) & set(ROUTERS_OWN),
            ".defaults",
        ),
        Rule(
            "",
            f"defaults hold at most {MOST_DEFAULTS_BYTES // 1024} KiB",
            lambda self: len(json.dumps(self.defaults)) <= MOST_DEFAULTS_BYTES,
            ".defaults",
        ),
    )


class RouteDataPolicy(Part):
    """Demands on whoever sees the request. They bind fallback models too, and what is unknown fails them."""

    training: Literal["Deny"] | None = None
    """Deny: only providers that never train on prompts. Default: no demand."""
    max_retention_days: Annotated[int, Field(ge=0, le=36500)] | None = None
    """Only providers that keep prompts no longer than this; 0 is not at all. Default: no demand."""
    regions: Annotated[tuple[Region, ...], Field(min_length=1, max_length=16), SET] = ()
    """Only providers that handle prompts in these regions. Default: no demand."""


class ModelRouteSpec(Part):
    """Names, and the endpoints that answer to them."""

    model_names: Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=16), SET] = ()
    """What callers write as `model`. Default: the route's own name."""
    display_name: Annotated[str, Field(max_length=128)] | None = None
    """For people, in the list of models. Default: the first model name."""
    endpoints: Annotated[tuple[RouteEndpoint, ...], Field(min_length=1, max_length=32), MAP_BY_NAME]
    """Ways to reach a model. Which one a request takes: by `order`, then by `strategy`."""
    strategy: Strategy | None = None
    """How one of a step's endpoints is chosen: Balanced (cheaper ones more often), Cost, Latency, Throughput,
    Availability, or Weighted (by each one's weight). Default: Balanced."""
    fallback_models: Annotated[tuple[ModelName, ...], Field(max_length=8), ATOMIC] = ()
    """Names to try in turn when no endpoint answers, or the prompt is too long for them all."""
    timeouts: RouteTimeouts | None = None
    """Default: the proxy's settings."""
    max_attempts: Annotated[int, Field(ge=1, le=32)] | None = None
    """Most attempts for one request, fallback models included. Default: the proxy's setting."""
    request: RequestSettings | None = None
    """What is done to a request on its way. Default: nothing."""
    data_policy: RouteDataPolicy | None = None
    """Demands on whoever sees the request. Default: none."""
    allowed_namespaces: AllowedNamespaces | None = None
    """Who else may call this route. Default: from: Same, nobody else."""

    rules: ClassVar = (
        Rule(
            "self.endpoints.all(e, has(e.weight) == (has(self.strategy) && self.strategy == 'Weighted'))",
            "weight goes with strategy: Weighted, and then on every endpoint",
            lambda spec: all((e.weight is not None) == (spec.strategy == "Weighted") for e in spec.endpoints),
            ".endpoints",
        ),
    )

    @property
    def effective_strategy(self) -> Strategy:
        return self.strategy or "Balanced"


class ModelRoute(Part):
    """Names of your own for a choice of endpoints: which models answer to them, in what order, on what terms."""

    api_version: Literal["byway.dev/v1alpha1"]
    kind: Literal["ModelRoute"]
    metadata: Metadata
    spec: ModelRouteSpec
    status: Any = None

    short_name: ClassVar[str] = "mr"

    @property
    def effective_model_names(self) -> tuple[str, ...]:
        return self.spec.model_names or (self.metadata.name,)
