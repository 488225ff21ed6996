"""Every example is applied as it is written, and called as its README says.

Through a real operator and proxy, by tokens of its namespaces. Its providers' hosts are a fake's.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from builders.control_plane import ControlPlane
from builders.examples import EXAMPLES, manifests, namespaces
from builders.tables import a_key
from byway_contract.access_key import digest_of
from fakes.egress import Egress, egress
from fakes.fleet import Fleet, fleet
from fakes.machine import until
from fakes.process import provider

HOSTS = {
    "OpenAI": "api.openai.com",
    "Anthropic": "api.anthropic.com",
    "OpenRouter": "openrouter.ai",
    "Azure": "acme-weu.openai.azure.com",
    "left": "127.0.0.1",
    "right": "127.0.0.1",
}
"""By `provider` in an answer."""
WITHIN_S = 15.0


@dataclass(frozen=True)
class Call:
    model: str
    answers: str
    """Providers, by spaces; empty: nobody may answer."""
    namespace: str = ""
    """Empty: the one that the example is applied to."""
    key: bool = False
    """By an access key, not by a token."""


CALLS = {
    "quickstart": [Call("tiny", "left right"), Call("local/tiny", "left right")],
    "one-provider": [Call("openai/gpt-5-mini", "OpenAI"), Call("openai/gpt-5", "OpenAI")],
    "two-providers-one-name": [Call("smart", "OpenAI"), Call("anthropic/claude-haiku-4.5", "Anthropic")],
    "own-key-per-team": [
        Call("openai/gpt-5-mini", "OpenAI", "team-a"),
        Call("openai/gpt-5-mini", "OpenAI", "team-b"),
        Call("openai/gpt-5", "OpenAI", "team-a"),
        Call("openai/gpt-5", "", "team-b"),
        Call("openai/gpt-5-mini", "", "team-c"),
    ],
    # No vLLM runs here, so the cloud answers; that the Service comes first: tests/examples.
    "in-cluster-first": [Call("qwen", "OpenRouter")],
    "shared-key": [Call("fast", "OpenAI", "default"), Call("fast", "", "team-b")],
    "data-policy": [Call("careful", "Azure")],
    "gitops": [Call("smart", "OpenAI")],
    "budget": [Call("smart", "OpenAI"), Call("small", "OpenAI")],
    "access-keys": [Call("smart", "OpenAI"), Call("smart", "OpenAI", key=True)],
}
KEY = a_key(0xF5)
DIGEST = "4a7d1ed414474e4033ac29ccb8653d9b00000000000000000000000000000000"
"""In the example, for a reader's own."""


@pytest.fixture(scope="module")
def world(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Egress]]:
    with ExitStack() as stack:
        url, _ = stack.enter_context(provider(tmp_path_factory.mktemp("fake"), "all", text="Hello to you too."))
        certificate = plane.certificate(*sorted(set(HOSTS.values())))
        way_out = stack.enter_context(egress(url, certificate.cert, certificate.key))
        release = stack.enter_context(fleet(plane, proxies=0))
        release.proxy(0, BYWAY_EGRESS_PROXY=way_out.url, SSL_CERT_FILE=str(plane.ca))
        release.ready(0)
        yield release, way_out


def test_every_example_is_called() -> None:
    assert sorted(CALLS) == [path.name for path in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_a_readme_says_how_to_call_it(example: Path) -> None:
    readme = (example / "README.md").read_text()
    assert f"`{CALLS[example.name][0].model}`" in readme
    assert f"byway check examples/{example.name}" in readme


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_applied_as_it_is_and_called(
    plane: ControlPlane, world: tuple[Fleet, Egress], example: Path
) -> None:
    release, way_out = world
    text = manifests(example).replace(DIGEST, digest_of(KEY))
    own = plane.namespace()
    named = {*namespaces(text), *(call.namespace for call in CALLS[example.name])} - {""}
    for name in sorted(named):
        if plane.kubectl_says("get", "namespace", name).returncode:
            plane.kubectl("create", "namespace", name)
    where = None if namespaces(text) else own
    plane.apply(text, where)
    try:
        for document in yaml.safe_load_all(text):
            if document["kind"] in ("ProviderKey", "ModelRoute", "AccessKey"):
                home = document["metadata"].get("namespace", own)
                plane.wait(
                    document["kind"].lower(), home, document["metadata"]["name"], "condition=Ready", WITHIN_S
                )
        for call in CALLS[example.name]:
            _called(release, way_out, call, call.namespace or own)
    finally:
        plane.kubectl("delete", *(("-n", where) if where else ()), "-f", "-", input=text)


def _called(release: Fleet, way_out: Egress, call: Call, namespace: str) -> None:
    token = KEY if call.key else release.token(namespace)
    if not call.answers:
        status, _, body = release.ask(call.model, token)
        assert status == 400, body
        assert b'"model_not_found"' in body
        return
    until(lambda: release.ask(call.model, token)[0] == 200, WITHIN_S)
    status, _, body = release.ask(call.model, token)
    assert status == 200, body
    answer = json.loads(body)
    assert answer["choices"][0]["message"]["content"] == "Hello to you too."
    assert answer["provider"] in call.answers.split()
    assert HOSTS[answer["provider"]] in way_out.asked


def test_what_flux_waits_for_is_what_is_applied() -> None:
    (gitops,) = (path for path in EXAMPLES if path.name == "gitops")
    flux = yaml.safe_load((gitops / "flux/kustomization.yaml").read_text())["spec"]
    applied = {
        (document["apiVersion"], document["kind"], document["metadata"]["name"])
        for document in yaml.safe_load_all(manifests(gitops))
        if document["kind"] != "Secret"
    }
    assert {(one["apiVersion"], one["kind"], one["name"]) for one in flux["healthChecks"]} == applied
    assert {one["namespace"] for one in flux["healthChecks"]} == {flux["targetNamespace"]}
