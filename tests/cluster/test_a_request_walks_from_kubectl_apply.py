"""From `kubectl apply` to an answer and back to `kubectl get`, with a real API server and real processes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
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
    with provider(tmp_path, "c", keys=[KEY]) as (url, _):
        namespace = team(plane, url)
        token = release.token(namespace)
        for turn in range(20):
            route = ROUTE.replace("smart", f"smart-{turn}")
            plane.apply(route, namespace)
            plane.wait("modelroute", namespace, f"smart-{turn}", "condition=Programmed")
            for proxy in (0, 1):
                status, _, body = release.ask(f"smart-{turn}", token, proxy)
                assert status == 200, body
