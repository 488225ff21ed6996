"""Proxies and the ledger are killed again and again; afterwards the books must say what the proxies said."""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from aiohttp import ClientSession, UnixConnector
from byway_contract.activity import Sums
from byway_proxy.meter.log import Log
from byway_proxy.meter.post import LedgerPost
from byway_proxy.meter.ship import Shipper
from fakes.usage import COST, LedgerProcess, ledger_process, silent

PROXY = """
import asyncio, io, os, sys, time
from pathlib import Path
from byway_contract.money import Price, Usage
from byway_contract.records import Intent
from byway_process.logs import Log as ProcessLog
from byway_proxy.meter.log import Log
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.post import LedgerPost
from byway_proxy.meter.ship import Shipper

async def main():
    log = Log(Path(sys.argv[1]), segment_bytes=20_000, sync_every_s=0.005)
    meter = Meter(log)
    silent = ProcessLog("p", "error", io.StringIO())
    shipper = Shipper(log, LedgerPost(sys.argv[2]), silent, first_wait_s=0.01, longest_wait_s=0.05)
    shipping = asyncio.create_task(shipper.run())
    price, usage = Price(input=150_000_000, output=600_000_000), Usage(prompt=1200, completion=80)
    number = 0
    while not shipping.done():
        number += 1
        name = f"{log.source[:6]}-{log.epoch}-{number}"
        meter.begin(Intent(name, name, time.time(), "n", "r", "e", "a", "p", "m", price))
        os.write(1, f"began {name}\\n".encode())
        if number > 5:
            name = f"{log.source[:6]}-{log.epoch}-{number - 5}"
            meter.settle(name, "ok", usage, "provider", answered=True, finish="stop")
            os.write(1, f"ended {name}\\n".encode())
        await asyncio.sleep(0.002)  # some hundred requests a second
    sys.exit(3)

asyncio.run(main())
"""


class Proxy:
    def __init__(self, folder: Path, to: str) -> None:
        self.folder, self.to = folder, to
        self.said = folder.with_suffix(".said")
        self.start()

    def start(self) -> None:
        with open(self.said, "ab") as said:
            self.process = subprocess.Popen([sys.executable, "-c", PROXY, str(self.folder), self.to], stdout=said)

    def kill(self) -> None:
        assert self.process.poll() is None, "a proxy ended by itself"
        self.process.kill()
        self.process.wait()

    def names(self, what: str) -> set[str]:
        return {line.split()[1] for line in self.said.read_text().splitlines() if line.startswith(what)}


def test_the_books_balance_after_everything_was_killed(tmp_path: Path) -> None:
    dice = random.Random(5)
    with ledger_process(tmp_path) as ledger:
        proxies = [Proxy(tmp_path / name, ledger.to) for name in ("one", "two")]
        until = time.monotonic() + 3.0
        kills = 0
        while time.monotonic() < until:
            victim = dice.choice([*proxies, ledger])
            lines = victim.said.stat().st_size if isinstance(victim, Proxy) else 0
            _wait_for_more(victim, lines, until)
            victim.kill()
            victim.start()
            kills += 1
        for proxy in proxies:
            proxy.kill()
        asyncio.run(_ship_the_rest(proxies, ledger.to))
        rows = asyncio.run(_rows(ledger))
    assert kills >= 3
    began = set[str]().union(*(proxy.names("began") for proxy in proxies))
    ended = set[str]().union(*(proxy.names("ended") for proxy in proxies))
    assert began <= rows.keys()
    # An attempt may have begun without living to say so: at most one a killed proxy.
    assert len(rows) - len(began) <= kills + len(proxies)
    assert {rows[name] for name in ended} == {COST}
    assert set(rows.values()) <= {0, COST}


def _wait_for_more(victim: Proxy | LedgerProcess, lines: int, until: float) -> None:
    """Kill a proxy only once it has done something, the ledger at once."""
    while isinstance(victim, Proxy) and victim.said.stat().st_size <= lines and time.monotonic() < until:
        time.sleep(0.005)


async def _ship_the_rest(proxies: list[Proxy], to: str) -> None:
    for proxy in proxies:
        log = Log(proxy.folder)
        async with LedgerPost(to) as post:
            shipper = Shipper(log, post, silent(), first_wait_s=0.01)
            task = asyncio.create_task(shipper.run())
            assert await shipper.flush(20.0), shipper.stopped
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        log.close()


async def _rows(ledger: LedgerProcess) -> dict[str, int]:
    """Attempt (each its own request here) → nanodollars billed. None is open."""
    found: dict[str, int] = {}
    async with ClientSession("http://ledger", connector=UnixConnector(str(ledger.socket))) as session:
        for by in ("request", "namespace"):
            async with session.get("/v1/usage", params={"by": by, "limit": "10000"}) as answer:
                sums = msgspec.json.decode(await answer.read(), type=Sums)
            assert sum(row.open for row in sums.rows) == 0
            if by == "request":
                assert not sums.more
                found = {row.key["request"]: row.billed_nanodollars for row in sums.rows}
            else:
                assert sum(row.billed_nanodollars for row in sums.rows) == sum(found.values())
                assert sum(row.attempts for row in sums.rows) == len(found)
    return found
