"""`kill -9` of each process of a machine under steady load, and the books compared with what the providers served.

Three witnesses: the clients (`Seen`), the providers' own files, and the ledger's rows. Each request has a name of
its own, which all three know it by. `compare` says where they differ; it should have nothing to say.
"""

import asyncio
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
from builders.manifests import account, route
from fakes.machine import Machine, machine, until
from fakes.process import provider, served

WORDS = "one two three four five six seven eight nine ten"
A_SECOND = 40
LEAVES = 0.1
BETWEEN = 20
"""Clients that are served between a restart and the next kill."""

How = Literal["ok", "cut", "left", "broke"]


@dataclass(frozen=True)
class Seen:
    """What one client saw. `broke`: its connection did, from `began` to `ended` in seconds since 1970."""

    user: str
    how: How
    began: float
    ended: float
    generation: str = ""
    completion: int = 0
    wrong: str = ""


@dataclass
class Story:
    killed: list[tuple[str, float]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    served: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By account."""
    rows: list[dict[str, Any]] = field(default_factory=list)


async def tell(folder: Path, seconds: float) -> Story:
    """Load for so long, with kills in turn; then whatever all three know."""
    story = Story()
    with _machine(folder, seconds) as (made, truths):
        stop = asyncio.Event()
        load = asyncio.create_task(_load(made, story, stop))
        try:
            await asyncio.to_thread(_kill_in_turn, made, story, seconds)
        finally:
            stop.set()
            await load
        await asyncio.to_thread(until, lambda: shipped(made), 30)
        story.rows = rows(made)
        story.served = {name: served(truth) for name, truth in truths.items()}
    return story


def compare(story: Story) -> list[str]:
    """Every difference, as a line. Empty: nothing was lost, doubled or invented, and nobody was lied to."""
    return [*_clients(story), *_each_served_has_its_row(story), *_tokens(story), *_crashes(story)]


def rows(made: Machine) -> list[dict[str, Any]]:
    """All attempts as the ledger's books have them, read from beside it."""
    books = sqlite3.connect(f"file:{made.state}/ledger/ledger.sqlite?mode=ro", uri=True, timeout=10)
    try:
        books.row_factory = sqlite3.Row
        return [dict(row) for row in books.execute("SELECT * FROM attempt")]
    finally:
        books.close()


def shipped(made: Machine) -> bool:
    """Whether all proxies run, are idle, and owe the ledger nothing."""
    figures = [_figures(made, proxy["admin"]) for proxy in made.running()["proxies"]]
    return all(f.get("byway_records_unshipped") == 0 and f.get("byway_inflight_requests") == 0 for f in figures)


def ready(made: Machine, name: str) -> bool:
    [admin] = [proxy["admin"] for proxy in made.running()["proxies"] if proxy["name"] == name]
    try:
        return made.get("/readyz", admin)[0] == 200
    except OSError:
        return False


def _figures(made: Machine, admin: int) -> dict[str, float]:
    try:
        text = made.get("/metrics", admin)[2].decode()
    except OSError:
        return {}
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[:1] != "#"
    }


@contextmanager
def _machine(folder: Path, seconds: float) -> Iterator[tuple[Machine, dict[str, Path]]]:
    """Two proxies before two providers, of which the first fails now and then."""
    usual = {"text": WORDS, "gap_s": 0.02}
    mishaps = {9: {"kind": "status", "status": 503}, 13: usual | {"kind": "cut", "after": 3}}
    then = [next((m for n, m in mishaps.items() if turn % n == 0), usual) for turn in range(1, 100_000)]
    for_s = seconds + 120
    with (
        provider(folder, "a", then=then[: int(seconds * A_SECOND)], for_s=for_s, **usual) as (a, of_a),
        provider(folder, "b", for_s=for_s, **usual) as (b, of_b),
        machine({"all.yaml": account("a", a) + account("b", b) + route("a", "b")}, "--proxies", "2") as made,
    ):
        yield made, {"default/a": of_a, "default/b": of_b}


def _kill_in_turn(made: Machine, story: Story, seconds: float) -> None:
    end = time.monotonic() + seconds
    names = ("proxy-0", "ledger", "proxy-1", "operator")
    turn = 0
    while time.monotonic() < end:
        name = names[turn % len(names)]
        turn += 1
        pid = until(lambda name=name: made.pids().get(name), 20)
        story.killed.append((name, time.time()))
        os.kill(pid, signal.SIGKILL)
        until(lambda name=name, pid=pid: made.pids().get(name, pid) != pid, 20)
        if name.startswith("proxy"):
            until(lambda name=name: ready(made, name), 20)
        so_far = len(story.seen)
        until(lambda so_far=so_far: len(story.seen) >= so_far + BETWEEN, 20)


async def _load(made: Machine, story: Story, stop: asyncio.Event) -> None:
    """A new client every fortieth of a second, each with a connection of its own."""
    dice = random.Random(11)
    began, number = time.monotonic(), 0
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as clients,
    ):
        while not stop.is_set():
            number += 1
            streamed = number % 2 == 0
            leaves_after = dice.randrange(8) if streamed and dice.random() < 2 * LEAVES else None
            clients.create_task(_client(session, made.url, story, f"user-{number}", streamed, leaves_after))
            await asyncio.sleep(max(0.0, began + number / A_SECOND - time.monotonic()))


async def _client(
    session: aiohttp.ClientSession, url: str, story: Story, user: str, streamed: bool, leaves_after: int | None
) -> None:
    # The books know it by `user`, which no provider is told; a field that we do not know is passed on to them.
    body = {"model": "smart", "user": user, "mark": user, "stream": streamed}
    body["messages"] = [{"role": "user", "content": user}]
    began = time.time()
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            how, completion, wrong = await (_read_stream if streamed else _read_whole)(answer, leaves_after)
            generation = answer.headers.get("X-Generation-Id", "")
            if how == "left":
                answer.close()
    except (aiohttp.ClientError, OSError):
        story.seen.append(Seen(user, "broke", began, time.time()))
        return
    story.seen.append(Seen(user, how, began, time.time(), generation, completion, wrong))


async def _read_whole(answer: aiohttp.ClientResponse, _: int | None) -> tuple[How, int, str]:
    text = await answer.read()
    if answer.status != 200:
        return "ok", 0, f"{answer.status} {text[:300]!r}"
    said = json.loads(text)
    right = said["choices"][0]["message"]["content"] == WORDS
    return "ok", said["usage"]["completion_tokens"], "" if right else f"not the answer: {text[:300]!r}"


async def _read_stream(answer: aiohttp.ClientResponse, leaves_after: int | None) -> tuple[How, int, str]:
    if answer.status != 200:
        return "ok", 0, f"{answer.status} {(await answer.read())[:300]!r}"
    said, completion, cut, done, chunks = "", 0, False, False, 0
    async for line in answer.content:
        if leaves_after is not None and chunks > leaves_after:
            return "left", 0, ""
        if not line.startswith(b"data: "):
            continue
        chunks += 1
        if line == b"data: [DONE]\n":
            done = True
            continue
        chunk = json.loads(line[6:])
        cut = cut or "error" in chunk
        said += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
        completion = chunk.get("usage", {}).get("completion_tokens", completion)
    right = done and (WORDS.startswith(said) if cut else said == WORDS and completion > 0)
    return "cut" if cut else "ok", completion, "" if right else f"not the answer: {said!r}, done {done}"


def _clients(story: Story) -> Iterator[str]:
    """Nobody got a wrong answer; connections broke as a proxy was killed, and streams where a provider's did."""
    of_user: dict[str, list[dict[str, Any]]] = {}
    for row in story.rows:
        of_user.setdefault(row["user"], []).append(row)
    cut = {one["body"]["mark"] for one in _of(story, "cut")}
    deaths = [at for name, at in story.killed if name.startswith("proxy")]
    for seen in story.seen:
        if seen.wrong:
            yield f"{seen.user}: {seen.wrong}"
        if seen.how == "broke" and not any(seen.began - 0.1 <= at <= seen.ended + 0.1 for at in deaths):
            yield f"{seen.user}: its connection broke at {seen.ended:.3f}, and no proxy was killed meanwhile"
        if seen.how == "cut" and seen.user not in cut:
            yield f"{seen.user}: its stream was cut, and no provider had cut it"
        if seen.how == "ok" and not seen.wrong:
            ok = [row for row in of_user.get(seen.user, []) if row["outcome"] == "ok"]
            if [(row["request"], row["completion"]) for row in ok] != [(seen.generation, seen.completion)]:
                yield f"{seen.user}: has its answer, and the books have {ok}"


def _each_served_has_its_row(story: Story) -> Iterator[str]:
    """And the other way round, but for attempts that never reached a provider."""
    asked = Counter((one["body"]["mark"], name) for name, all_of in story.served.items() for one in all_of)
    booked: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in story.rows:
        booked.setdefault((row["user"], row["account"]), []).append(row)
        if row["outcome"] is None or row["flag"]:
            yield f"{row['user']}: {row['attempt']} is booked as {row['outcome']}, flag {row['flag']}"
    for key, count in asked.items():
        if len(booked.get(key, [])) < count:
            yield f"{key}: served {count} times, booked {len(booked.get(key, []))} times"
    for key, of_key in booked.items():
        unsent = sum(row["outcome"] in ("crash", "client_cancel") and not row["status"] for row in of_key)
        if len(of_key) - unsent > asked[key]:
            yield f"{key}: served {asked[key]} times, booked {len(of_key)} times"


def _tokens(story: Story) -> Iterator[str]:
    """Token for token where the provider told them; never more than it sent where it could not."""
    by_id = {
        (name, f"chatcmpl-fake{one['number']}"): one for name, all_of in story.served.items() for one in all_of
    }
    for row in story.rows:
        one = by_id.get((row["account"], row["upstream_id"]))
        if row["usage_from"] == "provider":
            told = (row["prompt"], row["completion"])
            if (
                one is None
                or told != (one["prompt_tokens"], one["completion_tokens"])
                or row["billed"] != row["cost"]
            ):
                yield f"{row['user']}: booked {told} of {row['upstream_id']}, served {one}"
        elif one is not None and row["completion"] > one["completion_tokens"]:
            yield f"{row['user']}: booked {row['completion']} tokens, served {one['completion_tokens']}"
        if row["outcome"] == "failed" and row["billed"]:
            yield f"{row['user']}: a failed attempt is billed {row['billed']}"


def _crashes(story: Story) -> Iterator[str]:
    """A crash is booked only for who was under way in a proxy that was killed."""
    broke = {seen.user: seen for seen in story.seen if seen.how in ("broke", "left")}
    deaths = [at for name, at in story.killed if name.startswith("proxy")]
    for row in story.rows:
        if row["outcome"] != "crash":
            continue
        if row["user"] not in broke:
            yield f"{row['user']}: booked as a crash, and its client saw none"
        if not any(row["at"] <= at + 0.1 and row["ended"] >= at for at in deaths):
            yield f"{row['user']}: booked as a crash from {row['at']} to {row['ended']}, and no proxy was killed"
        if row["cost"] or row["billed"] or row["usage_from"] != "unknown":
            yield f"{row['user']}: a crash is booked with a cost"


def _of(story: Story, kind: str) -> Sequence[dict[str, Any]]:
    return [one for all_of in story.served.values() for one in all_of if one["kind"] == kind]


def summary(story: Story) -> str:
    """What happened, in a line."""
    hows = Counter(seen.how for seen in story.seen)
    outcomes = Counter(row["outcome"] or "open" for row in story.rows)
    counted = ", ".join(f"{count} {name}" for name, count in Counter(name for name, _ in story.killed).items())
    return (
        f"{len(story.seen)} clients ({', '.join(f'{n} {how}' for how, n in sorted(hows.items()))}); "
        f"killed: {counted}; {sum(map(len, story.served.values()))} attempts served, "
        f"{len(story.rows)} rows ({', '.join(f'{n} {o}' for o, n in sorted(outcomes.items()))})"
    )
