"""The chart's objects on a real API server: taken as they are, and rights that are what they say."""

import json

import pytest
from builders.control_plane import ControlPlane
from builders.helm import HELM, Object, of_kind, render

FOREIGN = frozenset({"CustomResourceDefinition"})  # the plane has them


@pytest.fixture(scope="module", autouse=True)
def _helm() -> None:
    if not HELM.exists():
        pytest.skip("no helm here: `make helm` fetches it")


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("watchNamespaces={default}",),
        ("serviceMonitor.enabled=true", "podMonitor.enabled=false", "bindAddress=::"),
        (
            "ledger.replicas=2",
            "ledger.postgresql.url=postgresql://byway@db/byway",
            "ledger.postgresql.existingSecret=db",
        ),
    ],
    ids=["default", "namespaced", "more", "postgresql"],
)
def test_the_server_takes_every_object_as_it_is(plane: ControlPlane, values: tuple[str, ...]) -> None:
    namespace = plane.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
    objects = [o for o in render(*values, namespace=namespace) if o["kind"] not in FOREIGN | {"ServiceMonitor"}]
    said = plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", input=_as_list(objects)
    )
    assert said.count("serverside-applied") == len(objects)


def test_pods_pass_the_strictest_pod_security(plane: ControlPlane) -> None:
    namespace = plane.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
    for item in of_kind(render(namespace=namespace), "Deployment", "StatefulSet"):
        pod = {"apiVersion": "v1", "kind": "Pod", **item["spec"]["template"]}
        pod["metadata"] = {**pod["metadata"], "name": item["metadata"]["name"]}
        if item["kind"] == "StatefulSet":
            books = {"name": "books", "persistentVolumeClaim": {"claimName": "books"}}
            pod["spec"] = {**pod["spec"], "volumes": [*pod["spec"]["volumes"], books]}
        plane.kubectl("-n", namespace, "apply", "--dry-run=server", "-f", "-", input=json.dumps(pod))


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("view", [("list", "modelroutes"), ("get", "providerkeys")], [("create", "modelroutes")]),
        (
            "edit",
            [("create", "modelroutes"), ("delete", "budgets"), ("patch", "accesskeys")],
            [("create", "providerkeys"), ("patch", "modelroutes/status")],
        ),
        ("admin", [("create", "providerkeys"), ("delete", "providerkeys")], [("patch", "providerkeys/status")]),
    ],
)
def test_the_clusters_roles_know_our_kinds(
    plane: ControlPlane, role: str, may: list[tuple[str, str]], may_not: list[tuple[str, str]]
) -> None:
    """Without a controller nothing is aggregated here, so the parts are bound as they are."""
    namespace = plane.namespace()
    roles = [o for o in of_kind(render(namespace=namespace), "ClusterRole") if o["metadata"]["name"].endswith(role)]
    assert len(roles) == 1
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "person", "namespace": namespace},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": roles[0]["metadata"]["name"],
        },
        "subjects": [{"kind": "ServiceAccount", "name": "person", "namespace": namespace}],
    }
    plane.apply(_as_list([*roles, binding]))
    person = plane.kubeconfig_for("person", namespace)

    def can(verb: str, resource: str) -> str:
        asked = (verb, f"{resource.partition('/')[0]}.byway.dev")
        subresource = ("--subresource", resource.partition("/")[2]) if "/" in resource else ()
        return plane.kubectl_says("auth", "can-i", *asked, *subresource, kubeconfig=person).stdout.strip()

    assert {can(*question) for question in may} == {"yes"}
    assert {can(*question) for question in may_not} == {"no"}


def _as_list(objects: list[Object]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
