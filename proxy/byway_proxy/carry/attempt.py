"""One try at one endpoint, up to the moment that its answer is worth delivering.

    place, rates, money --> INTENT in the log --> connect, send --> head --> content
                                                                                   |
    Refused <-- anything that goes wrong before -----------------------------------+--> Answered

It obeys: what a failure means is decided in `refusing`, what happens next in `failover`. Whatever happens, it gives
its place and what it held back, and settles once.
"""

import asyncio
from typing import Protocol

from byway_contract.money import Usage
from byway_contract.records import Intent, Outcome, Settle, UsageFrom
from byway_contract.table import NO_DEFAULTS
from msgspec.structs import replace

from byway_proxy.carry.deadlines import Watch
from byway_proxy.carry.dialects import openai_answer, openai_request
from byway_proxy.carry.dialects.openai_answer import BadAnswer, Identity, ProviderError, Whole, usage_bytes
from byway_proxy.carry.dialects.openai_request import ChatRequest, Fields
from byway_proxy.carry.dialects.openai_stream import Stream
from byway_proxy.carry.draining import Draining
from byway_proxy.carry.failover import Answered, Refused
from byway_proxy.carry.following import Following
from byway_proxy.carry.holding import Holding
from byway_proxy.carry.job import Job, Means
from byway_proxy.carry.planning import FREELY, plan
from byway_proxy.carry.refusing import by_error, by_failure, error_in
from byway_proxy.carry.upstream.failures import Failure
from byway_proxy.choose.choose import Candidate
from byway_proxy.choose.target import Slot
from byway_proxy.choose.trouble import Kind, Trouble
from byway_proxy.meter.denial import Denial
from byway_proxy.meter.held import Hold
from byway_proxy.meter.ids import attempt_id
from byway_proxy.meter.meter import Settled
from byway_proxy.meter.minute_limits import estimate
from byway_proxy.meter.rates import NOTHING as NOTHING_TAKEN
from byway_proxy.meter.rates import Over

NOTHING = Usage()
ERROR_BYTES = 64 * 1024
"""Enough of a provider's error to see what it means."""
NOT_TEXT_BYTES = 16 * 1024
"""Counted of a prompt that holds more than text, until its provider says what it was. A guess."""


class TimedOut(Exception):
    """A deadline of ours has passed."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind: Kind = kind


class Attempt:
    # As it begins; what a class says need not be said again for each attempt.
    _settled = False
    _hold: Hold | None = None
    following: Following | None = None
    """Where a budget follows its answer."""
    begun = False
    """It stands in the log, so it counts."""
    first_token_ms: float | None = None
    stream: Stream | None = None
    whole: Whole | None = None
    error: ProviderError | None = None
    """What the provider said was wrong, for a caller whose fault it is."""
    over_rate: Over | None = None
    """The rate that had no room for it."""
    _taken = NOTHING_TAKEN

    def __init__(
        self, job: Job, means: Means, candidate: Candidate, number: int, ends_at: float, holding: Holding
    ) -> None:
        self._job, self._means, self.candidate, self._holding = job, means, candidate, holding
        slot, patience, generation = candidate.slot, means.patience, job.generation
        endpoint, account, route = slot.endpoint, slot.account, slot.route
        self.patience = patience = patience if route is None else patience.under(route.timeouts)
        self._intent = _described(job, slot, number, means)
        self.identity = Identity(generation, job.created, endpoint.model, account.display_name)
        self.held: list[bytes] = []
        """Events that came before the answer was worth delivering."""
        if job.request.stream:
            self.stream = Stream(self.identity)
        of_route = _of_route(job.request, slot)
        self._plan = planned = plan(job.rules, job.request, job.caller, slot, of_route, first=number == 1)
        if planned.most_output is not None:
            of_route = openai_request.with_cap(of_route, planned.most_output)
        body = openai_request.body_for(job.request, endpoint.upstream_model, of_route, account.quirks)
        self._head = head = job.heads.of(slot.account_id)
        self.exchange = means.client.exchange(
            head.origin, head.with_length(len(body)), body, connect_s=patience.connect_s
        )
        self.exchange.outlives = account.leaving == "bills" or (
            account.leaving == "streams" and not job.request.stream
        )
        self.watch = Watch(ends_at, self._expired)
        self._began = began = means.now()
        # Last, since what is taken here must be given back: nothing above may raise after it.
        self._place = means.health.begin(slot, began)

    async def run(self) -> Answered | Refused:
        """Raises LogFull if the log cannot take the INTENT: then nothing was sent."""
        if self._place is None:
            self._means.deadlines.remove(self.watch)
            return Refused("at_capacity", sent=False)
        try:
            refused = self._take_of_rates()
            if refused is None and self._plan is not FREELY:
                refused = await self._set_aside()
            if refused is None:
                self._means.meter.begin(self._intent, self._hold)
                self.begun = True
        finally:
            if not self.begun:
                self._unsent()
        if refused is not None:
            return refused
        try:
            refused = await self._ask()
        except asyncio.CancelledError:
            self.left()
            raise
        except BaseException:
            self.settle("failed", answered=False, reason="bug")
            raise
        if self.exchange.status:
            self._means.health.heard(self._place, self.exchange.by_name)
        if refused is None:
            self._means.health.answered(self._place, self._means.now(), self.first_token_ms)
            return Answered()
        self._fail(refused)
        return refused

    async def _set_aside(self) -> Refused | None:
        """What it may cost at worst. None: it may be sent."""
        planned = self._plan
        if planned.allowance is not None:
            self._hold = free = await self._holding.of_allowance(planned.allowance)
            if free is not None:
                self._intent, planned = replace(self._intent, fee_ppm=0), planned.waived
        got = self._holding.at_once(planned)
        if got is None:
            got = await self._holding.hold(planned, self.candidate.endpoint_id)
            self._began = self._means.now()
        if isinstance(got, Denial):
            return Refused("ledger" if got.reason == "ledger" else "budget", sent=False, denial=got)
        self._hold = got if self._hold is None else Hold((*got.parts, *self._hold.parts))
        if self._plan.follows:
            means, endpoint = self._means, self.candidate.endpoint_id
            prompt = means.meter.estimates.usage(endpoint, self._asked(), 0, streamed=True).prompt
            self.following = Following(
                self._intent.attempt, self._plan, prompt, means.meter, means.asking, means.deadlines, means.now
            )
        return None

    def _unsent(self) -> None:
        if self._hold is not None:
            self._means.meter.unhold(self._hold)
        self._taken.cancel()
        if self._place is not None:
            self._means.health.end(self._place)
        self._means.deadlines.remove(self.watch)

    def settle(
        self,
        outcome: Outcome,
        usage: Usage = NOTHING,
        usage_from: UsageFrom = "unknown",
        *,
        answered: bool,
        reason: str,
        status: int = 0,
    ) -> Settled | None:
        """Ends the attempt everywhere: the socket, the watch, the place, the log. None if it had ended before."""
        if self._settled:
            return None
        self._settled = True
        means, exchange, stream, place = self._means, self.exchange, self.stream, self._place
        if outcome != "ok" or stream is None:
            # A stream that ended well still waits, and not for ever, for its connection's end: see `relay`.
            means.deadlines.remove(self.watch)
            exchange.close()
        if place is not None:
            means.health.end(place)
        if self.following is not None:
            self.following.end()
        said = stream or self.whole or _NOTHING_SAID
        settled = means.meter.settle(
            self._intent.attempt, outcome, usage, usage_from,
            answered=answered, reason=reason, status=status or exchange.status,
            first_token_ms=self.first_token_ms,
            duration_ms=round((means.now() - self._began) * 1000, 3),
            finish=said.finish, native_finish=said.native_finish[:64], upstream_id=said.upstream_id,
        )  # fmt: skip
        self._count(settled.record)
        tokens = settled.record.usage.prompt + settled.record.usage.completion
        self._taken.settle(0 if outcome == "failed" else tokens, tokens, means.now())
        return settled

    @property
    def over(self) -> bool:
        return self._settled

    def left(self) -> None:
        """Nobody waits for it any more: it is settled, now or when its provider is done."""
        draining, exchange = self._means.draining, self.exchange
        if exchange.outlives and exchange.sent and not exchange.ended and not self._settled:
            if draining.has_room:
                self._outlive(draining)
                return
            draining.counts["aborted"] += 1
        self.settle("client_cancel", *self.used(), answered=True, reason="")

    def settled_well(self) -> bytes:
        """The end of an answer that came whole: its `usage` as the client reads it."""
        usage, source = self.used()
        if source == "provider":
            self._learn(usage)
        settled = self.settle("ok", usage, source, answered=True, reason="")
        assert settled is not None, "an attempt that answers has not been settled yet"
        return usage_bytes(
            settled.record.usage, settled.parts, settled.record.billed + settled.record.fee, self._intent.byok
        )

    def used(self) -> tuple[Usage, UsageFrom]:
        """What the provider says was used; where it does not, what its other answers make likely."""
        stream = self.stream
        said = stream or self.whole
        if said is not None and said.usage is not None:
            return said.usage, "provider"
        if self.exchange.status == 0 and (stream is None or not stream.chunks):
            return NOTHING, "unknown"
        usage = self._means.meter.estimates.usage(
            self.candidate.endpoint_id, self._asked(), self._said(), streamed=stream is not None
        )
        return self._within(usage), "estimated"

    def _within(self, usage: Usage) -> Usage:
        """A provider that says nothing is taken to have kept to what it was allowed, and so was set aside."""
        planned = self._plan
        if not planned.claims:
            return usage
        return Usage(min(usage.prompt, planned.worst.prompt), min(usage.completion, planned.most))

    def _learn(self, usage: Usage) -> None:
        request, stream = self._job.request, self.stream
        asked = request.size if len(request.modalities) == 1 else 0
        self._means.meter.estimates.learn(
            self.candidate.endpoint_id, usage, asked, self._said(), streamed=stream is not None
        )

    def _asked(self) -> int:
        request = self._job.request
        # Text alone, or more: the bytes of a picture say nothing of its tokens.
        return request.size if len(request.modalities) == 1 else min(request.size, NOT_TEXT_BYTES)

    def _said(self) -> int:
        """Chunks of a stream; bytes of a whole answer."""
        return self.stream.chunks if self.stream is not None else _said(self.whole)

    def streamed(self, tokens: int, now: float) -> None:
        """How fast it was, for `strategy: Throughput`: output tokens over the whole time it took."""
        if self._place is not None and tokens and now > self._began:
            self._means.health.streamed(self._place, now, tokens / (now - self._began))

    def broke(self, kind: Kind) -> None:
        """It failed after content had been delivered."""
        if self._place is not None:
            self._means.health.failed(self._place, Trouble(kind), self._means.now(), self._means.dice)

    def cut_by(self, error: Exception) -> Kind:
        """What ended an answer that had begun."""
        match error:
            case TimedOut():
                return error.kind
            case BadAnswer():
                return "bad_answer"
            case _:
                return "cut"

    def _outlive(self, draining: Draining) -> None:
        self.exchange.resume()
        watch = self.watch
        watch.total_at = watch.at = draining.ends_at(watch.total_at)
        watch.idle_s, watch.heard = watch.total_at, False
        self._means.deadlines.add(watch)
        draining.take(self._read_on())

    async def _read_on(self) -> None:
        """What the provider makes of it, whoever has left; its bill is exact then."""
        stream, exchange = self.stream, self.exchange
        try:
            if stream is None:
                self.whole = openai_answer.read_whole(await exchange.read_all(self._means.answer_bytes))
            else:
                while not stream.done and (data := await exchange.read()):
                    stream.feed(data)
        except (Failure, TimedOut, BadAnswer):
            pass  # it is billed as far as it came
        finally:
            answered = exchange.status in (0, 200)
            used = self.used() if answered else (NOTHING, "unknown")
            self.settle("client_cancel" if answered else "failed", *used, answered=answered, reason="")

    def _take_of_rates(self) -> Refused | None:
        means, slot, job = self._means, self.candidate.slot, self._job
        taken = means.health.rates.admit(
            self._intent, slot.rates, _estimated(job.request, slot), job.counted, self._began, self._intent.at
        )
        if isinstance(taken, Over):
            self.over_rate = taken
            kind: Kind = "over_rate" if taken.budget else "at_rate"
            return Refused(kind, retry_after_s=taken.after_s, sent=False, everywhere=taken.everywhere)
        self._taken = taken
        return None

    async def _ask(self) -> Refused | None:
        """None: the answer is worth delivering."""
        stream, watch, exchange = self.stream, self.watch, self.exchange
        if stream is not None:
            watch.at = min(watch.at, self._began + self.patience.first_token_s)
        self._means.deadlines.add(watch)
        try:
            await exchange.begin()
            if exchange.status != 200:
                return await self._refused_by_status()
            if stream is not None:
                return await self._begin_stream(stream)
            body = exchange.all_here(self._means.answer_bytes)
            return self._judged(await self._held() if body is None else body)
        except Failure as failure:
            return by_failure(failure)
        except TimedOut as late:
            return Refused(late.kind)
        except BadAnswer:
            return Refused("bad_answer", 200)

    async def _refused_by_status(self) -> Refused:
        try:
            body = await self.exchange.read_all(ERROR_BYTES)
        except Failure:
            body = b""  # the status says enough
        return self._by_error(self.exchange.status, error_in(body))

    def _by_error(self, status: int, error: ProviderError | None) -> Refused:
        self.error = error.fit_to_repeat(self._head.credential) if error is not None else None
        return by_error(status, self.error, self.exchange.headers, self._means.wall())

    async def _held(self) -> bytes:
        # No idle deadline before the head: a long answer is silent until it is there. From here on there is one.
        self.watch.at = min(self.watch.total_at, self._means.now() + self.patience.idle_s)
        return await self.exchange.read_all(self._means.answer_bytes)

    def _judged(self, body: bytes) -> Refused | None:
        self.whole = whole = openai_answer.read_whole(body)
        if whole.error is not None:
            return self._by_error(200, whole.error)
        if whole.blank or whole.finish == "error":
            return Refused("empty", 200)
        return None

    async def _begin_stream(self, stream: Stream) -> Refused | None:
        kind = self.exchange.header(b"content-type") or b""
        if not kind.startswith(b"text/event-stream"):
            return await self._no_stream()
        while not (stream.content or stream.done):
            data = await self.exchange.read()
            self.held += stream.feed(data) if data else stream.end()
            if not data:
                break
        if stream.error is not None and not stream.content:
            return self._by_error(200, stream.error)
        if not stream.content and not stream.finish:
            return Refused("empty", 200)
        now = self._means.now()
        self.first_token_ms = round((now - self._began) * 1000, 3)
        self._means.tally.first_tokens.add(now - self._began)
        self.watch.at = min(self.watch.total_at, now + self.patience.idle_s)
        return None

    async def _no_stream(self) -> Refused:
        """A 200 that is no stream where one was asked for: an error in JSON, or nothing that can be used."""
        error = error_in(await self.exchange.read_all(ERROR_BYTES))
        return self._by_error(200, error) if error is not None else Refused("bad_answer", 200)

    def _fail(self, refused: Refused) -> None:
        means, said = self._means, self.stream or self.whole
        assert self._place is not None
        trouble = Trouble(refused.kind, refused.status, refused.retry_after_s, refused.why)
        means.health.failed(self._place, trouble, means.now(), means.dice)
        usage = said.usage if said is not None else None
        counted: tuple[Usage, UsageFrom] = (usage, "provider") if usage is not None else (Usage(), "unknown")
        self.settle("failed", *counted, answered=False, reason=refused.kind, status=refused.status or 0)

    def _expired(self, total: bool) -> None:
        self.exchange.fail(TimedOut("deadline" if total else self._late()))

    def _late(self) -> Kind:
        waiting = self.stream is not None and self.first_token_ms is None
        return "first_token_timeout" if waiting else "timeout"

    def _count(self, settle: Settle) -> None:
        tally, provider, usage = self._means.tally, self._intent.provider, settle.usage
        tally.attempts[provider, settle.outcome, settle.reason] += 1
        tokens = tally.tokens
        tokens[provider, "input"] += usage.prompt
        tokens[provider, "output"] += usage.completion


class _Said(Protocol):
    """What an answer has said of its end, streamed or whole."""

    @property
    def finish(self) -> str: ...
    @property
    def native_finish(self) -> str: ...
    @property
    def upstream_id(self) -> str: ...


_NOTHING_SAID: _Said = Whole({}, [], None, "", "", "", None)


def _described(job: Job, slot: Slot, number: int, means: Means) -> Intent:
    at, caller, about = means.wall(), job.caller, job.about
    namespace = caller.namespace
    byok = slot.account.namespace == namespace
    return Intent(
        attempt_id(int(at * 1000), means.random_bytes(10)), job.generation, at, namespace, *slot.recorded,
        streamed=job.request.stream, attempt_no=number, byok=byok, fee_ppm=job.rules.fee_ppm(byok),
        service_account=caller.service_account, access_key=caller.access_key,
        user=about.user, session=about.session, referer=about.referer, title=about.title,
        user_agent=about.user_agent, user_id=caller.user,
    )  # fmt: skip


def _of_route(request: ChatRequest, slot: Slot) -> Fields | None:
    route = slot.route
    if route is None or (route.defaults == NO_DEFAULTS and route.max_output_tokens is None):
        return None
    return openai_request.said_by_route(request, route.defaults, route.max_output_tokens)


def _estimated(request: ChatRequest, slot: Slot) -> int:
    # Text alone, or more: the bytes of a picture say nothing of its tokens.
    prompt = request.size if len(request.modalities) == 1 else min(request.size, NOT_TEXT_BYTES)
    return estimate(prompt, request.max_tokens, slot.endpoint.max_output_tokens)


def _said(whole: Whole | None) -> int:
    return sum(len(bytes(c.get("message", b""))) for c in whole.choices) if whole is not None else 0
