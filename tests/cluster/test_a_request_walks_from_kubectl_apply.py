"""From `kubectl apply` to an answer and back to `kubectl get`, with a real API server and real processes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.control_plane import ControlPlane
from canary import canary
from fakes.fleet import Fleet, fleet
from fakes.machine import until
from fakes.process import provider, served

KEY = canary()


@pytest.fixture(scope="module")
def release(plane: ControlPlane) -> Iterator[Fleet]:
    with fleet(plane) as release:
        yield release


def team(plane: ControlPlane, url: str, key: str = KEY) -> str:
    """A namespace with a credential, a ProviderKey and a route `smart` to the fake provider; its name."""
    namespace = plane.namespace()
    plane.apply(secret(key), namespace)
    plane.apply(provider_key(url), namespace)
    plane.apply(ROUTE, namespace)
    return namespace


def secret(key: str, name: str = "fake-key") -> str:
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: {name}, labels: {{byway.dev/credential: "true"}}}}
stringData: {{apiKey: {key}}}
"""


def provider_key(url: str) -> str:
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: fake}}
spec: {{provider: openai-compatible, baseURL: {url}, secretRef: {{name: fake-key}}}}
"""


ROUTE = """
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {name: smart}
spec: {endpoints: [{name: only, providerKeyRef: {name: fake}, model: test/model}]}
"""


def test_what_is_applied_is_programmed_called_and_told(plane: ControlPlane, release: Fleet, tmp_path: Path) -> None:
    with provider(tmp_path, "a", keys=[KEY]) as (url, truth):
        namespace = team(plane, url)
        plane.wait("modelroute", namespace, "smart", "condition=Programmed")
        status, _, body = release.ask("smart", release.token(namespace))
        assert status == 200, body
        assert json.loads(body)["model"] == "test/model"
        # The provider writes it down after it has answered.
        until(lambda: [call["path"] for call in served(truth)].count("/v1/chat/completions") == 1)
        columns = plane.kubectl("get", "modelroutes", "-n", namespace, "--no-headers").split()
        assert columns[:3] == ["smart", "True", "1/1"]
        assert "2/2" in columns
        plane.wait("providerkey", namespace, "fake", "condition=Valid")
        found = plane.get("modelroute", namespace, "smart")
        assert found["metadata"]["generation"] == found["status"]["observedGeneration"] == 1
        assert "annotations" not in found["metadata"]
        assert "finalizers" not in found["metadata"]


def test_without_a_token_nobody_comes_in(plane: ControlPlane, release: Fleet) -> None:
    status, headers, body = release.ask("smart", None)
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert "byway" in json.loads(body)["error"]["message"]


def test_a_secret_that_is_rotated_is_live_without_a_restart(
    plane: ControlPlane, release: Fleet, tmp_path: Path
) -> None:
    new = canary()
    with provider(tmp_path, "b", keys=[new]) as (url, _):
        namespace = team(plane, url, key=canary())
        plane.wait("modelroute", namespace, "smart", "condition=Programmed")
        token = release.token(namespace)
        assert release.ask("smart", token)[0] != 200
        plane.apply(secret(new), namespace)
        until(lambda: release.ask("smart", token)[0] == 200, 1.5)
        plane.kubectl("delete", "secret", "fake-key", "-n", namespace)
        plane.wait("providerkey", namespace, "fake", "condition=ResolvedRefs=False")
        status, _, body = release.ask("smart", token)
        assert status == 404
        assert b"SecretNotFound" in body


def test_a_secret_without_the_label_is_told_so_and_used_as_soon_as_it_has_it(
    plane: ControlPlane, release: Fleet, tmp_path: Path
) -> None:
    with provider(tmp_path, "e", keys=[KEY]) as (url, _):
        namespace = plane.namespace()
        unlabelled = secret(KEY).replace(', labels: {byway.dev/credential: "true"}', "")
        for text in (unlabelled, provider_key(url), ROUTE):
            plane.apply(text, namespace)
        plane.wait("providerkey", namespace, "fake", "condition=ResolvedRefs=False")
        until(lambda: condition(plane, namespace, "ResolvedRefs")["reason"] == "SecretNotLabelled")
        assert "byway.dev/credential" in condition(plane, namespace, "ResolvedRefs")["message"]
        plane.kubectl("label", "secret", "fake-key", "byway.dev/credential=true", "-n", namespace)
        plane.wait("modelroute", namespace, "smart", "condition=Programmed")
        until(lambda: release.ask("smart", release.token(namespace))[0] == 200)


def condition(plane: ControlPlane, namespace: str, kind: str) -> dict[str, str]:
    """Of the ProviderKey."""
    conditions = plane.get("providerkey", namespace, "fake")["status"]["conditions"]
    return next(c for c in conditions if c["type"] == kind)


def test_records_reach_the_books_under_the_callers_name(
    plane: ControlPlane, release: Fleet, tmp_path: Path
) -> None:
    with provider(tmp_path, "d", keys=[KEY]) as (url, _):
        namespace = team(plane, url)
        plane.wait("modelroute", namespace, "smart", "condition=Programmed")
        assert release.ask("smart", release.token(namespace, "billing-app"))[0] == 200

        def booked() -> list[tuple[str, int, int]]:
            rows = [row for row in release.books() if row["key"]["namespace"] == namespace]
            return [(row["key"]["service_account"], row["requests"], row["open"]) for row in rows]

        until(lambda: booked() == [("billing-app", 1, 0)], 10)


def test_programmed_means_that_traffic_follows(plane: ControlPlane, release: Fleet, tmp_path: Path) -> None:
    """200 times: called right after the status says so, at a proxy of the caller's choice."""
    with provider(tmp_path, "c", keys=[KEY]) as (url, _):
        namespace = team(plane, url)
        token = release.token(namespace)

        def story(turn: int) -> int:
            name = f"smart-{turn}"
            routes = f"/apis/byway.dev/v1alpha1/namespaces/{namespace}/modelroutes"
            plane.raw("POST", routes, yaml.safe_load(ROUTE.replace("smart", name)))
            until(lambda: is_programmed(plane.raw("GET", f"{routes}/{name}")), 20)
            status, _, body = release.ask(name, token, turn % 2)
            assert status == 200, body
            return status

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(story, range(200))) == [200] * 200
        plane.empty(namespace)


def is_programmed(route: dict[str, Any]) -> bool:
    conditions = route.get("status", {}).get("conditions", ())
    return any(c["type"] == "Programmed" and c["status"] == "True" for c in conditions)
