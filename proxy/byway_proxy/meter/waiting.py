"""Requests that wait for a grant: what is asked for them together, and who is refused when. Pure: see `asking`.

enter --asked--> given  --> held, in the order they came
          ^        |
          |      denied --> others hold some of it: asked again in a moment
          |        |------> nothing will come back: refused at once, and remembered for a moment,
          +--------+        so that a storm of refused requests is no storm of asks
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from byway_contract.grants import MOST_WANTS, Denied, Grants, Want

from byway_proxy.meter.held import Claim, Hold, Key
from byway_proxy.meter.purse import Purse

AGAIN_S = 0.1
REMEMBERED_S = 0.5
MOST_REMEMBERED = 10_000


class Short(msgspec.Struct, frozen=True):
    """There is no room. `denied`: the ledger's word; None: there was none, so nobody knows."""

    claim: Claim
    denied: Denied | None = None


class _Denial(msgspec.Struct, frozen=True, gc=False):
    need: int
    denied: Denied
    at: float
    final: bool
    """Nothing of it was held anywhere that could have come back."""


class Waiter:
    """`tell` hands over what became of it, and says whether anybody still took it."""

    __slots__ = ("again_at", "claims", "final", "short", "tell")

    def __init__(self, claims: Sequence[Claim], tell: Callable[[Hold | Short], bool]) -> None:
        self.claims, self.tell = claims, tell
        self.again_at = 0.0
        self.short = Short(claims[0])
        """What it is told if nothing better comes until its time is over."""
        self.final = False


class Waiting:
    def __init__(self, purse: Purse, dice: Callable[[], float]) -> None:
        self._purse, self._dice = purse, dice
        self._waiters: dict[Waiter, None] = {}
        self._asked: list[Waiter] = []
        self._denials: dict[Key, _Denial] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def refused(self, claims: Sequence[Claim], now: float) -> Short | None:
        """By what the ledger said a moment ago."""
        for claim in claims:
            known = self._known(claim, now)
            if known is not None and known.final:
                return Short(claim, known.denied)
        return None

    def enter(self, claims: Sequence[Claim], tell: Callable[[Hold | Short], bool]) -> Waiter:
        waiter = Waiter(claims, tell)
        self._waiters[waiter] = None
        return waiter

    def leave(self, waiter: Waiter) -> None:
        self._waiters.pop(waiter, None)

    def serve(self, now: float) -> None:
        """Whoever can be, in the order they came."""
        lacking: dict[Key, int] = {}
        for waiter in list(self._waiters):
            if any(claim.need >= lacking.get(claim.key, claim.need + 1) for claim in waiter.claims):
                continue
            hold = self._purse.hold(waiter.claims, now)
            if hold is not None:
                del self._waiters[waiter]
                if not waiter.tell(hold):
                    self._purse.unhold(hold)
                continue
            for claim in waiter.claims:
                if claim.need > self._purse.free(claim.key, now):
                    lacking[claim.key] = min(claim.need, lacking.get(claim.key, claim.need))

    def wants(self, now: float, returning: Callable[[Key], bool]) -> list[Want]:
        """What to ask for those who are due. `returning`: whether this process itself may give some of it back."""
        self._asked.clear()
        wants: list[Want] = []
        spare: dict[Key, int] = {}
        plenty: set[Key] = set()
        for waiter in list(self._waiters):
            if waiter.again_at > now or self._hopeless(waiter, now):
                continue
            lacking = [(claim, short) for claim in waiter.claims if (short := self._lack(claim, spare, now))]
            if wants and len(wants) + len(lacking) > MOST_WANTS:
                break
            waiter.final = not any(returning(claim.key) for claim, _ in lacking)
            self._asked.append(waiter)
            for claim, short in lacking[:MOST_WANTS]:
                want = short if claim.key in plenty else self._purse.enough(claim.key, short, now)
                plenty.add(claim.key)
                wants.append(Want(claim.line.limit, short, want, claim.line.subject))
        return wants

    def answered(self, answer: Grants, now: float) -> None:
        """After the purse has taken it."""
        self.serve(now)
        denied = {(one.limit, one.subject): one for one in answer.denied}
        for waiter in self._asked:
            if waiter in self._waiters:
                self._judge(waiter, denied, now)
        self._asked.clear()

    def give_up(self) -> None:
        """The ledger will never answer."""
        for waiter in list(self._waiters):
            del self._waiters[waiter]
            waiter.tell(waiter.short)

    def due(self, now: float) -> float | None:
        """In how many seconds somebody has to be asked for; None: nobody waits."""
        if not self._waiters:
            return None
        return max(0.0, min(waiter.again_at for waiter in self._waiters) - now)

    def denied_lately(self, key: Key, now: float) -> bool:
        known = self._denials.get(key)
        return known is not None and now - known.at < REMEMBERED_S

    def _judge(self, waiter: Waiter, denied: dict[Key, Denied], now: float) -> None:
        waiter.again_at = now
        for claim in waiter.claims:
            lack, said = claim.need - self._purse.free(claim.key, now), denied.get(claim.key)
            if said is None or lack <= said.left:
                continue  # it was given, and somebody was quicker
            final = waiter.final and not said.returning and said.reason != "unknown"
            self._remember(claim.key, _Denial(lack, said, now, final))
            self._put_off(waiter, claim, said, now)
            if final:
                del self._waiters[waiter]
                waiter.tell(waiter.short)
            return

    def _hopeless(self, waiter: Waiter, now: float) -> bool:
        """The same was denied a moment ago: no need to ask again just yet."""
        for claim in waiter.claims:
            known = self._known(claim, now)
            if known is None or (not known.final and now - known.at >= AGAIN_S):
                continue
            self._put_off(waiter, claim, known.denied, now)
            if known.final:
                del self._waiters[waiter]
                waiter.tell(waiter.short)
            return True
        return False

    def _put_off(self, waiter: Waiter, claim: Claim, denied: Denied, now: float) -> None:
        waiter.short = Short(claim, denied)
        # Spread, or all proxies come at once.
        waiter.again_at = now + AGAIN_S * (0.5 + self._dice())

    def _known(self, claim: Claim, now: float) -> _Denial | None:
        known = self._denials.get(claim.key)
        if known is None or now - known.at >= REMEMBERED_S:
            return None
        return known if claim.need - self._purse.free(claim.key, now) >= known.need else None

    def _remember(self, key: Key, denial: _Denial) -> None:
        before = self._denials.get(key)
        if before is not None and denial.at - before.at < AGAIN_S and before.need <= denial.need:
            return
        if len(self._denials) >= MOST_REMEMBERED:
            self._denials.clear()
        self._denials[key] = denial

    def _lack(self, claim: Claim, spare: dict[Key, int], now: float) -> int:
        """What is missing of it, where those before it take what is free."""
        free = spare.setdefault(claim.key, self._purse.free(claim.key, now))
        spare[claim.key] = max(0, free - claim.need)
        return max(0, claim.need - free)


def keys(wants: Iterable[Want]) -> set[Key]:
    return {(want.limit, want.subject) for want in wants}
