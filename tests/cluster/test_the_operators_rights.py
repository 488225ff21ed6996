"""The operator runs under the rights that the chart gives it, lacks none of them and leaves none unused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from builders.control_plane import Call, ControlPlane, username
from canary import canary
from fakes.fleet import OPERATOR, Fleet, fleet, rights
from fakes.machine import until
from fakes.process import provider

RESOURCES = """
apiVersion: v1
kind: Secret
metadata: {{name: fake, labels: {{byway.dev/credential: "true"}}}}
stringData: {{apiKey: {key}}}
---
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: fake}}
spec:
  {{provider: openai-compatible, baseURL: {url}, secretRef: {{name: fake}},
    models: [{{name: test/model, price: {{perMillionTokens: {{input: "1", output: "2"}}}}}}]}}
---
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: smart}}
spec: {{endpoints: [{{name: only, providerKeyRef: {{name: fake}}, model: test/model}}]}}
---
apiVersion: byway.dev/v1alpha1
kind: Budget
metadata: {{name: month}}
spec: {{limits: [{{period: Month, usd: "5"}}]}}
---
apiVersion: byway.dev/v1alpha1
kind: AccessKey
metadata: {{name: ci}}
spec: {{keys: [{{name: a, sha256: {digest}}}]}}
"""
Right = tuple[str, str, str]
"""Verb, group and resource; or verb, nothing and path."""


@pytest.mark.parametrize("everywhere", [True, False], ids=["everywhere", "named namespaces"])
def test_no_right_is_missing_and_none_is_unused(plane: ControlPlane, tmp_path: Path, everywhere: bool) -> None:
    team = plane.namespace()
    settings = {} if everywhere else {"BYWAY_WATCH_NAMESPACES": team}
    key = canary()
    with provider(tmp_path, "a", keys=[key]) as (url, _), fleet(plane, proxies=1, **settings) as release:
        plane.apply(RESOURCES.format(url=url, key=key, digest="ab" * 32), team)
        _all_told(plane, team)
        assert release.ask("smart", release.token(team))[0] == 200
        # A condition that turns is an Event.
        plane.kubectl("delete", "secret", "fake", "-n", team)
        plane.wait("providerkey", team, "fake", "condition=ResolvedRefs=False")
        who = username(release.namespace, OPERATOR)
        given = set(_given(release, settings.get("BYWAY_WATCH_NAMESPACES", "")))
        # The Lease is renewed after some seconds.
        until(lambda: not given - set(map(_asked, plane.calls(who))), 20)
        assert [call for call in plane.calls(who) if call.code == 403] == []


def _all_told(plane: ControlPlane, namespace: str) -> None:
    for kind in ("modelroute", "providerkey"):
        plane.wait(kind, namespace, "smart" if kind == "modelroute" else "fake", "condition=Programmed")
    plane.wait("budget", namespace, "month", "condition=Accepted")
    for kind, name in (("budget", "month"), ("accesskey", "ci")):
        plane.wait(kind, namespace, name, "jsonpath={.status.observedGeneration}=1")


def _given(release: Fleet, watched: str) -> Iterator[Right]:
    """By every rule of a role that the operator is bound to."""
    documents = list(yaml.safe_load_all(rights(release.namespace, watched)))
    bound = {document["roleRef"]["name"] for document in documents if document["kind"].endswith("Binding")}
    for role in documents:
        if role["kind"].endswith("Binding") or role["metadata"]["name"] not in bound:
            continue
        for rule in role["rules"]:
            groups, resources = rule.get("apiGroups", [""]), rule.get("resources", rule.get("nonResourceURLs"))
            yield from ((v, g, r) for v in rule["verbs"] for g in groups for r in resources)


def _asked(call: Call) -> Right:
    return call.verb, call.group, call.resource or call.path
