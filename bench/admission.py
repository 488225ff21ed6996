"""What a budget adds to an attempt before it is sent: plan, hold, and the INTENT in a real log on this disk.

    python -m bench.admission [attempts]

Goal: 0.15 ms at p50, 1 ms at p99. The ledger is not asked: what is measured is a purse with money in it.
"""

import asyncio
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from byway_contract.budget import Budget, Line
from byway_contract.grants import Granted, Grants, Match
from byway_contract.money import NANO, Price, Usage
from byway_contract.records import Intent
from byway_contract.table import Account, Endpoint
from byway_process.logs import Log as ProcessLog
from byway_proxy.admit.caller import Caller
from byway_proxy.carry.dialects.openai_request import read
from byway_proxy.carry.holding import Holding
from byway_proxy.carry.planning import Rules, plan
from byway_proxy.choose.target import slot
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.budgets import Budgets
from byway_proxy.meter.held import Hold
from byway_proxy.meter.ids import attempt_id
from byway_proxy.meter.log import Log
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.post import NoAnswer
from byway_proxy.meter.witness import Witness

USAGE = Usage(prompt=900, completion=200)
CALLER = Caller("team-a", "app")
BODY = b'{"model":"smart","max_tokens":500,"messages":[{"role":"user","content":"%s"}]}' % (b"word " * 700)


def budgets(count: int) -> list[Budget]:
    lines = (Line("Month", "nanodollars", 10**6 * NANO), Line("Day", "tokens", 10**12))
    return [Budget("platform", f"b-{number}", lines, Match(namespaces=("team-a",))) for number in range(count)]


class Bench:
    def __init__(self, folder: Path, count: int) -> None:
        loop = asyncio.get_running_loop()
        self.log = Log(folder)
        self.meter = Meter(self.log)
        self.asking = Asking(
            self.meter, self.log, nobody, ProcessLog("bench", "error", io.StringIO()), now=loop.time
        )
        self.witness, self.now = Witness(time.time), loop.time
        self.rules = Rules(Budgets(budgets(count)))
        endpoint = Endpoint("team-a/openai", "openai/m", "m", Price(NANO, 2 * NANO), max_output_tokens=8192)
        account = Account("team-a", "openai", "openai", "OpenAI", "https://openai.example")
        self.slot = slot("team-a/openai:m", endpoint, account, own=True, credential="", name="smart")
        self.request = read(BODY)
        given = tuple(
            Granted(f"{number:02}{name[:14]}", name, 10**15, 86_400.0, 0)
            for number, name in enumerate(b.limit_id(each) for b in budgets(count) for each in b.lines)
        )
        self.meter.purse.take(Grants(1, given), loop.time())

    def attempt(self, number: int) -> float:
        """Seconds until it might be sent."""
        intent = _intent(self, number)
        began = time.perf_counter()
        planned = plan(self.rules, self.request, CALLER, self.slot, None, first=True)
        hold = Holding(self.asking, self.witness, self.now).at_once(planned)
        assert isinstance(hold, Hold)
        self.meter.begin(intent, hold)
        return time.perf_counter() - began

    def settle(self, number: int) -> float:
        began = time.perf_counter()
        self.meter.settle(_name(number), "ok", USAGE, "provider", answered=True, finish="stop")
        return time.perf_counter() - began


async def nobody(path: str, body: bytes) -> tuple[int, bytes]:
    raise NoAnswer("there is no ledger here")


def _name(number: int) -> str:
    return attempt_id(number, number.to_bytes(10, "big"))


def _intent(bench: Bench, number: int) -> Intent:
    return Intent(_name(number), f"gen-{number}", 1.0, "team-a", *bench.slot.recorded, service_account="app")


def _said(what: str, count: int, once: Callable[[int], float]) -> None:
    times = sorted(once(number) for number in range(count))
    p50, p99 = times[count // 2], times[count * 99 // 100]
    print(f"{what:<34} p50 {p50 * 1e3:7.3f} ms   p99 {p99 * 1e3:7.3f} ms")


async def main(count: int) -> None:
    for several in (0, 1, 4):
        with tempfile.TemporaryDirectory(prefix="byway-bench-") as name:
            bench = Bench(Path(name), several)
            _said(f"{several} budgets: hold and log", count, bench.attempt)
            _said(f"{several} budgets: settle", count, bench.settle)
            bench.log.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
