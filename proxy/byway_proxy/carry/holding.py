"""Set aside what one request needs, attempt by attempt. It waits only where the purse is short.

All attempts of a request share one patience: a fleet that waits for a budget's last money should not do so once for
each of its candidates.
"""

from collections.abc import Callable

from byway_proxy.carry.planning import Plan
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.denial import Denial, denial
from byway_proxy.meter.held import Claim, Hold
from byway_proxy.meter.waiting import Short
from byway_proxy.meter.witness import Witness

ANSWER_S = 0.5
"""A ledger that answers has answered by then."""


class Holding:
    """Of one request."""

    __slots__ = ("_asking", "_now", "_until", "_witness")

    def __init__(self, asking: Asking, witness: Witness, now: Callable[[], float]) -> None:
        self._asking, self._witness, self._now = asking, witness, now
        self._until: float | None = None

    def at_once(self, plan: Plan) -> Hold | Denial | None:
        """None: it has to be waited for."""
        if plan.denial is not None:
            return self._refused(plan.denial)
        held = self._asking.at_once(plan.claims)
        if held is not None:
            self._witness.counted(plan.bound.budgets)
        return held

    async def hold(self, plan: Plan, endpoint: str) -> Hold | Denial:
        got = await self._asking.hold(plan.claims, self._ends_at())
        if isinstance(got, Hold):
            self._witness.counted(plan.bound.budgets)
            return got
        key = got.claim.key
        return self._refused(
            denial(got, plan.worst, endpoint, held=self._asking.held(key), free=self._asking.free(key))
        )

    async def of_allowance(self, claim: Claim) -> Hold | None:
        """None: it is used up. Where nobody can say, the run is free: an outage of ours costs no caller a fee."""
        got: Hold | Short | None = self._asking.at_once((claim,))
        if got is None:
            got = await self._asking.hold((claim,), self._ends_at())
        if isinstance(got, Hold):
            return got
        return Hold(()) if got.denied is None or got.denied.reason == "unknown" else None

    def _ends_at(self) -> float:
        now = self._now()
        if self._until is None:
            self._until = now + self._asking.wait_s
        # Another candidate may be bound by another budget: the ledger is heard of each, however long was waited.
        return max(self._until, now + min(ANSWER_S, self._asking.wait_s))

    def _refused(self, why: Denial) -> Denial:
        self._witness.refused(why)
        return why
