"""Decide which credentials are to be proven next: nobody should have to use a key to learn that it is wrong.

    new, or another credential or URL --------------> at once
    nothing came of it, or the provider was away ---> again, later each time
    the provider refused it ------------------------> again after ten minutes: a new Secret comes sooner
    the provider takes it --------------------------> again in an hour, unless requests prove it meanwhile

Proxies forget what was proven as soon as a credential or URL changes, so what they report is about the present one;
but for a moment, one that is late reports of the one before. Times are seconds since 1970.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from byway_contract.table import Account, Credential, Sections, decode_object, way
from msgspec import Raw

from byway_operator.tell.summary import AccountHealth

SOON_S, AWAY_MOST_S = 10.0, 300.0
REFUSED_S = 600.0
STALE_S = 3600.0
# A start with thousands of keys is no burst at anybody: so many at once, and so many a second after that.
AT_ONCE, PER_S = 16, 8.0

_REFUSED = frozenset({"unauthorized", "payment_required"})
# A 403 may be for one model alone: whether the key is taken otherwise is worth knowing soon.
_DOUBTFUL = frozenset({"forbidden", "connect", "off_limits", "reset", "timeout"})


@dataclass
class _Known:
    raws: tuple[Raw | None, ...]
    """What is compared first: it rarely differs, and costs nothing."""
    way: tuple[object, ...]
    since: float = 0.0
    """When its credential or URL last changed, as far as we saw."""
    asked_at: float | None = None
    tries: int = 0
    """Since it was last taken."""


class Proofs:
    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._free, self._at = float(AT_ONCE), 0.0
        """How many may be asked about, and when that was so."""

    def know(self, table: Sections, now: float) -> None:
        """The table of now. Only ProviderKeys are proven: a Service has no credential, and no status."""
        names = [name for name in table.get("accounts", {}) if not name.startswith("svc:")]
        for name in self._known.keys() - set(names):
            del self._known[name]
        for name in names:
            self._compare(name, table, now)

    def due(self, health: Mapping[str, AccountHealth], now: float) -> tuple[str, ...]:
        """Whom to ask about now; say `asked` once that is done."""
        free = int(self._left(now))
        if free < 1:
            return ()
        waiting = [
            (at, name) for name, known in self._known.items() if (at := _due_at(known, health.get(name))) <= now
        ]
        return tuple(name for _, name in sorted(waiting)[:free])

    def asked(self, names: Iterable[str], now: float) -> None:
        self._free, self._at = self._left(now), now
        for name in names:
            self._free -= 1
            known = self._known[name]
            known.asked_at = now
            known.tries += 1

    def _left(self, now: float) -> float:
        return min(self._free + max(now - self._at, 0.0) * PER_S, AT_ONCE)

    def _compare(self, name: str, table: Sections, now: float) -> None:
        raws = (
            table["accounts"][name],
            table.get("credentials", {}).get(name),
            table.get("policies", {}).get("egress"),
        )
        known = self._known.get(name)
        if known is not None and known.raws == raws:
            return
        new = _way(name, *raws)
        if known is None:
            self._known[name] = _Known(raws, new)
        elif known.way == new:
            known.raws = raws
        else:
            self._known[name] = _Known(raws, new, since=now)


def _way(name: str, account: Raw, credential: Raw | None, egress: Raw | None) -> tuple[object, ...]:
    decoded = decode_object("accounts", name, account)
    value = decode_object("credentials", name, credential) if credential is not None else None
    assert isinstance(decoded, Account)
    assert value is None or isinstance(value, Credential)
    return (*way(decoded, value), egress)


def _due_at(known: _Known, health: AccountHealth | None) -> float:
    ok = _since(health.last_ok if health else None, known)
    error = health.last_error if health else None
    failed = _since(error.at, known) if error is not None and error.kind in _REFUSED | _DOUBTFUL else None
    if failed is not None and error is not None and failed > (ok or 0.0):
        if error.kind in _REFUSED:
            return max(failed, known.asked_at or 0.0) + REFUSED_S
        return _after_tries(known, AWAY_MOST_S)
    if ok is not None:
        known.tries = 0
        return max(ok, known.asked_at or 0.0) + STALE_S
    return _after_tries(known, STALE_S)


def _since(at: float | None, known: _Known) -> float | None:
    return at if at is not None and at >= known.since else None


def _after_tries(known: _Known, most_s: float) -> float:
    if known.asked_at is None:
        return 0.0
    return known.asked_at + min(SOON_S * 2 ** min(known.tries - 1, 20), most_s) if known.tries else known.asked_at
