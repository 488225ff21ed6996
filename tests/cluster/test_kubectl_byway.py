"""`kubectl byway` as a person types it, with the rights that the chart gives to whoever may view a namespace."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from builders.control_plane import KUBECTL, ROOT, ControlPlane
from builders.helm import fetch, of_kind, render
from canary import canary
from fakes.fleet import Fleet, fleet
from fakes.machine import until
from fakes.process import provider

KEY = canary()
GUIDE = ROOT / "docs/guides/kubectl.md"
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def release(plane: ControlPlane) -> Iterator[Fleet]:
    with fleet(plane, proxies=1) as release:
        fetch()
        plane.apply(yaml.safe_dump_all(_user_roles()))
        yield release


def _user_roles() -> list[dict[str, object]]:
    roles = of_kind(render(namespace="byway"), "ClusterRole")
    return [role for role in roles if role["metadata"]["name"].endswith(("-view", "-edit", "-admin"))]


class Person:
    """Somebody with roles in namespaces, and no other right."""

    def __init__(self, plane: ControlPlane, release: Fleet, home: str, **roles: str) -> None:
        self._release = release.namespace
        self._plane = plane
        plane.service_account(home, "somebody")
        for namespace, roles_ in {home: "view", **roles}.items():
            for role in roles_.split("+"):
                plane.apply(_binding(home, namespace, role))
        self.kubeconfig = plane.kubeconfig_for("somebody", home)

    def byway(self, *words: str | Path) -> Done:
        return kubectl_byway(*words, "--release-namespace", self._release, kubeconfig=self.kubeconfig)


def kubectl_byway(*words: str | Path, kubeconfig: Path) -> Done:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig), "KUBERC": "off"}
    return subprocess.run(
        [KUBECTL, "byway", *map(str, words)], env=environment, capture_output=True, text=True, timeout=60
    )


def _binding(home: str, namespace: str, role: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"{home}-{role}", "namespace": namespace},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": f"byway-byway-{role}",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "somebody", "namespace": home}],
        }
    )


def secret() -> str:
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: fake-key, labels: {{byway.dev/credential: "true"}}}}
stringData: {{apiKey: {KEY}}}
"""


def key(name: str, url: str, extra: str = "") -> str:
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: {name}}}
spec: {{provider: openai-compatible, baseURL: {url}, secretRef: {{name: fake-key}}{extra}}}
"""


def route(*endpoints: str, name: str = "smart") -> str:
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec: {{endpoints: [{", ".join(endpoints)}]}}
"""


def own(name: str, by: str, order: int = 0) -> str:
    return f"{{name: {name}, providerKeyRef: {{name: {by}}}, model: test/model, order: {order}}}"


def test_kubectl_finds_it() -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    listed = subprocess.run(
        [KUBECTL, "plugin", "list"], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=30
    )
    assert str(Path(sys.executable).with_name("kubectl-byway")) in listed.stdout


def test_a_viewer_reads_who_would_answer_and_what_is_wrong(
    plane: ControlPlane, release: Fleet, tmp_path: Path
) -> None:
    home = plane.namespace()
    somebody = Person(plane, release, home)
    with provider(tmp_path, "a", keys=[KEY]) as (url, _):
        plane.apply(secret(), home)
        plane.apply(key("first", url), home)
        plane.apply(key("second", url).replace("fake-key", "lost-key"), home)
        plane.apply(route(own("one", "first"), own("two", "second", 1)), home)
        plane.wait("providerkey", home, "second", "condition=ResolvedRefs=False")
        plane.wait("modelroute", home, "smart", "jsonpath={.status.endpointsAvailable}=1/2")

        said = somebody.byway("explain", "smart")
        assert said.returncode == 0, said.stderr
        head, only, _, left_head, left, *_ = said.stdout.splitlines()
        assert head.split() == ["PLACE", "ENDPOINT", "PROVIDER", "PRICE", "WHY"]
        assert only.split()[:3] == ["1", f"{home}/first:test/model", "first"]
        assert left_head.split() == ["LEFT", "OUT", "REASON", "DETAIL"]
        assert "missing" in left
        assert 'no Secret "lost-key"' in left
        assert f"no right to list modelroutes and providerkeys in namespace {release.namespace}" in said.stderr
        assert "floor" in said.stderr

        shown = GUIDE.read_text().partition("kubectl byway status -n team-a\n")[2].partition("\n```")[0]
        until(lambda: somebody.byway("status").stdout.rstrip("\n") == shown.replace("team-a", home))
        assert somebody.byway("status").returncode == 1
    _nothing_more_than_a_viewer(plane, home)


def _nothing_more_than_a_viewer(plane: ControlPlane, home: str) -> None:
    calls = plane.calls(f"system:serviceaccount:{home}:somebody")
    assert {call.verb for call in calls} <= {"get", "list"}
    assert not [call for call in calls if call.resource == "secrets"]


def test_what_the_platform_shares_is_shown_to_who_may_read_it_and_told_of_to_who_may_not(
    plane: ControlPlane, release: Fleet, tmp_path: Path
) -> None:
    home, platform = plane.namespace(), plane.namespace()
    shared = f", allowedNamespaces: {{from: Names, names: [{home}]}}"
    with provider(tmp_path, "p", keys=[KEY]) as (url, _):
        plane.apply(secret(), platform)
        plane.apply(key("lent", url, shared), platform)
        by = f"{{name: lent, providerKeyRef: {{name: lent, namespace: {platform}}}, model: test/model}}"
        plane.apply(route(by), home)
        plane.wait("modelroute", home, "smart", "condition=Ready")
        plain = Person(plane, release, home).byway("explain", "smart")
        assert plain.returncode == 1
        assert "its endpoint lent is available" in plain.stderr
        both = Person(plane, release, home, **{platform: "view"}).byway("explain", "smart", "-o", "json")
    answer = json.loads(both.stdout)
    assert [one["endpoint"] for one in answer["candidates"]] == [f"{platform}/lent:test/model"]
    assert not [note for note in answer["notes"] if platform in note]


@pytest.mark.parametrize("role", ["view", "view+edit+admin"])
def test_a_folder_is_judged_as_this_cluster_would(
    plane: ControlPlane, release: Fleet, tmp_path: Path, role: str
) -> None:
    home = plane.namespace()
    somebody = Person(plane, release, home, **{home: role})
    plane.apply(secret(), home)
    # The admin lists this address, as only the operator knows.
    plane.apply(key("there", "http://127.0.0.1:9/v1"), home)
    plane.wait("providerkey", home, "there", "condition=ResolvedRefs")
    (tmp_path / "route.yaml").write_text(route(own("one", "there")))
    said = somebody.byway("check", tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"ModelRoute {home}/smart" in said.stdout
    assert "OK" in said.stdout
    judged_by_schema = "held against the cluster's schema alone" in said.stderr
    assert judged_by_schema == (role == "view")
    # The cluster has nothing of it afterwards.
    assert plane.kubectl("get", "modelroutes", "-n", home, "-o", "name") == ""


def test_a_field_that_the_clusters_definitions_lack_is_refused(
    plane: ControlPlane, release: Fleet, tmp_path: Path
) -> None:
    """An older cluster: its definition of ModelRoute has no `maxAttempts`."""
    home = plane.namespace()
    crd = json.loads(plane.kubectl("get", "crd", "modelroutes.byway.dev", "-o", "json"))
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    lacking = spec.pop("maxAttempts")
    manifest = route(own("one", "there")).rstrip()[:-1] + ", maxAttempts: 2}\n"
    (tmp_path / "route.yaml").write_text(manifest)
    viewer, admin = Person(plane, release, home), None
    try:
        _put(plane, crd)
        until(lambda: "maxAttempts" in viewer.byway("check", tmp_path).stdout, 20)
        assert viewer.byway("check", tmp_path).returncode == 1
        admin = Person(plane, release, home, **{home: "view+edit"}).byway("check", tmp_path)
        assert admin.returncode == 1
        assert "RefusedByCluster" in admin.stdout
        assert "maxAttempts" in admin.stdout
    finally:
        spec["maxAttempts"] = lacking
        _put(plane, crd)
        until(lambda: viewer.byway("check", tmp_path).returncode == 0, 20)


def _put(plane: ControlPlane, crd: dict[str, dict[str, object]]) -> None:
    crd["metadata"].pop("resourceVersion", None)
    crd["metadata"].pop("managedFields", None)
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(crd))


def test_who_may_nothing_is_told_what_to_ask_for(plane: ControlPlane) -> None:
    home = plane.namespace()
    plane.service_account(home, "nobody")
    kubeconfig = plane.kubeconfig_for("nobody", home)
    for words in (["explain", "smart"], ["status"]):
        said = kubectl_byway(*words, kubeconfig=kubeconfig)
        assert said.returncode == 1
        assert "--clusterrole=view" in said.stderr
    elsewhere = kubectl_byway("status", "--context", "nowhere", kubeconfig=kubeconfig)
    assert "no context 'nowhere' in the kubeconfig; there are: test" in elsewhere.stderr


def test_that_there_is_no_cluster_is_said_with_the_way_out(plane: ControlPlane, tmp_path: Path) -> None:
    config = json.loads(plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(config))
    said = kubectl_byway("status", kubeconfig=tmp_path / "config")
    assert said.returncode == 1
    assert "no answer from https://127.0.0.1:1" in said.stderr
    assert "Traceback" not in said.stderr
