"""The fault matrix: each request meets a provider that fails in a named way, and behind it stands one that answers.

`SIXTEEN` are the faults; `meet` sends requests through one of them and gathers what three parties say: the clients,
the providers and the books. The tests use it with a few requests a fault, `bench/faults.py` with thousands.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from builders.gateway import Answer, Gateway, gateway, one_route
from byway_contract.records import Intent, Settle
from byway_proxy.choose.trouble import Limits
from fakes.connection import Request
from fakes.provider import FakeProvider
from fakes.reply import BEFORE_COMMIT, Reply
from fakes.served import Served

SIXTEEN = (
    "refused", "tls", "reset_before_head", "reset_after_head", "408", "429", "429_retry_after", "500", "502", "503",
    "529", "error_in_200", "empty_200", "garbage", "hold_before_content", "cut_before_content",
)  # fmt: skip
FORGETFUL = Limits(eject=False, outage_s=0.0, rest_most_s=0.0)
"""Nothing is remembered against an endpoint, so that the first of the route is asked first every time."""
WORDS = "Hello from the fake provider."
# A whole answer says nothing before it is there, however long it takes; so it can only hang in the middle.
_HANG_WHOLE = Reply(kind="hold", after=1)
HANG_S, WAIT_S = 1.0, 20.0
"""How long the proxy waits for a first word: for the one that never comes, and otherwise. The provider that answers
is held to it too, in the same process as everybody else, so it is not shorter."""


@dataclass
class Met:
    """What came of it."""

    fault: str
    requests: int
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """What a client got that is no whole, right answer."""
    failovers: int = 0
    settled: list[tuple[Intent, Settle]] = field(default_factory=list)
    answered: dict[str, Served] = field(default_factory=dict)
    """What the healthy provider served, by the id it gave it."""


async def meet(fault: str, folder: Path, requests: int, at_a_time: int) -> Met:
    """Every other request is streamed."""
    met = Met(fault, requests)
    async with _faulty(fault) as bad, FakeProvider() as good:
        wait_s = HANG_S if fault == "hold_before_content" else WAIT_S
        how = {"first_token_s": wait_s, "idle_s": wait_s, "request_s": 60.0}
        async with gateway(folder, one_route(bad, good), health=FORGETFUL, **how) as proxy:
            began = time.monotonic()
            await _ask_all(proxy, met, at_a_time)
            met.seconds = time.monotonic() - began
            met.failovers = proxy.means.tally.failovers
            met.settled = proxy.settled()
            met.answered = {f"chatcmpl-fake{one.number}": one for one in good.served}
    return met


def unbalanced(met: Met) -> list[str]:
    """Where the books differ from what the providers did. `Gateway.settled` has seen to one SETTLE an INTENT."""
    found = []
    answered = dict(met.answered)
    for intent, settle in met.settled:
        if intent.account == "default/a":
            if settle.outcome != "failed" or settle.billed:
                found.append(f"a failed attempt is booked as {settle.outcome}, billed {settle.billed}")
            continue
        served = answered.pop(settle.upstream_id, None)
        if served is None:
            found.append(f"{settle.upstream_id or 'nothing'} is booked, and was not served, or is booked twice")
        elif (served.prompt_tokens, served.completion_tokens) != (settle.usage.prompt, settle.usage.completion):
            found.append(f"{settle.upstream_id}: other tokens are booked than were served")
        elif settle.usage_from != "provider" or settle.billed != settle.cost or not settle.billed:
            found.append(f"{settle.upstream_id}: {settle.billed} of {settle.cost} billed by {settle.usage_from}")
    found += [f"{left} was served and is not booked" for left in answered]
    failed = {intent.request for intent, _ in met.settled if intent.account == "default/a"}
    if len(failed) != met.requests or len(met.answered) != met.requests:
        found.append(f"{len(failed)} requests met the fault and {len(met.answered)} were answered")
    return found


@asynccontextmanager
async def _faulty(fault: str) -> AsyncIterator[FakeProvider]:
    async with FakeProvider(tls="wrong_host" if fault == "tls" else "none") as provider:
        if fault == "refused":
            await provider.refuse()
        elif fault != "tls":
            provider.script.always = BEFORE_COMMIT[fault]
        if fault == "hold_before_content":

            def hang(request: Request) -> Reply | None:
                return None if request.json.get("stream") else _HANG_WHOLE

            provider.choose = hang
        yield provider


async def _ask_all(proxy: Gateway, met: Met, at_a_time: int) -> None:
    numbers = iter(range(met.requests))

    async def ask() -> None:
        for number in numbers:
            wrong = _wrong(await proxy.ask(stream=number % 2 == 0), number % 2 == 0)
            if wrong:
                met.wrong.append(wrong)

    async with asyncio.TaskGroup() as clients:
        for _ in range(min(at_a_time, met.requests)):
            clients.create_task(ask())


def _wrong(answer: Answer, streamed: bool) -> str:
    """What is not right in an answer; empty where nothing is."""
    if answer.status != 200:
        return f"{answer.status} {answer.body[:200]!r}"
    try:
        if streamed:
            said, whole = answer.text, answer.chunks[-1] == "[DONE]" and "usage" in answer.chunks[-2]
        else:
            choice = answer.json["choices"][0]
            said, whole = choice["message"]["content"], choice["finish_reason"] == "stop"
    except (KeyError, IndexError, ValueError, msgspec.DecodeError) as error:
        return f"{type(error).__name__} in {answer.body[-200:]!r}"
    return "" if whole and said == WORDS else f"not the answer: {answer.body[-200:]!r}"
