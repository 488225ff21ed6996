"""Pods are restricted, rights are few, and a token is good for one listener: read off the rendered chart."""

import itertools
from collections.abc import Iterator

import pytest
from builders.helm import Object, of_kind, pods, render

NAMESPACED = "watchNamespaces={team-a,team-b}"
KINDS = ["modelroutes", "providerkeys", "budgets", "accesskeys"]


@pytest.mark.parametrize("room", ["operator", "proxy", "ledger"])
def test_every_pod_is_restricted(room: str) -> None:
    spec = pods(render())[room]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert {"requests", "limits"} <= container["resources"].keys()
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
    allowed = {"secret", "projected", "emptyDir", "persistentVolumeClaim"}
    assert all(volume.keys() & allowed for volume in spec.get("volumes", ()))


@pytest.mark.parametrize("room", ["operator", "proxy", "ledger"])
def test_no_service_can_bring_a_variable_that_stops_a_process(room: str) -> None:
    assert pods(render())[room]["spec"]["enableServiceLinks"] is False


def test_only_the_operator_has_a_token_for_the_kubernetes_api() -> None:
    found = pods(render())
    assert {room: pod["spec"]["automountServiceAccountToken"] for room, pod in found.items()} == {
        "operator": True, "proxy": False, "ledger": False,
    }  # fmt: skip
    audiences = {room: sorted(_audiences(pod)) for room, pod in found.items()}
    assert audiences == {"operator": [], "proxy": ["byway-control", "byway-ledger"], "ledger": []}


@pytest.mark.parametrize("values", [(), (NAMESPACED,)], ids=["everywhere", "namespaced"])
def test_only_the_operator_has_rights(values: tuple[str, ...]) -> None:
    bindings = of_kind(render(*values), "RoleBinding", "ClusterRoleBinding")
    assert bindings
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} == {"byway-operator"}


@pytest.mark.parametrize("values", [(), (NAMESPACED,)], ids=["everywhere", "namespaced"])
def test_no_right_is_a_wildcard(values: tuple[str, ...]) -> None:
    for rule in _rules(render(*values), "Role", "ClusterRole"):
        words = itertools.chain(
            *(rule.get(field, ()) for field in ("apiGroups", "resources", "verbs", "nonResourceURLs"))
        )
        assert "*" not in set(words)


def test_the_operator_writes_statuses_events_and_its_lease_and_nothing_else() -> None:
    objects = [o for o in render() if not _aggregated(o)]
    writes = {
        (verb, resource)
        for rule in _rules(objects, "Role", "ClusterRole")
        for verb in rule["verbs"]
        for resource in rule.get("resources", ())
        if verb not in ("get", "list", "watch")
    }
    assert writes == {
        *(("patch", f"{kind}/status") for kind in KINDS),
        ("create", "events"),
        ("create", "tokenreviews"),
        ("create", "leases"),
        ("update", "leases"),
    }
    named = [r["resourceNames"] for r in _rules(objects, "Role") if "update" in r["verbs"]]
    assert named == [["byway-operator"]]


def test_in_named_namespaces_no_right_reaches_secrets_elsewhere() -> None:
    objects = [o for o in render(NAMESPACED) if not _aggregated(o)]
    everywhere = {resource for rule in _rules(objects, "ClusterRole") for resource in rule.get("resources", ())}
    assert everywhere == {"namespaces", "tokenreviews"}
    where = {
        role["metadata"]["namespace"]
        for role in of_kind(objects, "Role")
        if any("secrets" in rule["resources"] for rule in role["rules"])
    }
    assert where == {"team-a", "team-b"}


def test_provider_keys_are_for_admins_of_a_namespace_and_not_for_its_editors() -> None:
    writes: dict[str, set[str]] = {"view": set(), "edit": set(), "admin": set()}
    for role in filter(_aggregated, of_kind(render(), "ClusterRole")):
        for whom in writes:
            if role["metadata"]["labels"].get(f"rbac.authorization.k8s.io/aggregate-to-{whom}") == "true":
                writes[whom] |= {
                    r for rule in role["rules"] if "create" in rule["verbs"] for r in rule["resources"]
                }
    assert writes == {"view": set(), "edit": set(KINDS) - {"providerkeys"}, "admin": set(KINDS)}


def test_nobody_reaches_a_pod_who_is_not_listed() -> None:
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(render(), "NetworkPolicy")}
    assert policies.keys() == {"byway-operator", "byway-proxy", "byway-ledger"}
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies.values())
    assert policies["byway-ledger"]["egress"] == []
    assert _senders(policies["byway-ledger"], 7420) == ["operator", "proxy"]
    assert _senders(policies["byway-operator"], 8443) == ["proxy"]


def test_a_proxy_cannot_reach_where_clouds_keep_credentials() -> None:
    (proxy,) = [p for p in of_kind(render(), "NetworkPolicy") if p["metadata"]["name"] == "byway-proxy"]
    blocks = [to["ipBlock"] for rule in proxy["spec"]["egress"] for to in rule.get("to", ()) if "ipBlock" in to]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    assert all(block["except"] for block in blocks)
    assert "169.254.0.0/16" in blocks[0]["except"]


def test_the_table_is_kept_in_memory_only() -> None:
    volumes = {v["name"]: v for v in pods(render())["proxy"]["spec"]["volumes"]}
    assert volumes["table"]["emptyDir"]["medium"] == "Memory"


def test_a_pod_has_longer_to_end_than_its_streams() -> None:
    for values in ((), ("proxy.drainSeconds=60", "proxy.preStopSeconds=7")):
        spec = pods(render(*values))["proxy"]["spec"]
        variables = {v["name"]: v.get("value") for v in spec["containers"][0]["env"]}
        pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > float(variables["BYWAY_DRAIN_S"]) + pause + 5


def test_the_longest_request_outlasts_no_drain() -> None:
    variables = {v["name"]: v.get("value") for v in pods(render())["proxy"]["spec"]["containers"][0]["env"]}
    assert float(variables["BYWAY_DRAIN_S"]) >= float(variables["BYWAY_REQUEST_S"])


def _audiences(pod: Object) -> Iterator[str]:
    for volume in pod["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", ()):
            yield source["serviceAccountToken"]["audience"]


def _rules(objects: list[Object], *kinds: str) -> Iterator[Object]:
    for role in of_kind(objects, *kinds):
        yield from role["rules"]


def _aggregated(item: Object) -> bool:
    labels = item["metadata"].get("labels", {})
    return any(label.startswith("rbac.authorization.k8s.io/aggregate-to-") for label in labels)


def _senders(policy: Object, port: int) -> list[str]:
    (rule,) = [rule for rule in policy["ingress"] if rule["ports"] == [{"port": port}]]
    return sorted(sender["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for sender in rule["from"])
