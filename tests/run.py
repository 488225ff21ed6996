"""Run every test once, tier by tier, cheapest first, with a line for each tier: `make test`.

One pytest for all of them, so that its closing line counts everything. A tier is a line below; a folder of tests
that no line names belongs to the first.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

TIERS: Sequence[tuple[str, frozenset[str]]] = (
    ("pure", frozenset()),
    (
        "loopback",
        frozenset(
            {
                "loopback",
                "fakes_themselves",
                "house",
                "cli",
                "carry",
                "upstream",
                "stream",
                "meter",
                "ledger",
                "api",
                "operator",
                "process",
                "chart",
                "admit",
                "tenancy",
            }
        ),
    ),
    ("cluster", frozenset({"cluster"})),
    ("a world of its own", frozenset({"sim"})),
    ("whole", frozenset({"whole", "examples"})),
    ("clients", frozenset({"clients"})),
    ("the chart on a cluster", frozenset({"e2e"})),
)
"""In order; each with the folders of `tests/` in it."""


def tier_of(path: Path) -> int:
    """Which tier a test's file is in."""
    folder = path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""
    return next((number for number, (_, folders) in enumerate(TIERS) if folder in folders), 0)


class Tiers:
    """Sorts the tests by tier and says when one begins."""

    def __init__(self) -> None:
        self._now = -1
        self._began = time.monotonic()
        self._counts: dict[int, int] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: tier_of(item.path))
        for item in items:
            tier = tier_of(item.path)
            self._counts[tier] = self._counts.get(tier, 0) + 1

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        tier = tier_of(TESTS.parent / nodeid.split("::")[0])
        if tier != self._now:
            self._say_time()
            self._now = tier
            print(f"\n{TIERS[tier][0]}: {self._counts.get(tier, 0)} tests", flush=True)

    def pytest_sessionfinish(self) -> None:
        self._say_time()

    def _say_time(self) -> None:
        if self._now >= 0:
            print(f"\n{TIERS[self._now][0]}: {time.monotonic() - self._began:.1f} s", end="", flush=True)
        self._began = time.monotonic()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", f"--rootdir={TESTS.parent}", str(TESTS), *sys.argv[1:]], plugins=[Tiers()]))
