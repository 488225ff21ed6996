"""What `kubectl byway` makes of what it was given: status, schemas, what could not be read. Without a cluster."""

import http.server
import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from builders.desk import ROOT
from byway_cli.kube.explaining import explained
from byway_cli.kube.judging import secrets_for
from byway_cli.kube.reading import Platform, Seen
from byway_cli.kube.schema import faults, schema_of
from byway_cli.kube.standings import count, proxies_told, troubles
from byway_contract.access_key import is_key
from byway_operator.compile.catalogue.catalogue import load
from byway_operator.compile.verdict import EndpointFact
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.tell.available import Member
from byway_operator.tell.available import told as line_told
from byway_operator.tell.crds import crd

CATALOGUE = load()


def item(generation: int = 1, observed: int | None = 1, **conditions: str) -> dict[str, Any]:
    """`Ready="False"`, say. Reason and message of each are made from its type."""
    told = [
        {"type": type_, "status": status, "reason": f"{type_}Reason", "message": f"why {type_}"}
        for type_, status in conditions.items()
    ]
    metadata = {"name": "x", "namespace": "team-a", "generation": generation}
    status = {} if observed is None else {"observedGeneration": observed, "conditions": told}
    return {"metadata": metadata, "status": status}


UNRESOLVED = {"Accepted": "True", "ResolvedRefs": "False", "Programmed": "False", "Ready": "False"}
WELL = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True", "Ready": "True"}


@pytest.mark.parametrize(
    ("found", "ready", "reason"),
    [
        (item(**WELL), "True", None),
        (item(**WELL, Valid="Unknown"), "True", None),
        (item(**WELL, Valid="False"), "True", "ValidReason"),
        (item(**WELL, Available="False"), "True", "AvailableReason"),
        (item(**WELL, Enforcing="True", Exceeded="False"), "True", None),
        (item(**WELL, Enforcing="True", Exceeded="True"), "True", "ExceededReason"),
        (item(**WELL, Enforcing="False", Exceeded="True"), "True", "EnforcingReason"),
        (item(**{**WELL, "Programmed": "Unknown", "Ready": "Unknown"}), "Unknown", "ProgrammedReason"),
        (item(**UNRESOLVED), "False", "ResolvedRefsReason"),
        (item(observed=-1), "Unknown", "Pending"),
        (item(observed=None), "Unknown", "Pending"),
        (item(generation=2, **WELL), "Unknown", "Pending"),
    ],
)  # fmt: skip
def test_a_resource_is_told_by_the_first_thing_that_does_not_hold(
    found: dict[str, Any], ready: str, reason: str | None
) -> None:
    said = troubles("ModelRoute", [found])
    assert [one.reason for one in said] == ([reason] if reason else [])
    assert all(one.ready == ready for one in said)
    assert count("ModelRoute", [found]).ready == (ready == "True")


def test_of_what_routes_say_of_proxies_the_best_counts() -> None:
    assert proxies_told([{"status": {"proxies": "2/3"}}, {"status": {"proxies": "3/3"}}, {}]) == "3/3"
    assert proxies_told([]) == ""


def spec_schema(kind: str) -> dict[str, Any]:
    """As an API server publishes it."""
    root = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    named = {
        **root,
        "x-kubernetes-group-version-kind": [{"group": "byway.dev", "kind": kind, "version": "v1alpha1"}],
    }
    found = schema_of({"components": {"schemas": {"dev.byway.v1alpha1.X": named}}}, kind)
    assert found is not None
    return dict(found)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"endpoints": [{"name": "a", "model": "m"}]}, []),
        ({}, ["spec.endpoints: required"]),
        ({"endpoints": []}, ["spec.endpoints: want at least 1"]),
        ({"endpoints": {}}, ["spec.endpoints: want array"]),
        ({"endpoints": [{"name": "a"}]}, ["spec.endpoints[0].model: required"]),
        ({"endpoints": [{"name": "a", "model": "m", "weight": True}]}, ["spec.endpoints[0].weight: want integer"]),
    ],
)
def test_a_spec_is_held_against_the_clusters_schema(spec: dict[str, Any], said: list[str]) -> None:
    assert list(faults(spec, spec_schema("ModelRoute"))) == said


def test_a_value_and_a_field_that_the_cluster_does_not_know_are_named() -> None:
    spec = {"strategy": "Newest", "newest": 1, "endpoints": [{"name": "a", "model": "m"}]}
    enum, field = sorted(faults(spec, spec_schema("ModelRoute")))
    assert "spec.newest: the cluster's definition has no such field" in enum
    assert "spec.strategy: 'Newest' is not known to the cluster; it takes Balanced" in field


def manifest(kind: str, name: str, spec: dict[str, Any], namespace: str = "team-a") -> tuple[Key, Manifest]:
    key = Key(kind, namespace, name)
    body = {"apiVersion": "byway.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": namespace}}
    return key, Manifest(key, {**body, "spec": spec})


OPENAI = manifest("ProviderKey", "openai", {"provider": "openai", "secretRef": {"name": "openai-key"}})
MODEL = "openai/gpt-5-mini"


def asked(told: dict[Key, Any] | None = None, *manifests: tuple[Key, Manifest], **more: Any) -> dict[str, Any]:
    seen = Seen(Platform("byway", ("byway",)), dict(manifests or (OPENAI,)), told or {}, read={"team-a"}, **more)
    return explained(MODEL, "team-a", seen, CATALOGUE, random.Random(1))


def told(type_: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "observedGeneration": 1,
        "conditions": [{"type": type_, "status": status, "reason": reason, "message": f"{reason}, it says"}],
    }


def test_a_secret_that_nobody_says_is_missing_is_taken_to_be_there() -> None:
    assert [one["endpoint"] for one in asked()["candidates"]] == ["team-a/openai:gpt-5-mini"]


def test_one_secret_that_several_name_has_the_entries_of_all() -> None:
    spec = {"provider": "groq", "secretRef": {"name": "openai-key", "key": "groq"}}
    keys = [{"name": "a", "secretRef": {"name": "openai-key", "key": "app"}}]
    named = dict([OPENAI, manifest("ProviderKey", "groq", spec), manifest("AccessKey", "ci", {"keys": keys})])
    (secret,) = dict(secrets_for(named, {})).values()
    values = secret.body["stringData"]
    assert sorted(values) == ["apiKey", "app", "groq"]
    assert len(set(values.values())) == 3
    assert is_key(values["app"])


@pytest.mark.parametrize("reason", ["SecretNotFound", "SecretNotLabelled", "SecretKeyMissing"])
def test_a_secret_that_status_says_is_missing_or_unfit_is_none(reason: str) -> None:
    assert asked({OPENAI[0]: told("ResolvedRefs", "False", reason)})["candidates"] == []


def test_status_of_another_form_counts_for_nothing() -> None:
    stale = {**told("ResolvedRefs", "False", "SecretNotFound"), "observedGeneration": 7}
    assert asked({OPENAI[0]: stale})["candidates"] != []


def test_the_operators_refusal_counts_though_we_would_accept() -> None:
    answer = asked({OPENAI[0]: told("Accepted", "False", "NotPermitted")})
    assert answer["candidates"] == []
    assert any("is not accepted" in note for note in answer["notes"])


def test_what_the_status_of_its_route_says_is_out_stands_last() -> None:
    azure = manifest("ProviderKey", "azure", {"provider": "azure", "azure": {"resource": "acme"}})
    endpoints = [
        {"name": "one", "providerKeyRef": {"name": "openai"}, "model": MODEL},
        {"name": "two", "providerKeyRef": {"name": "azure"}, "model": MODEL, "order": 1},
    ]
    route = manifest("ModelRoute", "smart", {"modelNames": [MODEL], "endpoints": endpoints})
    out = line_told(Member(EndpointFact("one", "team-a/openai:gpt-5-mini"), False, "RateLimited"))
    answer = asked({route[0]: {"observedGeneration": 1, "endpoints": [out]}}, OPENAI, azure, route)
    assert [one["endpoint"] for one in answer["candidates"]] == [
        "team-a/azure:gpt-5-mini",
        "team-a/openai:gpt-5-mini",
    ]
    assert "it is resting" in answer["candidates"][1]["why"]
    assert "status says RateLimited" in answer["candidates"][1]["why"]


def test_a_key_that_is_not_valid_is_said_beside_its_endpoint() -> None:
    (only,) = asked({OPENAI[0]: told("Valid", "False", "Unauthorized")})["candidates"]
    assert "its ProviderKey is not Valid: Unauthorized" in only["why"]


def test_what_could_not_be_read_is_said_and_what_follows() -> None:
    notes = asked(None, OPENAI, unread={"byway": ("providerkeys",)}, floor_unread=True)["notes"]
    assert any("no right to list providerkeys in namespace byway: what it shares" in note for note in notes)
    assert any("the platform's floor" in note for note in notes)
    assert any("labels of namespace team-a cannot be read" in note for note in notes)


def test_a_cluster_without_our_definitions_is_said_with_the_way_out(tmp_path: Path) -> None:
    for words in (["status"], ["explain", "smart"], ["check", str(ROOT / "examples/one-provider")]):
        with _api_server(404) as url:
            said = _run(tmp_path, url, *words)
        assert said.returncode == 1
        assert "byway crds | kubectl apply --server-side -f -" in said.stderr


def test_a_cluster_that_does_not_know_the_person_says_so(tmp_path: Path) -> None:
    with _api_server(401) as url:
        said = _run(tmp_path, url, "status")
    assert said.returncode == 1
    assert "does not know you" in said.stderr


def test_without_a_kubeconfig_it_is_said_how_to_name_one(tmp_path: Path) -> None:
    said = _run(tmp_path, "", "status")
    assert said.returncode == 1
    assert "--context or KUBECONFIG" in said.stderr
    assert "Traceback" not in said.stderr


def _run(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """As a person with a kubeconfig for this server; without a URL there is none."""
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
    }
    if url:
        (folder / "config").write_text(json.dumps(config))
    environment = {"KUBECONFIG": str(folder / "config"), "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "byway_cli.kube.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def _api_server(status: int) -> Iterator[str]:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"kind": "Status", "message": "no"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(5)
