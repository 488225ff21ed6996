"""A budget that follows an answer as it grows: more is set aside before what was is used up.

every 16 tokens, or 250 ms --> PROG in the log --> little left? --> more from the purse
                                                                      | short
                                   asked of the ledger, meanwhile <---+
                                               | all is used up
                                               +--> the provider is held back --> on, or the answer is cut
"""

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec.structs import replace

from byway_proxy.carry.deadlines import Deadlines, Watch
from byway_proxy.carry.planning import FIRST_PIECE, Plan
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.held import Claim, Hold
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.waiting import Short, Waiter

EVERY_TOKENS, EVERY_S = 16, 0.25
PIECE = FIRST_PIECE // 2
AHEAD = PIECE // 2
"""Tokens that are left when more is asked for: a few seconds of a fast model's."""


Word = Literal["on", "wait", "cut"]


class Following:
    """Of one attempt under way. `grew` is called from within the loop's call that brought the chunk.

    After `wait` nothing more should be read until `then` is called with the next word, once.
    """

    def __init__(
        self,
        attempt: str,
        plan: Plan,
        prompt: int,
        meter: Meter,
        asking: Asking,
        deadlines: Deadlines,
        now: Callable[[], float],
    ) -> None:
        """`prompt`: what the books would say of it, in tokens."""
        self.then: Callable[[Word], None] = _nobody
        self._attempt, self._plan, self._prompt = attempt, plan, prompt
        self._meter, self._asking, self._deadlines, self._now = meter, asking, deadlines, now
        self._held, self._seen = plan.worst.completion, 0
        self._next, self._said_at = 1, 0.0
        self._waiter: Waiter | None = None
        self._watch: Watch | None = None
        """While it is held back."""

    def grew(self, completion: int) -> Word:
        """So many tokens have been seen."""
        self._seen, now = completion, self._now()
        if completion < self._next and now - self._said_at < EVERY_S:
            return "on"
        self._next, self._said_at = completion + EVERY_TOKENS, now
        word = self._word()
        if not self._meter.progress(self._attempt, self._prompt, completion):
            return "cut"
        if word == "wait" and self._watch is None:
            self._watch = Watch(now + self._asking.wait_s, lambda _: self._go_on("cut"))
            self._deadlines.add(self._watch)
        return word

    def end(self) -> None:
        """Nothing more is asked for it."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._asking.leave_waiting(waiter)
        if self._watch is not None:
            self._deadlines.remove(self._watch)
            self._watch = None

    def _word(self) -> Word:
        if self._held - self._seen <= AHEAD and self._held < self._plan.most and self._waiter is None:
            self._hold_more()
        if self._seen < self._held or self._held >= self._plan.most:
            return "on"
        return "cut" if self._waiter is None else "wait"

    def _hold_more(self) -> None:
        tokens = min(max(PIECE, self._seen - self._held + PIECE), self._plan.most - self._held)
        claims = self._claims(tokens)
        more = self._asking.at_once(claims)
        if more is None:
            self._waiter = self._asking.later(claims, lambda told: self._told(told, tokens))
        elif self._meter.extend(self._attempt, more):
            self._held += tokens

    def _told(self, told: Hold | Short, tokens: int) -> bool:
        """Whether we have taken it."""
        if self._waiter is None:
            return False
        self._waiter = None
        took = isinstance(told, Hold) and self._meter.extend(self._attempt, told)
        if took:
            self._held += tokens
        if self._watch is not None:
            # Room for one more is room enough to go on: the next chunk asks again.
            self._go_on("on" if took else "cut")
        return took or isinstance(told, Short)

    def _go_on(self, word: Word) -> None:
        if self._watch is not None:
            self._deadlines.remove(self._watch)
            self._watch = None
            self.then(word)

    def _claims(self, tokens: int) -> Sequence[Claim]:
        """What so many tokens more need."""
        worst = self._plan.worst
        before = replace(worst, completion=self._held)
        after = replace(worst, completion=self._held + tokens)
        return [
            Claim(line, after.of(line.unit, dearest, first=False) - before.of(line.unit, dearest, first=False))
            for line in self._plan.bound.lines
            for dearest in (line.budget.dearest,)
        ]


def _nobody(word: Word) -> None:
    """Nobody reads it."""
