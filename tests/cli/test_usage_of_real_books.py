"""`byway usage` on the books of a real ledger."""

import csv
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from byway_cli.up import layout
from byway_cli.up.layout import Layout, Running
from byway_contract.records import encode_batch
from fakes.usage import COST, batch, intent, ledger_process, settle


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a `byway up` with one failed attempt and its answer in the books, and one of another key."""
    home = tmp_path_factory.mktemp("up")
    house = Layout(home / "byway" / "one", home / "memory" / "one")
    layout.make(house)
    with layout.held(house), ledger_process(house.run) as ledger:
        layout.write_running(house, Running(os.getpid(), "one", 8080, ()))
        failed = settle("a", outcome="failed", billed=0)
        rows = (
            intent("a", request="gen-1"), failed, intent("b", request="gen-1", attempt_no=2), settle("b"),
            intent("c", access_key="ci"), settle("c"),
        )  # fmt: skip
        connection = http.client.HTTPConnection("ledger")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(ledger.socket))
        connection.request("POST", "/v1/usage", encode_batch(batch(1, *rows)))
        assert connection.getresponse().status == 200
        connection.close()
        yield home


def byway(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "XDG_STATE_HOME": str(home), "COLUMNS": "80"}
    whole = [sys.executable, "-m", "byway_cli.main", *arguments]
    return subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("spelt", ["access-key,namespace", "access_key,namespace"])
def test_a_field_may_be_spelt_as_it_is_printed(home: Path, spelt: str) -> None:
    said = byway(home, "usage", "--by", spelt)
    assert said.stderr == ""
    head, *lines = (line.split() for line in said.stdout.splitlines())
    assert head[:2] == ["ACCESS-KEY", "NAMESPACE"]
    # What the failed attempt cost is absorbed: owed, and charged to nobody.
    assert [(line[0], line[2:4], line[-3:]) for line in lines] == [
        ("-", ["1", "2"], ["$0.000456", "$0.000228", "$0.000228"]),
        ("ci", ["1", "1"], ["$0.000228", "$0.000228", "$0"]),
    ]


def test_the_books_are_a_file_for_finance(home: Path) -> None:
    said = byway(home, "usage", "--format", "focus")
    assert (said.returncode, said.stderr) == (0, "")
    rows = list(csv.DictReader(said.stdout.splitlines()))
    assert [(row["BilledCost"], row["x_AbsorbedCost"]) for row in rows] == [
        ("0.000456", "0.000228"), ("0.000228", "0"),
    ]  # fmt: skip
    assert COST == 228_000
    assert byway(home, "usage", "--format", "focus", "--since", "2026-11-20").stdout.count("\n") == 1


def test_what_cannot_be_asked_of_the_file_is_said(home: Path) -> None:
    for wrong, why in ((("--by", "day"), "only --since and --until"), (("--since", "soon"), "since: want")):
        said = byway(home, "usage", "--format", "focus", *wrong)
        assert (said.returncode, why in said.stderr, said.stdout) == (1, True, "")
