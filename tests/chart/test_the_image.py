"""The Dockerfile, as far as it can be told without building it: nothing here can."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from builders.helm import CHART, ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DOCKERFILE = (ROOT / "Dockerfile").read_text()
ROOMS = "operator", "proxy", "ledger"


def test_hadolint_finds_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("room", ROOMS)
def test_each_process_has_a_target_that_ends_as_nobody_in_particular(room: str) -> None:
    target = re.search(rf"^FROM python AS {room}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.DOTALL | re.MULTILINE)
    assert target
    assert "USER 65532:65532" in target[1]
    assert f'ENTRYPOINT ["python", "-m", "byway_{room}"]' in target[1]
    assert f"repository: byway/{room}" in (CHART / "values.yaml").read_text()


@pytest.mark.parametrize("room", ROOMS)
def test_an_image_holds_all_that_its_process_needs(room: str) -> None:
    assert _needed("byway", room) - {"byway"} <= _picked("--extra", room)


@pytest.mark.parametrize("room", ["proxy", "ledger"])
def test_an_image_of_the_data_plane_holds_no_kubernetes_client(room: str) -> None:
    assert not {"kopf", "kubernetes", "pydantic", "pytest"} & _picked("--extra", room)
    assert len(_picked("--extra", room)) < 25


def test_what_is_not_in_the_lock_cannot_be_picked() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _picked("no-such-package")


def test_all_that_is_copied_is_there_and_let_through() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert [source for source in copied if source not in let_through] == []


def _picked(*arguments: str) -> set[str]:
    printed = subprocess.run(
        [sys.executable, ROOT / "image/pick.py", *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert all("--hash=" in entry for entry in re.split(r"^(?=[a-z0-9])", printed, flags=re.MULTILINE)[1:])
    return set(re.findall(r"^([a-z0-9._-]+)==", printed, re.MULTILINE))


def _needed(name: str, *extras: str) -> set[str]:
    """What is installed here says the same in another way."""
    seen: set[tuple[str, str]] = set()
    todo = [(name, extra) for extra in ("", *extras)]
    while todo:
        if (here := todo.pop()) not in seen:
            seen.add(here)
            todo += _wishes(*here)
    return {name for name, _ in seen}


def _wishes(name: str, extra: str) -> Iterator[tuple[str, str]]:
    for line in requires(name) or ():
        wish = Requirement(line)
        if wish.marker is None or wish.marker.evaluate({"extra": extra}):
            for inner in ("", *wish.extras):
                yield canonicalize_name(wish.name), inner
