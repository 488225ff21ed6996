"""What admission finds: who it is, or why they may not come in."""

from msgspec import Struct


class Caller(Struct, frozen=True, gc=False):
    """Whoever sends a request. `namespace` is the tenant, for what it may call and what it pays."""

    namespace: str
    service_account: str = ""
    access_key: str = ""
    """The name of its AccessKey, which is in `namespace`."""
    user: str = ""
    """Whose access key it is."""
    allowed_models: tuple[str, ...] = ()
    """Globs of names as callers write them, where the credential allows some only; empty is all."""
    expires: int | None = None
    """When an access key ends, in seconds since 1970; None: never."""


class Denied(Struct, frozen=True, gc=False):
    """Answered with 401."""

    message: str
