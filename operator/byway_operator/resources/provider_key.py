"""ProviderKey: an account at a provider, and what may be done with it."""

import ssl
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from byway_operator.resources.common import (
    MAP_BY_NAME,
    SET,
    Concurrency,
    Glob,
    Label,
    Matches,
    Metadata,
    ModelName,
    ObjectName,
    Part,
    Region,
    Rule,
)
from byway_operator.resources.shared import AllowedNamespaces, Capabilities, ModelPrice, ServiceRef

FORBIDDEN_HEADERS = (
    "authorization",
    "proxy-authorization",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "cookie",
    "host",
    "connection",
    "keep-alive",
    "content-length",
    "content-type",
    "content-encoding",
    "accept-encoding",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
)
"""Credentials and framing, in lower case: the proxy's own business."""


ProviderSlug = Annotated[
    str,
    Field(max_length=63),
    Matches(r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", "want a provider's slug in lower case: openai"),
]


class SecretRef(Part):
    """An entry of a Secret in this namespace, which must carry the label `byway.dev/credential: "true"`."""

    name: ObjectName
    """Name of the Secret."""
    key: (
        Annotated[str, Field(max_length=253), Matches(r"^[-._a-zA-Z0-9]+$", "want an entry's name: apiKey")] | None
    ) = None
    """Entry of the Secret that holds the credential. Default: apiKey."""

    @property
    def effective_key(self) -> str:
        return self.key or "apiKey"


class Header(Part):
    """A header that every request to the provider carries."""

    name: Annotated[
        str,
        Field(max_length=128),
        Matches(r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$", "want a header's name: OpenAI-Organization"),
    ]
    """As in `OpenAI-Organization: org-1`."""
    value: Annotated[
        str,
        Field(max_length=4096),
        Matches(r"^[\t -~]*$", "want a header's value: one line of plain ASCII, quoted"),
    ]
    """Not for credentials: anybody who may read this object reads it."""


class Azure(Part):
    """Where an Azure OpenAI resource is."""

    resource: Label
    """Name of the resource: `acme-weu` for https://acme-weu.openai.azure.com."""
    api_version: Annotated[str, Field(max_length=64)] | None = None
    """Default: v1. Others are not done in this version."""


class Bedrock(Part):
    """Where Amazon Bedrock is."""

    region: Region
    """The AWS region."""
    role_arn: Annotated[str, Field(max_length=2048)] | None = None
    """The role to take on. Default: none."""


class Vertex(Part):
    """Where Vertex AI is."""

    project: Annotated[str, Field(max_length=64)]
    """The Google Cloud project."""
    location: Region
    """The Google Cloud location."""


class KeyModel(Part):
    """A model as this account has it: what the catalogue lacks, or has otherwise."""

    name: ModelName
    """How callers name it: `author/model`."""
    upstream_name: ModelName | None = None
    """How the provider names it; at Azure, the deployment. Default: the catalogue's, else `name`."""
    price: ModelPrice | None = None
    """Default: the catalogue's, else unpriced, which is not free."""
    capabilities: Capabilities | None = None
    """Default: the catalogue's."""


class RateLimits(Part):
    """The most this account is used, by all proxies together."""

    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Requests within any minute. Default: no limit."""
    tokens_per_minute: Annotated[int, Field(ge=1, le=1_000_000_000_000)] | None = None
    """Tokens of prompts and answers within any minute. Default: no limit."""
    max_concurrent_requests: Concurrency | None = None
    """Requests at the provider at the same time. Default: no limit."""


class DataHandling(Part):
    """Facts about what the provider does with prompts, as your contract says; dataPolicy demands are held
    against them."""

    training: Literal["Never", "Possible"] | None = None
    """Whether prompts may be used for training. Default: the catalogue's, else Possible."""
    retention_days: Annotated[int, Field(ge=0, le=36500)] | None = None
    """Days for which prompts are kept. Default: the catalogue's, else unknown, which counts as for ever."""
    regions: Annotated[tuple[Region, ...], Field(min_length=1, max_length=16), SET] = ()
    """Where prompts are handled: every region that may be. Default: the catalogue's, else unknown."""


def _only_with(provider: str) -> Rule:
    return Rule(
        f"(self.provider == '{provider}') == has(self.{provider})",
        f"required with provider: {provider}, and only there",
        lambda spec: (spec.provider == provider) == (getattr(spec, provider) is not None),
        f".{provider}",
    )


def _is_pem(bundle: str | None) -> bool:
    if bundle is None:
        return True
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=bundle)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _without_case(spec: "ProviderKeySpec") -> bool:
    names = [header.name.lower() for header in spec.headers]
    return len(set(names)) == len(names)


class ProviderKeySpec(Part):
    """An account at a provider."""

    provider: ProviderSlug
    """The provider's slug: openai, azure, anthropic, groq …, or openai-compatible with a baseURL or serviceRef."""
    secret_ref: SecretRef | None = None
    """Where the credential is: a Secret in this namespace with the label `byway.dev/credential: "true"`.

    Left out: the provider is called without one.
    """
    base_url: (
        Annotated[
            str,
            Field(max_length=2048),
            Matches(
                r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
                "want a URL without user, query or fragment: https://api.example.com/v1",
            ),
        ]
        | None
    ) = None
    """Where the provider's API is. Default: the catalogue's."""
    service_ref: ServiceRef | None = None
    """A Service in the cluster, in place of baseURL."""
    ca_bundle: Annotated[str, Field(min_length=1, max_length=65536)] | None = None
    """Certificates to trust for this account, as PEM. Default: those of the proxy's image."""
    headers: Annotated[tuple[Header, ...], Field(max_length=16), MAP_BY_NAME] = ()
    """Headers that every request carries. Not for credentials."""
    azure: Azure | None = None
    """With provider: azure."""
    bedrock: Bedrock | None = None
    """With provider: bedrock. Not done in this version."""
    vertex: Vertex | None = None
    """With provider: vertex. Not done in this version."""
    allowed_models: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=64), SET] = ()
    """The models that may be used with this key: `openai/gpt-5*`. Default: all."""
    models: Annotated[tuple[KeyModel, ...], Field(max_length=256), MAP_BY_NAME] = ()
    """What the catalogue lacks, or has otherwise."""
    allowed_namespaces: AllowedNamespaces | None = None
    """Who else may use this key. Default: from: Same, nobody else."""
    rate_limits: RateLimits | None = None
    """The most this account is used. Default: no limits."""
    data_handling: DataHandling | None = None
    """What the provider does with prompts. Default: the catalogue's facts, else the worst."""

    rules: ClassVar = (
        Rule(
            "!(has(self.baseURL) && has(self.serviceRef))",
            "set baseURL or serviceRef, not both",
            lambda spec: spec.base_url is None or spec.service_ref is None,
            ".serviceRef",
        ),
        Rule(
            "!self.provider.endsWith('-compatible') || has(self.baseURL) || has(self.serviceRef)",
            "provider *-compatible needs baseURL or serviceRef",
            lambda spec: not spec.provider.endswith("-compatible") or bool(spec.base_url or spec.service_ref),
            ".provider",
        ),
        Rule(
            "!has(self.headers) || self.headers.all(h, !(h.name.lowerAscii() in ["
            + ", ".join(f"'{name}'" for name in FORBIDDEN_HEADERS)
            + "]))",
            "headers may not set credentials or framing; use secretRef",
            lambda spec: not {header.name.lower() for header in spec.headers} & set(FORBIDDEN_HEADERS),
            ".headers",
        ),
        Rule("", "two headers have one name; upper and lower case are the same", _without_case, ".headers"),
        Rule(
            "",
            "want certificates as PEM: -----BEGIN CERTIFICATE----- …",
            lambda spec: _is_pem(spec.ca_bundle),
            ".caBundle",
        ),
        _only_with("azure"),
        _only_with("bedrock"),
        _only_with("vertex"),
    )


class ProviderKey(Part):
    """An account at a model provider and what may be done with it.

    With one alone, the provider's whole catalogue is callable as `author/model` in its namespace.
    """

    api_version: Literal["byway.dev/v1alpha1"]
    kind: Literal["ProviderKey"]
    metadata: Metadata
    spec: ProviderKeySpec
    status: Any = None

    short_name: ClassVar[str] = "pk"
