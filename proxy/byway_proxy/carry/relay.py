"""An answer on its way: a whole one in one piece, a stream chunk by chunk as it comes.

Chunks go out from within the call of the loop that brought them in: no task wakes for one. A client that does not
keep up stops the provider, and is given up on after a while.
"""

import asyncio

from byway_proxy.carry.attempt import Attempt, TimedOut
from byway_proxy.carry.dialects.openai_answer import BadAnswer
from byway_proxy.carry.dialects.openai_stream import Stream
from byway_proxy.carry.following import Following, Word
from byway_proxy.carry.job import Job, Means
from byway_proxy.carry.outlet import EVENTS, JSON, ClientGone, Outlet
from byway_proxy.carry.upstream.failures import Failure
from byway_proxy.choose.trouble import Kind

DONE = b"data: [DONE]\n\n"
BUDGET = "budget"
"""The native finish reason of an answer that a budget has cut."""

CUT_MESSAGES: dict[Kind, tuple[int, str, str]] = {
    "deadline": (
        504,
        "timeout",
        "the request reached its deadline, or the proxy had to end; ask for less, or raise timeouts.request",
    ),
    "timeout": (504, "timeout", "the provider fell silent in the middle of its answer"),
    "bad_answer": (502, "provider_unavailable", "the provider sent something that is no answer"),
}
CUT = (502, "provider_unavailable", "the provider disconnected in the middle of its answer")


def deliver_whole(job: Job, attempt: Attempt, outlet: Outlet) -> None:
    """Settles, then writes. Raises ClientGone."""
    assert attempt.whole is not None
    body = attempt.whole.bytes_with(attempt.identity, attempt.settled_well())
    if job.explained is not None:
        body = body[:-1] + b',"byway":' + job.explained + b"}"
    outlet.whole(200, JSON + job.headers, body)


class _NoRoom(Exception):
    """What a budget has set aside for this answer is used up, and there is no more."""


class Relay:
    """The rest of a stream, after its first content. `outcome` is what became of it."""

    def __init__(self, job: Job, means: Means, attempt: Attempt, outlet: Outlet) -> None:
        assert attempt.stream is not None
        self._job, self._means, self._attempt, self._outlet = job, means, attempt, outlet
        self._stream: Stream = attempt.stream
        self._watch = attempt.watch
        self._watch.idle_s = attempt.patience.idle_s
        self._following = attempt.following
        self._blocked = False
        self._held_back = False
        """Nothing more is read until a budget has room."""
        self._departed = False
        """The client is gone, and what comes is read for the books alone."""
        self._ended = False
        self.outcome = "ok"

    async def run(self) -> None:
        """Raises ClientGone or CancelledError if the client leaves; the attempt is settled in any case."""
        attempt = self._attempt
        self._outlet.on_drained = self._resume
        try:
            self._open()
            await attempt.exchange.pour(self._take)
            if self._departed:
                raise ClientGone("the client has left")
            self._close()
        except (ClientGone, asyncio.CancelledError):
            self._left()
            raise
        except _NoRoom:
            self._shorten()
        except (Failure, TimedOut, BadAnswer) as error:
            self._cut(attempt.cut_by(error))
        finally:
            self._outlet.on_drained = None
            self._left()
            if attempt.over:
                self._means.deadlines.remove(self._watch)
                attempt.exchange.close()

    def _open(self) -> None:
        first, attempt = b"".join(self._attempt.held), self._attempt
        attempt.held.clear()
        if self._outlet.started:
            self._send(first)
        else:
            self._outlet.open(EVENTS + self._job.headers, first)
        if self._stream.done:
            self._close()

    def _take(self, data: bytes) -> None:
        """What has arrived, from within the loop's call. What it raises ends the exchange."""
        stream = self._stream
        events = stream.feed(data)
        if events and not self._departed:
            self._watch.heard = True
            self._send(events[0] if len(events) == 1 else b"".join(events))
        if stream.done and not self._ended and not self._departed:
            self._close()
        elif self._following is not None and not self._departed:
            self._follow(self._following)

    def _follow(self, following: Following) -> None:
        """Raises _NoRoom."""
        match following.grew(self._stream.chunks):
            case "cut":
                raise _NoRoom
            case "wait":
                self._held_back = True
                following.then = self._go_on
                self._attempt.exchange.pause()

    def _go_on(self, word: Word) -> None:
        """The budget has more for it, or not."""
        self._held_back = False
        if word == "cut":
            self._attempt.exchange.fail(_NoRoom())
        elif not self._blocked:
            self._attempt.exchange.resume()

    def _send(self, data: bytes) -> None:
        try:
            if data and not self._outlet.send(data) and not self._blocked:
                self._block()
        except ClientGone:
            if not self._attempt.exchange.outlives:
                raise
            self._departed = True

    def _block(self) -> None:
        """The client does not keep up."""
        self._blocked = True
        self._attempt.exchange.pause()
        self._watch.heard = False
        self._watch.at = self._means.now() + self._attempt.patience.blocked_s

    def _resume(self) -> None:
        if self._blocked:
            self._blocked = False
            self._watch.heard = True
            if not self._held_back:
                self._attempt.exchange.resume()

    def _close(self) -> None:
        """The provider has said its last word, or closed: tell the client how it ended. Once."""
        if self._ended:
            return
        stream, attempt = self._stream, self._attempt
        if not stream.done:
            self._send(b"".join(stream.end()))
        if stream.error is not None or stream.finish == "error" or (not stream.done and not stream.finish):
            self._cut("cut")
        else:
            self._ended = True
            # It has answered; what is left is the end of its connection.
            self._watch.heard = False
            self._watch.at = self._means.now() + attempt.patience.tail_s
            self._speed()
            usage = attempt.settled_well()
            self._outlet.end(self._explained() + stream.usage_event(usage) + DONE)

    def _shorten(self) -> None:
        """The budget has no room for more of it: it ends as if it had been asked to be no longer."""
        if self._ended:
            return
        stream = self._stream
        self._send(stream.shortened(BUDGET))
        self._ended = True
        usage = self._attempt.settled_well()
        self._outlet.end(self._explained() + stream.usage_event(usage) + DONE)

    def _cut(self, kind: Kind) -> None:
        """A well-formed error, as the last chunk, and one settled record."""
        if self._ended:
            return  # the client has its whole answer
        self._ended = True
        self.outcome = "upstream_cut"
        attempt = self._attempt
        if kind == "timeout" and self._blocked:
            self.outcome = "client_cancel"
            attempt.settle("client_cancel", *attempt.used(), answered=True, reason="blocked")
            self._outlet.abort()
            return
        attempt.broke(kind)
        usage, source = attempt.used()
        attempt.settle("upstream_cut", usage, source, answered=True, reason=kind)
        code, error_type, message = CUT_MESSAGES.get(kind, CUT)
        self._outlet.end(self._explained() + self._stream.error_event(code, error_type, message) + DONE)

    def _left(self) -> None:
        if not self._ended:
            self._ended = True
            self.outcome = "client_cancel"
            self._attempt.left()

    def _speed(self) -> None:
        attempt, now = self._attempt, self._means.now()
        made = self._stream.usage.completion if self._stream.usage else self._stream.chunks
        attempt.streamed(made, now)

    def _explained(self) -> bytes:
        if self._job.explained is None:
            return b""
        return self._stream.extra_event(b'"byway":' + self._job.explained)
