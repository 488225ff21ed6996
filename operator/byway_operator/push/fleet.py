"""What the operator knows of its proxies, frozen at one moment. `tell` makes statuses of it.

It stays O(proxies + objects): a proxy is known by the hash of the table that is live in it, and a ring remembers
for the last tables which form of each object they held.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from byway_contract.report import Report
from byway_contract.stream import Nack, Pod

from byway_operator.compile.verdict import Refusal
from byway_operator.resources.manifest import Key

# Enough for a proxy that missed a minute of the busiest afternoon; a proxy further behind counts as having nothing.
RING = 64

Expected = int | frozenset[str] | None
"""How many proxies there ought to be, or which pods: those that are ready by the cluster's word. None: nobody
knows, and those that are connected count."""


@dataclass(frozen=True)
class ProxyView:
    pod: Pod
    build: str
    acked: str | None = None
    """Hash of the table that is live in it, by its own word."""
    report: Report | None = None
    nack: Nack | None = None
    """Its answer to the newest table it was sent, if that was a refusal."""

    @property
    def counts(self) -> bool:
        """A proxy that says it is not ready takes no requests, so what it holds is nobody's concern."""
        return self.report is None or self.report.ready


@dataclass(frozen=True)
class Sent:
    """A published table as the ring remembers it."""

    hash: str
    at: float
    """Seconds since 1970."""
    fingerprints: Mapping[Key, str]


@dataclass(frozen=True)
class FleetView:
    proxies: tuple[ProxyView, ...] = ()
    expected: Expected = None
    awaited: frozenset[str] = frozenset()
    """Pods of `expected` that may still be dialling, or have not answered yet: they serve on with what they had."""
    ring: tuple[Sent, ...] = ()
    """Oldest first."""
    refusals: Mapping[Key, Refusal] = field(default_factory=dict)
    stuck: str = ""
    """Why nobody is given the newest table: a proxy refused it and named no object that we know."""

    @property
    def counted(self) -> int:
        """A pod that ought to hold the table and has no stream counts; a stream from any other pod does not."""
        if isinstance(self.expected, frozenset):
            return len(self.expected)
        connected = sum(self._by_hash.values())
        return connected if self.expected is None else max(self.expected, connected)

    def counts(self, proxy: ProxyView) -> bool:
        """Whether it is one of those that ought to hold the table."""
        return proxy.pod.name in self.expected if isinstance(self.expected, frozenset) else proxy.counts

    @property
    def absent(self) -> frozenset[str]:
        """Pods that ought to hold the table and have no stream, where their names are known."""
        if not isinstance(self.expected, frozenset):
            return frozenset()
        return self.expected - {proxy.pod.name for proxy in self.proxies}

    def holding(self, key: Key, fingerprint: str) -> int:
        """How many counted proxies serve this form of this object."""
        return self._with_form(self._by_hash, key, fingerprint)

    def given_time(self, key: Key, fingerprint: str) -> int:
        """How many proxies are not known to serve it only because they have had no time to say so."""
        return len(self.awaited) - self._with_form(self._awaited_by_hash, key, fingerprint)

    def since(self, key: Key, fingerprint: str) -> float | None:
        """When this form was first published, as far as the ring goes back. None: it was not."""
        first: float | None = None
        for sent in reversed(self.ring):
            if sent.fingerprints.get(key) != fingerprint:
                break
            first = sent.at
        return first

    def _with_form(self, by_hash: Mapping[str | None, int], key: Key, fingerprint: str) -> int:
        return sum(
            proxies
            for digest, proxies in by_hash.items()
            if digest in self._forms and self._forms[digest].get(key) == fingerprint
        )

    @cached_property
    def _by_hash(self) -> Mapping[str | None, int]:
        return Counter(proxy.acked for proxy in self._each if self.counts(proxy))

    @cached_property
    def _awaited_by_hash(self) -> Mapping[str | None, int]:
        live = {proxy.pod.name: proxy.acked for proxy in self.proxies}
        return Counter(live.get(name) for name in self.awaited)

    @property
    def _each(self) -> Iterable[ProxyView]:
        """One for each pod: whoever dials again while its old stream is not over yet has two for a moment."""
        if not isinstance(self.expected, frozenset):
            return self.proxies
        return {proxy.pod.name: proxy for proxy in self.proxies}.values()

    @cached_property
    def _forms(self) -> Mapping[str | None, Mapping[Key, str]]:
        return {sent.hash: sent.fingerprints for sent in self.ring}


class Ring:
    """The last tables published, each once, the newest last."""

    def __init__(self, most: int = RING) -> None:
        self._most = most
        self._sent: OrderedDict[str, Sent] = OrderedDict()

    def remember(self, sent: Sent) -> None:
        self._sent.pop(sent.hash, None)
        self._sent[sent.hash] = sent
        while len(self._sent) > self._most:
            self._sent.popitem(last=False)

    def amend(self, digest: str, fingerprints: Mapping[Key, str]) -> None:
        """The same table, compiled again: other resources may now be what it is made of."""
        self._sent[digest] = Sent(digest, self._sent[digest].at, fingerprints)

    def all(self) -> tuple[Sent, ...]:
        return tuple(self._sent.values())
