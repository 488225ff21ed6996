"""How each endpoint has been doing, as this proxy saw it: the one thing about choosing that remembers.

    healthy --5 failures in a row, or more than half of the last ones--> ejected --time is over--> on trial
       ^                                                                    ^                          |
       |                                                                    +---- it failed -----------+
       +---- slow start, 30 s ----- it answered -------------------------------------------------------+

    healthy --429, 402, 401 …--> resting --until the time it named, or its credential changes--> healthy

Nothing is dropped for its health, only put last: when all of them are out, trying the least bad one beats refusing.
Reads no clock and throws no dice: `now` (seconds, monotonic) and `dice` are arguments. Each proxy has its own.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Protocol

from byway_contract.report import EndpointReport, ProviderKeyReport

from byway_proxy.choose.history import AccountHistory, EndpointHistory, Rest, account_report, endpoint_report
from byway_proxy.choose.places import Places
from byway_proxy.choose.target import Slot
from byway_proxy.choose.trouble import ENDED_BY_CREDENTIAL, FAILURES, RESTS_ACCOUNT, RESTS_ENDPOINT, Limits, Trouble
from byway_proxy.choose.wanted import Pace
from byway_proxy.meter.rates import Rates


class Dice(Protocol):
    def random(self) -> float: ...


class Standing(IntEnum):
    READY = 0
    SHAKY = 1
    """A recent outage: behind the ready ones."""
    RESTING = 2
    """Resting or ejected: when nothing else is left."""
    FULL = 3
    """At its cap or its rate: it will be refused unless there is room by then."""


class Attempt:
    """A place taken at an endpoint, until `Health.end` gives it back."""

    __slots__ = ("account", "began", "open", "slot", "state", "trial")

    def __init__(
        self, slot: Slot, state: EndpointHistory, account: AccountHistory, began: float, trial: bool
    ) -> None:
        self.slot, self.state, self.account, self.began, self.trial = slot, state, account, began, trial
        self.open = True


class Health:
    def __init__(self, limits: Limits | None = None, rates: Rates | None = None) -> None:
        self.limits = limits or Limits()
        self.rates = rates or Rates()
        self._endpoints: dict[str, EndpointHistory] = {}
        self._accounts: dict[str, AccountHistory] = {}
        self.places = Places()
        # The few that need a second look: usually both are empty, and standing costs next to nothing.
        self._troubled: dict[str, EndpointHistory] = {}
        self._resting_accounts: dict[str, Rest] = {}
        self.refusals = 0
        """How often a provider refused a credential: news that should not wait."""

    @property
    def proxies(self) -> int:
        """How many proxies share a cap or a rate that is the fleet's."""
        return self.places.proxies

    @proxies.setter
    def proxies(self, proxies: int) -> None:
        self.places.proxies = self.rates.proxies = proxies

    def standing(self, slot: Slot, now: float) -> Standing:
        if slot.caps and self.places.full(slot):
            return Standing.FULL
        if slot.rates and self.rates.full(slot.rates, now):
            return Standing.FULL
        if self._resting_accounts and self._account_rests(slot, now):
            return Standing.RESTING
        if self._troubled:
            state = self._troubled.get(slot.endpoint_id)
            if state is not None:
                return self._troubled_standing(slot, state, now)
        return Standing.READY

    def warmth(self, slot: Slot, now: float) -> float:
        """Share of its weight in a draw, 0.1 to 1: what came back from an ejection starts slowly."""
        state = self._troubled.get(slot.endpoint_id) if self._troubled else None
        if state is None or state.warm_from is None:
            return 1.0
        return min(1.0, max(0.1, (now - state.warm_from) / self.limits.slow_start_s))

    def badness(self, slot: Slot, now: float) -> tuple[int, float]:
        """Orders what is out: the ejected (they may answer), the throttled by time left, refused credentials."""
        state = self._endpoints.get(slot.endpoint_id)
        if slot.account_id in self._resting_accounts:
            return 2, 0.0
        if state is not None and state.rest is not None:
            return 1, state.rest.until - now
        return 0, state.rate if state is not None else 0.0

    def error_rate(self, slot: Slot) -> float:
        state = self._endpoints.get(slot.endpoint_id)
        return state.rate if state is not None else 0.0

    def first_token_ms(self, slot: Slot, now: float) -> float | None:
        """Median of the last five minutes; None is not measured."""
        state = self._endpoints.get(slot.endpoint_id)
        return state.first_tokens.median(now - self.limits.window_s) if state is not None else None

    def tokens_per_s(self, slot: Slot, now: float) -> float | None:
        state = self._endpoints.get(slot.endpoint_id)
        return state.speeds.median(now - self.limits.window_s) if state is not None else None

    def keeps_pace(self, slot: Slot, pace: Pace, now: float) -> bool:
        """Whether all of a caller's thresholds hold, as far as they were measured.

        A speed's p90 is what nine in ten requests reach, so it is the slow end; a latency's is the slow end too.
        """
        state, since = self._endpoints.get(slot.endpoint_id), now - self.limits.window_s
        if state is None:
            return True
        latencies = ((state.first_tokens.quantile(since, p), most) for p, most in pace.first_token_ms)
        speeds = ((state.speeds.quantile(since, 100 - p), least) for p, least in pace.tokens_per_s)
        return all(ms is None or ms <= most for ms, most in latencies) and all(
            speed is None or speed >= least for speed, least in speeds
        )

    def begin(self, slot: Slot, now: float) -> Attempt | None:
        """Takes a place, or None where its cap is reached. Whoever begins must `end`, whatever happens."""
        if slot.caps and not self.places.take(slot):
            return None
        state = self._endpoints.get(slot.endpoint_id) or self._endpoint(slot)
        account = self._accounts.get(slot.account_id) or self._account(slot.account_id)
        state.inflight += 1
        state.attempts += 1
        account.attempts += 1
        account.last_used = now
        trial = state.ejected_until is not None and now >= state.ejected_until and not state.on_trial
        if trial:
            state.on_trial = True
        return Attempt(slot, state, account, now, trial)

    def end(self, attempt: Attempt) -> None:
        """Gives the place back. A second call does nothing."""
        if not attempt.open:
            return
        attempt.open = False
        if attempt.slot.caps:
            self.places.give_back(attempt.slot)
        state = attempt.state
        state.inflight -= 1
        if attempt.trial:
            state.on_trial = False

    def heard(self, attempt: Attempt, head: Mapping[bytes, bytes]) -> None:
        """The headers of an answer, whatever it was."""
        attempt.account.head = head

    def answered(self, attempt: Attempt, now: float, first_token_ms: float | None = None) -> None:
        """Content came. Say it once an attempt, at its first token, or at its end if it is not streamed (then
        without a time: a whole answer's is no first token's)."""
        state = attempt.state
        attempt.account.last_ok = now
        state.in_a_row = 0.0
        state.recent += 1
        state.rate -= self.limits.smoothing * state.rate
        if first_token_ms is not None:
            state.first_tokens.add(now, first_token_ms)
        if state.ejected_until is not None or state.rest is not None or self._resting_accounts:
            self._recover(attempt, state, now)

    def streamed(self, attempt: Attempt, now: float, tokens_per_s: float) -> None:
        attempt.state.speeds.add(now, tokens_per_s)

    def failed(self, attempt: Attempt, trouble: Trouble, now: float, dice: Dice) -> None:
        kind, slot = trouble.kind, attempt.slot
        weight = FAILURES.get(kind)
        if weight is None and kind not in RESTS_ENDPOINT and kind not in RESTS_ACCOUNT:
            return
        state, account = attempt.state, attempt.account
        state.failures += 1
        account.failures += 1
        state.last_error = account.last_error = (kind, now, trouble.status, trouble.why)
        if weight is not None:
            self._count_failure(attempt, state, weight, now, dice)
        else:
            self._rest(slot, state, trouble, now)

    def retain(self, endpoint_ids: set[str], account_ids: set[str]) -> None:
        """A new table: forgets what is in it no more, once nothing runs there."""
        for endpoint_id in [i for i, s in self._endpoints.items() if i not in endpoint_ids and not s.inflight]:
            del self._endpoints[endpoint_id]
            self._troubled.pop(endpoint_id, None)
        for account_id in [i for i in self._accounts if i not in account_ids]:
            del self._accounts[account_id]
            self._resting_accounts.pop(account_id, None)

    def renew(self, account_ids: Iterable[str]) -> None:
        """They have another credential or another URL. What runs by the old one tells nobody what comes of it."""
        for account_id in account_ids:
            account = self._accounts.get(account_id)
            if account is not None:
                self._accounts[account_id] = account.renewed()

    def asked(self, account_id: str) -> AccountHistory:
        """To be given to `proven` or `disproved`, which have nothing to do with use: they count nothing."""
        return self._account(account_id)

    def proven(self, account: AccountHistory, now: float) -> None:
        """The provider takes its credential."""
        account.last_ok = now

    def disproved(self, account: AccountHistory, trouble: Trouble, now: float) -> None:
        """What a mere question met. No rest, no ejection: requests find out for themselves."""
        if trouble.kind != "forbidden" or account.last_ok is None:  # some may use models and not list them
            account.last_error = (trouble.kind, now, trouble.status, trouble.why)

    @property
    def tried(self) -> int:
        """How many endpoints a report is about."""
        return len(self._endpoints)

    @property
    def inflight(self) -> int:
        return sum(state.inflight for state in self._endpoints.values())

    def report(self, now: float, wall: float) -> tuple[dict[str, EndpointReport], dict[str, ProviderKeyReport]]:
        """For the control stream; `wall` is the time in seconds since 1970 at `now`."""

        def at(moment: float) -> float:
            return round(wall - (now - moment), 3)

        since = now - self.limits.window_s
        endpoints = {
            i: endpoint_report(s, self._resting_accounts.get(s.account_id), now, since, at)
            for i, s in self._endpoints.items()
        }
        return endpoints, {i: account_report(a, at) for i, a in self._accounts.items()}

    def _account_rests(self, slot: Slot, now: float) -> bool:
        rest = self._resting_accounts.get(slot.account_id)
        if rest is None:
            return False
        if rest.over(now, slot.credential):
            del self._resting_accounts[slot.account_id]
            return False
        return True

    def _troubled_standing(self, slot: Slot, state: EndpointHistory, now: float) -> Standing:
        if state.rest is not None:
            if not state.rest.over(now, slot.credential):
                return Standing.RESTING
            state.rest = None
        if state.ejected_until is not None:
            # Time is over and nobody tries it: ready, so that somebody does. A failure there only fails over.
            waiting = now < state.ejected_until or state.on_trial
            return Standing.RESTING if waiting else Standing.READY
        if state.failed_at is not None and now - state.failed_at < self.limits.outage_s:
            return Standing.SHAKY if state.in_a_row or state.rate > self.limits.outage_rate else Standing.READY
        if state.warm_from is None or now - state.warm_from >= self.limits.slow_start_s:
            state.warm_from = None
            del self._troubled[slot.endpoint_id]
        return Standing.READY

    def _recover(self, attempt: Attempt, state: EndpointHistory, now: float) -> None:
        """An answer ends what began before its attempt did; one that was in flight at the time proves nothing."""
        if state.ejected_until is not None and attempt.began > state.ejected_at:
            state.ejected_until, state.warm_from, state.last_back = None, now, now
        if state.rest is not None and attempt.began > state.rest.since:
            state.rest = None
        rest = self._resting_accounts.get(attempt.slot.account_id)
        if rest is not None and attempt.began > rest.since:
            del self._resting_accounts[attempt.slot.account_id]

    def _count_failure(
        self, attempt: Attempt, state: EndpointHistory, weight: float, now: float, dice: Dice
    ) -> None:
        self._troubled[attempt.slot.endpoint_id] = state
        state.failed_at = now
        state.in_a_row += weight
        state.recent += 1
        state.rate += self.limits.smoothing * (weight - state.rate)
        if state.ejected_until is not None and not attempt.trial:
            return  # An attempt from before the ejection: it has been counted for enough.
        often = state.recent >= self.limits.rate_over and state.rate > self.limits.rate
        if self.limits.eject and (attempt.trial or often or state.in_a_row >= self.limits.in_a_row):
            self._eject(state, now, dice)

    def _eject(self, state: EndpointHistory, now: float, dice: Dice) -> None:
        limits = self.limits
        if state.last_back is not None and now - state.last_back > limits.eject_most_s:
            state.ejections = 0  # It has been well for long enough to be a newcomer.
        state.ejections += 1
        span = min(limits.eject_most_s, limits.eject_s * state.ejections)
        state.ejected_at = now
        state.ejected_until = now + span * (1 + limits.jitter * (2 * dice.random() - 1))
        state.in_a_row, state.recent, state.warm_from = 0.0, 0, None

    def _rest(self, slot: Slot, state: EndpointHistory, trouble: Trouble, now: float) -> None:
        usual = self.limits.throttled_s if trouble.kind == "rate_limited" else self.limits.refused_s
        span = usual if trouble.retry_after_s is None else trouble.retry_after_s
        credential = slot.credential if trouble.kind in ENDED_BY_CREDENTIAL else None
        rest = Rest(now, now + min(max(span, 0.0), self.limits.rest_most_s), credential)
        if trouble.kind in ENDED_BY_CREDENTIAL:
            self.refusals += 1
        if trouble.kind in RESTS_ACCOUNT:
            self._resting_accounts[slot.account_id] = rest
        elif state.rest is None or rest.until > state.rest.until:
            state.rest = rest
            self._troubled[slot.endpoint_id] = state

    def _endpoint(self, slot: Slot) -> EndpointHistory:
        state = self._endpoints.get(slot.endpoint_id)
        if state is None:
            state = self._endpoints[slot.endpoint_id] = EndpointHistory(slot.account_id, self.limits.samples)
        return state

    def _account(self, account_id: str) -> AccountHistory:
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = AccountHistory()
        return account
