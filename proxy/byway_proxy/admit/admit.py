"""Who is asking, and may they ask at all? Decided from the table and the request's credential alone."""

from byway_contract.table import Table
from msgspec import Struct


class Caller(Struct, frozen=True, gc=False):
    """Whoever sends a request. `namespace` is the tenant, for what it may call and what it pays."""

    namespace: str
    service_account: str = ""
    access_key: str = ""


class Denied(Struct, frozen=True, gc=False):
    """Answered with 401."""

    message: str


def admit(table: Table) -> Caller | Denied:
    """The caller of a request that proves nothing about itself.

    A credential that is brought along is not looked at while callers have no other identity than this one: clients
    insist on sending one, and it is never passed on.
    """
    if table.anonymous is None:
        return Denied("no credential, and this table lets nobody in without one")
    return Caller(table.anonymous)
