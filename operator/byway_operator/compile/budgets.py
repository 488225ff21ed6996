"""A Budget becomes what proxies are told of it, and the limits that the ledger counts. Whom it binds: `bound`."""

import difflib
import hashlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from zoneinfo import available_timezones

import msgspec
from byway_contract.budget import Budget as Known
from byway_contract.budget import Downgrade, Line
from byway_contract.grants import MOST_LIMITS, Limit, Match, Per, TopUp, Unit
from byway_contract.money import nanodollars
from msgspec.structs import replace

from byway_operator.compile.bound import NAMESPACES, counted, homes_of, match_of, resolved
from byway_operator.compile.faults import NotAccepted
from byway_operator.compile.fees import MOST_FEE_LIMITS
from byway_operator.compile.sharing import Neighbours
from byway_operator.compile.verdict import RESOLVED, Condition
from byway_operator.resources.budget import AppliesTo, Budget, BudgetSpec
from byway_operator.resources.budget import Limit as SaidLimit
from byway_operator.resources.budget import TopUp as SaidTopUp
from byway_operator.resources.manifest import Key

# What the ledger is brought is one message, and one budget too many would keep all the others from it.
MOST_BYTES = 16 * 2**20
MOST_LIMITS_OF_A_TENANT, MOST_BYTES_OF_A_TENANT = 1000, 2**20
LONGEST_ID = 256 - len("/Lifetime/nanodollars")
"""Of `namespace/name`: the ledger's ids end there."""
FOR_EVER = 253_402_300_800.0
"""The year 10000: when a top-up without an end ends."""

_PERIODS = ("Minute", "Day", "Week", "Month", "Lifetime")
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True)
class DraftBudget:
    key: Key
    known: Known | None
    """None: it binds nobody just now."""
    limits: tuple[Limit, ...] = ()
    resolved: Condition = RESOLVED


@dataclass
class Room:
    """What the ledger can be brought at once; budgets come the platform's first, then oldest first."""

    limits: int = 0
    bytes: int = 0
    _of: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, draft: DraftBudget, trusted: bool) -> None:
        """Raises NotAccepted."""
        limits, size = len(draft.limits), sum(len(_encode(limit)) for limit in draft.limits)
        ours, ours_bytes = self._of.get(draft.key.namespace, (0, 0))
        if not trusted and (ours + limits > MOST_LIMITS_OF_A_TENANT or ours_bytes + size > MOST_BYTES_OF_A_TENANT):
            raise _no_room(f'of namespace "{draft.key.namespace}"', MOST_LIMITS_OF_A_TENANT, MOST_BYTES_OF_A_TENANT)
        if self.limits + limits > MOST_LIMITS - MOST_FEE_LIMITS or self.bytes + size > MOST_BYTES:
            raise _no_room("of all namespaces", MOST_LIMITS, MOST_BYTES)
        self.limits, self.bytes = self.limits + limits, self.bytes + size
        self._of[draft.key.namespace] = (ours + limits, ours_bytes + size)


def draft_budget(
    key: Key, resource: Budget, there: Container[Key], neighbours: Neighbours, trusted: bool
) -> DraftBudget:
    """`there` is what else exists. Raises NotAccepted."""
    spec = resource.spec
    _check(key, spec)
    said = spec.applies_to or AppliesTo()
    homes = homes_of(key, said, neighbours, trusted)
    match = match_of(key.namespace, said, homes)
    lines = tuple(_lines(spec, key, match))
    known = Known(
        namespace=key.namespace,
        name=key.name,
        lines=tuple(map(_told, lines)),
        match=match,
        per=spec.per,
        metered=spec.admission == "Metered",
        observe=spec.enforcement == "Observe",
        downgrade=_downgrade(spec),
        dearest=trusted,
    )
    if not homes:
        nobody = f"{NAMESPACES}.selector: chooses no namespace just now; until it does, the budget binds nobody"
        return DraftBudget(key, None, resolved=Condition("True", "ResolvedRefs", nobody, f"{NAMESPACES}.selector"))
    limits = tuple(_limit(known, line, spec.time_zone or "UTC") for line in lines if line.period != "Minute")
    return DraftBudget(key, known, limits, resolved(key, said, homes, there) or _idle(known, spec, key, there))


def in_order(drafts: Iterable[DraftBudget], of_fees: Iterable[Limit] = ()) -> tuple[Limit, ...]:
    limits = [*of_fees, *(limit for draft in drafts for limit in draft.limits)]
    return tuple(sorted(limits, key=lambda limit: limit.id))


def hash_of(limits: tuple[Limit, ...]) -> str:
    return hashlib.sha256(_encode(limits)).hexdigest()


def _check(key: Key, spec: BudgetSpec) -> None:
    """Raises NotAccepted."""
    length = len(f"{key.namespace}/{key.name}")
    if length > LONGEST_ID:
        raise NotAccepted(
            "Invalid",
            "metadata.name",
            f"metadata.name: with its namespace it is {length} letters; the ledger takes {LONGEST_ID}",
        )
    zone = spec.time_zone or "UTC"
    if zone != "UTC" and zone not in _zones():
        near = difflib.get_close_matches(zone, sorted(_zones()), 1, 0.5)
        meant = f"did you mean {near[0]}?" if near else "want one of the IANA names, as Europe/Berlin"
        raise NotAccepted("Invalid", "spec.timeZone", f'spec.timeZone: no time zone "{zone}"; {meant}')


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    # `localtime` is another one on each machine.
    return frozenset(available_timezones()) - {"localtime"}


def _lines(spec: BudgetSpec, key: Key, match: Match) -> Iterator[Line]:
    """Each with its top-ups. Raises NotAccepted."""
    for limit in sorted(spec.limits, key=lambda limit: _PERIODS.index(limit.period)):
        for unit, amount in _amounts(limit):
            yield Line(limit.period, unit, amount, tuple(_top_ups(spec, limit, unit, key, match)))


def _told(line: Line) -> Line:
    """As proxies need it."""
    return line if line.period == "Minute" else replace(line, top_ups=())


def _limit(known: Known, line: Line, time_zone: str) -> Limit:
    return Limit(
        budget=known.id,
        period=line.period,
        unit=line.unit,
        amount=line.amount,
        time_zone=time_zone,
        per=known.per,
        match=known.match,
        top_ups=line.top_ups,
        dearest=known.dearest and line.unit == "nanodollars",
    )


def _amounts(said: SaidLimit | SaidTopUp) -> Iterator[tuple[Unit, int]]:
    if said.usd is not None:
        yield "nanodollars", nanodollars(said.usd)
    if said.tokens is not None:
        yield "tokens", said.tokens
    if said.requests is not None:
        yield "requests", said.requests


def _top_ups(spec: BudgetSpec, limit: SaidLimit, unit: Unit, key: Key, match: Match) -> Iterator[TopUp]:
    """Raises NotAccepted."""
    for index, said in sorted(enumerate(spec.top_ups), key=lambda pair: pair[1].name):
        amount = dict(_amounts(said)).get(unit) if said.period == limit.period else None
        if amount is None:
            continue
        subject = None if said.for_ is None or spec.per is None else _subject(said.for_, spec.per, key.namespace)
        if subject is not None and not _by_label(spec) and not counted(subject, spec.per, match):
            raise NotAccepted(
                "Invalid",
                f"spec.topUps[{index}].for",
                f'spec.topUps[{said.name}].for: the budget counts nothing for {spec.per} "{subject}"; name '
                "one that it applies to",
            )
        yield TopUp(amount, FOR_EVER if said.ends is None else float(said.ends), subject)


def _by_label(spec: BudgetSpec) -> bool:
    """Then whom it counts turns with the namespaces that there are."""
    namespaces = spec.applies_to.namespaces if spec.applies_to else None
    return namespaces is not None and namespaces.selector is not None


def _subject(said: str, per: Per, home: str) -> str:
    """Whose counter, as attempts are counted."""
    return f"{home}/{said}" if per in ("ServiceAccount", "AccessKey") and "/" not in said else said


def _idle(known: Known, spec: BudgetSpec, key: Key, there: Container[Key]) -> Condition:
    """What is right, and has no effect just now."""
    for index, said in enumerate(spec.top_ups):
        subject = None if said.for_ is None or known.per is None else _subject(said.for_, known.per, key.namespace)
        if subject is None:
            continue
        namespace, _, name = subject.partition("/")
        lacks = known.per == "AccessKey" and Key("AccessKey", namespace, name) not in there
        if lacks or not counted(subject, known.per, known.match):
            said_at = f"spec.topUps[{said.name}].for"
            why = f'{said_at}: there is no {known.per} "{subject}" that the budget counts, just now'
            return Condition("True", "ResolvedRefs", why, f"spec.topUps[{index}].for")
    return RESOLVED


def _downgrade(spec: BudgetSpec) -> Downgrade | None:
    said = spec.downgrade
    return None if said is None else Downgrade(said.model, said.at_percent or 100)


def _no_room(whose: str, limits: int, size: int) -> NotAccepted:
    return NotAccepted(
        "Invalid",
        "spec.limits",
        f"spec.limits: with the older budgets {whose} the ledger would be brought more than it takes "
        f"({limits} limits, {size // 2**20} MiB); take some out",
    )
