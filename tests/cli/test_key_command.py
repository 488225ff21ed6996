"""`byway key new` shows a key once, and prints the AccessKey that lets it in."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from byway_cli.errors import CommandError
from byway_cli.key import manifest
from byway_contract.access_key import digest_of, key_of
from byway_operator.resources.access_key import AccessKey
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.resources.parse import parse

NOW = 1_795_500_000
KEY = key_of(bytes(32))


def byway(*words: str, at: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "byway_cli", "key", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=at)


def test_the_key_is_shown_beside_a_manifest_that_holds_its_digest_alone(tmp_path: Path) -> None:
    ended = byway("new", "ci", "-n", "team-a", "--expires", "90d", "--user", "ci@example.com", at=tmp_path)
    assert ended.returncode == 0
    (shown,) = re.findall(r"sk-byway-[0-9a-f]{64}", ended.stderr)
    assert "sk-byway-" not in ended.stdout
    body = yaml.safe_load(ended.stdout)
    assert body["spec"]["keys"][0]["sha256"] == digest_of(shown)
    made = parse(Manifest(Key("AccessKey", "team-a", "ci"), body), strict=True)
    assert isinstance(made, AccessKey)
    assert (made.spec.user, made.metadata.namespace) == ("ci@example.com", "team-a")
    assert list(tmp_path.iterdir()) == []


def test_no_two_keys_are_the_same() -> None:
    assert byway("new", "ci").stderr != byway("new", "ci").stderr


def test_an_end_is_counted_from_now() -> None:
    def end(expires: str | None) -> str | None:
        (entry,) = manifest("ci", None, None, KEY, NOW, expires)["spec"]["keys"]
        assert entry["name"] == "2026-11-24"
        found: str | None = entry.get("expiresAt")
        return found

    assert end("90d") == "2027-02-22T06:00:00Z"
    assert end("12h") == "2026-11-24T18:00:00Z"
    assert end("1w") == "2026-12-01T06:00:00Z"
    assert end(None) is None


@pytest.mark.parametrize("expires", ["", "90", "d", "0d", "-1d", "90 d", "90D", "99999d", "²d"])
def test_an_end_that_is_none_is_refused_with_what_would_be_one(expires: str) -> None:
    with pytest.raises(CommandError, match="12h, 90d, 4w"):
        manifest("ci", None, None, KEY, NOW, expires)


@pytest.mark.parametrize("name", ["CI", "a_b", "", "-a", "a/b", "a" * 254])
def test_a_name_that_no_object_can_have_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="no object's name"):
        manifest(name, None, None, KEY, NOW, None)


def test_a_terminal_that_is_narrow_does_not_break_the_key() -> None:
    command = [sys.executable, "-m", "byway_cli", "key", "new", "ci"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, env={"COLUMNS": "40", "PATH": ""})
    assert re.search(r"sk-byway-[0-9a-f]{64}$", ended.stderr.strip())
