"""The figures of a run, or of many added up, as a table."""

from collections import Counter
from dataclasses import dataclass, field

from builders.chaos import compare, money
from builders.chaos.story import Story

NANO = 10**9


@dataclass
class Part:
    """Of all attempts that somebody is billed for, those whose usage is known in one way."""

    rows: int = 0
    billed: int = 0
    served: int = 0
    """What the provider would bill."""


@dataclass
class Figures:
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    rows: int = 0
    lost: int = 0
    twice: int = 0
    exact: int = 0
    mismatched: int = 0
    parts: dict[str, Part] = field(default_factory=dict)
    overspent: int = 0
    looks: int = 0
    refused: int = 0
    early: int = 0
    phantoms: int = 0
    """Told that the ledger does not answer, and nothing had happened to it."""
    extra: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, story: Story) -> None:
        self.seconds += story.seconds
        for death in story.killed:
            (self.kills if death.act == "kill" else self.stops)[death.name.partition("-")[0]] += 1
        self.clients.update(seen.how for seen in story.seen)
        self.attempts += sum(map(len, story.served.values()))
        self.rows += len(story.rows)
        self.looks += len(story.looks)
        self.overspent += money.overspent(story)
        told = money.short(story)
        self.refused, self.early = self.refused + told["refused"], self.early + told["early"]
        self.phantoms += sum(map(money.phantom(story), story.seen))
        self.extra += sum(one["extra"] for one in story.counters if one["limit_id"].startswith(money.PLATFORM))
        self._join(story)
        self.differences += compare.compare(story) + money.differences(story)

    def _join(self, story: Story) -> None:
        """Row by row with what was served to the same mark by the same account."""
        served = {(one["body"]["mark"], name): one for name, all_of in story.served.items() for one in all_of}
        booked = Counter((row["user"], row["account"]) for row in story.rows)
        self.lost += sum(key not in booked for key in served)
        self.twice += sum(count - 1 for count in booked.values())
        for row in story.rows:
            one = served.get((row["user"], row["account"]))
            if row["outcome"] == "failed":
                continue
            part = self.parts.setdefault(_kind(row["outcome"], row["usage_from"]), Part())
            part.rows += 1
            part.billed += row["billed"]
            part.served += money.bill(one) if one is not None else 0
            if row["usage_from"] == "provider":
                self.exact += 1
                self.mismatched += one is None or row["billed"] != money.bill(one)

    @property
    def error(self) -> float:
        """Of all that providers would bill, but for crashes."""
        parts = [part for kind, part in self.parts.items() if kind != "crashed"]
        served = sum(part.served for part in parts)
        return (sum(part.billed for part in parts) - served) / served if served else 0.0

    def table(self) -> str:
        hows = ", ".join(f"{count:,} {how}" for how, count in sorted(self.clients.items()))
        total = sum(self.clients.values())
        pace = f"{total / self.seconds:.0f} a second"
        lines = [
            f"load             {total:,} requests in {self.seconds:,.0f} s: {pace} ({hows})",
            f"SIGKILL          {self.kills.total():,} ({_counted(self.kills)})",
            f"SIGSTOP, SIGCONT {self.stops.total():,} ({_counted(self.stops)})",
            f"attempts         {self.attempts:,} served, {self.rows:,} rows: {self.lost} lost, {self.twice} double",
            f"exact rows       {self.exact:,} with the provider's usage: {self.mismatched} mismatched",
            f"overspend        ${self.overspent / NANO:.9f} beyond any limit; {self.looks:,} looks at counters",
            f"refused          {self.refused:,}, of these {self.early} with more than 2 % left",
            f"unavailable      {self.clients['unavailable']:,}, of these {self.phantoms} while the ledger was well",
            f"charged on top   ${self.extra / NANO:.6f} for crashes: what they held",
            f"total error      {self.error:+.3%} of what the providers bill, but for crashes; in its parts:",
            *(f"    {kind:<13}{_part(part)}" for kind, part in sorted(self.parts.items())),
        ]
        return "\n".join(lines)


def _kind(outcome: str, usage_from: str) -> str:
    if outcome == "crash":
        return "crashed"
    if usage_from == "provider":
        return "exact"
    return {"client_cancel": "left", "upstream_cut": "cut"}.get(outcome, "not told")


def _part(part: Part) -> str:
    off = f"{(part.billed - part.served) / part.served:+.2%}" if part.served else "-"
    return f"{part.rows:>7,} rows, ${part.billed / NANO:.6f} billed, ${part.served / NANO:.6f} served: {off}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
