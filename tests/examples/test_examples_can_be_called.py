"""Each folder in examples/ is accepted whole, and what it is for can be called, with fakes as the providers."""

import json
from pathlib import Path

import pytest
import yaml
from builders.desk import fake_providers
from builders.examples import EXAMPLES, manifests
from fakes.machine import Machine, machine, until

CALLED = {
    "quickstart": ("tiny", "local/tiny"),
    "one-provider": ("openai/gpt-5-mini",),
    "two-providers-one-name": ("smart", "openai/gpt-5-mini", "anthropic/claude-haiku-4.5"),
    "in-cluster-first": ("qwen",),
    "shared-key": ("fast",),
    "own-key-per-team": (),  # on one machine nobody is of these namespaces
    "data-policy": ("careful",),
    "gitops": ("smart",),
}
"""The models that each one's README promises."""


def test_every_example_is_called() -> None:
    assert sorted(path.name for path in EXAMPLES) == sorted(CALLED)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_can_be_called(example: Path) -> None:
    with fake_providers(1) as (url,):
        address = url.removeprefix("http://").removesuffix("/v1")
        files = {"resources.yaml": _pointed_at(url, manifests(example))}
        with machine(files, "--service", f"default/vllm:8000={address}") as made:
            for model in CALLED[example.name]:
                status, _, body = made.ask(model)
                assert status == 200, body
                assert json.loads(body)["model"]
                until(lambda model=model: json.loads(made.byway("explain", model, "-o", "json"))["candidates"])
            _all_ready(made)


def _pointed_at(url: str, text: str) -> str:
    """The same resources, their accounts at the fake provider."""
    documents = list(yaml.safe_load_all(text))
    for document in documents:
        if document["kind"] == "ProviderKey":
            document["spec"]["baseURL"] = url
    return yaml.safe_dump_all(documents)


def _all_ready(made: Machine) -> None:
    def unready() -> list[str]:
        items = json.loads(made.byway("get", "modelroutes,providerkeys", "-o", "json"))["items"]
        return [item["metadata"]["name"] for item in items if not _is_ready(item["status"]["conditions"])]

    until(lambda: unready() == [])


def _is_ready(conditions: list[dict[str, str]]) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
