"""Any process may be killed at any moment: what a provider served is in the books, once."""

import asyncio
from pathlib import Path

from builders import kills

LOAD_S = 12


def test_the_books_balance_after_kills_of_every_process(tmp_path: Path) -> None:
    story = asyncio.run(kills.tell(tmp_path, LOAD_S))
    assert kills.compare(story) == []
    assert {name for name, _ in story.killed} == {"proxy-0", "proxy-1", "ledger", "operator"}
    assert sum(row["outcome"] == "ok" for row in story.rows) > 100
    print(kills.summary(story))
