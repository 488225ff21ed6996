"""Fees: what the platform asks for its service beside what models cost. Without this, nothing.

A ConfigMap in the release's namespace, always read strictly. What stands here is the hosted router's own model.

    kind: ConfigMap
    metadata: {name: byway-fees, namespace: byway-system, labels: {byway.dev/fees: "true"}}
    data:
      fees.yaml: |
        byok: {percent: "5", freeRequestsPerMonth: 1000000}
        credits: {percent: "5.5", minimum: "0.80", required: true}
        free: {requestsPerDay: 50}
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from byway_operator.resources.common import Matches, Metadata, Money, Part, Rule

FEES_LABEL = "byway.dev/fees"
FEES_NAME = "byway-fees"
FEES_ENTRY = "fees.yaml"
FEES_EXAMPLE = 'byok: {percent: "5"}'

Percent = Annotated[
    str,
    Field(max_length=8),
    Matches(r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)$", 'want percent in quotes, "0" to "100": "5.5"'),
]
Requests = Annotated[int, Field(ge=1, le=1_000_000_000_000)]


class ByokFee(Part):
    """On what callers' own provider keys pay for."""

    percent: Percent
    """Of what the run costs by its price, or by the list price if that is more."""
    free_requests_per_month: Requests | None = None
    """Runs of each namespace and month (UTC) that are free of it. Default: none."""


class PlatformFee(Part):
    """On what the platform's own provider keys pay for."""

    percent: Percent
    """Of what the run costs."""


class CreditTerms(Part):
    """How namespaces pay in advance."""

    percent: Percent | None = None
    """On top of the credits bought. Default: nothing."""
    minimum: Money | None = None
    """The least that a purchase costs on top, in US dollars."""
    required: bool | None = None
    """Who has no credits left is refused. Default: credits are counted, and nobody is."""


class FreeModels(Part):
    """Models that are called `…:free`."""

    requests_per_day: Requests
    """Of each access key; without one, of each service account, or else of the namespace. Days are UTC's."""


class FeesSpec(Part):
    """What is in the ConfigMap."""

    byok: ByokFee | None = None
    platform: PlatformFee | None = None
    credits: CreditTerms | None = None
    free: FreeModels | None = None

    rules: ClassVar = (
        Rule(
            "",
            "asks for nothing; set byok, platform, credits or free, or take the ConfigMap away",
            lambda self: bool(self.byok or self.platform or self.credits or self.free),
        ),
    )


class Fees(Part):
    """The ConfigMap, its one entry read."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    fees: FeesSpec
