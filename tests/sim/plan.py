"""What a seed means: how many proxies, which limits, what callers want, and what goes wrong how often."""

import random
from dataclasses import dataclass

from byway_contract.grants import Limit, Match
from byway_contract.money import Price, Usage
from byway_contract.periods import Period
from byway_contract.records import Intent
from byway_proxy.meter.ids import attempt_id, generation_id
from sim.truth import Run, price_of
from sim.virtual_net import Weather

MIDNIGHT = 1_795_651_200.0
"""2026-11-26, UTC."""
KEYS = (("team-a", "k-0"), ("team-a", "k-1"), ("team-b", "k-2"))
MODELS = ("acme/small", "acme/large")
TOKENS = 400
"""What an attempt weighs at most, roughly, in its hold."""


@dataclass(frozen=True)
class Plan:
    proxies: int
    seconds: float
    requests_per_s: float
    limits: tuple[Limit, ...]
    starts: float
    """By the true clock, seconds since 1970."""
    weather: Weather
    overruns: float = 0.0
    """What part of attempts costs more than was held."""
    failures: float = 0.1
    kills_per_s: float = 0.1
    lost_nodes_per_s: float = 0.02
    rolls_per_s: float = 0.05
    power_cuts_per_s: float = 0.0
    stops_per_s: float = 0.05
    partitions_per_s: float = 0.07
    ledger_deaths_per_s: float = 0.1
    clock_steps_per_s: float = 0.0
    changes_per_s: float = 0.0
    segment_bytes: int = 16 * 1024
    sync_every_s: float = 0.25
    answer_within_s: float = 2.0
    grant_wait_s: float = 2.0


def plan(dice: random.Random, seconds: float = 40.0) -> Plan:
    """Edges of windows and changes of limits do not come together: which of two windows an attempt that drew from
    no grant is counted in is then a matter of clocks, and the truth would have to know the answer to ask for it."""
    edges, changes = dice.random() < 0.4, dice.random() < 0.4
    rate = dice.uniform(8.0, 25.0)
    return Plan(
        proxies=dice.randint(2, 6),
        seconds=seconds,
        requests_per_s=rate,
        limits=_limits(dice, rate * seconds),
        starts=MIDNIGHT - (dice.uniform(0.2, 0.8) * seconds if edges else 43_200.0),
        weather=Weather(dice.choice((0.0, 0.05)), dice.choice((0.0, 0.05)), dice.choice((0.0, 0.1, 0.4))),
        kills_per_s=dice.choice((0.05, 0.1, 0.4)),
        lost_nodes_per_s=dice.choice((0.0, 0.02, 0.1)),
        power_cuts_per_s=dice.choice((0.0, 0.0, 0.05)),
        overruns=0.2 if dice.random() < 0.2 else 0.0,
        clock_steps_per_s=0.1 if dice.random() < 0.3 else 0.0,
        changes_per_s=0.1 if changes and not edges else 0.0,
        sync_every_s=dice.choice((0.1, 0.25, 0.5)),
    )


def _limits(dice: random.Random, requests: float) -> tuple[Limit, ...]:
    """Two to four, some of them too small for all that callers want."""
    tokens = requests * TOKENS / 2
    periods: tuple[Period, ...] = ("Day", "Month", "Lifetime")
    share = lambda: dice.choice((0.2, 0.5, 1.0, 2.0))  # noqa: E731 - one die, thrown four times
    every = [
        Limit("team-a/keys", dice.choice(periods), "nanodollars", int(tokens * 2 / 3 * share()), per="AccessKey",
              match=Match(namespaces=("team-a",))),
        Limit("platform/teams", dice.choice(periods), "nanodollars", int(tokens * share()), per="Namespace"),
        Limit("platform/large", dice.choice(periods), "tokens", int(tokens / 2 * share()),
              match=Match(models=("acme/large",))),
        Limit("platform/requests", "Day", "requests", int(requests * share())),
    ]  # fmt: skip
    return tuple(dice.sample(every, dice.randint(2, 4)))


class Request:
    """What one caller wants, with the runs that providers will make of it."""

    def __init__(self, dice: random.Random, plan: Plan) -> None:
        self.namespace, self.access_key = dice.choice(KEYS)
        self.model = dice.choice(MODELS)
        self.price = Price(*(dice.choice((1_000_000, 3_000_000)),) * 2)
        self.prompt, self.most = dice.randint(10, TOKENS // 2), dice.randint(1, TOKENS // 2)
        self._bytes = dice.getrandbits(400).to_bytes(50, "big")
        self._runs = [self._run(dice, plan) for _ in range(2)]

    def _run(self, dice: random.Random, plan: Plan) -> Run:
        most = self.most * 3 if dice.random() < plan.overruns else self.most
        return Run(
            prompt=dice.randint(1, self.prompt),
            completion=dice.randint(1, most),
            answers=dice.random() >= plan.failures,
            told=dice.choices(("all", "left", "nothing"), (0.75, 0.15, 0.1))[0],
            seconds=min(dice.lognormvariate(-0.5, 1.2), 20.0),
        )

    def attempts(self, wall: float) -> list[Intent]:
        now = max(0, int(wall))
        request = generation_id(now, self._bytes[:20])
        return [
            Intent(
                attempt=attempt_id(int(wall * 1000), self._bytes[20 + 10 * number : 30 + 10 * number]),
                request=request,
                at=wall,
                namespace=self.namespace,
                route="team-a/r",
                endpoint="team-a/e",
                account="team-a/a",
                provider="acme",
                model=self.model,
                price=self.price,
                attempt_no=number + 1,
                access_key=self.access_key,
            )
            for number in range(2)
        ]

    def run(self, number: int) -> Run:
        return self._runs[number - 1]

    def usage(self, run: Run) -> Usage:
        """As the proxy knows it: what the provider says, else what it counted itself and a little more."""
        if run.told == "all" or not run.answers:
            return Usage(run.prompt, run.completion)
        return Usage(self.prompt, max(run.completion, min(self.most, run.completion + 16)))

    def worst(self, limit: Limit, intent: Intent) -> int:
        """What it must hold of a limit that binds it."""
        if limit.unit == "requests":
            return int(intent.attempt_no == 1)
        tokens = self.prompt + self.most
        return tokens if limit.unit == "tokens" else tokens * price_of(intent)
