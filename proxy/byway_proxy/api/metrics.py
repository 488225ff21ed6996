"""Metrics, collected when somebody scrapes: the hot path only ever adds to plain numbers."""

from collections.abc import Callable, Iterator, Mapping

from byway_contract.money import NANO
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from byway_proxy.carry.tally import BUCKETS, Histogram, Tally
from byway_proxy.meter.meter import Meter


class Vitals:
    """What the app knows of itself, asked for at a scrape."""

    def __init__(
        self,
        *,
        table_hash: Callable[[], str | None],
        table_seq: Callable[[], int],
        table_age_s: Callable[[], float],
        connected: Callable[[], bool],
        inflight: Callable[[], int],
        draining: Callable[[], Mapping[str, int]],
        lag_s: Callable[[], float],
        unshipped: Callable[[], int],
        verifications: Callable[[], Mapping[str, int]],
        rates_refused: Callable[[], Mapping[str, int]],
        valkey: Callable[[], bool | None],
    ) -> None:
        self.table_hash, self.table_seq, self.table_age_s = table_hash, table_seq, table_age_s
        self.connected, self.inflight, self.lag_s, self.unshipped = connected, inflight, lag_s, unshipped
        self.verifications, self.draining = verifications, draining
        self.rates_refused, self.valkey = rates_refused, valkey


class Collector:
    def __init__(self, tally: Tally, meter: Meter, vitals: Vitals) -> None:
        self._tally, self._meter, self._vitals = tally, meter, vitals

    def registry(self) -> CollectorRegistry:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._money()
        yield from self._process()

    def _requests(self) -> Iterator[Metric]:
        tally = self._tally
        requests = CounterMetricFamily(
            "byway_requests", "Requests by API and what became of them", labels=["api", "outcome"]
        )
        for labels, count in tally.requests.items():
            requests.add_metric(labels, count)
        yield requests
        attempts = CounterMetricFamily(
            "byway_attempts", "Tries at an endpoint, by how they ended", labels=["provider", "outcome", "reason"]
        )
        for three, count in tally.attempts.items():
            attempts.add_metric(three, count)
        yield attempts
        tokens = CounterMetricFamily("byway_tokens", "Tokens, as settled", labels=["provider", "direction"])
        for labels, count in tally.tokens.items():
            tokens.add_metric(labels, count)
        yield tokens
        yield CounterMetricFamily(
            "byway_failovers", "Requests answered by a later candidate", value=tally.failovers
        )
        verifications = CounterMetricFamily(
            "byway_token_verifications", "Callers' tokens that were not known already", labels=["outcome"]
        )
        for outcome, count in self._vitals.verifications().items():
            verifications.add_metric([outcome], count)
        yield verifications
        departed = CounterMetricFamily(
            "byway_departed", "Attempts whose client left and whose provider bills to the end", labels=["outcome"]
        )
        for outcome, count in self._vitals.draining().items():
            departed.add_metric([outcome], count)
        yield departed
        refused = CounterMetricFamily(
            "byway_over_rate",
            "Attempts that a limit of a minute had no room for, by whose it is",
            labels=["limit_of"],
        )
        for whose, count in self._vitals.rates_refused().items():
            refused.add_metric([whose], count)
        yield refused
        yield GaugeMetricFamily("byway_inflight_streams", "Streams open to clients", value=tally.streams)
        yield _histogram("byway_request_duration_seconds", "Answered requests, to their last byte", tally.durations)
        yield _histogram("byway_first_token_seconds", "Streams, from sending to first content", tally.first_tokens)

    def _money(self) -> Iterator[Metric]:
        meter = self._meter
        cost = CounterMetricFamily("byway_cost_usd", "US dollars, by who pays", labels=["payer"])
        cost.add_metric(["caller"], meter.billed / NANO)
        cost.add_metric(["absorbed"], meter.absorbed / NANO)
        yield cost
        yield GaugeMetricFamily("byway_attempts_open", "Attempts begun and not settled", value=len(meter.open))
        yield GaugeMetricFamily(
            "byway_records_unshipped", "Records of the log that are not booked", value=self._vitals.unshipped()
        )

    def _process(self) -> Iterator[Metric]:
        vitals = self._vitals
        info = GaugeMetricFamily("byway_table_info", "The live table", labels=["hash"])
        info.add_metric([vitals.table_hash() or ""], 1)
        yield info
        yield GaugeMetricFamily("byway_table_seq", "Number of the live table", value=vitals.table_seq())
        yield GaugeMetricFamily("byway_table_age_seconds", "Since it went live", value=vitals.table_age_s())
        yield GaugeMetricFamily(
            "byway_control_connected", "1 while the operator is reached", value=float(vitals.connected())
        )
        valkey = vitals.valkey()
        if valkey is not None:
            yield GaugeMetricFamily(
                "byway_valkey_connected", "1 while limits of a minute are counted together", value=float(valkey)
            )
        yield GaugeMetricFamily("byway_inflight_requests", "Requests being answered", value=vitals.inflight())
        yield GaugeMetricFamily("byway_loop_lag_seconds", "How late the loop runs", value=vitals.lag_s())


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    total, buckets = 0, []
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    family = HistogramMetricFamily(name, text)
    family.add_metric([], buckets, histogram.total)
    return family
