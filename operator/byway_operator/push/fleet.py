"""What the operator knows of its proxies, frozen at one moment. `tell` makes statuses of it.

It stays O(proxies + objects): a proxy is known by the hash of the table that is live in it, and a ring remembers
for the last tables which form of each object they held.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from byway_contract.report import Report
from byway_contract.stream import Nack, Pod

from byway_operator.compile.verdict import Refusal
from byway_operator.resources.manifest import Key

# Enough for a proxy that missed a minute of the busiest afternoon; a proxy further behind counts as having nothing.
RING = 64


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
    expected: int | None = None
    """How many proxies there ought to be, where something knows: one without a stream counts as missing."""
    ring: tuple[Sent, ...] = ()
    """Oldest first."""
    refusals: Mapping[Key, Refusal] = field(default_factory=dict)
    stuck: str = ""
    """Why nobody is given the newest table: a proxy refused it and named no object that we know."""

    @property
    def counted(self) -> int:
        connected = sum(self._by_hash.values())
        return connected if self.expected is None else max(self.expected, connected)

    def holding(self, key: Key, fingerprint: str) -> int:
        """How many counted proxies serve this form of this object."""
        return sum(
            proxies
            for digest, proxies in self._by_hash.items()
            if digest in self._forms and self._forms[digest].get(key) == fingerprint
        )

    def since(self, key: Key, fingerprint: str) -> float | None:
        """When this form was first published, as far as the ring goes back. None: it was not."""
        first: float | None = None
        for sent in reversed(self.ring):
            if sent.fingerprints.get(key) != fingerprint:
                break
            first = sent.at
        return first

    @cached_property
    def _by_hash(self) -> Mapping[str | None, int]:
        return Counter(proxy.acked for proxy in self.proxies if proxy.counts)

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
