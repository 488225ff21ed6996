"""Push: give every proxy the table it is to obey, and know what each of them holds.

    publish(compiled) --> one proxy of each build --> everybody        `rollout` decides
            ^                    | ack / nack / report
            |                    v
      the cycle  <-- on_change --+--> fleet(), refusals                `tell` and the next compile read them

The hub has no task of its own: each connection's belong to the request that brought it (`reception`), and what
has a time is a timer of the loop. All of it runs on one loop; nothing here needs a lock.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Protocol

from aiohttp import WSCloseCode, web
from byway_contract.stream import (
    CLOSE_LOST_LEASE,
    CLOSE_SUPERSEDED,
    PATH,
    Ack,
    Drain,
    FromProxy,
    Hello,
    Nack,
    Reported,
    Welcome,
)
from byway_process.logs import Log

from byway_operator.compile.verdict import Compiled
from byway_operator.push import rollout as deciding
from byway_operator.push.attendance import Attendance
from byway_operator.push.door import Identify, not_leading, not_yet, trust_the_socket
from byway_operator.push.fleet import Expected, FleetView, Ring, Sent
from byway_operator.push.line import Line, Pace, Published
from byway_operator.push.reception import Reception
from byway_operator.push.refused import NOTHING, Refusals, held_back, remembered
from byway_operator.push.settings import PushSettings

MOST_TERM = 2**53
"""A later term than this is nobody's: JSON could not carry its successor safely."""


class Standing(Protocol):
    """Who leads, where several operators may."""

    @property
    def leader(self) -> str | None:
        """`host:port` of whoever leads, for those who dial one that does not."""

    def outreigned(self, term: int) -> None:
        """Somebody has led in a later term than ours: lead on in one later than that, if we still are to lead."""


class Hub:
    """`on_change()` is called when `fleet()` or `refusals` may differ, and must not block.

    `refusals` is a new mapping whenever it differs, so `is` tells whether to compile again.
    """

    def __init__(
        self,
        term: int | None,
        holder: str,
        log: Log,
        on_change: Callable[[], None],
        settings: PushSettings | None = None,
        identify: Identify = trust_the_socket,
        standing: Standing | None = None,
    ) -> None:
        """Without a `term` it stands by until it is told to `lead`; then there has to be a `standing`."""
        self.refusals: Refusals = NOTHING
        self._term = term or 0
        self._leading = term is not None
        self._standing = standing
        self._holder = holder
        self._log = log
        self._on_change = on_change
        self._settings = settings or PushSettings()
        self.stream = Reception(self, log, self._settings, identify).stream
        self.seq = 0
        """How many tables were published."""
        self.nacks: Counter[str] = Counter()
        """Refusals, by code."""
        self._lines: dict[int, Line] = {}
        self._seats = 0
        self._attendance = Attendance()
        self._asked = 0
        """The seat that was last asked to prove something."""
        self._behind = 0
        """A seat whose proxy had yet to ack the newest table when we last looked."""
        self._latest: Published | None = None
        self._settled: Published | None = None
        self._rollout: deciding.Rollout | None = None
        self._stuck = ""
        self._draining = ""
        self._ring = Ring()
        self._advance_timer: asyncio.TimerHandle | None = None
        self._count_timer: asyncio.TimerHandle | None = None
        self._change_timer: asyncio.TimerHandle | None = None
        self._change_at = 0.0
        self._empty = asyncio.Event()
        self._empty.set()

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.stream)]

    def publish(self, compiled: Compiled) -> None:
        """Make this the table to have. The same hash again is no news to anybody."""
        self.refusals = remembered(self.refusals, compiled)
        # The ring remembers many tables, and most of a table is as it was.
        forms = {key: sys.intern(verdict.fingerprint) for key, verdict in compiled.verdicts.items()}
        if self._latest is not None and self._latest.hash == compiled.hash:
            self._ring.amend(compiled.hash, forms)
            return
        self._latest = self._numbered(compiled)
        self._ring.remember(Sent(compiled.hash, time.time(), forms))
        self._stuck = ""
        seats = [line.seat for line in self._lines.values()]
        self._rollout = deciding.begin(compiled.hash, seats, _now(), self._settings.scout_s)
        self._log.info("a table is published", hash=compiled.hash, seq=self.seq, proxies=len(self._lines))
        self._advance()

    @property
    def term(self) -> int:
        return self._term

    @property
    def leading(self) -> bool:
        return self._leading and not self._draining

    def lead(self, term: int) -> None:
        """From now on proxies are let in; the newest table is the first of this term. The same term is no news."""
        self._leading = True
        if term == self._term:
            return
        self._term = term
        self._attendance.begin_anew(_now())
        if self._latest is not None:
            settled = self._settled is self._latest
            self._latest = self._numbered(self._latest.compiled)
            self._settled = self._latest if settled else self._settled

    def _numbered(self, compiled: Compiled) -> Published:
        self.seq += 1
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return Published(compiled, self._term, self.seq, created)

    @property
    def settled(self) -> str | None:
        """Hash of the last table that everybody was given, and nobody of the first to try it refused."""
        return self._settled.hash if self._settled is not None else None

    def expect(self, proxies: Expected) -> None:
        """How many proxies there ought to be, or which, as far as somebody knows."""
        if proxies != self._attendance.expected:
            self._attendance.expect(proxies, self._here(), _now())
            self._recount()

    def ask(self, provider_keys: tuple[str, ...]) -> bool:
        """Have one proxy that serves the newest table prove these accounts' credentials; another one each time.

        False: there is none just now. What comes of it is in that proxy's reports.
        """
        digest = self._latest.hash if self._latest is not None else None
        able = sorted(line.id for line in self._lines.values() if line.acked == digest and line.view.counts)
        if digest is None or not able:
            return False
        self._asked = next((number for number in able if number > self._asked), able[0])
        self._lines[self._asked].verify(provider_keys)
        return True

    def fleet(self) -> FleetView:
        views = tuple(line.view for line in self._lines.values())
        awaited = self._attendance.awaited(_now() - self._settings.redial_s)
        return FleetView(views, self._attendance.expected, awaited, self._ring.all(), self.refusals, self._stuck)

    async def drain(self, reason: Literal["shutdown", "lost-lease"], within_s: float) -> None:
        """Ask every proxy to dial again, let nobody in, and end what is left after `within_s`."""
        self._draining = reason
        for line in self._lines.values():
            line.drain(Drain(reason, jitter_ms=int(within_s * 500)))
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        code = CLOSE_LOST_LEASE if reason == "lost-lease" else WSCloseCode.GOING_AWAY
        for line in self._lines.values():
            line.end(code, reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._settings.close_s):
                await self._empty.wait()
        for timer in (self._advance_timer, self._count_timer, self._change_timer):
            if timer is not None:
                timer.cancel()

    def closed(self) -> web.Response | None:
        if self._draining == "lost-lease":
            return not_leading(None)
        if not self._leading:
            return not_leading(self._standing.leader if self._standing else None)
        if self._latest is None or self._draining or len(self._lines) >= self._settings.most_proxies:
            return not_yet()
        return None

    def seated(self, ws: web.WebSocketResponse, hello: Hello) -> Line:
        for other in self._lines.values():
            if (other.hello.pod.name, other.hello.pod.uid) == (hello.pod.name, hello.pod.uid):
                other.end(CLOSE_SUPERSEDED, "dialled again")
        if self._term < hello.have.term < MOST_TERM:
            self._log.warning("a proxy holds a table of a later term", proxy=hello.pod.name, term=hello.have.term)
        self._seats += 1
        line = Line(self._seats, ws, hello, self._welcome(), self._pace())
        self._lines[line.id] = line
        self._empty.clear()
        if self._standing is not None and self._term < hello.have.term < MOST_TERM:
            # It would refuse whatever we send; and whether we are still to lead, the Lease knows, not we.
            self._standing.outreigned(hello.have.term)
            line.end(CLOSE_LOST_LEASE, "a later term than this operator's; dial again")
        if self._rollout is not None:
            self._rollout = deciding.joined(self._rollout, line.seat, _now())
        self._log.info("a proxy is connected", proxy=hello.pod.name, build=hello.build, origin=hello.have.origin)
        self._recount()
        self._advance(line)
        return line

    def unseated(self, line: Line) -> None:
        del self._lines[line.id]
        if not self._lines:
            self._empty.set()
        if self._rollout is not None:
            self._rollout = deciding.answered(self._rollout, line.id)
        if line.hello.pod.name not in self._here():
            self._attendance.left(line.hello.pod.name, _now())
        self._log.info("a proxy is gone", proxy=line.hello.pod.name, code=line.close_with[0])
        self._recount()
        self._advance()

    def _here(self) -> frozenset[str]:
        return frozenset(line.hello.pod.name for line in self._lines.values())

    def _welcome(self) -> Welcome:
        settings = self._settings
        return Welcome(
            self._term,
            self._holder,
            ping_s=settings.ping_s,
            max_age_s=settings.max_age_s,
            report_every_s=settings.report_every_s,
            proxies=max(len(self._lines) + 1, self._proxies()),
        )

    def _pace(self) -> Pace:
        settings = self._settings
        age_s = settings.max_age_s * random.uniform(0.8, 1.2)
        return Pace(settings.ping_s, settings.answer_s, age_s, settings.grace_s)

    def heard(self, line: Line, message: FromProxy) -> None:
        match message:
            case Ack():
                self._acked(line, message)
            case Nack():
                self._nacked(line, message)
            case Reported(report=report):
                line.report = report
                self._changed(self._settings.late_s)
            case Hello():
                line.end(WSCloseCode.PROTOCOL_ERROR, "one hello is enough")

    def _acked(self, line: Line, ack: Ack) -> None:
        table = line.answer(ack.nonce)
        if table is None or table.hash != ack.hash:
            return
        line.took(table)
        self._attendance.answered(line.hello.pod.name)
        if self._rollout is not None and self._rollout.hash == table.hash:
            self._rollout = deciding.answered(self._rollout, line.id)
        self._advance(line)
        # Some have it, then all: who waits for the second need not be told the first.
        self._changed(self._settings.late_s if self._some_are_behind() else 0.0)

    def _nacked(self, line: Line, nack: Nack) -> None:
        table = line.answer(nack.nonce)
        if table is None:
            return
        line.refuses(table, nack)
        self.nacks[nack.code] += 1
        self._attendance.answered(line.hello.pod.name)
        self._log.warning(
            "a proxy refuses the table",
            proxy=line.hello.pod.name,
            hash=table.hash,
            code=nack.code,
            path=nack.path,
            message=nack.message,
        )
        if self._rollout is not None and self._rollout.hash == table.hash:
            self._rollout = deciding.refused(self._rollout, line.id, _now())
            self._hold_back(table.compiled, nack)
        self._advance(line)
        self._changed(0.0)

    def _hold_back(self, compiled: Compiled, nack: Nack) -> None:
        known, self.refusals = self.refusals, held_back(self.refusals, compiled, nack)
        if self.refusals is known and self._rollout is not None and self._rollout.stopped:
            self._stuck = f"{nack.code}: {nack.message}"
            self._log.error("everybody keeps the table before: a proxy refused this one and named no object of it")

    def _advance(self, *moved: Line) -> None:
        """Offer each proxy what it is to have by now; once all were offered the newest, only those that `moved`."""
        if self._latest is None or self._rollout is None:
            return
        lines = moved if self._settled is self._latest else tuple(self._lines.values())
        now = _now()
        if self._rollout.through(now):
            self._settled = self._latest
        elif not self._rollout.stopped:
            self._advance_again(self._rollout.wait_until - now)
        for line in lines:
            table = self._due(self._rollout, line, now)
            if table is not None:
                line.offer(table)

    def _due(self, rollout: deciding.Rollout, line: Line, now: float) -> Published | None:
        if rollout.gives(line.id, now):
            return self._latest
        if rollout.stopped:
            # The very first table has none before it: then each proxy may see for itself whether it can take it.
            return self._settled or self._latest
        return None

    def _advance_again(self, in_s: float) -> None:
        if self._advance_timer is not None:
            self._advance_timer.cancel()
        self._advance_timer = asyncio.get_running_loop().call_later(max(in_s, 0.001), self._advance)

    def _proxies(self) -> int:
        return max(len(self._lines), self._attendance.number, 1)

    def _recount(self) -> None:
        """Gathered: a thousand proxies that dial at once are one change of their number, not a thousand."""
        if self._count_timer is None:
            self._count_timer = asyncio.get_running_loop().call_later(self._settings.gather_s, self._count)
        self._changed()

    def _count(self) -> None:
        self._count_timer = None
        for line in self._lines.values():
            line.count(self._proxies())

    def _some_are_behind(self) -> bool:
        """Whether a proxy has yet to ack the newest table. The last that had is looked at first: a thousand acks
        are not to be a million looks."""
        digest = self._latest.hash if self._latest is not None else None
        last = self._lines.get(self._behind)
        if last is None or last.acked == digest:
            self._behind = next((line.id for line in self._lines.values() if line.acked != digest), 0)
        return self._behind in self._lines

    def _changed(self, in_s: float | None = None) -> None:
        """`on_change` is called within so many seconds, for all that changes until then."""
        loop = asyncio.get_running_loop()
        at = loop.time() + (self._settings.gather_s if in_s is None else in_s)
        if self._change_timer is not None:
            if self._change_at <= at:
                return
            self._change_timer.cancel()
        self._change_at = at
        self._change_timer = loop.call_at(at, self._tell_change)

    def _tell_change(self) -> None:
        self._change_timer = None
        self._on_change()


def _now() -> float:
    return asyncio.get_running_loop().time()
