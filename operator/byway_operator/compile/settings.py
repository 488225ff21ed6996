"""What the compiler is told beside the resources: whose word counts, and where this operator runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from byway_contract.reach import Fence
from byway_contract.table import Egress

Unpriced = Literal["Refuse", "Dearest"]


@dataclass(frozen=True)
class Settings:
    trusted_namespaces: tuple[str, ...] = ("default",)
    """The platform's own: what they share is found by name."""
    namespace: str = "default"
    """The release's own, where the floor is."""
    anonymous_namespace: str | None = None
    """Whoever brings no credential is this namespace. None: 401."""
    strict: bool = True
    """Whether an unknown field is an error: yes for folders, no behind an API server, which has checked it."""
    allow_loopback: bool = False
    """Whether `baseURL` may point at this machine."""
    allowed_cidrs: tuple[str, ...] = ()
    """Private addresses that `baseURL` may lead to all the same: what the cluster's admin listed."""
    service_addresses: Mapping[str, str] | None = None
    """`namespace/name:port` → `host:port`, on one machine. None: in a cluster, which has names for Services."""
    unpriced: Unpriced = "Refuse"
    """What becomes of a model that nobody priced: budgets in dollars refuse it, or it costs the catalogue's dearest
    price."""

    def __post_init__(self) -> None:
        """Raises ValueError for a CIDR that is none: no proxy could obey it."""
        _ = self.fence

    @cached_property
    def egress(self) -> Egress:
        return Egress(tuple(sorted(set(self.allowed_cidrs))), self.allow_loopback)

    @cached_property
    def fence(self) -> Fence:
        return Fence(self.egress)
