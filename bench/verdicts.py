"""What we promised to hold, and whether a run held it: one line a figure, all in one place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
