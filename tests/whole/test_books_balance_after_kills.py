"""Any process may be killed at any moment, or all be asked to end: what a provider served is in the books, once."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from builders.chaos import world
from builders.chaos.figures import Figures
from builders.manifests import account, route
from fakes.machine import Machine, machine, until
from fakes.process import provider, served

LOAD_S = 60
STREAMS = 20


@pytest.mark.timeout(400)
def test_books_and_budgets_balance_after_kills_and_stops_of_every_process(tmp_path: Path) -> None:
    """Users and an app spend their small budgets meanwhile, clients leave, and usage is not always told."""
    story = asyncio.run(world.tell(tmp_path, world.Wish(LOAD_S)))
    figures = Figures()
    figures.add(story)
    print(figures.table())
    assert figures.differences == []
    assert (figures.lost, figures.twice, figures.mismatched, figures.overspent) == (0, 0, 0, 0)
    assert set(figures.kills) == {"proxy", "ledger", "operator"}
    assert abs(figures.error) <= 0.005
    assert figures.phantoms <= 0.01 * len(story.seen)
    assert figures.exact > 100


def test_when_all_is_killed_at_once_the_next_start_settles_and_ships_what_was_open(tmp_path: Path) -> None:
    words = ("--proxies", "2", "--drain", "0")
    with (
        provider(tmp_path, "a", kind="hold", after=2) as (a, of_a),
        machine({"all.yaml": account("a", a) + route("a")}, *words) as made,
    ):
        assert made.process is not None
        children = made.pids()
        assert len(children) == 4

        def kill_up() -> None:
            assert made.process is not None
            made.process.kill()
            made.process.wait()

        texts = asyncio.run(_streams_during(made, kill_up))
        assert [b"[DONE]" in text and b'"error"' not in text for text in texts] == [False] * STREAMS
        until(lambda: not any(map(_lives, children.values())), 20)

        made.start(*words)
        until(lambda: world.shipped(made), 20)
        rows = world.rows(made)
        assert len(rows) == len(served(of_a)) == STREAMS
        assert {row["outcome"] for row in rows} <= {"crash", "client_cancel", "upstream_cut"}
        assert made.get("/v1/models")[0] == 200


def test_asked_to_end_every_open_stream_finishes_and_is_booked(tmp_path: Path) -> None:
    text = " ".join(["word"] * 20)
    with (
        provider(tmp_path, "a", text=text, gap_s=0.05) as (a, of_a),
        machine({"all.yaml": account("a", a) + route("a")}, "--proxies", "2") as made,
    ):

        def end_up() -> None:
            assert made.process is not None
            made.process.send_signal(signal.SIGTERM)
            until(lambda: _takes_nobody(made), 5)

        texts = asyncio.run(_streams_during(made, end_up))
        assert [one.endswith(b"data: [DONE]\n\n") and b'"error"' not in one for one in texts] == [True] * STREAMS
        assert made.process is not None
        assert made.process.wait(20) == 0
        assert {row["outcome"] for row in world.rows(made)} == {"ok"}
        booked = sorted((row["prompt"], row["completion"], row["usage_from"]) for row in world.rows(made))
        assert booked == sorted((one["prompt_tokens"], 20, "provider") for one in served(of_a))
        assert len(booked) == STREAMS


async def _streams_during(made: Machine, happens: Callable[[], None]) -> list[bytes]:
    """What each of many clients read: all have their first words when it happens."""
    begun = asyncio.Semaphore(0)
    body = {"model": "smart", "stream": True, "messages": [{"role": "user", "content": "hi"}]}

    async def read(session: aiohttp.ClientSession) -> bytes:
        text = b""
        try:
            async with session.post(f"{made.url}/v1/chat/completions", json=body) as answer:
                text = await answer.content.readline()
                begun.release()
                async for piece in answer.content.iter_any():
                    text += piece
        except aiohttp.ClientError:
            return text
        return text

    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session,
        asyncio.TaskGroup() as clients,
    ):
        reading = [clients.create_task(read(session)) for _ in range(STREAMS)]
        async with asyncio.timeout(10):
            for _ in range(STREAMS):
                await begun.acquire()
        await asyncio.to_thread(happens)
    return [one.result() for one in reading]


def _takes_nobody(made: Machine) -> bool:
    try:
        made.get("/v1/models")
    except OSError:
        return True
    return False


def _lives(pid: int) -> bool:
    """Not as a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
