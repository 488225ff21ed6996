"""Hold the table that is live, and make the next one of what arrives, in steps that fit between requests.

A thread would not be gentler: while it decodes, every turn of the loop waits for the interpreter's switch interval.
So the work is a generator that pauses often, and `in_steps` gives the loop its turn whenever a step is used up.
"""

import asyncio
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from byway_contract.stream import Have, Snapshot
from byway_contract.table import (
    SCHEMA,
    SECTIONS,
    SectionName,
    Table,
    TableObject,
    assemble,
    decode_object,
    hash_of_hashes,
    object_hash,
)

STEP_S = 0.001
# Objects between two looks at the clock: about 0.1 ms of hashing, 0.2 ms of decoding.
_STRIDE = 100

T = TypeVar("T")
Steps = Generator[None, None, T]

Digests = Mapping[tuple[SectionName, str], str]


@dataclass(frozen=True)
class Held:
    """A table under its number, with its objects' hashes: what has the same hash is not decoded again."""

    table: Table
    term: int
    seq: int
    digests: Digests = field(repr=False)

    @property
    def number(self) -> tuple[int, int]:
        return self.term, self.seq


class DamagedError(ValueError):
    """The bytes are not those that were hashed."""


class UnknownSchemaError(ValueError):
    """A table of a schema that this build does not speak."""


class Tables:
    """The live table. `newest` is the number below which nothing is taken: an old table may hold a revoked key."""

    def __init__(self) -> None:
        self.live: Held | None = None
        self.kept: Held | None = None
        """The copy of an earlier life of this process; it becomes live if nobody answers."""

    @property
    def newest(self) -> tuple[int, int]:
        held = self.live or self.kept
        return held.number if held else (0, 0)

    @property
    def have(self) -> Have:
        held = self.live or self.kept
        if held is None:
            return Have()
        return Have(held.term, held.seq, held.table.hash, "memory" if self.live else "disk")

    def make_live(self, held: Held) -> None:
        self.live, self.kept = held, None

    def renumber(self, term: int, seq: int) -> None:
        """The operator has the same table under a later number."""
        if self.live and (term, seq) > self.live.number:
            self.live = Held(self.live.table, term, seq, self.live.digests)


def loading(snapshot: Snapshot, old: Held | None) -> Steps[Held]:
    """Verify, decode what is new, check the references. `old` lends the objects that did not change.

    Raises DamagedError, UnknownSchemaError, or TableError with the object at fault.
    """
    if snapshot.schema != SCHEMA:
        raise UnknownSchemaError(f"schema {snapshot.schema}; this build speaks {SCHEMA}")
    digests = yield from _hashing(snapshot)
    whole = hash_of_hashes((section, name, digest) for (section, name), digest in digests.items())
    if whole != snapshot.hash:
        raise DamagedError(f"its objects hash to {whole[:12]}, it says {snapshot.hash[:12]}")
    yield
    objects = yield from _decoding(snapshot, digests, old)
    table = assemble(snapshot.sections, objects, whole)
    return Held(table, snapshot.term, snapshot.seq, digests)


async def in_steps(steps: Steps[T], step_s: float = STEP_S) -> T:
    """Run it to its end, letting the loop turn whenever `step_s` of work is done."""
    until = time.perf_counter() + step_s
    while True:
        try:
            next(steps)
        except StopIteration as done:
            value: T = done.value
            return value
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + step_s


def _hashing(snapshot: Snapshot) -> Steps[dict[tuple[SectionName, str], str]]:
    digests: dict[tuple[SectionName, str], str] = {}
    for section, members in snapshot.sections.items():
        for name, raw in members.items():
            digests[section, name] = object_hash(raw)
            if len(digests) % _STRIDE == 0:
                yield
    return digests


def _decoding(
    snapshot: Snapshot, digests: Digests, old: Held | None
) -> Steps[dict[SectionName, dict[str, TableObject]]]:
    known = old.digests if old else {}
    seen = 0
    objects: dict[SectionName, dict[str, TableObject]] = {section: {} for section in SECTIONS}
    for section, members in snapshot.sections.items():
        before: Mapping[str, TableObject] = getattr(old.table, section) if old else {}
        for name, raw in members.items():
            if known.get((section, name)) == digests[section, name]:
                objects[section][name] = before[name]
            else:
                # A copy: an object that points into the frame would keep all of it in memory as long as it lives.
                objects[section][name] = decode_object(section, name, raw.copy())
            seen += 1
            if seen % _STRIDE == 0:
                yield
    return objects
