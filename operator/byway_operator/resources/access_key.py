"""AccessKey: for apps that have no ServiceAccount token."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from byway_operator.resources.common import (
    MAP_BY_NAME,
    SET,
    Glob,
    Label,
    Matches,
    Metadata,
    Part,
    Rule,
    Time,
    moment,
)
from byway_operator.resources.provider_key import SecretRef


class KeyOfMany(Part):
    """One of the keys that are accepted; two live ones make a rotation."""

    name: Label
    """Name of this key within the list."""
    secret_ref: SecretRef | None = None
    """The Secret's entry that holds the key."""
    sha256: (
        Annotated[
            str,
            Field(max_length=64),
            Matches(r"^[0-9a-f]{64}$", "want the key's SHA-256 as 64 hexadecimal digits in lower case"),
        ]
        | None
    ) = None
    """The key's digest, which is safe in Git: a key is 256 random bits."""
    expires_at: Time | None = None
    """From then on nobody is let in with it. Default: never."""

    rules: ClassVar = (
        Rule(
            "has(self.secretRef) != has(self.sha256)",
            "set secretRef or sha256",
            lambda self: (self.secret_ref is None) != (self.sha256 is None),
        ),
        Rule(
            "",
            'no calendar has this time; want one like "2027-01-01T00:00:00Z"',
            lambda self: self.expires_at is None or moment(self.expires_at) is not None,
            ".expiresAt",
        ),
    )

    @property
    def expires(self) -> int | None:
        """Seconds since 1970; None: never."""
        return None if self.expires_at is None else moment(self.expires_at)


class AccessKeySpec(Part):
    """Keys, and what may be done with them."""

    keys: Annotated[tuple[KeyOfMany, ...], Field(min_length=1, max_length=4), MAP_BY_NAME]
    """Any of them is accepted."""
    user: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Whose spend it is. Default: nobody's in particular."""
    allowed_models: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=64), SET] = ()
    """Names as callers write them. Default: all that the namespace sees."""


class AccessKey(Part):
    """A credential of an app at this gateway."""

    api_version: Literal["byway.dev/v1alpha1"]
    kind: Literal["AccessKey"]
    metadata: Metadata
    spec: AccessKeySpec
    status: Any = None

    short_name: ClassVar[str] = "ak"
