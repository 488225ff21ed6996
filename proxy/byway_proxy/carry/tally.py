"""What carrying counts, in plain numbers; `api.metrics` reads them when it is scraped.

Labels are bounded: providers and models of the table, and closed lists of words. Never a caller's or a key's name.
"""

from bisect import bisect_left
from collections import Counter

# Upper bounds in seconds, the OpenTelemetry convention's for model calls.
BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


class Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Tally:
    __slots__ = ("attempts", "durations", "failovers", "first_tokens", "requests", "streams", "tokens")

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        """By (api, outcome): `ok`, `client_cancel`, `upstream_cut`, or the status of the error it was told."""
        self.attempts: Counter[tuple[str, str, str]] = Counter()
        """By (provider, outcome, reason)."""
        self.tokens: Counter[tuple[str, str]] = Counter()
        """By (provider, direction)."""
        self.failovers = 0
        """Requests that a later candidate answered."""
        self.streams = 0
        """Open now."""
        self.durations = Histogram()
        self.first_tokens = Histogram()
