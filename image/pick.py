"""Print the part of requirements.lock that some packages need, hashes and all: an image holds that and no more.

    python3 image/pick.py --extra proxy     what `byway[proxy]` needs
    python3 image/pick.py hatchling         what hatchling needs, itself included

It runs where nothing is installed yet. Who needs whom is what the lock says below each package, after `# via`.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Locked:
    """A package of the lock."""

    text: str
    needed_by: frozenset[str]


def read_lock(text: str) -> dict[str, Locked]:
    found = {}
    for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        name = re.match(r"[a-z0-9._-]+", entry)
        via = re.findall(r"^    #(?: via)? +([a-z0-9._-]+)", entry, re.MULTILINE)
        assert name, entry
        found[name[0]] = Locked(entry, frozenset(via))
    return found


def asked_by(extra: str, project: Mapping[str, object]) -> set[str]:
    """The packages that pyproject.toml names for an extra, and for every process."""
    extras: Mapping[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]  # TOML is untyped
    always: list[str] = project["dependencies"]  # type: ignore[assignment]  # likewise
    return {re.split(r"[^A-Za-z0-9._-]", wish)[0].lower() for wish in [*always, *extras[extra]]}


def pick(lock: Mapping[str, Locked], wanted: Iterable[str]) -> list[str]:
    """Names of what was wanted and of all that it needs, in the lock's order. Raises KeyError."""
    needed = set(wanted)
    if unknown := needed - lock.keys():
        raise KeyError(f"not in requirements.lock: {', '.join(sorted(unknown))}")
    while more := {name for name, locked in lock.items() if name not in needed and locked.needed_by & needed}:
        needed |= more
    return [name for name in lock if name in needed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*")
    parser.add_argument("--extra", help="an extra of pyproject.toml")
    given = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = set(given.packages) | (asked_by(given.extra, project) if given.extra else set())
    lock = read_lock((ROOT / "requirements.lock").read_text())
    sys.stdout.writelines(lock[name].text for name in pick(lock, wanted))


if __name__ == "__main__":
    main()
