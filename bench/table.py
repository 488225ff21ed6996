"""The figures as a Markdown table: medians, and ratios to nginx of the same run."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import cast

from bench.measure import Machine
from bench.runs import Figures, Lengths

COLUMNS = (
    "target",
    "req/s, 64 conns",
    "CPU µs/request",
    "× nginx",
    "CPU µs/chunk, 200 × 50/s",
    "× nginx",
    "{many}: chunks/s",
    "CPU µs/chunk",
    "× nginx",
    "added delay p50 / p99 ms",
    "added p50 / p99 ms at 200 req/s",
    "MB idle",
    "kB/stream",
    "errors",
)
Results = dict[str, list[Figures]]


def median(repetitions: Sequence[Figures]) -> Figures:
    """Of each figure by itself, where it was measured; errors are summed, not averaged away."""
    figures = Figures()
    for name in (field.name for field in dataclasses.fields(Figures)):
        values = [getattr(repetition, name) for repetition in repetitions]
        match values[0]:
            case list():
                setattr(figures, name, [line for lines in values for line in lines])
            case _ if name in ("idle_kb", "stream_kb"):  # allocators keep what they had: only the first time shows
                setattr(figures, name, min(values) if name == "idle_kb" else max(values))
            case int() if name in ("errors", "many_errors"):
                setattr(figures, name, sum(values))
            case _:
                known = [value for value in cast(list[float], values) if not math.isnan(value)]
                setattr(figures, name, statistics.median(known) if known else math.nan)
    return figures


def medians_of(results: Results) -> dict[str, Figures]:
    return {name: median(repetitions) for name, repetitions in results.items() if repetitions}


def table(results: Results, machine: Machine, lengths: Lengths, many_rate: int, kilobytes: float) -> str:
    medians = medians_of(results)
    nginx, direct = medians.get("nginx", Figures()), medians.get("direct", Figures())
    heads = [column.format(many=f"1,000 × {many_rate}/s") for column in COLUMNS]
    lines = [f"| {' | '.join(heads)} |", f"|---{'|--:' * (len(heads) - 1)}|"]
    lines += [_row(name, figures, nginx, direct) for name, figures in medians.items()]
    spread = (
        f"medians of {lengths.repetitions}, targets interleaved" if lengths.repetitions > 1 else "one repetition"
    )
    notes = [
        f"{machine}. {spread}; {kilobytes:g} kB bodies; target pinned to one core, load and mock to another.",
        "CPU: exact time on a CPU, of the proxying processes; ratios hold between machines, single figures do not.",
    ]
    for name, figures in medians.items():
        if figures.cpu_request_tree > figures.cpu_request * 1.001:
            notes.append(
                f"{name}: with its other processes {figures.cpu_request_tree:.0f} µs/request, "
                f"{figures.cpu_chunk_tree:.1f} µs/chunk."
            )
        notes += [f"{name}: {line}." for line in figures.why[:6]]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def _row(name: str, figures: Figures, nginx: Figures, direct: Figures) -> str:
    cells = _direct(figures) if name == "direct" else _target(figures, nginx, direct)
    row = f"| {' | '.join([name, *cells, f'{figures.errors:,}'])} |"
    return row.replace("+nan", "–").replace("nan", "–")


def _direct(figures: Figures) -> list[str]:
    """The mock asked directly: what the others' latencies are added to."""
    delay = f"{figures.delay_p50:.2f} / {figures.delay_p99:.2f} (not added)"
    rate = f"{figures.rate_p50:.2f} / {figures.rate_p99:.2f} (not added)"
    return ["", "", "", "", "", f"{figures.many_per_second:,.0f}", "", "", delay, rate, "", ""]


def _target(figures: Figures, nginx: Figures, direct: Figures) -> list[str]:
    delay = f"{figures.delay_p50 - direct.delay_p50:+.2f} / {figures.delay_p99 - direct.delay_p99:+.2f}"
    rate = f"{figures.rate_p50 - direct.rate_p50:+.2f} / {figures.rate_p99 - direct.rate_p99:+.2f}"
    return [
        f"{figures.per_second:,.0f}",
        f"{figures.cpu_request:.0f}",
        _ratio(figures.cpu_request, nginx.cpu_request),
        f"{figures.cpu_chunk:.1f}",
        _ratio(figures.cpu_chunk, nginx.cpu_chunk),
        f"{figures.many_per_second:,.0f}",
        f"{figures.many_cpu_chunk:.1f}",
        _ratio(figures.many_cpu_chunk, nginx.many_cpu_chunk),
        delay,
        rate,
        f"{figures.idle_kb / 1000:.0f}",
        f"{figures.stream_kb:.1f}",
    ]


def _ratio(value: float, to: float) -> str:
    """No nginx in this run, no ratio."""
    return f"{value / to:.2f}" if to else "–"
