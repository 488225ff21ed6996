"""What Flux, Helm and `kubectl wait` make of our statuses: kstatus' reading of conditions, as a table."""

from typing import Any, Literal

import pytest
from builders.desk import ROOT
from byway_contract.stream import Pod
from byway_operator.compile.verdict import Condition, Verdict
from byway_operator.push.fleet import FleetView, ProxyView, Sent
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.tell.crds import NOBODY_LOOKED
from byway_operator.tell.summary import Summary
from byway_operator.tell.tell import status_of
from lupa import LuaRuntime

T = 1_800_000_000.0
ROUTE = Key("ModelRoute", "team-a", "smart")
INVALID = Condition("False", "Invalid", "spec.endpoints: …")
MISSING = Condition("False", "SecretNotFound", "spec.secretRef: …")
NOT_SHARED = Condition("False", "RefNotPermitted", "spec.endpoints[eu].providerKeyRef: …")

Computed = Literal["Current", "InProgress", "Failed"]


def kstatus(status: dict[str, Any], generation: int) -> Computed:
    """sigs.k8s.io/cli-utils, pkg/kstatus/status: generic checks, in its order."""
    if status.get("observedGeneration", generation) != generation:
        return "InProgress"
    said = {condition["type"]: condition["status"] for condition in status.get("conditions", ())}
    if said.get("Reconciling") == "True":
        return "InProgress"
    if said.get("Stalled") == "True":
        return "Failed"
    return "Current" if said.get("Ready", "True") == "True" else "InProgress"


def a_fleet(*acked: str, pods: int = 2) -> FleetView:
    ring = tuple(Sent(form, T, {ROUTE: form}) for form in ("old", "new"))
    proxies = tuple(ProxyView(Pod(f"p{n}", "u"), "1", form) for n, form in enumerate(acked))
    return FleetView(proxies, frozenset(f"p{n}" for n in range(pods)), ring=ring)


def told(fleet: FleetView, later_s: float = 0.0, **verdict: Condition | str) -> dict[str, Any]:
    manifest = Manifest(ROUTE, {"spec": {}}, 3)
    known = Verdict(ROUTE, 3, **{"fingerprint": "new", **verdict})  # type: ignore[arg-type]  # as they are named
    first = status_of(known, manifest, fleet, Summary(), None, T)
    return status_of(known, manifest, fleet, Summary(), first, T + later_s) if later_s else first


EVERYBODY, SOMEBODY, NOBODY = a_fleet("new", "new"), a_fleet("new", "old"), a_fleet(pods=0)


CASES = pytest.mark.parametrize(
    ("status", "computed"),
    [
        (dict(NOBODY_LOOKED), "InProgress"),
        (told(EVERYBODY), "Current"),
        (told(SOMEBODY), "InProgress"),
        (told(SOMEBODY, 60), "InProgress"),
        (told(NOBODY), "InProgress"),
        (told(EVERYBODY, accepted=INVALID), "Failed"),
        (told(EVERYBODY, resolved=MISSING), "InProgress"),
        (told(EVERYBODY, 59, resolved=MISSING), "InProgress"),
        (told(EVERYBODY, 61, resolved=MISSING), "Failed"),
        (told(EVERYBODY, resolved=NOT_SHARED), "Failed"),
        ({**told(EVERYBODY), "observedGeneration": 2}, "InProgress"),
    ],
)


@CASES
def test_how_far_an_object_is(status: dict[str, Any], computed: Computed) -> None:
    assert kstatus(status, 3) == computed
    types = {condition["type"] for condition in status.get("conditions", ())}
    assert not {"Reconciling", "Stalled"} <= types


@CASES
def test_argo_cd_says_the_same(status: dict[str, Any], computed: Computed) -> None:
    lua = LuaRuntime(register_eval=False)
    check = (ROOT / "examples/gitops/argocd-health.lua").read_text()
    lua.globals().obj = _table(lua, {"metadata": {"generation": 3}, "status": status})
    health = lua.execute(check)
    assert health.status == {"Current": "Healthy", "InProgress": "Progressing", "Failed": "Degraded"}[computed]
    assert health.message


def _table(lua: LuaRuntime, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({name: _table(lua, inner) for name, inner in value.items()})
    return lua.table_from([_table(lua, inner) for inner in value]) if isinstance(value, list) else value
