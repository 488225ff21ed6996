"""Decide what happens next while a request is carried. No I/O, no clock: facts in, orders out.

    begin --> Try(a) --Refused--> Try(b) --Refused--> GiveUp
                 |                   |
              Answered            Answered
                 v                   v
             Deliver(a)          Deliver(b) --Broke--> GiveUp

There is no other arrow out of `Deliver`: once content has reached the client, the client may have acted on it, so a
second provider's answer cannot be appended to it. `Left` (the client went) ends it from anywhere.

    refused with                                       next
    the connection could not be made                   the same once more, then the next
    5xx, overload, a provider's timeout                the next; the same only if there is no other, after a pause
    reset, slow, bad or empty answer, 429, our         the next, at once
      credential, model missing
    its address may not be called                      the next
    at its cap or rate, too dear for the budget        the next; it was not asked, so it is no attempt
    over a rate that binds whoever is asked            given up
    400, 413, 422                                      given up: another would say the same
    context too long, content refused                  another *model* of the chain, or given up
    the request's deadline                             given up

One attempt an endpoint but for the two "same"; those, and any attempt at an endpoint that is known to be out (but
for the first), are paid from the retry budget.
"""

from collections.abc import Sequence

from msgspec import Struct

from byway_proxy.carry.failure import NOT_ASKED, Failure, failure, left
from byway_proxy.carry.retries import Retries
from byway_proxy.choose.candidate import Candidate
from byway_proxy.choose.health import Dice, Standing
from byway_proxy.choose.trouble import Kind, Trouble
from byway_proxy.meter.denial import Denial

MOST_ATTEMPTS = 8
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

TRANSIENT: tuple[Kind, ...] = ("server_error", "overloaded", "timeout")
FINAL: tuple[Kind, ...] = ("bad_request", "too_large", "unprocessable", "deadline")
OF_MODEL: tuple[Kind, ...] = ("context_length", "content_filter")


class Refused(Struct, frozen=True, gc=False):
    """An attempt failed before any content came."""

    kind: Kind
    status: int | None = None
    retry_after_s: float | None = None
    sent: bool = True
    """False: not a byte of the request left us, so the same endpoint may be tried again."""
    why: str = ""
    """Why no connection came about, in a sentence of ours."""
    denial: Denial | None = None
    """Of `budget` and `ledger`."""
    everywhere: bool = False
    """No other candidate could do better."""


class Answered(Struct, frozen=True, gc=False):
    """Its first content came (or, not streamed, the whole answer)."""


class Broke(Struct, frozen=True, gc=False):
    """The answer broke after content was delivered."""

    kind: Kind = "cut"
    status: int | None = None


class Left(Struct, frozen=True, gc=False):
    """The client is gone."""


class Try(Struct, frozen=True, gc=False):
    candidate: Candidate
    after_s: float = 0.0


class Deliver(Struct, frozen=True, gc=False):
    candidate: Candidate


class GiveUp(Struct, frozen=True):
    error: Failure


Fact = Refused | Answered | Broke | Left
Order = Try | Deliver | GiveUp


class Failover:
    """One request's way through its candidates. Every fact answers the last `Try` or `Deliver`."""

    # As it begins: most requests are answered by the first candidate, and need no more than this.
    _at = _tries = 0
    """The candidate, and how often it was tried."""
    attempts = 0
    """Asked of providers so far, the running one included."""
    _paid: tuple[str, ...] = ()
    _broke_off = False
    """The retry budget kept an attempt from being made."""
    _state = "new"

    def __init__(
        self,
        candidates: Sequence[Candidate],
        retries: Retries,
        dice: Dice,
        *,
        most_attempts: int = MOST_ATTEMPTS,
        fallbacks: bool = True,
    ) -> None:
        """`fallbacks=False`: the caller wants a provider's error as it is."""
        assert candidates, "choose raises Nothing where there is no candidate"
        self._candidates = candidates
        self._retries, self._dice = retries, dice
        self._most, self._fallbacks = most_attempts, fallbacks
        self._refusals: list[tuple[Candidate, Trouble]] = []

    def begin(self) -> Try:
        assert self._state == "new"
        return self._go(0, 0.0)

    def after(self, fact: Fact) -> Order:
        if isinstance(fact, Answered):
            assert self._state == "trying"
            self._close_attempt()
            self._state = "delivering"
            return Deliver(self._candidates[self._at])
        match fact:
            case Left():
                committed = self._state == "delivering"
                self._finish()
                return GiveUp(left(self._candidates[self._at], committed))
            case Broke():
                assert self._state == "delivering", "only what was delivered can break"
                self._refusals.append((self._candidates[self._at], Trouble(fact.kind, fact.status)))
                self._finish()
                return GiveUp(failure(self._refusals[-1:], committed=True))
            case Refused():
                assert self._state == "trying"
                return self._refused(fact)

    def _refused(self, fact: Refused) -> Order:
        self._close_attempt()
        candidate = self._candidates[self._at]
        self._refusals.append((candidate, Trouble(fact.kind, fact.status, fact.retry_after_s, denial=fact.denial)))
        if fact.kind in NOT_ASKED:
            self.attempts -= 1
        if fact.kind in FINAL or fact.everywhere:
            return self._give_up()
        if self.attempts >= min(self._most, MOST_ATTEMPTS):
            return self._give_up()
        if self._same_may_help(fact) and self._pay(candidate):
            return self._go(self._at, self._pause(fact))
        following = self._following()
        return self._give_up() if following is None else self._go(following, 0.0)

    def _same_may_help(self, fact: Refused) -> bool:
        if self._tries > 1 or fact.kind in NOT_ASKED or fact.kind == "off_limits":
            return False
        if fact.kind == "connect" or not fact.sent:
            return True
        # A provider that names a longer time has said that the same will not help.
        soon = fact.retry_after_s is None or fact.retry_after_s <= LONGEST_PAUSE_S
        return fact.kind in TRANSIENT and len(self._candidates) == 1 and soon and self._fallbacks

    def _pause(self, fact: Refused) -> float:
        if fact.kind == "connect" or not fact.sent:
            return 0.0
        pause = SHORTEST_PAUSE_S + self._dice.random() * (LONGEST_PAUSE_S - SHORTEST_PAUSE_S)
        return max(pause, fact.retry_after_s or 0.0)

    def _following(self) -> int | None:
        refused_groups = {candidate.group for candidate, trouble in self._refusals if trouble.kind in OF_MODEL}
        for place in range(self._at + 1, len(self._candidates)):
            candidate = self._candidates[place]
            if candidate.group in refused_groups:
                continue
            if candidate.standing != Standing.RESTING or self._pay(candidate):
                return place
        return None

    def _go(self, place: int, after_s: float) -> Try:
        self._tries = self._tries + 1 if place == self._at else 1
        self._at, self._state = place, "trying"
        self.attempts += 1
        candidate = self._candidates[place]
        self._retries.enter(candidate.slot.budgets)
        return Try(candidate, after_s)

    def _pay(self, candidate: Candidate) -> bool:
        keys = candidate.slot.budgets
        if self._retries.take(keys):
            self._paid = keys
            return True
        self._broke_off = True
        return False

    def _close_attempt(self) -> None:
        self._retries.leave(self._candidates[self._at].slot.budgets)
        if self._paid:
            self._retries.give_back(self._paid)
            self._paid = ()

    def _finish(self) -> None:
        if self._state == "trying":
            self._close_attempt()
        assert self._state in ("trying", "delivering"), "it has ended already"
        self._state = "over"

    def _give_up(self) -> GiveUp:
        self._state = "over"
        return GiveUp(failure(self._refusals, no_retry=self._broke_off, as_is=not self._fallbacks))
