"""A real API server takes our kinds, teaches them, and refuses what is wrong in words that a person can act on."""

import json
import re
from pathlib import Path

import pytest
import yaml
from builders.control_plane import ROOT, ControlPlane

EXAMPLES = sorted((ROOT / "examples").glob("*/resources.yaml"))
ROUTE = "{endpoints: [{name: eu, model: openai/gpt-5-mini}]}"
UNCHECKED = "some validation rules were not checked because the object was invalid"

WRONG = [
    (
        "Budget",
        "{limits: [{period: Month, usd: 500}]}",
        'spec.limits[0].usd in body must be of type string: "integer"',
    ),
    (
        "Budget",
        "{limits: [{period: Month, usd: '5e2'}]}",
        'spec.limits[0].usd: Invalid value: "5e2": want US dollars as a quoted decimal: "500"',
    ),
    (
        "Budget",
        "{limits: [{period: Month}]}",
        "spec.limits[0]: Invalid value: set at least one of usd, tokens, requests",
    ),
    (
        "Budget",
        "{limits: [{period: Minute, usd: '5'}]}",
        "spec.limits[0].usd: Invalid value: a Minute limit is a rate limit: requests and tokens only",
    ),
    (
        "Budget",
        "{limits: [{period: Month, usd: '5'}], topUps: [{name: a, period: Month, tokens: 5}]}",
        "spec.topUps: Invalid value: a top-up raises a limit of the same period and unit",
    ),
    (
        "Budget",
        "{limits: [{period: Month, usd: '5'}], topUps: [{name: a, period: Month, usd: '0.0'}]}",
        "spec.topUps[0].usd: Invalid value: raises nothing; leave the top-up out",
    ),
    (
        "Budget",
        "{limits: [{period: Month, usd: '5'}], topUps: [{name: a, period: Month, usd: '1', for: x}]}",
        "spec.topUps: Invalid value: for says whose counter, and goes with per; without it there is one counter",
    ),
    (
        "Budget",
        "{limits: [{period: Month, tokens: 5}], downgrade: {model: small}}",
        "spec.downgrade: Invalid value: downgrade needs a usd limit",
    ),
    (
        "Budget",
        "{limits: [{period: Month, usd: '5'}], enforcement: Observe, downgrade: {model: small}}",
        "spec.downgrade: Invalid value: downgrade goes with enforcement: Enforce; a budget that only observes "
        "changes no answer",
    ),
    (
        "Budget",
        "{limits: [{period: Month, usd: '5'}, {period: Month, tokens: 5}]}",
        'spec.limits[1]: Duplicate value: {"period":"Month"}',
    ),
    (
        "Budget",
        "{appliesTo: {namespaces: {}}, limits: [{period: Month, usd: '5'}]}",
        "spec.appliesTo.namespaces: Invalid value: set names or selector",
    ),
    (
        "ModelRoute",
        "{endpoints: [{name: eu, model: m, wieght: 1}]}",
        'strict decoding error: unknown field "spec.endpoints[0].wieght"',
    ),
    (
        "ModelRoute",
        "{endpoints: [{name: eu, model: m, providerKeyRef: {name: k}, serviceRef: {name: s, port: 80}}]}",
        "spec.endpoints[0].serviceRef: Invalid value: set providerKeyRef or serviceRef, or neither",
    ),
    (
        "ModelRoute",
        "{endpoints: [{name: eu, model: m, weight: 3}]}",
        "spec.endpoints: Invalid value: weight goes with strategy: Weighted, and then on every endpoint",
    ),
    (
        "ModelRoute",
        "{strategy: Fastest, endpoints: [{name: eu, model: m}]}",
        'spec.strategy: Unsupported value: "Fastest": supported values: "Balanced", "Cost", "Latency", '
        '"Throughput", "Availability", "Weighted"',
    ),
    (
        "ModelRoute",
        "{timeouts: {connect: 3 seconds}, endpoints: [{name: eu, model: m}]}",
        'spec.timeouts.connect: Invalid value: "3 seconds": want a duration in h, m, s or ms: "30s" or "1m30s"',
    ),
    (
        "ModelRoute",
        "{timeouts: {firstToken: 2m, request: 1m}, endpoints: [{name: eu, model: m}]}",
        "spec.timeouts.firstToken: Invalid value: firstToken may not be longer than request",
    ),
    (
        "ModelRoute",
        "{endpoints: [{name: eu, model: m}, {name: eu, model: o}]}",
        'spec.endpoints[1]: Duplicate value: {"name":"eu"}',
    ),
    ("ModelRoute", "{}", "spec.endpoints: Required value"),
    (
        "ProviderKey",
        "{provider: openai, baseURL: 'https://x.example/v1', serviceRef: {name: s, port: 80}}",
        "spec.serviceRef: Invalid value: set baseURL or serviceRef, not both",
    ),
    (
        "ProviderKey",
        "{provider: openai-compatible}",
        "spec.provider: Invalid value: provider *-compatible needs baseURL or serviceRef",
    ),
    (
        "ProviderKey",
        "{provider: azure}",
        "spec.azure: Invalid value: required with provider: azure, and only there",
    ),
    (
        "ProviderKey",
        "{provider: openai, headers: [{name: Authorization, value: x}]}",
        "spec.headers: Invalid value: headers may not set credentials or framing; use secretRef",
    ),
    (
        "ProviderKey",
        "{provider: openai, allowedNamespaces: {from: All, names: [a]}}",
        "spec.allowedNamespaces.names: Invalid value: names goes with from: Names",
    ),
    (
        "AccessKey",
        "{keys: [{name: a, sha256: abc}]}",
        'spec.keys[0].sha256: Invalid value: "abc": want the key\'s SHA-256 as 64 hexadecimal digits in lower case',
    ),
    ("AccessKey", "{keys: [{name: a}]}", "spec.keys[0]: Invalid value: set secretRef or sha256"),
]


def manifest(kind: str, spec: str, name: str = "x") -> str:
    return f"apiVersion: byway.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"


@pytest.mark.parametrize(("kind", "spec", "message"), WRONG)
def test_a_wrong_manifest_is_refused_by_kubectl_apply_with_the_way_out(
    plane: ControlPlane, kind: str, spec: str, message: str
) -> None:
    said = plane.kubectl_says("apply", "-f", "-", input=manifest(kind, spec))
    assert said.returncode == 1
    assert message in said.stderr
    # Beside a wrong type the server says that it did not look further. Nothing else stands beside the message.
    others = [line for line in said.stderr.splitlines()[1:] if message not in line and UNCHECKED not in line]
    assert others == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_applies_and_nothing_is_different_afterwards(plane: ControlPlane, path: Path) -> None:
    text = path.read_text()
    for document in yaml.safe_load_all(text):
        _has_namespace(plane, document["metadata"].get("namespace", "default"))
    plane.apply(text)
    before = _generations(plane, text)
    assert plane.kubectl_says("diff", "--server-side", "-f", "-", input=text).stdout == ""
    plane.apply(text)
    assert _generations(plane, text) == before
    plane.kubectl("delete", "-f", "-", input=text)


def test_until_the_operator_has_spoken_no_generation_is_observed(plane: ControlPlane) -> None:
    namespace = plane.namespace()
    plane.apply(manifest("ModelRoute", ROUTE), namespace)
    assert plane.get("modelroute", namespace, "x")["status"] == {"observedGeneration": -1}


def test_the_server_writes_no_default_into_a_spec(plane: ControlPlane) -> None:
    namespace = plane.namespace()
    plane.apply(manifest("ModelRoute", ROUTE), namespace)
    assert plane.get("mr", namespace, "x")["spec"] == yaml.safe_load(ROUTE)


@pytest.mark.parametrize(
    ("short", "kind", "spec", "columns"),
    [
        ("mr", "ModelRoute", ROUTE, "NAME READY ENDPOINTS TTFT PROGRAMMED AGE"),
        (
            "bdg",
            "Budget",
            "{limits: [{period: Month, usd: '5'}]}",
            "NAME LIMIT SPENT RESERVED REMAINING RESETS ENFORCING AGE",
        ),
        ("pk", "ProviderKey", "{provider: openai}", "NAME PROVIDER VALID MODELS LAST-USED ERRORS AGE"),
    ],
)
def test_kubectl_get_has_the_columns_that_answer_a_question(
    plane: ControlPlane, short: str, kind: str, spec: str, columns: str
) -> None:
    namespace = plane.namespace()
    plane.apply(manifest(kind, spec), namespace)
    assert plane.kubectl("get", short, "-n", namespace).splitlines()[0].split() == columns.split()
    assert f"{kind.lower()}.byway.dev/x" in plane.kubectl("get", "byway", "-n", namespace)


@pytest.mark.parametrize(
    ("path", "taught"),
    [
        ("modelroute", "Names of your own for a choice of endpoints"),
        ("modelroute.spec.endpoints", "A step is used when all endpoints of the steps before it are out or full"),
        ("providerkey.spec.secretRef", "byway.dev/credential"),
        ("budget.spec.limits.usd", "US dollars, a quoted decimal"),
        ("accesskey.spec.keys", "sha256"),
    ],
)
def test_kubectl_explain_teaches(plane: ControlPlane, path: str, taught: str) -> None:
    assert taught in re.sub(r"\s+", " ", plane.kubectl("explain", path))


def _has_namespace(plane: ControlPlane, name: str) -> None:
    if plane.kubectl_says("get", "namespace", name).returncode:
        plane.kubectl("create", "namespace", name)


def _generations(plane: ControlPlane, text: str) -> list[tuple[str, int]]:
    """Of every object that the text names. Not the resourceVersion: where no status is stored yet, the first write
    after the creation, even an empty one, stores the default.
    """
    found = json.loads(plane.kubectl("get", "-f", "-", "-o", "json", input=text))
    items = found.get("items", [found])
    return [(item["metadata"]["uid"], item["metadata"].get("generation", 0)) for item in items]
