"""What we promised to hold, and whether a run held it: one line a figure, all in one place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.runs import Figures

# Machines differ and are busy: whoever asks in a script is told by the exit code only of what is far beyond.
FAR = 3.0


@dataclass(frozen=True)
class Verdict:
    """A figure and the most it may be. Not a number: not measured, and `note` says how it would be."""

    figure: str
    value: float
    must: float
    unit: str = ""
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.value <= self.must

    @property
    def measured(self) -> bool:
        return not math.isnan(self.value)

    @property
    def far_beyond(self) -> bool:
        return self.measured and self.value > FAR * self.must


def of_load(medians: Mapping[str, Figures], many_rate: int) -> list[Verdict]:
    """Of load through Byway, beside its peers of the same run."""
    ours = medians.get("byway")
    if ours is None:
        return []
    nginx, envoy = medians.get("nginx"), medians.get("envoy")
    kept_up = f"{ours.many_per_second:,.0f} chunks/s"
    return [
        _ratio("CPU per request", ours.cpu_request, "nginx", nginx.cpu_request if nginx else 0, 4),
        _ratio("CPU per request", ours.cpu_request, "envoy", envoy.cpu_request if envoy else 0, 1.3),
        _ratio("CPU per chunk, 200 streams × 50/s", ours.cpu_chunk, "nginx", nginx.cpu_chunk if nginx else 0, 2),
        Verdict(f"1,000 streams × {many_rate}/s on one core", ours.many_errors, 0, "errors", kept_up),
        Verdict("an open stream", ours.stream_kb, 40, "kB"),
    ]


def _ratio(figure: str, ours: float, peer: str, theirs: float, must: float) -> Verdict:
    if not theirs:
        return Verdict(figure, math.nan, must, f"× {peer}", f"{peer} is not in this run; --targets names it")
    return Verdict(figure, ours / theirs, must, f"× {peer}")


def verdicts_table(verdicts: Sequence[Verdict]) -> str:
    """Markdown."""
    lines = ["| figure | value | must be | holds |", "|---|--:|--:|---|"]
    for each in verdicts:
        value = f"{each.value:,.4g} {each.unit}".strip() if each.measured else "not measured"
        holds = ("yes" if each.holds else "NO") if each.measured else "–"
        noted = f" ({each.note})" if each.note else ""
        lines.append(f"| {each.figure}{noted} | {value} | ≤ {each.must:,g} {each.unit}".rstrip() + f" | {holds} |")
    return "\n".join(lines) + "\n"


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 if a figure is far beyond what it must be."""
    return int(any(each.far_beyond for each in verdicts))
