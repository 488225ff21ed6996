"""Carry one request to whoever answers it: ask `failover` what is next, do it, tell it what happened.

Nothing reaches the client before an attempt is worth delivering, but for a comment on a stream that has to wait
long; so any failure until then costs the client nothing.
"""

import asyncio

from byway_proxy.carry.attempt import Attempt
from byway_proxy.carry.deadlines import Watch
from byway_proxy.carry.dialects.openai_answer import ProviderError
from byway_proxy.carry.failover import Failover, GiveUp, Left, Order, Try
from byway_proxy.carry.failure import Failure
from byway_proxy.carry.holding import Holding
from byway_proxy.carry.job import Job, Means
from byway_proxy.carry.outlet import EVENTS, ClientGone, Outlet
from byway_proxy.carry.relay import Relay, deliver_whole
from byway_proxy.meter.rates import Over

COMMENT = b": OPENROUTER PROCESSING\n\n"


class GaveUp(Exception):
    """Nobody answered. `failure` is what the client is to be told, `said` what the last provider said of it, `over`
    the rate that kept the last from being asked."""

    def __init__(self, failure: Failure, said: ProviderError | None, over: Over | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.said = said
        self.over = over


async def carry(job: Job, means: Means, outlet: Outlet) -> str:
    """Returns what became of the answer: `ok`, `client_cancel` or `upstream_cut`.

    Raises GaveUp (the outlet may be open by then), LogFull, ClientGone.
    """
    began = means.now()
    first = job.choice.candidates[0].slot.route
    whole = means.patience if first is None else means.patience.under(first.timeouts)
    comments = _Comments(job, means, outlet, began) if job.request.stream else None
    try:
        attempt = await _answered(job, means, began + whole.request_s)
    finally:
        if comments is not None:
            comments.stop()
    if attempt.stream is None:
        deliver_whole(job, attempt, outlet)
        outcome = "ok"
    else:
        outcome = await _relayed(job, means, attempt, outlet)
    means.tally.durations.add(means.now() - began)
    return outcome


async def _answered(job: Job, means: Means, ends_at: float) -> Attempt:
    choice = job.choice
    machine = Failover(
        choice.candidates, means.retries, means.dice, most_attempts=choice.most_attempts, fallbacks=choice.fallbacks
    )
    order: Order = machine.begin()
    holding = Holding(means.asking, means.witness, means.now)
    number = tries = 0
    try:
        while isinstance(order, Try):
            if order.after_s:
                await asyncio.sleep(order.after_s)
            tries += 1
            attempt = Attempt(job, means, order.candidate, number + 1, ends_at, holding)
            fact = await attempt.run()
            number += attempt.begun
            order = machine.after(fact)
    except BaseException:
        machine.after(Left())
        raise
    if isinstance(order, GiveUp):
        raise GaveUp(order.error, attempt.error, attempt.over_rate)
    if tries > 1:
        means.tally.failovers += 1
    return attempt


async def _relayed(job: Job, means: Means, attempt: Attempt, outlet: Outlet) -> str:
    relay = Relay(job, means, attempt, outlet)
    means.tally.streams += 1
    try:
        await relay.run()
    finally:
        means.tally.streams -= 1
    return relay.outcome


class _Comments:
    """Tells a waiting stream every so often that it has not been forgotten.

    This gives the status away, 200, and nothing else: candidates may still fail over.
    """

    def __init__(self, job: Job, means: Means, outlet: Outlet, now: float) -> None:
        self._job, self._means, self._outlet = job, means, outlet
        self._watch = Watch(now + means.patience.comment_s, self._say)
        means.deadlines.add(self._watch)

    def stop(self) -> None:
        self._means.deadlines.remove(self._watch)

    def _say(self, _total: bool) -> None:
        try:
            if self._outlet.started:
                self._outlet.send(COMMENT)
            else:
                self._outlet.open(EVENTS + self._job.headers, COMMENT)
        except ClientGone:
            return  # its request is being cancelled
        self._watch.at = self._watch.total_at = self._means.now() + self._means.patience.comment_s
        self._means.deadlines.add(self._watch)
