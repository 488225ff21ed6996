"""Secret (core/v1), as far as we look: where providers' credentials are.

Values are held as the contract's `Secret`, which prints as `***`; no message about this kind ever shows a value.
"""

import base64
import binascii
from typing import Annotated, Any, Literal

from byway_contract.secret import Secret as Hidden
from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from byway_operator.resources.common import Metadata, Part

CREDENTIAL_LABEL = "byway.dev/credential"


def _decoded(value: Any) -> Hidden | None:
    """None: bytes that are no text, and so no credential."""
    if not isinstance(value, str):
        raise PydanticCustomError("hidden", "want a string of base64; plain text goes under stringData")
    try:
        return Hidden(base64.b64decode("".join(value.split()), validate=True).decode())
    except UnicodeDecodeError:
        return None
    except (binascii.Error, ValueError):
        raise PydanticCustomError("hidden", "this is no base64; plain text goes under stringData") from None


def _plain(value: Any) -> Hidden:
    if not isinstance(value, str):
        raise PydanticCustomError("hidden", "want a string: put the value in quotes")
    return Hidden(value)


class Secret(Part):
    """Credentials, as Kubernetes keeps them."""

    api_version: Literal["v1"]
    kind: Literal["Secret"]
    metadata: Metadata
    type: str | None = None
    immutable: bool | None = None
    data: dict[str, Annotated[Hidden | None, PlainValidator(_decoded)]] | None = None
    string_data: dict[str, Annotated[Hidden, PlainValidator(_plain)]] | None = None

    @property
    def labelled(self) -> bool:
        """Whether its owner says that it is a credential for us."""
        return (self.metadata.labels or {}).get(CREDENTIAL_LABEL) == "true"

    def entries(self) -> frozenset[str]:
        return frozenset({**(self.data or {}), **(self.string_data or {})})

    def credential(self, key: str) -> Hidden | None:
        """The entry's value without the blanks around it, or None if it is missing, empty or no text.

        `echo sk-… | base64` leaves a newline at the end, which no header may hold.
        """
        held = {**(self.data or {}), **(self.string_data or {})}.get(key)
        stripped = held.reveal().strip() if held else ""
        return Hidden(stripped) if stripped else None
