"""The house stands as the design says. What import-linter can say better stands in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["contract/byway_contract", "process/byway_process", "operator/byway_operator", "proxy/byway_proxy",
            "ledger/byway_ledger", "cli/byway_cli"]  # fmt: skip


def test_operator_shadows_nothing() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))
    subprocess.run([sys.executable, "-c", "import collections, operator; operator.add"], cwd=ROOT, check=True)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str) -> None:
    assert (ROOT / package / "__init__.py").exists()
    assert (ROOT / package / "py.typed").exists()


def test_a_folders_front_is_a_module_of_its_own_name() -> None:
    verbs = ["operator/byway_operator/compile", "operator/byway_operator/push", "operator/byway_operator/tell",
             "proxy/byway_proxy/admit", "proxy/byway_proxy/choose", "proxy/byway_proxy/carry",
             "proxy/byway_proxy/meter"]  # fmt: skip
    missing = [verb for verb in verbs if not (ROOT / verb / f"{verb.rsplit('/', 1)[1]}.py").exists()]
    assert missing == []


@pytest.mark.parametrize("module", ["byway_proxy.app", "byway_ledger.app"])
def test_the_data_plane_carries_no_kubernetes_client(module: str) -> None:
    heavy = "kopf", "kubernetes", "pydantic", "yaml", "typer"
    code = f"import {module}, sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_operator_of_one_machine_carries_no_kubernetes_client() -> None:
    code = "import byway_operator.app, sys; print([m for m in ('kopf', 'kubernetes') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_names_a_registry_or_a_machine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    # Spelled so that this file does not hold them.
    hosts = ["p" + "ypi.org", "p" + "ythonhosted", "registry.n" + "pmjs", "proxy.g" + "olang", "deb.d" + "ebian"]
    found = [
        (name, host)
        for name in files
        if (ROOT / name).is_file()
        for host in hosts
        if host in (ROOT / name).read_text(errors="replace")
    ]
    assert found == []
