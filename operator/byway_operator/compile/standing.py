"""Which form of a resource is compiled: what it says now, what it last said well, or none.

    current --not accepted--> last good --not accepted either--> nothing

The first fault is the one that is told: it is the one to mend. What is accepted and names something that is missing
is not lowered; that takes effect at once.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from byway_operator.compile.faults import NotAccepted
from byway_operator.compile.verdict import Condition
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.resources.parse import Rejected, Resource, parse

Form = Literal["current", "last-good", "nothing"]


@dataclass
class Readings:
    """What manifests parsed to, from one compile to the next. A source gives the same object for what is as it was,
    and parsing is half of all work."""

    parsed: dict[int, tuple[Manifest, Resource | Condition]] = field(default_factory=dict)
    """By identity, which the manifest beside it keeps from being another's."""


@dataclass
class Reader:
    """Parses each manifest once, and keeps what our own code stumbled over."""

    strict: bool
    defects: dict[Key, str] = field(default_factory=dict)
    before: Readings = field(default_factory=Readings)
    """Of the same strictness."""
    now: Readings = field(default_factory=Readings)

    def read(self, manifest: Manifest) -> Resource:
        """Raises NotAccepted."""
        known = self.now.parsed.get(id(manifest)) or self.before.parsed.get(id(manifest))
        found = known[1] if known is not None else self._read(manifest)
        if manifest.key not in self.defects:
            self.now.parsed[id(manifest)] = manifest, found
        if isinstance(found, Condition):
            raise NotAccepted(found.reason, found.field, found.message)
        return found

    def stumbled(self, key: Key, error: Exception) -> Condition:
        """A bug of ours met this object: it is told so, without a word of what the error says."""
        at = traceback.extract_tb(error.__traceback__)[-1]
        self.defects[key] = f"{type(error).__name__} in {at.name}, line {at.lineno}"
        return Condition(
            "False", "Invalid", "cannot be compiled, by a defect of Byway's; the operator's log says where"
        )

    def _read(self, manifest: Manifest) -> Resource | Condition:
        try:
            return parse(manifest, self.strict)
        except Rejected as rejected:
            return Condition("False", rejected.reason, rejected.message, rejected.field)
        except Exception as error:
            return self.stumbled(manifest.key, error)


@dataclass
class Standing:
    key: Key
    manifest: Manifest
    held: Manifest | None
    barred: Mapping[tuple[Key, Form], Condition]
    """Forms that turned out unfit in an earlier attempt."""
    reader: Reader
    form: Form = "current"
    resource: Resource | None = None
    fault: Condition | None = None
    """Why the current form does not serve."""
    by_proxy: bool = False
    """It is a proxy that refused the current form: the operator itself would take it."""

    def rise(self) -> None:
        """Stand at the best form that can be read."""
        if self.manifest.broken is not None:
            self.lower(Condition("False", "Invalid", self.manifest.broken))
            return
        self._read(self.manifest)

    def lower(self, why: Condition) -> None:
        """This form is not accepted: down to the next."""
        self.fault = self.fault or replace(why, message=_spelled(why.message))
        self.resource = None
        if self.form == "current" and self.held is not None:
            self.form = "last-good"
            self._read(self.held)
        else:
            self.form = "nothing"

    def accept(self, step: Callable[[Resource], None]) -> None:
        """Take a step with the form that serves; where it is not accepted, with the next one down."""
        while self.resource is not None:
            try:
                step(self.resource)
                return
            except NotAccepted as refused:
                self.lower(refused.condition)
            except Exception as error:
                self.lower(self.reader.stumbled(self.key, error))

    def _read(self, manifest: Manifest) -> None:
        bar = self.barred.get((self.key, self.form))
        if bar is not None:
            self.by_proxy = self.fault is None and bar.reason == "RejectedByProxy"
            self.lower(bar)
            return
        try:
            self.resource = self.reader.read(manifest)
        except NotAccepted as refused:
            self.lower(refused.condition)


def _spelled(message: str) -> str:
    """A message may repeat what somebody wrote, and YAML can spell what UTF-8 cannot: half a surrogate pair."""
    return message.encode("utf-8", "backslashreplace").decode()
