"""Who is killed or stopped, and when: by chance, from a seed. And what the ledger's counters say meanwhile."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

from builders.chaos.story import Death, Look
from byway_contract.grants import COUNTERS_PATH
from fakes.machine import Machine

BETWEEN_S = (0.1, 1.2)
STOPS = 0.25
"""Of all acts; the others kill."""
STOPPED_S = (1.0, 3.0)
OTHERS = {"ledger": 0, "operator": 0}
"""Beside the proxies."""
MOST_KILLS = {"ledger": 3}
"""In one run: each time `byway up` waits longer before it starts it again, and without it little is served."""
LOOK_EVERY_S = 0.1


class Reaper:
    """Run it in a thread of its own."""

    def __init__(self, made: Machine, seed: int, killed: list[Death]) -> None:
        self._made, self._killed = made, killed
        self._dice = random.Random(seed)
        self._asleep: dict[int, float] = {}
        """Those stopped, and until when."""
        self._admins = {proxy["name"]: proxy["admin"] for proxy in made.running()["proxies"]}

    def reap(self, seconds: float, stop: threading.Event) -> None:
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0 and not stop.wait(min(left, self._dice.uniform(*BETWEEN_S))):
                self._wake(time.monotonic())
                self._act()
        finally:
            self._wake(float("inf"))

    def _act(self) -> None:
        known = self._made.pids().items()
        awake = {name: pid for name, pid in known if name in self._admins | OTHERS and pid not in self._asleep}
        serving = {name for name in awake if self._serves(name)}
        # One is left to serve, or nothing would be under way that could be lost.
        names = sorted(name for name in awake if not _is_proxy(name) or serving - {name})
        deaths = Counter(death.name for death in self._killed if death.act == "kill")
        names = [name for name in names if deaths[name] < MOST_KILLS.get(name, 10**6)]
        if not names:
            return
        [name] = self._dice.choices(names, [1.0 if _is_proxy(name) else 0.3 for name in names])
        stops = self._dice.random() < STOPS
        with suppress(ProcessLookupError):  # it died meanwhile, and not by us: that is found elsewhere
            self._killed.append(Death(name, time.time(), "stop" if stops else "kill"))
            os.kill(awake[name], signal.SIGSTOP if stops else signal.SIGKILL)
            if stops:
                self._asleep[awake[name]] = time.monotonic() + self._dice.uniform(*STOPPED_S)

    def _serves(self, name: str) -> bool:
        try:
            return _is_proxy(name) and self._made.get("/readyz", self._admins[name])[0] == 200
        except OSError:
            return False

    def _wake(self, now: float) -> None:
        for pid in [pid for pid, until in self._asleep.items() if until <= now]:
            del self._asleep[pid]
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _is_proxy(name: str) -> bool:
    return name.startswith("proxy")


def look_on(ledger: Path, looks: list[Look], stop: threading.Event) -> None:
    """Until told to stop; what cannot be asked just now is asked a little later."""
    while not stop.wait(LOOK_EVERY_S):
        with suppress(OSError, HTTPException):
            looks += look(ledger)


def look(ledger: Path) -> list[Look]:
    """Raises OSError, HTTPException."""
    connection = _Connection(ledger)
    try:
        connection.request("GET", COUNTERS_PATH)
        answer = connection.getresponse()
        told = json.loads(answer.read()) if answer.status == 200 else {"counters": []}
    finally:
        connection.close()
    return [
        Look(
            time.time(), one["limit"], one["subject"], one["amount"],
            one.get("spent", 0), one.get("reserved", 0), one.get("stranded", 0),
        )
        for one in told["counters"]
    ]  # fmt: skip


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("ledger", timeout=2)
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.settimeout(2)
        self.sock.connect(str(self._path))
