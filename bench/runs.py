"""The runs: each puts one kind of load through one target and says what that cost."""

import http.client
import math
import time
from dataclasses import dataclass, field
from typing import Any

from bench import measure
from bench.native import Load
from bench.targets.target import Running


@dataclass(frozen=True)
class Lengths:
    """How long each run takes, in seconds, and how often all of them are repeated."""

    closed: float = 3.0
    paced: float = 4.0
    many: float = 4.0
    rate: float = 3.0
    ramp: float = 1.0
    """Over which streams begin."""
    repetitions: int = 3


QUICK = Lengths(closed=1.0, paced=1.5, many=2.0, rate=0.5, ramp=0.5, repetitions=1)
LONG = Lengths(closed=8.0, paced=8.0, many=10.0, rate=8.0)


@dataclass
class Figures:
    """One repetition of one target. Latencies in ms, CPU in µs, memory in kB."""

    per_second: float = 0.0
    cpu_request: float = 0.0
    cpu_request_tree: float = 0.0
    cpu_chunk: float = 0.0
    cpu_chunk_tree: float = 0.0
    many_per_second: float = 0.0
    many_cpu_chunk: float = 0.0
    delay_p50: float = 0.0
    delay_p99: float = 0.0
    rate_p50: float = 0.0
    rate_p99: float = 0.0
    idle_kb: float = 0.0
    stream_kb: float = 0.0
    errors: int = 0
    many_errors: int = 0
    """Of the 1,000 streams; `errors` has them too."""
    why: list[str] = field(default_factory=list)
    """A sentence for each run that had errors."""


@dataclass(frozen=True)
class Cost:
    """CPU that a run took, µs for each of its units."""

    proxy: float
    tree: float


class Meter:
    """CPU of a target from here on."""

    def __init__(self, target: Running | None) -> None:
        self._proxies, self._all = (target.proxies(), target.all()) if target else ([], [])
        self._before = measure.cpu_ns(self._proxies), measure.cpu_ns(self._all)

    def cost(self, units: int) -> Cost:
        after = measure.cpu_ns(self._proxies), measure.cpu_ns(self._all)
        if not units:
            return Cost(math.nan, math.nan)
        proxy, tree = ((now - then) / 1000 / units for now, then in zip(after, self._before, strict=True))
        return Cost(proxy, tree)


@dataclass(frozen=True)
class Lane:
    """What load goes through: a target, or, where that is None, nothing: the mock itself is asked."""

    load: Load
    target: Running | None
    port: int
    mock_port: int

    def memory_kb(self) -> float:
        return measure.memory_kb(self.target.proxies()) if self.target else 0


def repetition(lane: Lane, lengths: Lengths, many_rate: int) -> Figures:
    """All runs once; of the mock alone only those that ask how long things take."""
    figures = Figures(idle_kb=lane.memory_kb())
    if lane.target:
        closed(figures, lane, lengths.closed)
        paced(figures, lane, lengths)
    many(figures, lane, lengths, many_rate)
    at_rate(figures, lane, lengths.rate)
    return figures


def closed(figures: Figures, lane: Lane, seconds: float) -> None:
    """64 connections, each asking again when it is answered."""
    lane.load.closed(lane.port, 64, 0.3)  # connections to the provider are made, code is warm
    meter = Meter(lane.target)
    came = lane.load.closed(lane.port, 64, seconds)
    cost = meter.cost(came["requests"])
    figures.per_second, figures.cpu_request, figures.cpu_request_tree = came["per_second"], cost.proxy, cost.tree
    _errors(figures, "64 connections", came)


def paced(figures: Figures, lane: Lane, lengths: Lengths) -> None:
    """200 streams of 50 chunks a second."""
    came, cost, _ = _streams(lane, 200, 50, lengths.paced, lengths.ramp)
    figures.cpu_chunk, figures.cpu_chunk_tree = cost.proxy, cost.tree
    _errors(figures, "200 streams", came)


def many(figures: Figures, lane: Lane, lengths: Lengths, rate: int) -> None:
    """1,000 streams at once."""
    came, cost, kb = _streams(lane, 1000, rate, lengths.many, lengths.ramp)
    # The last stream begins a ramp after the first, so on time this is 1,000 × the rate; less: it fell behind.
    figures.many_per_second = came["chunks"] / max(0.1, came["seconds"] - lengths.ramp)
    figures.many_cpu_chunk, figures.stream_kb = cost.proxy, kb
    figures.delay_p50, figures.delay_p99 = _percentiles(came["delay_ms"])
    figures.many_errors = came["errors"]
    _errors(figures, "1,000 streams", came)


def at_rate(figures: Figures, lane: Lane, seconds: float) -> None:
    """200 requests a second, far from saturation: what the detour adds."""
    came = lane.load.rate(lane.port, 200, seconds)
    figures.rate_p50, figures.rate_p99 = _percentiles(came["latency_ms"])
    _errors(figures, "200 requests a second", came)


def _streams(
    lane: Lane, streams: int, rate: int, seconds: float, ramp_s: float
) -> tuple[dict[str, Any], Cost, float]:
    """What came, what it cost, and the kB that each open stream held."""
    set_mock(lane.mock_port, int(rate * seconds), rate)
    before_kb = lane.memory_kb()
    meter, at_most_s = Meter(lane.target), seconds + ramp_s + 20
    run = lane.load.streams(lane.port, streams, ramp_s, at_most_s)
    time.sleep(ramp_s + (seconds - ramp_s) / 2)  # all have begun, none has ended
    held_kb = lane.memory_kb() - before_kb
    came = lane.load.ended(run, at_most_s)
    return came, meter.cost(came["chunks"]), held_kb / streams


def _percentiles(series: dict[str, float]) -> tuple[float, float]:
    """The median and the 99th; not numbers when nothing came."""
    return series.get("p50", math.nan), series.get("p99", math.nan)


def set_mock(mock_port: int, chunks: int, rate: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", mock_port, timeout=5)
    connection.request("GET", f"/set/{chunks}/{rate}")
    connection.getresponse().read()
    connection.close()


def _errors(figures: Figures, run: str, came: dict[str, Any]) -> None:
    figures.errors += came["errors"]
    if came["errors"]:
        figures.why.append(f"{run}: {came['errors']} errors of {came['asked']}, the first: {came['why']}")
