"""Canaries: credentials that tests use, each a word found nowhere else, so that a leak is a word to search for.

`canary()` mints one. As a pytest plugin (from conftest) this searches what every test printed, and at the end every
file that the run left behind; `machine` searches a process tree and its state before they are gone. A credential
may be where a test put it (a manifest, a script of the fake provider), in the memory of our processes, and in the
one kept file on a memory-backed file system; nowhere else, in no usual encoding.
"""

import base64
import re
import secrets
import stat
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import pytest

MARK = "sk-canary-"
# Access keys of ours too, which tests make as `byway key new` does; their labels are three letters long.
_WORD = re.compile(rb"sk-(?:canary|byway)-[0-9a-f]{8}")
# As base64 it has three shapes, by where it begins; letters that a neighbour decides are cut off.
_SHAPES = (
    *(base64.b64encode(b"x" * before + MARK.encode())[(0, 2, 3)[before] : 12] for before in range(3)),
    MARK.encode().hex().encode(),
    MARK.encode("utf-16-le"),
    MARK.replace("-", "%2D").encode(),
)
INPUTS = ("*.yaml", "*.yml", "*.script.json")
"""Files in which tests put credentials on purpose."""
KEPT = "credentials.json"


class LeakError(AssertionError):
    pass


def canary() -> str:
    """A credential as a provider would issue it."""
    return MARK + secrets.token_hex(16)


KEY = canary()
"""What the fakes accept and our builders give where a test does not care."""


def in_bytes(data: bytes) -> bool:
    return _WORD.search(data) is not None or any(shape in data for shape in _SHAPES)


def in_folder(folder: Path) -> Iterator[str]:
    """The files below it that hold one, but for inputs."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file() or any(path.match(pattern) for pattern in INPUTS):
            continue
        if in_bytes(path.read_bytes()):
            yield str(path)


def in_processes(pids: Iterable[int]) -> Iterator[str]:
    """What anybody on the machine can see of them: their arguments and their environment."""
    for pid in pids:
        for view in ("cmdline", "environ"):
            try:
                data = Path(f"/proc/{pid}/{view}").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if in_bytes(data):
                yield f"/proc/{pid}/{view}"


def in_kept_folder(folder: Path, mounts: str) -> Iterator[str]:
    """Where proxies keep their tables: one file may hold credentials, for its owner alone, and not on a disk."""
    memory = [line.split()[1] for line in mounts.splitlines() if line.split()[2] == "tmpfs"]
    for path in folder.rglob("*"):
        if not path.is_file() or not in_bytes(path.read_bytes()):
            continue
        mode, around = (stat.S_IMODE(p.stat().st_mode) for p in (path, path.parent))
        if path.name != KEPT or mode != 0o600 or around != 0o700:
            yield f"{path} (mode {mode:o}, its folder {around:o})"
        elif not any(folder.is_relative_to(mount) for mount in memory):
            yield f"{path} (not in memory)"


def nowhere(places: Iterable[str]) -> None:
    found = list(places)
    if found:
        raise LeakError(f"a credential has leaked: {', '.join(found)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that printed or logged a credential has failed, whatever else it proved."""
    report = yield
    if report.passed:
        told = [title for title, text in report.sections if in_bytes(text.encode(errors="replace"))]
        if told:
            report.outcome = "failed"
            report.longrepr = f"a credential has leaked: {', '.join(told)} of {item.nodeid}"
    return report


@pytest.fixture(scope="session", autouse=True)
def no_file_holds_a_credential(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever the run wrote below its temporary folder, searched when the last test is done."""
    yield
    nowhere(in_folder(tmp_path_factory.getbasetemp()))
