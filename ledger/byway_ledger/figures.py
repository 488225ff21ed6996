"""What the ledger counts, in plain slots, and how Prometheus reads them."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Figures:
    """Since the process started."""

    __slots__ = (
        "asks",
        "batches",
        "failed",
        "fenced",
        "flagged",
        "foreign",
        "gaps",
        "keys",
        "last_booked",
        "records",
        "repeated",
        "seconds",
        "turned_away",
    )

    def __init__(self) -> None:
        self.batches = self.records = self.repeated = self.flagged = self.gaps = self.fenced = self.failed = 0
        self.foreign = self.turned_away = self.asks = 0
        self.keys = 0
        """Signing keys that tokens are verified with; none where the unix socket's mode is the door."""
        self.seconds = 0.0
        """Spent booking, waiting for the disk included."""
        self.last_booked = 0.0
        """Seconds since 1970."""


class Scraped(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        f = self._figures
        yield CounterMetricFamily("byway_ledger_batches", "Batches booked.", f.batches)
        yield CounterMetricFamily("byway_ledger_records", "Records booked.", f.records)
        yield CounterMetricFamily("byway_ledger_repeated_records", "Records that were booked already.", f.repeated)
        yield CounterMetricFamily("byway_ledger_flagged_attempts", "Attempts whose cost is in doubt.", f.flagged)
        yield CounterMetricFamily("byway_ledger_gaps", "Batches refused because records before them miss.", f.gaps)
        yield CounterMetricFamily("byway_ledger_fenced", "Batches refused from a log that was replaced.", f.fenced)
        yield CounterMetricFamily(
            "byway_ledger_foreign", "Batches refused from a pod whose log it is not.", f.foreign
        )
        yield CounterMetricFamily("byway_ledger_turned_away", "Requests without the right proof.", f.turned_away)
        yield GaugeMetricFamily("byway_ledger_signing_keys", "Keys that tokens are verified with.", f.keys)
        yield CounterMetricFamily("byway_ledger_asks", "Asks for grants answered.", f.asks)
        yield CounterMetricFamily("byway_ledger_failures", "Transactions that could not be written.", f.failed)
        yield CounterMetricFamily("byway_ledger_booking_seconds", "Time spent booking.", f.seconds)
        yield GaugeMetricFamily("byway_ledger_last_booked_seconds", "When booked last.", f.last_booked)
