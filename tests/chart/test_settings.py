"""What the chart sets is what the processes read, and docs/settings.md says all that they read."""

import ast
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import pytest
from builders.guides import keep_fresh
from builders.helm import ROOT, Object, pods, render
from byway_process.settings import PREFIX, SettingsError

# With all that a value can add.
ALL = (
    "trustedNamespaces={platform,ml}",
    "watchNamespaces={platform,team-a}",
    "anonymousNamespace=guests",
    "allowedCIDRs={10.0.0.0/8,fd00::/8}",
    "proxy.egressProxy.existingSecret=egress",
    "proxy.valkey.existingSecret=valkey",
)
IN_POSTGRES = ("ledger.postgresql.url=postgresql://byway@db/byway", "ledger.postgresql.existingSecret=db-app")
MODULES = {
    "operator": "byway_operator.cluster_app",
    "proxy": "byway_proxy.settings",
    "ledger": "byway_ledger.app",
}
# What Kubernetes puts in place of `valueFrom`.
FROM_THE_POD = {"BYWAY_EGRESS_PROXY": "http://egress.test:3128", "BYWAY_VALKEY": "valkey://valkey.test:6379"}


@pytest.mark.parametrize(
    "values", [(), ALL, ("bindAddress=::",), IN_POSTGRES], ids=["default", "all", "ipv6", "postgresql"]
)
@pytest.mark.parametrize("room", MODULES)
def test_a_process_takes_the_settings_that_the_chart_gives_it(room: str, values: tuple[str, ...]) -> None:
    read: Callable[[dict[str, str]], object] = _module(room).settings_from
    read(_environment(room, *values))


@pytest.mark.parametrize("room", MODULES)
def test_a_misspelt_variable_stops_a_process(room: str) -> None:
    environment = _environment(room, f"{room}.extraEnv[0].name=BYWAY_LOG_LEVLE", f"{room}.extraEnv[0].value=debug")
    with pytest.raises(SettingsError, match="did you mean BYWAY_LOG_LEVEL"):
        _module(room).settings_from(environment)


def test_the_three_agree_on_whom_they_talk_to() -> None:
    operator, proxy, ledger = (_environment(room, *ALL) for room in ("operator", "proxy", "ledger"))
    assert proxy["BYWAY_CONTROL"] == f"https://{proxy['BYWAY_CONTROL_NAME']}:8443"
    assert proxy["BYWAY_CONTROL_NAME"] == ledger["BYWAY_OPERATOR_NAME"]
    assert proxy["BYWAY_LEDGER"] == operator["BYWAY_LEDGER"]
    assert ledger["BYWAY_PROXY_SERVICE_ACCOUNT"] == f"platform/{operator['BYWAY_PROXY_SERVICE_ACCOUNT']}"
    tokens = pods(render())["proxy"]["spec"]["volumes"][2]["projected"]["sources"]
    audiences = {t["serviceAccountToken"]["path"]: t["serviceAccountToken"]["audience"] for t in tokens}
    assert audiences == {"control": operator["BYWAY_CONTROL_AUDIENCE"], "ledger": ledger["BYWAY_AUDIENCE"]}


@pytest.mark.parametrize("room", MODULES)
def test_every_setting_is_listed_with_what_the_chart_makes_of_it(room: str, request: pytest.FixtureRequest) -> None:
    module = _module(room)
    said = _docstrings(module)
    given = {v["name"]: _shown(v) for v in pods(render(*ALL))[room]["spec"]["containers"][0]["env"]}
    lines = [f"`python -m byway_{room}`:", "", "| variable | default | in the chart | |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(module.Settings):
        name = PREFIX + field.name.upper()
        lines.append(f"| `{name}` | {_default(field)} | {given.get(name, '')} | {said[field.name]} |")
    accept = bool(request.config.getoption("--accept"))
    keep_fresh(ROOT / "docs/settings.md", f"settings of the {room}", lines, accept, folder="tests/chart")


def _module(room: str) -> ModuleType:
    return importlib.import_module(MODULES[room])


def _environment(room: str, *values: str) -> dict[str, str]:
    variables = pods(render(*values))[room]["spec"]["containers"][0]["env"]
    found: dict[str, str] = {}
    for variable in variables:
        name = variable["name"]
        assert name not in found, f"{room}: {name} is set twice"
        found[name] = variable["value"] if "value" in variable else FROM_THE_POD.get(name, "from-the-pod")
    return {name: value.replace("$(POD_IP)", "192.0.2.7") for name, value in found.items()}


def _shown(variable: Object) -> str:
    """A value, or where Kubernetes takes it from."""
    if "value" in variable:
        return f"`{variable['value']}`"
    ((kind, source),) = variable["valueFrom"].items()
    return "the pod's" if kind == "fieldRef" else f"Secret `{source['name']}`"


def _default(field: Any) -> str:
    if field.required:
        return "must be set"
    value = field.default if field.default is not msgspec.NODEFAULT else ()
    if value in ("", ()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _docstrings(module: ModuleType) -> dict[str, str]:
    """What stands below each field. Every one says something."""
    (struct,) = [
        node
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    ]
    said: dict[str, str] = {}
    for node, following in zip(struct.body, [*struct.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = following.value.value if _is_text(following) else ""  # type: ignore[union-attr]  # just asked
            assert text, f"{module.__name__}.Settings.{node.target.id}: say below it what it is"
            said[node.target.id] = " ".join(text.split()).replace("|", "\\|")
    return said


def _is_text(node: ast.stmt | None) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
