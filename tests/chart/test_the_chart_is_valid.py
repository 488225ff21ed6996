"""The chart renders into what an API server takes, for every way to install it; a typo in its values is refused."""

import filecmp
import json
from collections.abc import Iterator

import kubernetes_validate
import pytest
import yaml
from builders.helm import CHART, ROOT, HelmError, Object, helm, of_kind, render

ALL_ON = (
    "proxy.autoscaling.enabled=true",
    "certManager.enabled=true",
    "podMonitor.enabled=true",
    "serviceMonitor.enabled=true",
    "bindAddress=::",
    "anonymousNamespace=guests",
    "trustedNamespaces={platform,ml}",
    "allowedCIDRs={10.0.0.0/8,fd00::/8}",
    "proxy.egressProxy.existingSecret=egress",
    "proxy.service.type=LoadBalancer",
    "proxy.service.trafficDistribution=PreferSameZone",
    "image.registry=registry.example:5000/team",
    "imagePullSecrets[0].name=pull",
    "proxy.serviceAccount.annotations.role=proxies",
    "proxy.extraEnv[0].name=SSL_CERT_FILE,proxy.extraEnv[0].value=/etc/ca/ca.crt",
    "proxy.extraVolumes[0].name=ca,proxy.extraVolumes[0].configMap.name=ca",
    "proxy.extraVolumeMounts[0].name=ca,proxy.extraVolumeMounts[0].mountPath=/etc/ca",
    "proxy.nodeSelector.pool=gateway",
    "proxy.podLabels.team=platform",
    "proxy.priorityClassName=high",
    "operator.tolerations[0].key=infra,operator.tolerations[0].operator=Exists",
    "ledger.persistence.storageClass=fast",
    "ledger.persistence.keep=true",
    "commonLabels.team=platform",
)
WAYS = {
    "default": (),
    "namespaced": ("watchNamespaces={team-a,team-b}",),
    "cert-manager": ("certManager.enabled=true",),
    "certificates-of-ones-own": ("operator.tls.existingSecret=o", "ledger.tls.existingSecret=l"),
    "bare": (
        "crds.install=false",
        "rbac.create=false",
        "networkPolicy.enabled=false",
        "ledger.persistence.enabled=false",
        "operator.podDisruptionBudget.enabled=false",
        "proxy.podDisruptionBudget.enabled=false",
    ),
    "all-on": ALL_ON,
    "postgresql": ("ledger.postgresql.url=postgresql://byway@db/byway",),
    "ledgers-side-by-side": (
        "ledger.replicas=3",
        "ledger.postgresql.url=postgresql://byway@db-0.data:5433/byway?sslmode=require",
        "ledger.postgresql.existingSecret=db-app",
        "ledger.postgresql.caSecret=db-ca",
        "networkPolicy.postgresqlTo[0].namespaceSelector.matchLabels.name=data",
    ),
}
# Nobody's schema is at hand for these; their fields are few and written out in the templates.
FOREIGN = frozenset({"Certificate", "Issuer", "PodMonitor", "ServiceMonitor"})


@pytest.mark.parametrize("way", WAYS)
def test_every_object_is_what_kubernetes_takes(way: str) -> None:
    objects = render(*WAYS[way])
    for item in objects:
        if item["kind"] not in FOREIGN:
            kubernetes_validate.validate(item, "1.37", strict=True)
    identities = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("chart", ["byway", "byway-crds"])
def test_helm_finds_nothing_to_say(chart: str) -> None:
    said = helm("lint", "--strict", str(ROOT / "charts" / chart))
    assert "[WARNING]" not in said


@pytest.mark.parametrize(
    "typo",
    [
        "proxy.replcas=3",
        "Proxy.replicas=3",
        "watchNamespace={a}",
        "proxy.service.prot=80",
        "ledger.persistence.keeep=true",
        "ledger.postgresql.uri=postgresql://byway@db/byway",
        "networkPolicy.postgresTo[0].podSelector.matchLabels.app=db",
        "networkPolicy.providers.cidr={10.0.0.0/8}",
        "proxy.serviceAccount.nam=x",
        "proxy.extraEnv[0].name=A,proxy.extraEnv[0].vlaue=b",
        "crds.enabled=true",
    ],
)
def test_a_typo_is_refused_with_its_name(typo: str) -> None:
    with pytest.raises(HelmError, match="additional properties"):
        render(typo)


@pytest.mark.parametrize(
    "wrong",
    [
        "proxy.replicas=many",
        "logLevel=loud",
        "operator.replicas=0",
        "image.registry=example.test/",
        "allowedCIDRs={x}",
        "unpricedModels=Free",
        "proxy.image.digest=latest",
        "anonymousNamespace=No_Name",
        "watchNamespaces={a,a}",
        "ledger.replicas=0",
        "ledger.postgresql.url=db",
        "ledger.postgresql.url=postgresql://byway:secret@db/byway",
        "ledger.postgresql.url=postgresql://byway@db/byway?password=secret",
    ],
)
def test_a_value_that_cannot_be_is_refused(wrong: str) -> None:
    with pytest.raises(HelmError, match="values don't meet the specifications"):
        render(wrong)


def test_the_schema_knows_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert sorted(_paths_of(schema, schema)) == sorted(_paths_in(values, schema, schema))


@pytest.mark.parametrize("chart", ["byway", "byway-crds"])
def test_the_definitions_in_a_chart_are_those_in_crds(chart: str) -> None:
    source = sorted(path.name for path in (ROOT / "crds").glob("byway.dev_*.yaml"))
    copies = ROOT / "charts" / chart / "files/crds"
    assert sorted(path.name for path in copies.iterdir()) == source
    stale = filecmp.cmpfiles(ROOT / "crds", copies, source, shallow=False)[1]
    assert stale == [], "run `make crds`"


@pytest.mark.parametrize(("chart", "value"), [("byway", "crds.keep"), ("byway-crds", "keep")])
def test_definitions_outlive_the_release_unless_told_otherwise(chart: str, value: str) -> None:
    for keep in (True, False):
        found = of_kind(
            render(f"{value}={str(keep).lower()}", chart=ROOT / "charts" / chart), "CustomResourceDefinition"
        )
        assert len(found) == 4
        for definition in found:
            source = yaml.safe_load(
                (ROOT / f"crds/byway.dev_{definition['spec']['names']['plural']}.yaml").read_text()
            )
            assert definition["spec"] == source["spec"]
            kept = definition["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
            assert (kept == "keep") is keep


def test_two_releases_share_no_object_of_the_whole_cluster() -> None:
    cluster_wide = "ClusterRole", "ClusterRoleBinding"
    first = {o["metadata"]["name"] for o in of_kind(render(namespace="one"), *cluster_wide)}
    second = {o["metadata"]["name"] for o in of_kind(render(namespace="two"), *cluster_wide)}
    assert first
    assert not first & second


def test_the_notes_say_what_to_do_next() -> None:
    notes = _notes()
    assert "kubectl -n platform get providerkeys" in notes
    assert "http://byway-proxy.platform/v1" in notes
    assert "http://byway-proxy.platform:8000/v1" in _notes("proxy.service.port=8000")
    assert "helm uninstall" in notes
    assert "helm uninstall" not in _notes("ledger.persistence.keep=true")
    in_postgres = _notes("ledger.postgresql.url=postgresql://byway@db/byway", "ledger.persistence.enabled=false")
    assert "PostgreSQL, and stay there" in in_postgres
    assert "WARNING" not in in_postgres


def _notes(*values: str) -> str:
    settings = [word for value in values for word in ("--set", value)]
    return helm("install", "byway", str(CHART), "-n", "platform", "--dry-run=client", *settings).partition(
        "NOTES:"
    )[2]


def _paths_of(schema: Object, whole: Object, above: str = "") -> Iterator[str]:
    schema = _followed(schema, whole)
    for name, inner in schema.get("properties", {}).items():
        yield from _paths_of(inner, whole, f"{above}.{name}")
    if not schema.get("properties"):
        yield above


def _paths_in(values: Object, schema: Object, whole: Object, above: str = "") -> Iterator[str]:
    """Down to where the schema says no more."""
    inner = _followed(schema, whole).get("properties")
    for name, value in values.items() if inner else ():
        assert name in inner, f"{above}.{name}: not in the schema"
        yield from _paths_in(value, inner[name], whole, f"{above}.{name}")
    if not inner:
        yield above


def _followed(schema: Object, whole: Object) -> Object:
    found: Object = whole["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found
