"""The floor: what the platform demands of some namespaces, whatever their routes and requests say.

It is a ConfigMap in the release's namespace. Nobody but us checks what it says, so it is always read strictly.

    kind: ConfigMap
    metadata: {name: byway-floor, namespace: byway-system, labels: {byway.dev/floor: "true"}}
    data:
      floor.yaml: |
        floors:
        - name: patients
          namespaces: {selector: {matchLabels: {data: patients}}}
          dataPolicy: {training: Deny, maxRetentionDays: 0}
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from byway_operator.resources.common import MAP_BY_NAME, SET, Glob, Label, Metadata, Part, Rule
from byway_operator.resources.model_route import RouteDataPolicy
from byway_operator.resources.shared import LabelSelector

FLOOR_LABEL = "byway.dev/floor"
FLOOR_NAME = "byway-floor"
ENTRY, EXAMPLE = "floor.yaml", "floors: [{name: …}]"
MOST_FLOORS = 64


class FloorNamespaces(Part):
    """Whom a floor binds, as callers."""

    names: Annotated[tuple[Label, ...], Field(min_length=1, max_length=256), SET] = ()
    """By name."""
    selector: LabelSelector | None = None
    """By label. A namespace whose labels nobody knows is bound."""

    rules: ClassVar = (
        Rule("", "set names or selector", lambda self: bool(self.names) != (self.selector is not None)),
    )


class OneFloor(Part):
    """Demands on one set of namespaces. Of several that bind a namespace all hold."""

    name: Label
    """For messages."""
    namespaces: FloorNamespaces | None = None
    """Whom it binds. Default: every namespace."""
    data_policy: RouteDataPolicy | None = None
    """Demands on whoever sees a request; what a tenant says of its own keys does not satisfy them."""
    allowed_models: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=64), SET] = ()
    """The models that may be called, by public name. Default: all."""
    own_keys: Literal["Allow", "Deny"] | None = None
    """Deny: ProviderKeys of these namespaces are refused, but for trusted ones'. Default: Allow."""
    require_budget: bool | None = None
    """No service without a Budget in US dollars that is enforced."""

    rules: ClassVar = (
        Rule(
            "",
            "demands nothing; set dataPolicy, allowedModels, ownKeys or requireBudget",
            lambda self: bool(self.data_policy or self.allowed_models or self.own_keys or self.require_budget),
        ),
        Rule(
            "",
            "demands nothing; set training, maxRetentionDays or regions",
            lambda self: self.data_policy is None or self.data_policy != RouteDataPolicy(),
            ".dataPolicy",
        ),
    )


class FloorSpec(Part):
    """What is in the ConfigMap."""

    floors: Annotated[tuple[OneFloor, ...], Field(min_length=1, max_length=MOST_FLOORS), MAP_BY_NAME]


class Floor(Part):
    """The ConfigMap, its one entry read."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    floor: FloorSpec
