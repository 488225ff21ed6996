"""The stores that the suite runs on. Another one is a line in STORES."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from builders import postgres
from byway_ledger.stores.postgres import opened
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Store

Opening = Callable[[], Awaitable[Store]]
Story = Callable[[Store], Awaitable[None]]
Telling = Callable[[Story], None]


def _sqlite(folder: Path) -> Opening:
    async def opening() -> Store:
        return SQLite(folder / "books.sqlite")

    return opening


def _postgres(_: Path) -> Opening:
    url = postgres.server().fresh()

    async def opening() -> Store:
        return await opened(url)

    return opening


STORES: dict[str, Callable[[Path], Opening]] = {"sqlite": _sqlite, "postgres": _postgres}


@pytest.fixture(scope="session", autouse=True)
def _one_server() -> Iterator[None]:
    yield
    postgres.remove_all()


@pytest.fixture(params=list(STORES))
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Opens the same books again and again, empty at first."""
    return STORES[request.param](tmp_path)


@pytest.fixture
def tell(opening: Opening) -> Telling:
    def told(story: Story) -> None:
        async def whole() -> None:
            store = await opening()
            try:
                await story(store)
            finally:
                await store.close()

        asyncio.run(whole())

    return told
