"""`byway crds` prints what a cluster must know first."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders.desk import ROOT


def byway(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "byway_cli", "crds", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_all_kinds_come_as_one_stream_of_documents() -> None:
    printed = byway()
    assert [made["spec"]["names"]["kind"] for made in yaml.safe_load_all(printed.stdout)] == [
        "ModelRoute",
        "ProviderKey",
        "Budget",
        "AccessKey",
    ]


@pytest.mark.parametrize("name", ["ProviderKey", "providerkeys", "pk"])
def test_one_kind_comes_by_any_of_its_names(name: str) -> None:
    (made,) = yaml.safe_load_all(byway(name).stdout)
    assert made["metadata"]["name"] == "providerkeys.byway.dev"


def test_a_kind_that_is_none_is_answered_with_the_nearest() -> None:
    ended = byway("modelroute5")
    assert (ended.returncode, ended.stderr) == (1, "byway: no kind 'modelroute5'; did you mean modelroute?\n")


def test_the_committed_files_are_fresh(tmp_path: Path) -> None:
    assert byway("--into", str(tmp_path)).returncode == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / "crds").glob("byway.dev_*.yaml")}
    assert written == kept, "run: make crds"


def test_a_folder_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    assert byway("--into", str(tmp_path / "missing")).returncode == 2


def test_what_is_printed_can_be_read_and_patched_without_anchors() -> None:
    assert not re.search(r"[&*]id0", byway().stdout)
