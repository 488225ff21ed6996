"""The kinds as they are meant to be written."""

import base64
import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from byway_operator.resources.access_key import AccessKey
from byway_operator.resources.budget import Budget
from byway_operator.resources.common import Part, milliseconds
from byway_operator.resources.faults import rule_faults
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.resources.model_route import ModelRoute
from byway_operator.resources.parse import Rejected, parse
from byway_operator.resources.provider_key import ProviderKey
from byway_operator.resources.secret import Secret
from byway_operator.watch.documents import read_documents
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

WHOLE = b"""
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {name: azure, namespace: platform}
spec:
  provider: azure
  secretRef: {name: azure-key, key: apiKey}
  baseURL: https://acme-weu.openai.azure.com/openai/v1
  headers: [{name: OpenAI-Organization, value: org-1}]
  azure: {resource: acme-weu, apiVersion: v1}
  allowedModels: ["openai/gpt-5*"]
  models:
  - name: openai/gpt-5-mini
    upstreamName: prod-gpt5mini
    price: {perMillionTokens: {input: "0.22", output: "1.80", cacheRead: "0.02"}, perRequest: "0"}
    capabilities: {contextLength: 400000, maxOutputTokens: 128000, inputModalities: [Text, Image],
                   features: [Tools]}
  allowedNamespaces: {from: Names, names: [team-a]}
  rateLimits: {maxConcurrentRequests: 400}
  dataHandling: {training: Never, retentionDays: 0, regions: [eu]}
---
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {name: smart, namespace: team-a}
spec:
  modelNames: [smart, "qwen3:32b"]
  displayName: Smart
  endpoints:
  - {name: azure, providerKeyRef: {name: azure, namespace: platform}, model: openai/gpt-5-mini, weight: 1}
  - {name: vllm, serviceRef: {name: vllm, port: 8000}, model: Qwen/Qwen3-32B, weight: 3,
     capabilities: {contextLength: 131072}}
  - {name: any, model: qwen/qwen3-32b, order: 1, weight: 1}
  strategy: Weighted
  fallbackModels: [anthropic/claude-haiku-4.5]
  timeouts: {connect: 3s, firstToken: 60s, idle: 150s, request: 15m}
  maxAttempts: 3
  request: {defaults: {temperature: 0.2, stop: null}, maxOutputTokens: 8192}
  dataPolicy: {training: Deny, maxRetentionDays: 0, regions: [eu]}
  allowedNamespaces: {from: Same}
"""


def paths(body: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    return [path] * bool(path) + [found for step, value in inner for found in paths(value, (*path, step))]


ODD = st.sampled_from(
    [None, True, -1, 0, 1.5, 10**30, "", "x", "5", "\ud800", [], [None], ["a", "a"], {}, {"a": None}]
)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.booleans())
def test_whatever_stands_in_a_field_is_taken_or_refused_by_its_path(data: st.DataObject, strict: bool) -> None:
    manifest = data.draw(st.sampled_from(read_documents("a.yaml", WHOLE).manifests))
    body = copy.deepcopy(dict(manifest.body))
    for _ in range(data.draw(st.integers(1, 3))):
        *around, last = data.draw(st.sampled_from(paths(body)))
        holder: Any = body
        for step in around:
            holder = holder[step]
        holder[last] = copy.deepcopy(data.draw(ODD))
    try:
        parse(replace(manifest, body=body), strict)
    except Rejected as rejected:
        told = rejected
    else:
        return
    assert told.field
    assert ": " in told.message


def secret(**fields: Any) -> Manifest:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, **fields}
    return Manifest(Key("Secret", "default", "k"), body)


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def test_everything_that_the_reference_shows_is_accepted() -> None:
    reading = read_documents("a.yaml", WHOLE)
    key, route = (parse(manifest, strict=True) for manifest in reading.manifests)
    assert isinstance(key, ProviderKey)
    assert isinstance(route, ModelRoute)
    price = key.spec.models[0].price
    assert price is not None
    assert price.per_million_tokens.output == "1.80", "money stays as it was written"
    assert [endpoint.effective_order for endpoint in route.spec.endpoints] == [0, 0, 1]
    service = route.spec.endpoints[1].service_ref
    assert service is not None
    assert (service.effective_scheme, service.effective_path) == ("http", "/v1")
    assert route.effective_model_names == ("smart", "qwen3:32b")
    assert route.spec.request is not None
    assert route.spec.request.defaults == {"temperature": 0.2, "stop": None}


def test_a_credential_is_found_in_either_place_without_the_newline_of_echo() -> None:
    found = parse(secret(data={"apiKey": encoded(b"sk-1\n")}, stringData={"other": "sk-2"}), strict=True)
    assert isinstance(found, Secret)
    first, other = found.credential("apiKey"), found.credential("other")
    assert first is not None
    assert other is not None
    assert (first.reveal(), other.reveal()) == ("sk-1", "sk-2")
    assert found.credential("missing") is None
    assert found.entries() == {"apiKey", "other"}


def test_plain_text_wins_over_base64_as_it_does_in_kubernetes() -> None:
    found = parse(secret(data={"apiKey": encoded(b"old")}, stringData={"apiKey": "new"}), strict=True)
    assert isinstance(found, Secret)
    credential = found.credential("apiKey")
    assert credential is not None
    assert credential.reveal() == "new"


def test_bytes_that_are_no_text_are_no_credential_and_no_error() -> None:
    found = parse(secret(type="kubernetes.io/tls", data={"key": encoded(b"\xff\xfe")}), strict=True)
    assert isinstance(found, Secret)
    assert found.entries() == {"key"}
    assert found.credential("key") is None


def test_only_a_labelled_secret_is_ours_to_use() -> None:
    labels = {"byway.dev/credential": "true"}
    ours = parse(secret(metadata={"name": "k", "labels": labels, "creationTimestamp": None}), strict=True)
    other = parse(secret(), strict=True)
    assert isinstance(ours, Secret)
    assert isinstance(other, Secret)
    assert (ours.labelled, other.labelled) == (True, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"apiKey": "sk-hidden!"}},
        {"data": {"apiKey": ["sk-hidden"]}},
        {"stringData": {"apiKey": {"sk-hidden": 1}}},
        {"stringData": "sk-hidden"},
        {"stringData": {"apiKey": "sk-hidden"}, "immutable": "sk-hidden"},
        {"stringData": {"apiKey": "sk-hidden"}, "tpye": "sk-hidden"},
        {"data": {"apiKey": encoded(b"sk-hidden")}, "type": 5},
    ],
)
def test_no_message_about_a_secret_shows_a_value(fields: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        parse(secret(**fields), strict=True)
    shown: BaseException | None = caught.value
    while shown is not None:
        assert "sk-hidden" not in f"{shown!r} {shown}"
        shown = shown.__cause__ or shown.__context__
    with pytest.raises(ValidationError) as raw:
        Secret.model_validate({**secret().body, **fields})
    assert "sk-hidden" not in str(raw.value)


def test_a_secret_does_not_show_itself() -> None:
    found = parse(secret(stringData={"apiKey": "sk-hidden"}), strict=True)
    assert "sk-hidden" not in f"{found!r} {found}"


@pytest.mark.parametrize(("text", "ms"), [("3s", 3000), ("1m30s", 90_000), ("5ms", 5), ("1h1ms", 3_600_001)])
def test_durations_are_read(text: str, ms: int) -> None:
    assert milliseconds(text) == ms


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        (Budget, {"limits": [{"period": "Month"}]}, "set at least one of usd, tokens, requests"),
        (
            Budget,
            {"limits": [{"period": "Minute", "usd": "5"}]},
            "a Minute limit is a rate limit: requests and tokens only",
        ),
        (
            Budget,
            {"limits": [{"period": "Day", "tokens": 5}], "downgrade": {"model": "a"}},
            "downgrade needs a usd limit",
        ),
        (
            Budget,
            {"limits": [{"period": "Day", "tokens": 5}], "topUps": [{"name": "a", "period": "Day", "usd": "1"}]},
            "a top-up raises a limit of the same period and unit",
        ),
        (AccessKey, {"keys": [{"name": "a"}]}, "set secretRef or sha256"),
        (
            AccessKey,
            {"keys": [{"name": "a", "sha256": "0" * 64, "secretRef": {"name": "a"}}]},
            "set secretRef or sha256",
        ),
    ],
)
def test_the_rules_of_the_kinds_to_come_hold_already(kind: type[Part], spec: dict[str, Any], message: str) -> None:
    body = {"apiVersion": "byway.dev/v1alpha1", "kind": kind.__name__, "metadata": {"name": "a"}, "spec": spec}
    assert [fault.message for fault in rule_faults(kind.model_validate_json(json.dumps(body)))] == [message]


def parts(kind: type[BaseModel]) -> list[dict[str, Any]]:
    schema = kind.model_json_schema()
    return [{**schema, "name": kind.__name__}, *({**part, "name": name} for name, part in schema["$defs"].items())]


@pytest.mark.parametrize("kind", [ModelRoute, ProviderKey, Budget, AccessKey])
def test_kubectl_explain_has_a_sentence_for_every_field(kind: type[BaseModel]) -> None:
    for part in parts(kind):
        if part["name"] == "Metadata":
            continue
        assert part["description"], part["name"]
        for name, field in part["properties"].items():
            if part["name"] != kind.__name__:
                assert field.get("description"), f"{part['name']}.{name}"


def unbounded(schema: Any, path: str) -> list[str]:
    """Strings, lists and maps without a bound: an API server refuses rules over such."""
    bounds = {"string": "maxLength", "array": "maxItems"}
    found: list[str] = []
    if isinstance(schema, dict):
        kind = schema.get("type")
        if kind in bounds and not {"enum", "const", bounds[kind]} & schema.keys():
            found.append(path)
        if kind == "object" and schema.get("additionalProperties") and "maxProperties" not in schema:
            found.append(path)
        for name, inner in schema.items():
            found += unbounded(inner, f"{path}.{name}")
    elif isinstance(schema, list):
        for index, inner in enumerate(schema):
            found += unbounded(inner, f"{path}[{index}]")
    return found


@pytest.mark.parametrize("kind", [ModelRoute, ProviderKey, Budget, AccessKey])
def test_everything_has_a_bound(kind: type[BaseModel]) -> None:
    ours = [part for part in parts(kind) if part["name"] not in ("Metadata", kind.__name__)]
    assert [path for part in ours for path in unbounded(part["properties"], part["name"])] == []


@pytest.mark.parametrize("kind", [ModelRoute, ProviderKey, Budget, AccessKey])
def test_no_default_would_be_written_into_anybodys_object(kind: type[BaseModel]) -> None:
    for part in parts(kind):
        for name, field in part["properties"].items():
            assert field.get("default") in (None, []), f"{part['name']}.{name}"
