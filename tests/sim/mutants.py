"""Bugs that somebody could write, put into the real classes for a while: the simulator must see every one of them.

Each is small, and plausible: most are what a design without the rule would do.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import msgspec
from byway_contract.grants import GRANTS_PATH, Ask, Grants
from byway_contract.records import Intent, Release, Settle
from byway_ledger import books
from byway_ledger import grants as deciding
from byway_ledger.stores import booking, granting
from byway_ledger.stores.script import Read, Script, Write
from byway_proxy.meter import home, meter, ship
from byway_proxy.meter import log as logs
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.purse import Purse, _Counter, _Grant
from byway_proxy.meter.replay import Replayed
from byway_proxy.meter.ship import Shipper
from sim import proxy_process
from sim.ledger_process import LedgerProcess
from sim.plan import MIDNIGHT
from sim.proxy_process import ProxyProcess
from sim.virtual_net import Weather
from sim.watched_log import WatchedLog

MUTANTS: dict[str, "Mutant"] = {}


@dataclass(frozen=True)
class Mutant:
    put_in: Callable[[], AbstractContextManager[None]]
    changed: dict[str, Any]
    """What a world is like, in which it shows soon."""


def mutant(**changed: Any) -> Callable[[Callable[[], Iterator[None]]], None]:
    def keep(make: Callable[[], Iterator[None]]) -> None:
        MUTANTS[make.__name__.replace("_", " ")] = Mutant(contextmanager(make), changed)

    return keep


HAUNTED = {"kills_per_s": 0.6, "lost_nodes_per_s": 0.1, "weather": Weather(twice=0.2, late=0.4)}
CHANGING = {"changes_per_s": 0.4, "starts": MIDNIGHT - 43_200.0}
LOSING = {"lost_nodes_per_s": 0.2}
OVERRUNNING = {"overruns": 0.4}
KILLING = {"kills_per_s": 0.4}
TURNING = {"clock_steps_per_s": 0.4, "starts": MIDNIGHT - 10.0}


def _edited(script: Script[Any], edit: Callable[[Any], Any]) -> Script[Any]:
    """The same with other statements; what `edit` returns as rows, no statement is sent for."""
    try:
        step = next(script)
        while True:
            changed = edit(step)
            step = script.send(changed if isinstance(changed, list) else (yield changed))
    except StopIteration as ended:
        return ended.value


# --- the ledger


@mutant()
def records_are_booked_as_often_as_they_are_sent() -> Iterator[None]:
    really = books.judge

    def judge(position: books.Position, batch: Any, sender: str = "") -> Any:
        take = really(position, batch, sender)
        if not isinstance(take, books.Take):
            return take
        return replace(take, records=batch.records, skipped=())

    known_of = booking._known_of
    columns = booking._KNOWN.partition(" FROM ")[0].removeprefix("SELECT ").split(", ")
    ended = columns.index("ended")

    def never_ended(row: Any) -> books.Known:
        return known_of((*row[:ended], None, *row[ended + 1 :]))

    with mock.patch.object(books, "judge", judge), mock.patch.object(booking, "_known_of", never_ended):
        yield


@mutant(weather=Weather(lost=0.3), kills_per_s=0.0, lost_nodes_per_s=0.0, requests_per_s=25.0, sync_every_s=0.5)
def releases_are_booked_as_often_as_they_are_sent() -> Iterator[None]:
    really = books.judge

    def judge(position: books.Position, batch: Any, sender: str = "") -> Any:
        take = really(position, batch, sender)
        if not isinstance(take, books.Take):
            return take
        again = [record for record in take.skipped if isinstance(record, Release)]
        return replace(take, records=[*again, *take.records])

    with mock.patch.object(books, "judge", judge):
        yield


@mutant(ledger_deaths_per_s=1.0)
def a_batch_is_acknowledged_before_it_is_on_the_disk() -> Iterator[None]:
    really = LedgerProcess.handle

    def handle(self: LedgerProcess, path: str, body: bytes) -> Any:
        was_up, answer = self.up, really(self, path, body)
        if answer is None and was_up and path == "/v1/usage":
            batch = msgspec.json.decode(body)
            return 200, msgspec.json.encode({"seq": batch["first_seq"] + len(batch["records"]) - 1})
        return answer

    with mock.patch.object(LedgerProcess, "handle", handle):
        yield


@mutant(**LOSING)
def a_lost_log_is_refunded() -> Iterator[None]:
    with mock.patch.object(deciding, "stranded", deciding.put_back):
        yield


@mutant(power_cuts_per_s=0.3)
def a_power_failure_is_taken_for_a_kill() -> Iterator[None]:
    with mock.patch.object(home, "came_through", return_value=True):
        yield


@mutant(stops_per_s=0.2)
def grants_return_after_a_while_by_themselves() -> Iterator[None]:
    really = granting.ask

    def ask(message: Any, now: float, *more: Any) -> Script[Any]:
        rows = yield Read(
            f"SELECT {granting._GRANT} FROM allowance WHERE rest > 0 AND given < ?", (now - deciding.USE_FOR_S / 3,)
        )
        old = [granting._grant_of(row) for row in rows]
        known = yield from granting.counters({one.key: None for one in old})
        yield from granting.posted(known, {one.id: one for one in old}, deciding.put_back(old, known))
        return (yield from really(message, now, *more))

    with mock.patch.object(granting, "ask", ask):
        yield


@mutant()
def an_ask_is_obeyed_as_often_as_it_is_sent() -> Iterator[None]:
    really = granting.ask

    def edit(step: Any) -> Any:
        if isinstance(step, Read) and step.sql.startswith("SELECT body FROM answer"):
            return []
        if isinstance(step, Write) and step.sql.startswith("INSERT INTO answer"):
            return Write(step.sql.replace("INSERT", "INSERT OR REPLACE"), step.rows)
        return step

    with mock.patch.object(granting, "ask", lambda *given: _edited(really(*given), edit)):
        yield


@mutant(**HAUNTED)
def an_ask_of_a_dead_process_is_obeyed() -> Iterator[None]:
    really = granting.ask

    def ask(message: Any, *more: Any) -> Script[Any]:
        at = yield from granting.position(message.source)
        if at.epoch < granting.CLOSED_EPOCH:
            message = msgspec.structs.replace(message, epoch=max(message.epoch, at.epoch))
        return (yield from really(message, *more))

    with mock.patch.object(granting, "ask", ask):
        yield


@mutant(**LOSING | {"weather": Weather(lost=0.2, late=0.4)})
def a_closed_log_is_given_more() -> Iterator[None]:
    really = granting.close_source

    def edit(step: Any) -> Any:
        return [] if isinstance(step, Write) and step.sql.startswith("UPDATE source SET epoch") else step

    with mock.patch.object(granting, "close_source", lambda *given: _edited(really(*given), edit)):
        yield


@mutant()
def what_is_set_aside_is_given_again() -> Iterator[None]:
    with mock.patch.object(deciding.Counter, "left", lambda self, amount: max(0, amount - self.spent - self.extra)):
        yield


@mutant(**KILLING, seconds=40.0)
def crashes_are_not_counted_against_the_limit() -> Iterator[None]:
    with mock.patch.object(
        deciding.Counter, "used", property(lambda self: self.spent + self.reserved + self.stranded)
    ):
        yield


@mutant(**TURNING)
def a_clock_that_is_set_back_opens_a_closed_window() -> Iterator[None]:
    def current(limit: Any, now: float, latest: Any) -> Any:
        return deciding.window(limit.period, limit.time_zone, now)

    with mock.patch.object(deciding, "current", current):
        yield


@mutant(**CHANGING)
def a_limit_that_is_made_again_forgets_what_was_spent() -> Iterator[None]:
    really = granting._open

    def edit(step: Any) -> Any:
        return [] if isinstance(step, Read) and "FROM attempt" in step.sql else step

    with mock.patch.object(granting, "_open", lambda *given: _edited(really(*given), edit)):
        yield


@mutant(**CHANGING)
def a_limit_that_is_made_again_forgets_what_is_set_aside() -> Iterator[None]:
    really = granting._open

    def edit(step: Any) -> Any:
        if isinstance(step, Write) and step.sql.startswith("UPDATE counter SET spent = 0"):
            return Write(step.sql.replace("spent = 0", "spent = 0, reserved = 0"), step.rows)
        return step

    with mock.patch.object(granting, "_open", lambda *given: _edited(really(*given), edit)):
        yield


@mutant(**CHANGING)
def what_drew_from_no_grant_is_not_counted() -> Iterator[None]:
    with mock.patch.object(deciding, "_count_undrawn"):
        yield


@mutant(**KILLING)
def hello_returns_grants_before_everything_is_booked() -> Iterator[None]:
    really = granting.hello

    def hello(message: Any, *more: Any) -> Script[Any]:
        return really(msgspec.structs.replace(message, seq=0), *more)

    run = Asking.run

    async def at_once(self: Asking) -> None:
        self._boot = 0
        await run(self)

    with mock.patch.object(granting, "hello", hello), mock.patch.object(Asking, "run", at_once):
        yield


@mutant(**KILLING)
def hello_returns_grants_of_this_opening_too() -> Iterator[None]:
    really = granting.hello

    def hello(message: Any, *more: Any) -> Script[Any]:
        with mock.patch.object(granting, "_grant_of", lambda row: msgspec.structs.replace(of(row), epoch=0)):
            return (yield from really(message, *more))

    of = granting._grant_of
    with mock.patch.object(granting, "hello", hello):
        yield


# --- the proxy


@mutant()
def the_log_is_kept_in_memory() -> Iterator[None]:
    really = WatchedLog.die

    def die(self: WatchedLog) -> None:
        really(self)
        self.synced = self.booked
        self.tear(lambda: 0.0)

    with mock.patch.object(WatchedLog, "die", die):
        yield


@mutant(**KILLING)
def an_attempt_is_sent_before_it_is_written_down() -> Iterator[None]:
    begin, sends = Meter.begin, ProxyProcess._sends
    late: dict[str, tuple[Any, Any]] = {}

    def begin_later(self: Meter, intent: Intent, hold: Any = None) -> None:
        self.open[intent.attempt] = (
            intent if hold is None else msgspec.structs.replace(intent, legs=hold.legs),
            hold,
        )
        late[intent.attempt] = (intent, hold)

    def sends_first(self: ProxyProcess, request: Any, intent: Intent, *more: Any) -> None:
        self._world.truth.begun[intent.attempt] = (self.log.source, 0, intent)  # the check at once must not see it
        sends(self, request, intent, *more)
        self.spawn(lambda: write(self, *late.pop(intent.attempt)))

    async def write(self: ProxyProcess, intent: Intent, hold: Any) -> None:
        await asyncio.sleep(0.02)
        self._world.truth.begun.pop(intent.attempt, None)
        if self.meter.open.pop(intent.attempt, None):
            begin(self.meter, intent, hold)

    with mock.patch.object(Meter, "begin", begin_later), mock.patch.object(ProxyProcess, "_sends", sends_first):
        yield


@mutant(**KILLING)
def a_crash_is_charged_nothing() -> Iterator[None]:
    def settle(self: logs.Log, left: Replayed, at: float) -> None:
        for attempt in list(left.open):
            self.append(Settle(attempt=attempt, at=at, outcome="crash", reason="crash"))

    with mock.patch.object(logs.Log, "_settle_crashed", settle):
        yield


@mutant(**KILLING)
def a_crash_is_settled_by_nobody() -> Iterator[None]:
    with mock.patch.object(logs.Log, "_settle_crashed"):
        yield


@mutant(**KILLING)
def open_attempts_are_forgotten_with_their_file() -> Iterator[None]:
    really = logs.prune

    def prune(directory: Any, segments: Any, booked: int, begun: Any) -> None:
        really(directory, segments, booked, {})

    with mock.patch.object(logs, "prune", prune):
        yield


@mutant()
def a_settlement_is_written_twice() -> Iterator[None]:
    really = Meter._append

    def append(self: Meter, record: Any) -> None:
        really(self, record)
        if isinstance(record, Settle):
            really(self, msgspec.structs.replace(record, attempt=record.attempt[:-1] + "-"))

    with mock.patch.object(Meter, "_append", append):
        yield


@mutant()
def what_goes_back_is_said_twice() -> Iterator[None]:
    really = Meter.release
    with mock.patch.object(Meter, "release", lambda self, back: really(self, [*back, *back])):
        yield


@mutant()
def what_is_held_goes_back_when_others_need_it() -> Iterator[None]:
    def due(self: Purse) -> list[Release]:
        back = [Release(one.id, one.free + one.held) for one in self._ended.values() if one.free or one.held]
        for one in list(self._ended.values()):
            one.free = 0
        self._ended.clear()
        return back

    with mock.patch.object(Purse, "due", due):
        yield


@mutant(**OVERRUNNING)
def an_overrun_is_drawn_from_the_hold_of_another() -> Iterator[None]:
    really = Purse._draw

    def draw(self: Purse, part: Any, actual: int) -> list[tuple[str, int]]:
        held = sum(amount for _, amount in part.legs)
        drawn = dict(really(self, part, min(actual, held)))
        if actual > held and part.legs:
            name = part.legs[0][0]
            drawn[name] = drawn.get(name, 0) + actual - held
        return list(drawn.items())

    with mock.patch.object(Purse, "_draw", draw):
        yield


@mutant(partitions_per_s=0.3)
def holds_are_put_into_grants_whose_use_has_ended() -> Iterator[None]:
    def usable(self: _Counter, now: float) -> Iterator[_Grant]:
        return iter(self.grants)

    def releases(self: Purse, now: float) -> list[Release]:
        return self.due()

    with mock.patch.object(_Counter, "usable", usable), mock.patch.object(Purse, "releases", releases):
        yield


@mutant()
def one_limit_is_enough() -> Iterator[None]:
    really = Purse.hold

    def hold(self: Purse, claims: Any, now: float) -> Any:
        return really(self, claims[:1], now)

    with mock.patch.object(Purse, "hold", hold):
        yield


@mutant(weather=Weather(lost=0.1))
def an_ask_is_given_up_when_its_answer_is_lost() -> Iterator[None]:
    async def ask(self: Asking, message: Ask) -> None:
        sent_at = self._now()
        answer = await self._sent(GRANTS_PATH, msgspec.json.encode(message))
        if isinstance(answer, Grants):
            self._purse.take(answer, sent_at)
            self._waiting.answered(answer, self._now())
        else:
            await asyncio.sleep(0.1)

    with mock.patch.object(Asking, "_ask", ask):
        yield


@mutant()
def a_batch_that_fails_is_dropped() -> Iterator[None]:
    really = Shipper._send

    async def send(self: Shipper, body: bytes) -> Any:
        answer = await really(self, body)
        if isinstance(answer, ship._Failed):
            batch = msgspec.json.decode(body)
            return ship.Booked(batch["first_seq"] + len(batch["records"]) - 1)
        return answer

    with mock.patch.object(Shipper, "_send", send):
        yield


@mutant()
def a_failed_attempt_is_billed() -> Iterator[None]:
    really = meter.charge

    def charge(*given: Any, **more: Any) -> Any:
        charged = really(*given, **more)
        return msgspec.structs.replace(charged, billed=charged.cost)

    with mock.patch.object(meter, "charge", charge):
        yield


@mutant()
def a_hold_is_less_than_the_worst_case() -> Iterator[None]:
    really = proxy_process.Worst
    with mock.patch.object(proxy_process, "Worst", lambda prompt, most, price: really(prompt, most // 2, price)):
        yield
