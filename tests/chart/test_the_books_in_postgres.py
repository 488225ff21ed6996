"""With PostgreSQL the chart runs several ledgers and no volume; what would do nothing is refused."""

from pathlib import Path

import pytest
import yaml
from builders.helm import CHART, ROOT, HelmError, Object, helm, of_kind, pods, render

URL = "ledger.postgresql.url=postgresql://byway@db-rw.data/byway"
SECRETS = ("ledger.postgresql.existingSecret=db-app", "ledger.postgresql.caSecret=db-ca")


def test_one_file_of_books_has_one_ledger() -> None:
    with pytest.raises(HelmError, match=r"ledger\.replicas: 2 is too many, .*; say ledger\.postgresql\.url, or 1"):
        render("ledger.replicas=2")
    (ledger,) = of_kind(render(), "StatefulSet")
    assert ledger["spec"]["replicas"] == 1
    assert _named(render(), "PodDisruptionBudget") == {"byway-operator", "byway-proxy"}


def test_in_postgres_ledgers_stand_side_by_side_and_need_no_volume() -> None:
    objects = render(URL, *SECRETS, "ledger.replicas=3")
    assert not of_kind(objects, "StatefulSet", "PersistentVolumeClaim")
    ledger = _ledger(objects)
    assert ledger["kind"] == "Deployment"
    assert (ledger["spec"]["replicas"], ledger["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"]) == (3, 0)
    spec = ledger["spec"]["template"]["spec"]
    assert [s["topologyKey"] for s in spec["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone", "kubernetes.io/hostname",
    ]  # fmt: skip
    assert not any({"persistentVolumeClaim", "emptyDir"} & volume.keys() for volume in spec["volumes"])
    mounts = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts == {volume["name"] for volume in spec["volumes"]}
    assert "byway-ledger" in _named(objects, "PodDisruptionBudget")
    assert "byway-ledger" not in _named(render(URL), "PodDisruptionBudget")
    assert "byway-ledger" not in _named(
        render(URL, "ledger.replicas=2", "ledger.podDisruptionBudget.enabled=false"), "PodDisruptionBudget"
    )


def test_a_password_is_in_a_file_that_changes_with_its_secret_and_in_no_variable() -> None:
    spec = pods(render(URL, *SECRETS, "ledger.postgresql.passwordKey=word"))["ledger"]["spec"]
    (container,) = spec["containers"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert all(value is not None for value in variables.values()), "from a Secret"
    (volume,) = [one["secret"] for one in spec["volumes"] if one.get("secret", {}).get("secretName") == "db-app"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "postgresql"]
    (item,) = volume["items"]
    assert item["key"] == "word"
    assert variables["BYWAY_DATABASE_PASSWORD_FILE"] == f"{mount['mountPath']}/{item['path']}"
    assert "subPath" not in mount
    # The ledger is no root; it comes to the file by fsGroup.
    assert volume["defaultMode"] == 0o440


def test_a_servers_name_is_checked_where_its_authority_is_given() -> None:
    variables = {
        v["name"]: v["value"] for v in pods(render(URL, *SECRETS))["ledger"]["spec"]["containers"][0]["env"]
    }
    assert variables["PGSSLMODE"] == "verify-full"
    assert variables["PGSSLROOTCERT"] == "/etc/byway/postgresql/ca.crt"
    without = {v["name"] for v in pods(render(URL))["ledger"]["spec"]["containers"][0]["env"]}
    assert not {"PGSSLMODE", "PGSSLROOTCERT", "BYWAY_DATABASE_PASSWORD_FILE"} & without


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("postgresql://byway@db/byway", 5432),
        ("postgresql://byway@db:6000/byway?application_name=a:1", 6000),
        ("postgres://byway@[fd00::5]/byway", 5432),
        ("postgres://byway@[fd00::5]:6000/byway", 6000),
        (r"postgresql://byway@a:6000\,b:7000/byway", 6000),
    ],
)
def test_a_ledger_reaches_its_database_and_nothing_else(url: str, port: int) -> None:
    assert _egress(f"ledger.postgresql.url={url}") == [{"ports": [{"port": port}]}]


def test_where_the_database_is_can_be_said() -> None:
    peer = {"podSelector": {"matchLabels": {"app": "db"}}}
    said = "networkPolicy.postgresqlTo[0].podSelector.matchLabels.app=db"
    assert _egress(URL, said) == [{"to": [peer]}]
    assert _egress(said) == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (SECRETS[:1], r"ledger\.postgresql\.url: say where PostgreSQL is"),
        (SECRETS[1:], r"ledger\.postgresql\.url: say where PostgreSQL is"),
        ((URL, "ledger.persistence.existingClaim=books"), r"ledger\.persistence\.existingClaim: .*leave out one"),
    ],
)
def test_what_would_do_nothing_is_refused(values: tuple[str, ...], why: str) -> None:
    with pytest.raises(HelmError, match=why):
        render(*values)


def test_the_values_in_the_guide_are_taken(tmp_path: Path) -> None:
    guide = (ROOT / "docs/install.md").read_text().partition("## The books in PostgreSQL")[2]
    values = tmp_path / "values.yaml"
    values.write_text(guide.partition("```yml\n")[2].partition("```")[0])
    text = helm("template", "byway", str(CHART), "--namespace", "platform", "--values", str(values))
    ledger = _ledger([document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document])
    assert ledger["spec"]["replicas"] == 2
    volumes = ledger["spec"]["template"]["spec"]["volumes"]
    assert {"byway-postgres", "byway-postgres-ca"} <= {volume["secret"]["secretName"] for volume in volumes}


def _ledger(objects: list[Object]) -> Object:
    (found,) = [o for o in of_kind(objects, "Deployment") if o["metadata"]["name"] == "byway-ledger"]
    return found


def _named(objects: list[Object], kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in of_kind(objects, kind)}


def _egress(*values: str) -> list[Object]:
    """Without DNS."""
    (policy,) = [p for p in of_kind(render(*values), "NetworkPolicy") if p["metadata"]["name"] == "byway-ledger"]
    return [rule for rule in policy["spec"]["egress"] if not _dns(rule)]


def _dns(rule: Object) -> bool:
    return any(one["port"] == 53 for one in rule.get("ports", ()))
