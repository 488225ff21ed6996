"""Floors and labels: whom they bind, and what happens when nobody can tell."""

from collections.abc import Mapping
from typing import Any

import yaml
from byway_contract.table import Floor, Table, decode
from byway_operator.compile.catalogue.catalogue import Catalogue, Provider, Written, assemble, load
from byway_operator.compile.compile import compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import Compiled
from byway_operator.resources.manifest import Key, Manifest, Surroundings

FLOOR = Key("ConfigMap", "platform", "byway-floor")
LABELS = {"team-a": {"data": "patients"}, "team-b": {}}


def resource(kind: str, name: str, namespace: str, **spec: Any) -> Manifest:
    body = {"apiVersion": "byway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return Manifest(Key(kind, namespace, name), body)


def floor(text: str | None = None, *floors: dict[str, Any], name: str = "byway-floor") -> Manifest:
    said = text if text is not None else yaml.safe_dump({"floors": list(floors)})
    metadata = {"name": name, "namespace": "platform", "labels": {"byway.dev/floor": "true"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"floor.yaml": said}}
    return Manifest(Key("ConfigMap", "platform", name), body)


def compiled(
    *manifests: Manifest,
    labels: Mapping[str, Mapping[str, str]] = LABELS,
    good: Mapping[Key, Manifest] | None = None,
    catalogue: Catalogue | None = None,
) -> Compiled:
    return compile_table(
        {one.key: one for one in manifests},
        held_back=good or {},
        refused={},
        settings=Settings(trusted_namespaces=("platform",), namespace="platform", strict=False),
        catalogue=catalogue or load(),
        surroundings=Surroundings(labels),
    )


def bound(made: Compiled) -> dict[str, Floor]:
    table: Table = decode(made.sections)
    return {namespace: one for one in table.floors for namespace in one.namespaces}


PATIENTS = {
    "name": "patients",
    "namespaces": {"selector": {"matchLabels": {"data": "patients"}}},
    "dataPolicy": {"training": "Deny"},
}


def test_a_floor_by_label_binds_those_that_have_it_and_those_nobody_knows() -> None:
    floors = bound(compiled(floor(None, PATIENTS)))
    assert floors["*"].policies[0].deny_training
    assert floors["team-b"].policies == ()
    assert "team-a" not in floors  # as all that are not named


def test_all_floors_of_a_namespace_bind_and_are_not_made_one() -> None:
    eu = {"name": "eu", "namespaces": {"names": ["team-a"]}, "dataPolicy": {"regions": ["eu"]}}
    us = {"name": "us", "namespaces": {"names": ["team-a"]}, "dataPolicy": {"regions": ["us"]}}
    both = bound(compiled(floor(None, eu, us)))["team-a"]
    # What is both in the one and in the other region is nowhere, and no regions at all would be anywhere.
    assert [policy.regions for policy in both.policies] == [("eu",), ("us",)]


def test_a_floor_that_cannot_be_read_closes_everything_until_it_is_mended() -> None:
    for text in ("floors: [{name: a, dataPolcy: {training: Deny}}]", "floors: []", "floors: [", "", "flors: []"):
        made = compiled(floor(text))
        assert bound(made)["*"].closed, text
        assert made.verdicts[FLOOR].accepted.status == "False"
        assert "nobody is served anything" in made.verdicts[FLOOR].accepted.message
    assert bound(compiled()) == {}


def test_a_broken_floor_binds_in_its_last_good_form() -> None:
    good = compiled(floor(None, PATIENTS)).good
    made = compiled(floor("floors: ["), good=good)
    assert made.verdicts[FLOOR].serves == "last-good"
    assert bound(made)["*"].policies[0].deny_training


def test_a_floor_that_wants_a_budget_says_so_to_whom_it_binds() -> None:
    paid = {"name": "paid", "namespaces": {"names": ["team-a"]}, "requireBudget": True}
    floors = bound(compiled(floor(None, paid, PATIENTS)))
    assert (floors["team-a"].require_budget, floors["*"].require_budget) == (True, False)
    selected = {**paid, "namespaces": PATIENTS["namespaces"]}
    # Whose labels nobody knows is not let off.
    assert bound(compiled(floor(None, selected)))["*"].require_budget


def test_a_field_that_nobody_knows_is_an_error_in_a_floor_also_behind_an_api_server() -> None:
    made = compiled(floor("floors: [{name: a, ownKeys: Deny, alowedModels: [x]}]"))
    assert "did you mean allowedModels?" in made.verdicts[FLOOR].accepted.message


def test_a_floor_of_another_name_binds_nobody_and_is_told_so() -> None:
    made = compiled(floor(None, PATIENTS, name="my-floor"))
    assert bound(made) == {}
    assert (
        "the floor is ConfigMap platform/byway-floor"
        in made.verdicts[Key("ConfigMap", "platform", "my-floor")].accepted.message
    )


def test_own_keys_are_refused_in_any_form_and_the_platforms_are_not() -> None:
    key = resource("ProviderKey", "openai", "team-a", provider="openai")
    ours = resource("ProviderKey", "openai", "platform", provider="openai")
    good = compiled(key).good
    made = compiled(key, ours, floor(None, {"name": "company", "ownKeys": "Deny"}), good=good)
    assert made.verdicts[key.key].accepted.reason == "NotPermitted"
    assert made.verdicts[key.key].serves == "nothing"
    assert set(decode(made.sections).accounts) == {"platform/openai"}


def test_what_a_tenant_says_of_its_key_counts_for_routes_and_not_for_floors() -> None:
    said = {"training": "Never", "retentionDays": 0, "regions": ["eu"]}
    url = {"provider": "openai-compatible", "baseURL": "https://llm.example/v1", "dataHandling": said}
    made = decode(
        compiled(*(resource("ProviderKey", "k", home, **url) for home in ("team-a", "platform"))).sections
    )
    assert not made.accounts["team-a/k"].may_train
    assert made.accounts["team-a/k"].vouched is not None
    assert made.accounts["team-a/k"].vouched.may_train
    assert made.accounts["platform/k"].vouched is None


def test_what_is_not_said_of_a_key_is_still_the_catalogues() -> None:
    european = Provider(slug="e", display_name="E", base_url="https://e.example/v1", regions=("eu",))
    key = resource("ProviderKey", "k", "team-a", provider="e", dataHandling={"training": "Never"})
    made = compiled(key, catalogue=assemble({"e": european}, Written({}, {})))
    assert decode(made.sections).accounts["team-a/k"].regions == ("eu",)


def test_a_label_that_changes_gives_and_revokes() -> None:
    selector = {"matchExpressions": [{"key": "data", "operator": "In", "values": ["patients"]}]}
    consent = {"from": "Selector", "selector": selector}
    key = resource("ProviderKey", "k", "platform", provider="openai", allowedNamespaces=consent)
    member = [{"name": "a", "model": "openai/gpt-5-mini"}]
    smart = resource("ModelRoute", "smart", "platform", endpoints=member, allowedNamespaces=consent)
    for labels, shared in (
        (LABELS, ("team-a",)),
        ({"team-a": {}, "team-b": {"data": "patients"}}, ("team-b",)),
        ({"team-a": {"data": "others"}}, ()),
        ({"platform": {"data": "patients"}}, ()),
    ):
        made = decode(compiled(key, smart, labels=labels).sections)
        assert (made.accounts["platform/k"].shared_with, made.routes["platform/smart"].shared_with) == (
            shared,
            shared,
        )


def test_without_any_labels_a_selector_is_refused_and_not_simply_empty() -> None:
    consent = {"from": "Selector", "selector": {"matchLabels": {"data": "patients"}}}
    key = resource("ProviderKey", "k", "platform", provider="openai", allowedNamespaces=consent)
    made = compiled(key, labels={})
    assert made.verdicts[key.key].accepted.reason == "NotPermitted"
    assert "kind: Namespace" in made.verdicts[key.key].accepted.message


def test_a_rejected_route_keeps_its_name_for_all_it_was_shared_with() -> None:
    wrong = resource(
        "ModelRoute", "smart", "platform", endpoints=[], allowedNamespaces={"from": "Names", "names": ["a"]}
    )
    unreadable = resource(
        "ModelRoute", "odd", "platform", endpoints=[], allowedNamespaces={"form": 1, "from": "Name"}
    )
    tenants = resource("ModelRoute", "odd", "team-a", endpoints=[], allowedNamespaces={"from": "Name"})
    routes = decode(compiled(wrong, unreadable, tenants).sections).routes
    assert {name: one.shared_with for name, one in routes.items()} == {
        "platform/smart": ("a",),
        "platform/odd": ("*",),
        "team-a/odd": (),
    }


def test_only_the_catalogues_authors_take_names_away() -> None:
    def authors(*manifests: Manifest) -> tuple[str, ...]:
        return decode(compiled(*manifests).sections).tenancy.authors

    def smart(home: str) -> Manifest:
        return resource("ModelRoute", "smart", home, endpoints=[{"name": "a", "model": "m"}])

    # Also while nobody has a key for one of its models: else whoever makes such a namespace could wait for prompts.
    assert authors(smart("openai"), smart("team-b")) == ("openai",)
    claimed = resource("ProviderKey", "k", "team-a", provider="openai", models=[{"name": "team-b/x"}])
    assert authors(claimed, smart("team-b")) == ()
