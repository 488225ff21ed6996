"""What holds of every compile, whatever the resources."""

import copy
import time
from collections.abc import Mapping
from typing import Any

from byway_contract.secret import Secret
from byway_contract.table import decode
from byway_operator.compile.catalogue.catalogue import Catalogue, Offer, Provider, Written, assemble, load
from byway_operator.compile.compile import NEVER_PERSISTED, compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import Compiled, Refusal
from byway_operator.resources.manifest import Key, Manifest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TRUSTED = Settings(trusted_namespaces=("platform",))
MINI = {"name": "a", "providerKeyRef": {"name": "openai"}, "model": "openai/gpt-5-mini"}


def manifest(kind: str, name: str, namespace: str = "team-a", created: str = "", **spec: Any) -> Manifest:
    body = {"apiVersion": "byway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return Manifest(Key(kind, namespace, name), body, created=created)


def secret(name: str, namespace: str = "team-a", value: str = "sk-secret") -> Manifest:
    labels = {"byway.dev/credential": "true"}
    metadata = {"name": name, "labels": labels}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"apiKey": value}}
    return Manifest(Key("Secret", namespace, name), body)


def world(*manifests: Manifest) -> dict[Key, Manifest]:
    return {one.key: one for one in manifests}


def compiled(
    manifests: Mapping[Key, Manifest],
    held_back: Mapping[Key, Manifest] | None = None,
    refused: Mapping[Key, Refusal] | None = None,
    catalogue: Catalogue | None = None,
) -> Compiled:
    return compile_table(
        manifests,
        held_back=held_back or {},
        refused=refused or {},
        settings=TRUSTED,
        catalogue=catalogue or load(),
    )


OPENAI = manifest("ProviderKey", "openai", provider="openai", secretRef={"name": "openai"})
SMART = manifest("ModelRoute", "smart", endpoints=[MINI])
GOOD = world(OPENAI, secret("openai"), SMART)

_names = st.sampled_from(["a", "b", "c", "d"])
_namespaces = st.sampled_from(["team-a", "team-b", "platform"])
_shared = st.sampled_from([{}, {"allowedNamespaces": {"from": "All"}}])
_ages = st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])
_service = {"name": "vllm", "port": 8000}
_members = st.lists(
    st.sampled_from(
        [
            {"name": "any", "model": "openai/gpt-5-mini"},
            {"name": "any2", "model": "qwen/qwen3-32b", "order": 1},
            {"name": "mine", "providerKeyRef": {"name": "a"}, "model": "gpt-5-mini"},
            {"name": "theirs", "providerKeyRef": {"name": "b", "namespace": "team-b"}, "model": "new"},
            {"name": "svc", "serviceRef": _service, "model": "m"},
            {"name": "svc2", "serviceRef": {**_service, "path": "/x"}, "model": "m"},
            {"name": "bad", "order": -1, "model": "m"},
        ]
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda member: str(member["name"]),
)


@st.composite
def _routes(draw: st.DrawFn) -> Manifest:
    spec: dict[str, Any] = {"endpoints": draw(_members), **draw(_shared)}
    if draw(st.booleans()):
        spec["modelNames"] = sorted(draw(st.sets(_names, min_size=1, max_size=2)))
    if draw(st.booleans()):
        spec["fallbackModels"] = draw(st.lists(_names, max_size=2))
    return manifest("ModelRoute", draw(_names), draw(_namespaces), draw(_ages), **spec)


@st.composite
def _keys(draw: st.DrawFn) -> Manifest:
    spec = {"provider": draw(st.sampled_from(["openai", "groq", "nope"])), **draw(_shared)}
    if draw(st.booleans()):
        spec["secretRef"] = {"name": "a"}
    return manifest("ProviderKey", draw(_names), draw(_namespaces), **spec)


_limits = st.lists(
    st.sampled_from(
        [
            {"period": "Month", "usd": "5", "tokens": 7},
            {"period": "Day", "usd": "0.5"},
            {"period": "Minute", "requests": 3},
            {"period": "Week", "usd": 5},
        ]
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda limit: str(limit["period"]),
)


@st.composite
def _budgets(draw: st.DrawFn) -> Manifest:
    applies: dict[str, Any] = {}
    for field in ("providerKeys", "accessKeys", "serviceAccounts"):
        if draw(st.booleans()):
            applies[field] = sorted(draw(st.sets(_names, min_size=1, max_size=2)))
    if draw(st.booleans()):
        applies["namespaces"] = {"names": sorted(draw(st.sets(_namespaces, min_size=1)))}
    spec = {
        "limits": draw(_limits),
        "appliesTo": applies,
        "timeZone": draw(st.sampled_from(["UTC", "Asia/Tokyo", "X"])),
    }
    return manifest("Budget", draw(_names), draw(_namespaces), draw(_ages), **spec)


_worlds = st.lists(
    st.one_of(_routes(), _keys(), _budgets(), _namespaces.map(lambda namespace: secret("a", namespace))),
    max_size=14,
)
_slow = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_slow
@given(_worlds, _worlds, st.randoms())
def test_the_same_resources_in_any_order_give_the_same_bytes(
    manifests: list[Manifest], held: list[Manifest], dice: Any
) -> None:
    first = compiled(world(*manifests), world(*held))
    shuffled, other = list(world(*manifests).values()), list(world(*held).values())
    dice.shuffle(shuffled)
    dice.shuffle(other)
    again = compiled(world(*copy.deepcopy(shuffled)), world(*other))
    assert again.hash == first.hash
    assert {s: list(o.items()) for s, o in again.sections.items()} == {
        s: list(o.items()) for s, o in first.sections.items()
    }
    assert again.verdicts == first.verdicts
    assert (again.limits, again.limits_hash) == (first.limits, first.limits_hash)


@_slow
@given(_worlds, _worlds)
def test_every_table_loads_and_every_resource_is_told(manifests: list[Manifest], held: list[Manifest]) -> None:
    given_ = world(*manifests)
    made = compiled(given_, world(*held))
    assert decode(made.sections).hash == made.hash
    assert made.defects == {}
    assert set(made.verdicts) == {key for key in given_ if key.kind != "Secret"}
    for key, verdict in made.verdicts.items():
        assert verdict.accepted.status == "True" or verdict.accepted.message
        assert all(made.owners[identity].count(key) == 1 for identity in verdict.objects)
        if key.kind == "ModelRoute":
            assert ("routes", f"{key.namespace}/{key.name}") in verdict.objects
    # A name has one owner in a namespace.
    taken = [(key.namespace, name) for key, verdict in made.verdicts.items() for name in verdict.model_names]
    assert len(taken) == len(set(taken))


@_slow
@given(_worlds)
def test_what_compiled_well_is_its_own_last_good_form(manifests: list[Manifest]) -> None:
    given_ = world(*manifests)
    first = compiled(given_)
    again = compiled(given_, held_back=first.good)
    assert again.hash == first.hash
    assert again.good == first.good


def test_a_bad_object_changes_nothing_for_others() -> None:
    before = compiled(GOOD)
    bad = manifest("ModelRoute", "bad", endpoints=[{"name": "a"}]), manifest("ProviderKey", "bad", provider="?")
    after = compiled({**GOOD, **world(*bad)})
    assert {**after.sections["endpoints"]} == {**before.sections["endpoints"]}
    assert after.sections["routes"]["team-a/smart"] == before.sections["routes"]["team-a/smart"]
    assert after.verdicts[SMART.key] == before.verdicts[SMART.key]


def test_what_our_own_code_stumbles_over_is_told_to_that_object_alone_and_to_the_log() -> None:
    odd = Provider(slug="odd", display_name="Odd", base_url="https://{nothing-we-know}")
    catalogue = assemble({**load().providers, "odd": odd}, Written({}, {}))
    made = compiled({**GOOD, **world(manifest("ProviderKey", "odd", provider="odd"))}, catalogue=catalogue)
    key = Key("ProviderKey", "team-a", "odd")
    assert made.verdicts[key].accepted.reason == "Invalid"
    assert "defect" in made.verdicts[key].accepted.message
    assert made.defects[key].startswith("KeyError in base_url")
    assert made.verdicts[OPENAI.key].accepted.status == "True"


def test_a_refusal_counts_for_the_form_that_was_refused_and_no_other() -> None:
    fingerprint = compiled(GOOD).verdicts[SMART.key].fingerprint
    refused = {SMART.key: Refusal(fingerprint, "no")}
    assert compiled(GOOD, refused=refused).verdicts[SMART.key].serves == "nothing"
    changed = {**GOOD, **world(manifest("ModelRoute", "smart", endpoints=[MINI], maxAttempts=2))}
    assert compiled(changed, refused=refused).verdicts[SMART.key].serves == "current"
    assert compiled(GOOD, refused={SMART.key: Refusal("other", "no")}).verdicts[SMART.key].serves == "current"


def test_a_last_good_form_that_was_refused_as_well_does_not_serve() -> None:
    fingerprint = compiled(GOOD).verdicts[SMART.key].fingerprint
    made = compiled(GOOD, held_back=GOOD, refused={SMART.key: Refusal(fingerprint, "no")})
    assert made.verdicts[SMART.key].serves == "nothing"
    assert "RejectedByProxy" in (decode(made.sections).routes["team-a/smart"].rejected or "")


def test_a_deleted_object_is_gone_at_once() -> None:
    made = compiled({key: one for key, one in GOOD.items() if key != OPENAI.key}, held_back=GOOD)
    assert made.sections["accounts"] == {}
    assert made.verdicts[SMART.key].resolved.reason == "ProviderKeyNotFound"
    assert OPENAI.key not in made.good


def test_secrets_are_held_in_memory_and_marked_so_and_seen_nowhere_else() -> None:
    made = compiled(GOOD)
    held = [key for key in made.good if key.kind in NEVER_PERSISTED]
    assert held == [Key("Secret", "team-a", "openai")]
    assert "sk-secret" not in repr(made.verdicts) + repr(made.defects) + repr(made.owners)
    assert decode(made.sections).credentials["team-a/openai"].value == Secret("sk-secret")


def test_a_fingerprint_changes_with_the_credential() -> None:
    rotated = {**GOOD, **world(secret("openai", value="sk-other"))}
    assert compiled(GOOD).verdicts[OPENAI.key].fingerprint != compiled(rotated).verdicts[OPENAI.key].fingerprint


def test_a_shared_card_answers_to_every_key_that_makes_the_model_callable() -> None:
    twin = manifest("ProviderKey", "twin", provider="openai")
    made = compiled({**GOOD, **world(twin)})
    assert made.owners["models", "openai/gpt-5-mini"] == (OPENAI.key, twin.key)


def test_a_table_no_proxy_would_load_is_mended_by_leaving_out_whose_fault_it_is() -> None:
    broken = {"groq": {"m": Offer("a/m", context_length=-1)}}
    catalogue = assemble(load().providers, Written(models={}, offers=broken))
    groq = manifest("ProviderKey", "groq", provider="groq")
    made = compiled({**GOOD, groq.key: groq}, catalogue=catalogue)
    assert made.verdicts[groq.key].accepted.reason == "Invalid"
    assert "no proxy could obey" in made.verdicts[groq.key].accepted.message
    assert set(decode(made.sections).accounts) == {"team-a/openai"}


def test_what_a_table_cannot_even_spell_is_left_out_alone() -> None:
    catalogue = assemble(load().providers, Written(models={}, offers={"groq": {"\ud800": Offer("a/m")}}))
    groq = manifest("ProviderKey", "groq", provider="groq")
    made = compiled({**GOOD, groq.key: groq}, catalogue=catalogue)
    assert made.verdicts[groq.key].accepted.status == "False"
    assert groq.key in made.defects
    assert set(decode(made.sections).accounts) == {"team-a/openai"}


def test_what_no_encoding_can_spell_stops_nobody_else() -> None:
    half = "\ud800"
    odd = (
        manifest("ModelRoute", "odd", endpoints=[MINI], strategy=half),
        manifest("ModelRoute", "odder", endpoints=[MINI], modelNames=[half, "fine"]),
        manifest("ModelRoute", half, endpoints=[MINI]),
        manifest("ProviderKey", half, provider=half),
    )
    made = compiled({**GOOD, **world(*odd)})
    assert decode(made.sections).routes["team-a/odder"].model_names == ("fine",)
    assert made.verdicts[SMART.key].accepted.status == "True"
    for one in odd:
        assert made.verdicts[one.key].accepted.status == "False"
        made.verdicts[one.key].accepted.message.encode()


def test_two_thousand_routes_compile_in_a_second() -> None:
    routes = [
        manifest("ModelRoute", f"r{number}", endpoints=[MINI, {"name": "b", "model": "openai/gpt-5"}])
        for number in range(2000)
    ]
    large = {**GOOD, **world(*routes)}
    started = time.process_time()
    compiled(large)
    # A third of it here; the rest is room for a slow machine.
    assert time.process_time() - started < 2.0
