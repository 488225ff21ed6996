"""Pieces that more than one kind holds: prices, capabilities, references, and who else may use an object."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from byway_operator.resources.common import ATOMIC, SET, Label, Matches, Money, Part, Port, Rule, Tokens

Modality = Literal["Text", "Image", "Audio", "File", "Video"]
Feature = Literal["Tools", "StructuredOutputs", "JSONObject", "Reasoning", "Temperature", "Attachments", "Logprobs"]

FEATURE_WORDS: Mapping[Feature, str] = {
    "Tools": "tools",
    "StructuredOutputs": "structured_outputs",
    "JSONObject": "json_object",
    "Reasoning": "reasoning",
    "Temperature": "temperature",
    "Attachments": "attachments",
    "Logprobs": "logprobs",
}
"""The contract's word for each feature. A modality's word is simply its lower case."""


PATH_PATTERN = r"^(/[-._~%A-Za-z0-9]+)*/?$"


class TokenPrices(Part):
    """US dollars per million tokens, as quoted decimals."""

    input: Money
    """Prompt tokens that no cache served."""
    output: Money
    """Completion tokens."""
    cache_read: Money | None = None
    """Prompt tokens read from the provider's cache. Default: the price of input."""
    cache_write: Money | None = None
    """Prompt tokens written to the provider's cache. Default: the price of input."""
    reasoning: Money | None = None
    """Completion tokens that were thought and not said. Default: the price of output."""
    audio_input: Money | None = None
    """Prompt tokens that are audio. Default: the price of input."""
    audio_output: Money | None = None
    """Completion tokens that are audio. Default: the price of output."""
    image_input: Money | None = None
    """Prompt tokens that are images, where the provider counts them apart. Default: the price of input."""
    image_output: Money | None = None
    """Completion tokens that are images. Default: the price of output."""


class ModelPrice(Part):
    """What a model costs here. A price set here wins over the catalogue's."""

    per_million_tokens: TokenPrices
    """US dollars per million tokens."""
    per_request: Money | None = None
    """US dollars for each request, beside its tokens. Default: 0."""


class Capabilities(Part):
    """What a model can do. What is left out is taken from the catalogue, or is unknown and excludes nothing."""

    context_length: Tokens | None = None
    """Most tokens of prompt and completion together."""
    max_output_tokens: Tokens | None = None
    """Most tokens of one completion."""
    input_modalities: Annotated[tuple[Modality, ...], Field(min_length=1, max_length=8), SET] = ()
    """What a prompt may hold: Text, Image, Audio, File, Video. Default: the catalogue's, else Text."""
    features: Annotated[tuple[Feature, ...], Field(max_length=16), SET] | None = None
    """Of Tools, StructuredOutputs, JSONObject, Reasoning, Temperature, Attachments, Logprobs. Default: the
    catalogue's, else unknown. An empty list says: none of them."""


class ServiceRef(Part):
    """A Service in the cluster that speaks OpenAI's API, in this object's own namespace."""

    name: Label
    """Name of the Service."""
    port: Port
    """Port of the Service."""
    scheme: Literal["HTTP", "HTTPS"] | None = None
    """HTTP or HTTPS. Default: HTTP."""
    path: Annotated[str, Field(max_length=256), Matches(PATH_PATTERN, "want a path from / on: /v1")] | None = None
    """What stands before `/chat/completions` in the URL. Default: /v1."""

    @property
    def effective_scheme(self) -> str:
        """As in a URL: `http` or `https`."""
        return (self.scheme or "HTTP").lower()

    @property
    def effective_path(self) -> str:
        """Without a slash at its end."""
        return ("/v1" if self.path is None else self.path).rstrip("/")


class LabelRequirement(Part):
    """One demand on labels."""

    key: Annotated[str, Field(max_length=317)]
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=64), ATOMIC] = ()
    """With In and NotIn."""

    rules: ClassVar = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            "values go with In and NotIn, and those need some",
            lambda self: (self.operator in ("In", "NotIn")) == bool(self.values),
            ".values",
        ),
    )

    def fits(self, labels: Mapping[str, str]) -> bool:
        """As Kubernetes has it: a label that is not there is not in any list."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(Part):
    """Namespaces by their labels."""

    match_labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] | None = None
    """Labels with their values; all must fit."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=16), ATOMIC] = ()
    """Further demands; all must fit."""

    def fits(self, labels: Mapping[str, str]) -> bool:
        """One that demands nothing fits all, as in Kubernetes."""
        wanted = (self.match_labels or {}).items()
        return wanted <= labels.items() and all(demand.fits(labels) for demand in self.match_expressions)


class AllowedNamespaces(Part):
    """Who beside this namespace may use the object. Withdrawn consent takes effect with the next push."""

    from_: Literal["Same", "All", "Names", "Selector"] | None = None
    """Same: nobody else. All: every namespace. Names: those in `names`. Selector: those whose labels match now.
    Default: Same."""
    names: Annotated[tuple[Label, ...], Field(min_length=1, max_length=256), SET] = ()
    """Namespaces by name; with from: Names."""
    selector: LabelSelector | None = None
    """Namespaces by label; with from: Selector."""

    rules: ClassVar = (
        Rule(
            "has(self.names) == (has(self.from) && self.from == 'Names')",
            "names goes with from: Names",
            lambda self: bool(self.names) == (self.from_ == "Names"),
            ".names",
        ),
        Rule(
            "has(self.selector) == (has(self.from) && self.from == 'Selector')",
            "selector goes with from: Selector",
            lambda self: (self.selector is not None) == (self.from_ == "Selector"),
            ".selector",
        ),
    )

    @property
    def effective_from(self) -> str:
        return self.from_ or "Same"
