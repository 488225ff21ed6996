"""An app's key, from `kubectl apply` through a rotation to its end, on every proxy of a fleet."""

import time
from pathlib import Path

import yaml
from builders.control_plane import ControlPlane
from builders.tables import a_key
from byway_cli.key import manifest
from canary import canary
from cluster.test_a_request_walks_from_kubectl_apply import provider_key, secret
from fakes.fleet import Fleet, fleet
from fakes.machine import until
from fakes.process import provider

FIRST, SECOND, UNMARKED = a_key(0xF1), a_key(0xF2), a_key(0xF3)
REVOKED_WITHIN_S = 2.0
TOLD_WITHIN_S = 4.0
"""Proxies report a second apart."""
ACCESS = """
apiVersion: byway.dev/v1alpha1
kind: AccessKey
metadata: {name: ci}
spec: {user: ci@example.com, allowedModels: [smart], keys: [{name: a, secretRef: {name: ci-key}}]}
"""
ROUTE = """
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {name: smart}
spec: {endpoints: [{name: only, providerKeyRef: {name: fake}, model: test/model}]}
"""


def answered(release: Fleet, key: str, model: str = "smart") -> list[int]:
    return [release.ask(model, key, proxy)[0] for proxy in (0, 1)]


def test_an_access_key_is_made_used_rotated_and_taken_back(plane: ControlPlane, tmp_path: Path) -> None:
    key = canary()
    with provider(tmp_path, "a", keys=[key]) as (url, _), fleet(plane) as release:
        namespace = plane.namespace()
        for text in (secret(key), provider_key(url), ROUTE, secret(FIRST, "ci-key"), ACCESS):
            plane.apply(text, namespace)
        for kind, name in (("modelroute", "smart"), ("accesskey", "ci")):
            plane.wait(kind, namespace, name, "condition=Ready")
        assert answered(release, FIRST) == [200, 200]
        assert answered(release, FIRST, "test/model") == [403, 403]
        assert answered(release, SECOND) == [401, 401]

        assert FIRST not in plane.kubectl("get", "accesskeys", "-A", "-o", "yaml")
        columns = plane.kubectl("get", "accesskeys", "-n", namespace, "--no-headers").split()
        assert columns[:3] == ["ci", "True", "ci@example.com"]

        # The Secret says another key: the old one is out, the new one in.
        plane.apply(secret(SECOND, "ci-key"), namespace)
        within(REVOKED_WITHIN_S, lambda: answered(release, FIRST) == [401, 401])
        assert answered(release, SECOND) == [200, 200]

        # Both are good while an app changes over.
        both = yaml.safe_load(ACCESS)
        both["spec"]["keys"] += manifest("ci", None, None, FIRST, int(time.time()), "1h")["spec"]["keys"]
        plane.apply(yaml.safe_dump(both), namespace)
        until(lambda: answered(release, FIRST) == answered(release, SECOND) == [200, 200])
        plane.kubectl("delete", "secret", "ci-key", "-n", namespace)
        within(REVOKED_WITHIN_S, lambda: answered(release, SECOND) == [401, 401])
        assert answered(release, FIRST) == [200, 200]
        plane.wait("accesskey", namespace, "ci", "condition=ResolvedRefs=False")
        (told,) = plane.get("accesskey", namespace, "ci")["status"]["keys"]
        assert told["label"].startswith("sha256:")
        within(TOLD_WITHIN_S, lambda: "lastUsed" in plane.get("accesskey", namespace, "ci")["status"])

        plane.kubectl("delete", "accesskey", "ci", "-n", namespace, "--wait=false")
        within(REVOKED_WITHIN_S, lambda: answered(release, FIRST) == [401, 401])


def within(seconds: float, condition: object) -> None:
    assert callable(condition)
    until(condition, seconds)


def test_a_secret_without_the_label_is_told_so_by_the_key_that_names_it(plane: ControlPlane) -> None:
    with fleet(plane, proxies=1) as release:
        namespace = plane.namespace()
        plane.apply(secret(UNMARKED, "ci-key").replace(', labels: {byway.dev/credential: "true"}', ""), namespace)
        plane.apply(ACCESS, namespace)

        def reason() -> str:
            conditions = plane.get("accesskey", namespace, "ci").get("status", {}).get("conditions", [])
            return next((str(c["reason"]) for c in conditions if c["type"] == "ResolvedRefs"), "")

        until(lambda: reason() == "SecretNotLabelled", 10)
        assert release.ask("smart", UNMARKED)[0] == 401
