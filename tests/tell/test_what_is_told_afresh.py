"""What is left alone would read the same if it were told again."""

import random
from collections.abc import Mapping
from dataclasses import replace

from byway_contract.budget import Budget, Line
from byway_contract.grants import Counter, Counters
from byway_contract.periods import window
from byway_contract.report import Report
from byway_contract.stream import Pod
from byway_contract.table import canonical
from byway_operator.compile.verdict import Condition, EndpointFact, KeyFact, Refusal, Verdict
from byway_operator.push.fleet import FleetView, ProxyView, Sent
from byway_operator.push.spend import Spend, heard, silent
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.tell.afresh import Grounds, afresh, at_rest
from byway_operator.tell.books import Bookkeeping
from byway_operator.tell.conditions import Status
from byway_operator.tell.summary import AccountHealth, BudgetHealth, EndpointHealth, Summary
from byway_operator.tell.tell import status_of

NOW = 1_790_000_000.0
KEYS = [
    *(Key("ModelRoute", "team-a", f"r{n}") for n in range(6)),
    *(Key("ProviderKey", "team-a", f"k{n}") for n in range(2)),
    *(Key("AccessKey", "team-a", f"a{n}") for n in range(2)),
]
BUDGETS = [Key("Budget", "team-a", f"b{n}") for n in range(3)]
KEYS += BUDGETS
PODS = [f"proxy-{n}" for n in range(3)]


class Cluster:
    """Something in it changes at each turn."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.verdicts = {key: self._verdict(key, 1) for key in KEYS}
        self.health, self.spend = Summary(), Spend(answered=True, hash="h")
        self.budgets = tuple(Budget(key.namespace, key.name, (Line("Day", "requests", 10),)) for key in BUDGETS)
        self.bookkeeping = Bookkeeping()
        self.bookkeeping.know({"budgets": {budget.id: canonical(budget) for budget in self.budgets}}, (), "h")
        self.table = 0
        self.fleet = FleetView(expected=frozenset(PODS), ring=(self._sent(),))
        self.fleet = replace(self.fleet, proxies=tuple(self._proxy(pod) for pod in PODS))

    def turn(self) -> Grounds:
        for _ in range(self.dice.randint(1, 2)):
            self.dice.choice(
                [
                    *[self._ack] * 3,
                    self._compile,
                    self._report,
                    self._use,
                    self._leave,
                    self._refuse,
                    self._spend,
                    self._hold,
                ]
            )()
        return Grounds(
            self.verdicts, self.fleet, self.health, self.bookkeeping.hear(self.spend, self.health.budgets, NOW)
        )

    def _spend(self) -> None:
        if self.dice.random() < 0.3:
            self.spend = silent(self.spend, "no answer", NOW - self.dice.choice((1, 60)))
            return
        around = window("Day", "UTC", NOW)
        counters = [
            Counter(f"{budget.id}/Day/requests", "", around.start, around.end, 10, spent=self.dice.randrange(12))
            for budget in self.budgets
        ]
        self.spend = heard(Counters(counters, "h"))

    def _hold(self) -> None:
        refused = {"": NOW - self.dice.randrange(120)} if self.dice.random() < 0.5 else {}
        budget = self.dice.choice(self.budgets).id
        self.health = replace(
            self.health, budgets={**self.health.budgets, budget: BudgetHealth(self.dice.randrange(9), {}, refused)}
        )

    def _ack(self) -> None:
        """Of the newest table, or of one between it and the one before."""
        which = self.dice.randrange(len(PODS))
        each = [self._newer(proxy) if number == which else proxy for number, proxy in enumerate(self.fleet.proxies)]
        self.fleet = replace(self.fleet, proxies=tuple(each))

    def _newer(self, proxy: ProxyView) -> ProxyView:
        tables = [sent.hash for sent in self.fleet.ring]
        held = tables.index(proxy.acked) if proxy.acked is not None else 0
        return replace(proxy, acked=self.dice.choice(tables[held:]))

    def _compile(self) -> None:
        key = self.dice.choice(KEYS)
        self.verdicts = {**self.verdicts, key: self._verdict(key, self.verdicts[key].generation + 1)}
        self.table += 1
        self.fleet = replace(self.fleet, ring=(*self.fleet.ring, self._sent()))

    def _report(self) -> None:
        up = self.dice.random() < 0.5
        name = f"team-a/k{self.dice.randrange(2)}"
        endpoints = {
            **self.health.endpoints,
            f"{name}:m": EndpointHealth(up, NOW - 60, "healthy" if up else "ejected"),
        }
        account = AccountHealth(last_ok=NOW - self.dice.randrange(100), requests=self.dice.randrange(3))
        complete = self.dice.random() < 0.9
        accounts = {**self.health.accounts, name: account}
        self.health = replace(self.health, endpoints=endpoints, accounts=accounts, complete=complete)

    def _use(self) -> None:
        """An app comes with its access key."""
        used = {f"team-a/a{self.dice.randrange(2)}/one": NOW - self.dice.randrange(100)}
        self.health = replace(self.health, access_keys={**self.health.access_keys, **used})

    def _leave(self) -> None:
        present = [pod for pod in PODS if self.dice.random() < 0.8]
        self.fleet = replace(self.fleet, proxies=tuple(self._proxy(pod) for pod in present))

    def _refuse(self) -> None:
        key = self.dice.choice(KEYS)
        self.fleet = replace(self.fleet, refusals={key: Refusal(self.verdicts[key].fingerprint, "too odd")})

    def _proxy(self, pod: str) -> ProxyView:
        report = Report(None, True, ledger=self.dice.random() < 0.9)
        return ProxyView(Pod(pod, pod), "1", self.fleet.ring[-1].hash, report)

    def _sent(self) -> Sent:
        forms = {key: verdict.fingerprint for key, verdict in self.verdicts.items()}
        return Sent(f"table-{self.table}", NOW - 5, forms)

    def _verdict(self, key: Key, generation: int) -> Verdict:
        accepted = (
            Condition("True", "Accepted") if self.dice.random() < 0.8 else Condition("False", "Invalid", "no")
        )
        facts = (EndpointFact("one", f"team-a/k{self.dice.randrange(2)}:m"),) if key.kind == "ModelRoute" else ()
        keys = (KeyFact("one", "sha256:1"),) if key.kind == "AccessKey" else ()
        return Verdict(key, generation, accepted, fingerprint=f"{key}-{generation}", endpoints=facts, keys=keys)


def told(grounds: Grounds, key: Key, previous: Status | None) -> Status:
    verdict = grounds.verdicts[key]
    manifest = Manifest(key, {}, verdict.generation)
    return status_of(verdict, manifest, grounds.fleet, grounds.health, previous, NOW, books=grounds.books)


def test_what_is_left_alone_would_read_the_same() -> None:
    left = 0
    for seed in range(150):
        cluster = Cluster(seed)
        before = cluster.turn()
        statuses: Mapping[Key, Status] = {key: told(before, key, None) for key in KEYS}
        for _ in range(12):
            now = cluster.turn()
            keys = afresh(before, now)
            again = {key: told(now, key, statuses[key]) for key in KEYS}
            for key in KEYS:
                if keys is not None and key not in keys and at_rest(statuses[key]):
                    left += 1
                    assert again[key] == statuses[key], (seed, key)
            before, statuses = now, again
    assert left > 1000
