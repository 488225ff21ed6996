"""A thousand requests at once on a budget of twenty, over ten proxies; then the budget used up to its end.

    python bench/overspend.py [BURSTS]

Each burst is on a counter of its own. What was spent is what the provider wrote down that it served. Once a request
costs exactly what is held for it, and once a quarter of that, as is usual: what is held and not needed comes back,
so that the rest can be spent by whoever asks next. Exit code 1 if one nanodollar was served beyond a budget.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import aiohttp
from builders.chaos.callers import INPUT, OUTPUT, Caller, access_key, account, budget, route
from builders.chaos.money import bill
from fakes.machine import Machine, machine
from fakes.process import provider, served

BURSTS, PROXIES, AT_ONCE, WORTH = 3, 10, 1000, 20
WORDS = 12
TEXT = " ".join(["sun"] * WORDS)
QUIET = 5
"""Refusals in a row that end the last phase."""


@dataclass(frozen=True)
class Case:
    name: str
    input: int
    """Nanodollars a token."""
    most_output: int

    @property
    def costs(self) -> int:
        """Of one request: its prompt is 13 tokens for the provider."""
        return 13 * self.input + WORDS * OUTPUT


CASES = (Case("held is spent", 0, WORDS), Case("a quarter of it is", INPUT, 2 * WORDS))


def main(bursts: int) -> int:
    over = sum(asyncio.run(_case(case, bursts)) for case in CASES)
    print(f"overspend: ${over / 10**9:.9f}")
    return 1 if over else 0


async def _case(case: Case, bursts: int) -> int:
    limit = WORTH * case.costs
    users = [Caller(f"burst-{number}", 0.0, "team-a") for number in range(bursts)]
    over = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        provider(Path(folder), "a", text=TEXT, gap_s=0.02, for_s=600) as (
            url,
            truth,
        ),
    ):
        texts = [account("a", url, case.input), route("a"), budget("team-a/each", limit, "  per: User\n")]
        texts += [access_key(user, user.name) for user in users]
        with machine({"all.yaml": "".join(texts)}, "--proxies", str(PROXIES)) as made:
            for user in users:
                at_once = await _burst(made, user, case)
                after_burst = _spent(truth, user, case)
                later = await _rest(made, user, case)
                spent = _spent(truth, user, case)
                over += max(0, spent - limit)
                beyond = max(0, spent - limit) / 10**9
                print(
                    f"{case.name:<20} {AT_ONCE} at once: {_told(at_once)}, {after_burst / limit:.1%} spent;"
                    f" one by one: {_told(later)}, {spent / limit:.1%} spent, ${beyond:.9f} over",
                    flush=True,
                )
    return over


async def _burst(made: Machine, user: Caller, case: Case) -> Counter[int]:
    async with _session() as session:
        return Counter(await asyncio.gather(*(_ask(session, made, user, case) for _ in range(AT_ONCE))))


async def _rest(made: Machine, user: Caller, case: Case) -> Counter[int]:
    """Until it is refused for good."""
    seen: Counter[int] = Counter()
    refused = 0
    async with _session() as session:
        while refused < QUIET:
            status = await _ask(session, made, user, case)
            seen[status] += 1
            refused = 0 if status == 200 else refused + 1
    return seen


async def _ask(session: aiohttp.ClientSession, made: Machine, user: Caller, case: Case) -> int:
    body = {"model": "smart", "mark": user.name, "max_tokens": case.most_output, "stream": True}
    body["messages"] = [{"role": "user", "content": "What shines?"}]
    headers = {"Authorization": f"Bearer {user.key}"}
    async with session.post(f"{made.url}/v1/chat/completions", json=body, headers=headers) as answer:
        await answer.read()
        return answer.status


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))


def _spent(truth: Path, user: Caller, case: Case) -> int:
    return sum(bill(one, case.input) for one in served(truth) if one["body"].get("mark") == user.name)


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else BURSTS))
