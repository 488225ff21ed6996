"""What the compiler thinks of each resource, apart from what the proxies then say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from byway_contract.budget import Budget
from byway_contract.grants import Limit
from byway_contract.table import SectionName, Sections

from byway_operator.resources.manifest import Key, Manifest

ObjectId = tuple[SectionName, str]
"""An object of the table: section and id."""


@dataclass(frozen=True)
class Condition:
    """One of a resource's conditions, without its times. Reasons are those of the resource's own list."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    """Names the field, what is wrong and the way out: `spec.endpoints[eu].providerKeyRef: no ProviderKey …`."""
    field: str = ""
    """Path of the field at fault, for sources that know lines."""


ACCEPTED = Condition("True", "Accepted")
RESOLVED = Condition("True", "ResolvedRefs")


@dataclass(frozen=True)
class EndpointFact:
    """A line of a route's `status.endpoints`. Prices are US dollars per million tokens, in and out."""

    name: str
    endpoint: str | None
    """Its id in the table, or None while it cannot be resolved."""
    reason: str = ""
    price: str = ""
    price_origin: str = ""


@dataclass(frozen=True)
class KeyFact:
    """A line of an AccessKey's `status.keys`."""

    name: str
    label: str
    """Tells keys apart, and gives none away."""
    expires: int | None = None
    """Seconds since 1970; None: never."""


@dataclass(frozen=True)
class Verdict:
    key: Key
    generation: int
    accepted: Condition = ACCEPTED
    resolved: Condition = RESOLVED
    objects: frozenset[ObjectId] = frozenset()
    """What this resource became in the table."""
    fingerprint: str = ""
    """Hash of those objects' bytes: which form of it a table holds."""
    serves: Literal["current", "last-good", "nothing"] = "current"
    model_names: tuple[str, ...] = ()
    endpoints: tuple[EndpointFact, ...] = ()
    models: int = 0
    """How many models a ProviderKey makes callable."""
    keys: tuple[KeyFact, ...] = ()
    """Those of an AccessKey that let callers in, until they end."""
    budget: Budget | None = None
    """What proxies are told of a Budget. None: it binds nobody."""
    limits: tuple[Limit, ...] = ()
    """What the ledger is told of it."""


@dataclass(frozen=True)
class Refusal:
    """A proxy's nack of an object, as held against the form of it that was sent."""

    fingerprint: str
    message: str


@dataclass(frozen=True)
class Compiled:
    sections: Sections
    hash: str
    verdicts: Mapping[Key, Verdict]
    good: Mapping[Key, Manifest] = field(default_factory=dict)
    """The last good form of every accepted or held-back object: the next compile's `held_back`."""
    owners: Mapping[ObjectId, tuple[Key, ...]] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    """What the ledger is to count, by id."""
    limits_hash: str = ""
    """The same limits have the same, on any replica."""
    defects: Mapping[Key, str] = field(default_factory=dict)
    """Objects that our own code stumbled over, and where: for the log. Holds nothing of the object."""
