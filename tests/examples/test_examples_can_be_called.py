"""Each folder in examples/ is accepted whole, and what it is for can be called, with fakes as the providers."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from builders.desk import fake_providers
from builders.examples import EXAMPLES, manifests
from builders.tables import a_key
from byway_contract.access_key import digest_of
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
    "access-keys": ("smart",),
    "budget": ("smart", "small"),
}
"""The models that each one's README promises."""

KEYS = [a_key(0xE0 + number) for number in range(4)]


def test_every_example_is_called() -> None:
    assert sorted(path.name for path in EXAMPLES) == sorted(CALLED)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_can_be_called(example: Path) -> None:
    with fake_providers(1) as (url,):
        address = url.removeprefix("http://").removesuffix("/v1")
        files = {"resources.yaml": _called_with(KEYS, _pointed_at(url, manifests(example)))}
        with machine(files, "--service", f"default/vllm:8000={address}") as made:
            for model in CALLED[example.name]:
                status, _, body = made.ask(model)
                assert status == 200, body
                assert json.loads(body)["model"]
                until(lambda model=model: json.loads(made.byway("explain", model, "-o", "json"))["candidates"])
            _all_ready(made)
            _let_in(made, len(list(_digests(manifests(example)))))


def _let_in(made: Machine, keys: int) -> None:
    """Each of the example's keys, and no other: `smart` is what they may call."""
    for key in KEYS[:keys]:
        assert made.ask("smart", key=key)[0] == 200
    assert made.ask("smart", key=KEYS[keys])[0] == 401
    if keys:
        users = until(lambda: json.loads(made.byway("usage", "--by", "access_key,user", "-o", "json"))[1:])
        assert all(row["key"]["access_key"] for row in users if row["key"]["user"])


def _digests(text: str) -> Iterator[dict[str, str]]:
    """The entries of its AccessKeys that hold one."""
    for document in yaml.safe_load_all(text):
        if document["kind"] == "AccessKey":
            yield from (entry for entry in document["spec"]["keys"] if "sha256" in entry)


def _called_with(keys: Sequence[str], text: str) -> str:
    """The same resources, their digests of keys that we have."""
    for entry, key in zip(_digests(text), keys, strict=False):
        text = text.replace(entry["sha256"], digest_of(key))
    return text


def _pointed_at(url: str, text: str) -> str:
    """The same resources, their accounts at the fake provider."""
    documents = list(yaml.safe_load_all(text))
    for document in documents:
        if document["kind"] == "ProviderKey":
            document["spec"]["baseURL"] = url
    return yaml.safe_dump_all(documents)


def _all_ready(made: Machine) -> None:
    def unready() -> list[str]:
        items = json.loads(made.byway("get", "modelroutes,providerkeys,budgets,accesskeys", "-o", "json"))["items"]
        return [item["metadata"]["name"] for item in items if not _is_ready(item["status"]["conditions"])]

    until(lambda: unready() == [])


def _is_ready(conditions: list[dict[str, str]]) -> bool:
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
