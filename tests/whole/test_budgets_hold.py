"""A Budget over real processes: whoever asks wherever at once, what is spent is never more than its limit."""

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path

import aiohttp
from builders import kills
from builders.manifests import route
from fakes.machine import Machine, machine, until
from fakes.process import provider, served

A_REQUEST = 10_000_000
"""Nanodollars."""
CLIENTS = 1000


def account(url: str) -> str:
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: a}}
spec:
  provider: openai-compatible
  baseURL: {url}
  models:
  - name: acme/m
    upstreamName: m
    price: {{perMillionTokens: {{input: "0", output: "0"}}, perRequest: "0.01"}}
---
"""


def budget(usd: str) -> str:
    return f"""
apiVersion: byway.dev/v1alpha1
kind: Budget
metadata: {{name: team}}
spec:
  limits:
  - {{period: Month, usd: "{usd}"}}
---
"""


def test_a_thousand_requests_at_once_at_three_proxies_spend_what_a_budget_of_twenty_has(tmp_path: Path) -> None:
    with (
        provider(tmp_path, "a", head_after_s=0.1) as (url, truth),
        machine({"all.yaml": account(url) + budget("0.20") + route("a")}, "--proxies", "3") as made,
    ):
        statuses = asyncio.run(_all_at_once(made, CLIENTS))
        assert statuses.keys() <= {200, 402, 403}
        assert statuses[200] == len(served(truth)) == 20
        until(lambda: kills.shipped(made), 20)
        assert sum(row["billed"] for row in kills.rows(made)) == 20 * A_REQUEST
        status, _, body = made.ask("smart")
        assert status == 403
        assert json.loads(body)["error"]["metadata"]["reason"] == "budget_spent"


def test_what_a_killed_proxy_held_is_charged_and_what_it_had_left_can_be_spent_by_others(tmp_path: Path) -> None:
    with (
        provider(tmp_path, "a", kind="hold", after=2) as (url, truth),
        machine({"all.yaml": account(url) + budget("0.20") + route("a")}, "--proxies", "2", "--drain", "0") as made,
    ):
        asyncio.run(_killed_while_they_stream(made, 10))
        until(lambda: kills.shipped(made), 20)
        assert [row["outcome"] for row in kills.rows(made)] == ["crash"] * 10
        # Those ten are charged what they held, and ten more fit: not one less, and not one more.
        statuses = asyncio.run(_all_at_once(made, 40, leave=True))
        assert statuses.keys() <= {200, 402, 403}
        assert statuses[200] == 10
        until(lambda: len(served(truth)) == 20, 10)


async def _all_at_once(made: Machine, count: int, leave: bool = False) -> Counter[int]:
    async with _session() as session:

        async def ask() -> int:
            body = {"model": "smart", "messages": [{"role": "user", "content": "hi"}], "stream": leave}
            async with session.post(f"{made.url}/v1/chat/completions", json=body) as answer:
                if not leave:
                    await answer.read()
                return answer.status

        return Counter(await asyncio.gather(*(ask() for _ in range(count))))


async def _killed_while_they_stream(made: Machine, count: int) -> None:
    async with _session() as session, asyncio.TaskGroup() as clients:
        begun = asyncio.Semaphore(0)

        async def read() -> None:
            body = {"model": "smart", "messages": [{"role": "user", "content": "hi"}], "stream": True}
            try:
                async with session.post(f"{made.url}/v1/chat/completions", json=body) as answer:
                    await answer.content.readline()
                    begun.release()
                    await answer.read()
            except aiohttp.ClientError:
                return

        for _ in range(count):
            clients.create_task(read())
        async with asyncio.timeout(10):
            for _ in range(count):
                await begun.acquire()
        before = made.pids()
        for name in ("proxy-0", "proxy-1"):
            os.kill(before[name], signal.SIGKILL)
    await asyncio.to_thread(
        until, lambda: all(made.pids().get(name, pid) != pid for name, pid in before.items() if "proxy" in name), 20
    )
    for name in ("proxy-0", "proxy-1"):
        await asyncio.to_thread(until, lambda name=name: kills.ready(made, name), 20)


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))
