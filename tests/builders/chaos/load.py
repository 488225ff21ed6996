"""Clients: so many a second, each with a connection of its own; half want a stream, and some of those leave it."""

import asyncio
import json
import random
import time
from dataclasses import dataclass, replace

import aiohttp
from builders.chaos.callers import MOST_OUTPUT, PROMPT, SAID, TEXT, Caller, drawn
from builders.chaos.story import How, Seen

A_SECOND = 120
LEAVES = 0.15
MONEY = {402, 403}


@dataclass(frozen=True)
class Wish:
    mark: str
    caller: Caller
    streamed: bool
    leaves_after: int | None = None
    """Chunks."""


async def load(url: str, seen: list[Seen], stop: asyncio.Event, seed: int, a_second: float = A_SECOND) -> None:
    dice = random.Random(seed)
    began, number = time.monotonic(), 0
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=40)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as clients,
    ):
        while not stop.is_set():
            number += 1
            clients.create_task(_client(session, url, seen, _wish(f"mark-{seed}-{number}", dice)))
            await asyncio.sleep(max(0.0, began + number / a_second - time.monotonic()))


def _wish(mark: str, dice: random.Random) -> Wish:
    streamed = dice.random() < 0.5
    leaves_after = dice.randrange(SAID - 2) if streamed and dice.random() < 2 * LEAVES else None
    return Wish(mark, drawn(dice), streamed, leaves_after)


async def _client(session: aiohttp.ClientSession, url: str, seen: list[Seen], wish: Wish) -> None:
    # The books know it by `user`, which no provider is told; a field that we do not know is passed on to them.
    body = {"model": "smart", "user": wish.mark, "mark": wish.mark, "stream": wish.streamed}
    body |= {"max_tokens": MOST_OUTPUT, "messages": [{"role": "user", "content": PROMPT}]}
    headers = {"Authorization": f"Bearer {wish.caller.key}"} if wish.caller.key else {}
    began = time.time()

    def saw(how: How) -> Seen:
        return Seen(wish.mark, how, began, time.time(), caller=wish.caller.name)

    try:
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer:
            if answer.status != 200:
                found = _no_answer(saw("ok"), answer.status, await answer.read())
            elif wish.streamed:
                found = await _read_stream(saw("ok"), answer, wish.leaves_after)
            else:
                found = _whole(saw("ok"), await answer.read())
            generation = answer.headers.get("X-Generation-Id", "")
            seen.append(replace(found, status=answer.status, generation=generation, ended=time.time()))
    except aiohttp.ClientConnectorError:
        seen.append(saw("nobody"))
    except (aiohttp.ClientError, OSError):
        seen.append(saw("broke"))


def _no_answer(saw: Seen, status: int, text: bytes) -> Seen:
    error = json.loads(text)["error"]
    reason = error.get("metadata", {}).get("reason", "")
    if status == 503 and reason == "ledger_unavailable":
        return replace(saw, how="unavailable")
    # One provider failed, and the next was not asked.
    before = [one.get("code") for one in error.get("metadata", {}).get("previous_errors", ())]
    if "payment_required" in before or "permission_denied" in before:
        return replace(saw, how="refused")
    if "ledger_unavailable" in before:
        return replace(saw, how="unavailable")
    # What everybody has together is never short here, so nobody is refused but who has a limit of their own.
    short = reason in ("budget_spent", "budget_exceeded", "in_flight_budget_exhausted") and saw.caller != "apps"
    if status in MONEY and short:
        return replace(saw, how="refused")
    return replace(saw, wrong=f"{status} {text[:300]!r}")


def _whole(saw: Seen, text: bytes) -> Seen:
    said = json.loads(text)
    right = said["choices"][0]["message"]["content"] == TEXT
    completion = said["usage"]["completion_tokens"]
    wrong = "" if right else f"not the answer: {text[:300]!r}"
    return replace(saw, completion=completion, wrong=wrong)


async def _read_stream(saw: Seen, answer: aiohttp.ClientResponse, leaves_after: int | None) -> Seen:
    said, completion, cut, done, chunks = "", 0, False, False, 0
    async for line in answer.content:
        if leaves_after is not None and chunks > leaves_after:
            answer.close()
            return replace(saw, how="left")
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
    right = done and (TEXT.startswith(said) if cut else said == TEXT and completion > 0)
    wrong = "" if right else f"not the answer: {said!r}, done {done}"
    return replace(saw, how="cut" if cut else "ok", completion=completion, wrong=wrong)
