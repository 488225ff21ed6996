"""Every way we know to write a resource wrongly, with the very words a person then reads."""

from collections.abc import Mapping
from typing import Any

import pytest
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.resources.parse import Rejected, parse
from byway_operator.resources.yaml_text import documents_of

EU = "{name: eu, model: a/b}"
WEIGHT = "weight goes with strategy: Weighted, and then on every endpoint"
ACCOUNT = (
    "price and capabilities belong to the account: set them in the ProviderKey's models[]; "
    "here only beside serviceRef"
)
MONEY = 'want US dollars as a quoted decimal: "500"'
DURATION = 'want a duration in h, m, s or ms: "30s" or "1m30s"'

# spec, path by index, path as read, message. The reason is Invalid.
ROUTES = [
    ("{}", "spec.endpoints", "", "required"),
    ("{endpoints: []}", "spec.endpoints", "", "an empty list; want at least 1 entry"),
    ("{endpoints: {a: b}}", "spec.endpoints", "", "want a list: each entry behind a dash"),
    ("{endpoints: [eu]}", "spec.endpoints[0]", "", "want fields below it, not a single value"),
    (
        "{endpoints: [{name: us, model: a/b}, {name: eu, modle: a/b}]}",
        "spec.endpoints[1].modle",
        "spec.endpoints[eu].modle",
        "no such field; did you mean model?",
    ),
    ("{endpoints: [{name: eu}]}", "spec.endpoints[0].model", "spec.endpoints[eu].model", "required"),
    (
        "{endpoints: [@EU, @EU]}",
        "spec.endpoints[1].name",
        "spec.endpoints[eu].name",
        '"eu" is here already; want each name once',
    ),
    (
        "{endpoints: [{name: EU, model: a/b}]}",
        "spec.endpoints[0].name",
        "spec.endpoints[EU].name",
        "want lower-case letters, digits and dashes, at most 63, a letter or digit at both ends",
    ),
    (
        "{endpoints: [{name: eu, model: a/*}]}",
        "spec.endpoints[0].model",
        "spec.endpoints[eu].model",
        "want a model's name, without spaces; names are matched exactly, `*` means nothing here",
    ),
    (
        "{endpoints: [{name: eu, model: a, providerKeyRef: {name: k}, serviceRef: {name: s, port: 80}}]}",
        "spec.endpoints[0].serviceRef",
        "spec.endpoints[eu].serviceRef",
        "set providerKeyRef or serviceRef, or neither",
    ),
    (
        "{endpoints: [{name: eu, model: a, price: {perMillionTokens: {input: '5', output: '1'}}}]}",
        "spec.endpoints[0]",
        "spec.endpoints[eu]",
        ACCOUNT,
    ),
    (
        "{endpoints: [{name: eu, model: a, providerKeyRef: {name: k}, capabilities: {contextLength: 5}}]}",
        "spec.endpoints[0]",
        "spec.endpoints[eu]",
        ACCOUNT,
    ),
    (
        "{endpoints: [{name: eu, model: a, serviceRef: {name: s, port: 80}, "
        "price: {perMillionTokens: {input: 5, output: '1'}}}]}",
        "spec.endpoints[0].price.perMillionTokens.input",
        "spec.endpoints[eu].price.perMillionTokens.input",
        MONEY,
    ),
    (
        "{endpoints: [{name: eu, model: a, serviceRef: {name: s, port: 0}}]}",
        "spec.endpoints[0].serviceRef.port",
        "spec.endpoints[eu].serviceRef.port",
        "at least 1",
    ),
    (
        "{endpoints: [{name: eu, model: a, serviceRef: {name: s, port: 1, path: v1}}]}",
        "spec.endpoints[0].serviceRef.path",
        "spec.endpoints[eu].serviceRef.path",
        "want a path from / on: /v1",
    ),
    (
        "{endpoints: [{name: eu, model: a, weight: '1'}]}",
        "spec.endpoints[0].weight",
        "spec.endpoints[eu].weight",
        "want a whole number, without quotes",
    ),
    (
        "{endpoints: [{name: eu, model: a, order: 101}]}",
        "spec.endpoints[0].order",
        "spec.endpoints[eu].order",
        "at most 100",
    ),
    ("{endpoints: [{name: eu, model: a, weight: 1}]}", "spec.endpoints", "", WEIGHT),
    ("{endpoints: [@EU], strategy: Weighted}", "spec.endpoints", "", WEIGHT),
    (
        "{endpoints: [{name: a, model: a, weight: 1}, {name: b, model: a}], strategy: Weighted}",
        "spec.endpoints",
        "",
        WEIGHT,
    ),
    (
        "{modelNames: [a, a], endpoints: [@EU]}",
        "spec.modelNames[1]",
        "",
        '"a" is here already; want each entry once',
    ),
    ("{modelNames: [no], endpoints: [@EU]}", "spec.modelNames[0]", "", None),
    (
        "{modelNames: [@17], endpoints: [@EU]}",
        "spec.modelNames",
        "",
        "at most 16 entries, not 17",
    ),
    ("{endpoints: [@EU], timeouts: {firstToken: 20}}", "spec.timeouts.firstToken", "", DURATION),
    ("{endpoints: [@EU], timeouts: {firstToken: 20 s}}", "spec.timeouts.firstToken", "", DURATION),
    ('{endpoints: [@EU], timeouts: {firstToken: "20s\\n"}}', "spec.timeouts.firstToken", "", DURATION),
    (
        "{endpoints: [@EU], timeouts: {idle: 0s}}",
        "spec.timeouts.idle",
        "",
        "want more than nothing and at most 24h",
    ),
    (
        "{endpoints: [@EU], timeouts: {request: 24h1ms}}",
        "spec.timeouts.request",
        "",
        "want more than nothing and at most 24h",
    ),
    (
        "{endpoints: [@EU], timeouts: {firstToken: 61s, request: 1m}}",
        "spec.timeouts.firstToken",
        "",
        "firstToken may not be longer than request",
    ),
    (
        "{endpoints: [@EU], request: {defaults: {temperature: 0, stream: true}}}",
        "spec.request.defaults",
        "",
        "defaults may not set model, models, messages, prompt, input, stream: those are the caller's",
    ),
    (
        "{endpoints: [@EU], request: {defaults: {provider: {zdr: true}}}}",
        "spec.request.defaults",
        "",
        "defaults may not set provider, route, plugins, preset, transforms, user, session_id, stream_options: no "
        "provider is sent those",
    ),
    (
        "{endpoints: [@EU], dataPolicy: }",
        "spec.dataPolicy",
        "",
        "has no value; give it one or take the line out",
    ),
    (
        "{endpoints: [@EU], dataPolicy: {residency: eu}}",
        "spec.dataPolicy.residency",
        "",
        "no such field; there are training, maxRetentionDays, regions",
    ),
    (
        "{endpoints: [@EU], allowedNamespaces: {from: Names}}",
        "spec.allowedNamespaces.names",
        "",
        "names goes with from: Names",
    ),
    (
        "{endpoints: [@EU], allowedNamespaces: {names: [a]}}",
        "spec.allowedNamespaces.names",
        "",
        "names goes with from: Names",
    ),
    (
        "{endpoints: [@EU], allowedNamespaces: {from: All, selector: {matchLabels: {a: b}}}}",
        "spec.allowedNamespaces.selector",
        "",
        "selector goes with from: Selector",
    ),
    (
        "{endpoints: [@EU], allowedNamespaces: {from: Selector, selector: {matchExpressions: "
        "[{key: a, operator: In}]}}}",
        "spec.allowedNamespaces.selector.matchExpressions[0].values",
        "",
        "values go with In and NotIn, and those need some",
    ),
]

ONLY = "required with provider: {0}, and only there"
KEYS = [
    ("{}", "spec.provider", "", "required"),
    ("{provider: OpenAI}", "spec.provider", "", "want a provider's slug in lower case: openai"),
    (
        "{provider: openai, baseURL: 'https://a/v1', serviceRef: {name: s, port: 80}}",
        "spec.serviceRef",
        "",
        "set baseURL or serviceRef, not both",
    ),
    (
        "{provider: openai-compatible}",
        "spec.provider",
        "",
        "provider *-compatible needs baseURL or serviceRef",
    ),
    (
        "{provider: openai, baseURL: 'https://me@a/v1'}",
        "spec.baseURL",
        "",
        "want a URL without user, query or fragment: https://api.example.com/v1",
    ),
    (
        "{provider: openai, headers: [{name: X-Org, value: a}, {name: Authorization, value: b}]}",
        "spec.headers",
        "",
        "headers may not set credentials or framing; use secretRef",
    ),
    (
        "{provider: openai, headers: [{name: X-Org, value: a}, {name: x-org, value: b}]}",
        "spec.headers",
        "",
        "two headers have one name; upper and lower case are the same",
    ),
    (
        "{provider: openai, headers: [{name: 'X Org', value: a}]}",
        "spec.headers[0].name",
        "spec.headers[X Org].name",
        "want a header's name: OpenAI-Organization",
    ),
    (
        '{provider: openai, headers: [{name: X-Org, value: "a\\r\\nHost: b"}]}',
        "spec.headers[0].value",
        "spec.headers[X-Org].value",
        "want a header's value: one line of plain ASCII, quoted",
    ),
    ("{provider: azure}", "spec.azure", "", ONLY.format("azure")),
    ("{provider: openai, azure: {resource: a}}", "spec.azure", "", ONLY.format("azure")),
    ("{provider: openai, bedrock: {region: a}}", "spec.bedrock", "", ONLY.format("bedrock")),
    ("{provider: openai, vertex: {project: a, location: b}}", "spec.vertex", "", ONLY.format("vertex")),
    (
        "{provider: openai, caBundle: 'no certificate'}",
        "spec.caBundle",
        "",
        "want certificates as PEM: -----BEGIN CERTIFICATE----- …",
    ),
    (
        "{provider: openai, secretRef: {name: a, kye: b}}",
        "spec.secretRef.kye",
        "",
        "no such field; did you mean key?",
    ),
    (
        "{provider: openai, baseUrl: 'https://a'}",
        "spec.baseUrl",
        "",
        "no such field; did you mean baseURL?",
    ),
    (
        "{provider: openai, models: [{name: a/b}, {name: a/b}]}",
        "spec.models[1].name",
        "spec.models[a/b].name",
        '"a/b" is here already; want each name once',
    ),
    (
        "{provider: openai, allowedModels: []}",
        "spec.allowedModels",
        "",
        "an empty list; want at least 1 entry",
    ),
    (
        "{provider: openai, dataHandling: {retentionDays: -1}}",
        "spec.dataHandling.retentionDays",
        "",
        "at least 0",
    ),
    (
        "{provider: openai, rateLimits: {maxConcurrentRequests: 1.5}}",
        "spec.rateLimits.maxConcurrentRequests",
        "",
        "want a whole number, without quotes",
    ),
]

UNSUPPORTED = [
    (
        "ModelRoute",
        "{endpoints: [@EU], strategy: Balansed}",
        "spec.strategy",
        'spec.strategy: "Balansed" is not supported; want Balanced, Cost, Latency, Throughput, Availability '
        "or Weighted; did you mean Balanced?",
    ),
    (
        "ModelRoute",
        "{endpoints: [@EU], dataPolicy: {training: Allow}}",
        "spec.dataPolicy.training",
        'spec.dataPolicy.training: "Allow" is not supported; want Deny',
    ),
    (
        "ProviderKey",
        "{provider: openai, models: [{name: a/b, capabilities: {features: [Tools, tools]}}]}",
        "spec.models[0].capabilities.features[1]",
        'spec.models[a/b].capabilities.features[1]: "tools" is not supported; want Tools, StructuredOutputs, '
        "JSONObject, Reasoning, Temperature, Attachments or Logprobs; did you mean Tools?",
    ),
]

UNDONE = [
    ("ProviderKey", "{provider: bedrock, bedrock: {region: eu-west}}", "spec.provider"),
    ("ProviderKey", "{provider: bedrock}", "spec.provider"),
    ("ProviderKey", "{provider: vertex, vertex: {project: a, location: eu}}", "spec.provider"),
    ("ProviderKey", "{provider: azure, azure: {resource: a, apiVersion: 2024-10-21}}", "spec.azure.apiVersion"),
]


def manifest(kind: str, spec: str | Mapping[str, Any], version: str = "byway.dev/v1alpha1") -> Manifest:
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}
    if isinstance(spec, str):
        text = spec.replace("@EU", EU).replace("@17", ", ".join(f"m{number}" for number in range(17)))
        (document,) = documents_of(text.encode(), json=False)
        spec = document.value
    return Manifest(Key(kind, "default", "a"), {**body, "spec": spec})


def rejection(wrong: Manifest, strict: bool = True) -> Rejected:
    with pytest.raises(Rejected) as caught:
        parse(wrong, strict)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "spec", "field", "read", "message"),
    [("ModelRoute", *row) for row in ROUTES] + [("ProviderKey", *row) for row in KEYS],
)
def test_what_is_wrong_is_told_by_its_field(
    kind: str, spec: str, field: str, read: str, message: str | None
) -> None:
    rejected = rejection(manifest(kind, spec))
    assert (rejected.reason, rejected.field) == ("Invalid", field)
    if message is not None:
        assert rejected.message == f"{read or field}: {message}"
    assert rejected.message.startswith(f"{read or field}: ")


@pytest.mark.parametrize(("kind", "spec", "field", "message"), UNSUPPORTED)
def test_a_word_that_an_enum_lacks_is_unsupported(kind: str, spec: str, field: str, message: str) -> None:
    rejected = rejection(manifest(kind, spec))
    assert (rejected.reason, rejected.field, rejected.message) == ("UnsupportedValue", field, message)


@pytest.mark.parametrize(("kind", "spec", "field"), UNDONE)
@pytest.mark.parametrize("strict", [True, False])
def test_what_is_not_done_is_refused_and_never_ignored(kind: str, spec: str, field: str, strict: bool) -> None:
    rejected = rejection(manifest(kind, spec), strict)
    assert (rejected.reason, rejected.field) == ("NotImplemented", field)
    assert "not done in this version" in rejected.message


def test_several_faults_are_counted_and_the_first_on_the_page_is_told() -> None:
    spec = "{strategy: Best, endpoints: [{name: eu, model: 5}], timeouts: {idle: 1}, maxAttempts: 0}"
    rejected = rejection(manifest("ModelRoute", spec))
    assert rejected.field == "spec.strategy"
    assert rejected.message.endswith("(and 3 more)")


def test_behind_an_api_server_an_unknown_field_is_ignored_and_a_wrong_one_is_not() -> None:
    newer = "{endpoints: [{name: eu, model: a/b, newer: 1}], newest: {a: b}}"
    assert parse(manifest("ModelRoute", newer), strict=False)
    assert rejection(manifest("ModelRoute", newer)).message == (
        "spec.endpoints[eu].newer: no such field; there are name, providerKeyRef, serviceRef, model, order, "
        "weight, maxConcurrentRequests, price, capabilities (and 1 more)"
    )
    assert rejection(manifest("ModelRoute", "{endpoints: []}"), strict=False).field == "spec.endpoints"


def test_a_slip_in_metadata_is_told() -> None:
    wrong = manifest("ModelRoute", "{endpoints: [@EU]}")
    body = {**wrong.body, "metadata": {"name": "a", "lables": {"a": "b"}}}
    assert rejection(Manifest(wrong.key, body)).message == "metadata.lables: no such field; did you mean labels?"
