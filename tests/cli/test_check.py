"""`byway check`: every example is accepted, and what is wrong is told with its place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from byway_cli.verdicts import judge, on_one_machine, read

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(folder.name for folder in EXAMPLES.iterdir() if list(folder.glob("*.yaml")))

FINE = """\
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {name: local}
spec: {provider: openai-compatible, baseURL: "http://127.0.0.1:9101/v1"}
"""
MISSPELT = """\
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {name: smart}
spec:
  endpoints:
  - name: one
    providerKeyRef: {name: local}
    modle: tiny
"""
WITHOUT_ITS_SECRET = FINE.replace("local", "cloud").replace("spec: {", "spec: {secretRef: {name: nowhere}, ")


@pytest.mark.parametrize("name", FOLDERS)
def test_every_example_is_accepted_to_the_last_resource(name: str) -> None:
    lines = judge(read(EXAMPLES / name), on_one_machine({}))
    assert lines
    # The credential of `gitops` is not in Git.
    fine = {"OK", "SecretNotFound"} if name == "gitops" else {"OK"}
    assert [line for line in lines if line.verdict not in fine] == []


def test_a_field_that_is_misspelt_is_told_with_its_line_and_refused(tmp_path: Path) -> None:
    (tmp_path / "fine.yaml").write_text(FINE)
    (tmp_path / "smart.yaml").write_text(MISSPELT)
    ended = _check(tmp_path, "-o", "json")
    [fine, smart] = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert "2 verdicts, 1 refused" in ended.stderr
    assert (fine["resource"], fine["verdict"]) == ("ProviderKey default/local", "OK")
    assert (smart["place"], smart["verdict"], smart["refused"]) == ("smart.yaml:8", "Invalid", True)
    assert "did you mean model?" in smart["message"]


def test_a_file_that_is_no_yaml_is_refused_and_stops_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("kind: [unclosed\n")
    (tmp_path / "fine.yaml").write_text(FINE)
    ended = _check(tmp_path)
    assert ended.returncode == 1
    assert [line.split()[:2] for line in ended.stdout.splitlines()[2:]] == [["fine.yaml:1", "ProviderKey"]]
    assert "broken.yaml:" in ended.stdout.splitlines()[1]


def test_a_secret_that_is_not_in_the_folder_is_told_and_refuses_nothing(tmp_path: Path) -> None:
    (tmp_path / "cloud.yaml").write_text(WITHOUT_ITS_SECRET)
    ended = _check(tmp_path, "-o", "json")
    [verdict] = json.loads(ended.stdout)
    assert (ended.returncode, verdict["verdict"], verdict["refused"]) == (0, "SecretNotFound", False)


def test_an_empty_folder_and_a_missing_one_are_told_apart(tmp_path: Path) -> None:
    empty, missing = _check(tmp_path), _check(tmp_path / "nowhere")
    assert (empty.returncode, missing.returncode) == (0, 1)
    assert "no resources of ours in it" in empty.stderr
    assert "no such folder" in missing.stderr


def _check(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    whole = [sys.executable, "-m", "byway_cli.main", "check", str(folder), *arguments]
    return subprocess.run(whole, capture_output=True, text=True, timeout=30)
