"""Decide what the answer to an account's cheapest authenticated call proves. No I/O: see `proving`.

2xx with JSON    the provider takes the credential, unless the same answer is had without one
401, 402, 403    it does not, unless it only says that this credential may not list models
anything else    neither: not every provider has the call, and it may be busy or broken just now
"""

from typing import Literal

from byway_proxy.carry.dialects.openai_answer import ProviderError
from byway_proxy.carry.refusing import Headers, by_error
from byway_proxy.choose.trouble import ENDED_BY_CREDENTIAL, Trouble

# OpenAI's restricted keys get a 401 or a 403 for what they may not do; a key that is none gets other words.
_KNOWN_BUT_RESTRICTED = "you have insufficient permissions for this operation"


Said = Literal["taken"] | Trouble | None


def said(status: int, body: bytes, error: ProviderError | None, headers: Headers, wall: float) -> Said:
    """None: it proves nothing. `error` is what was found in the body, `wall` now in seconds since 1970."""
    if 200 <= status < 300:
        return "taken" if body.lstrip()[:1] in (b"{", b"[") else None
    if error is not None and error.message.lower().startswith(_KNOWN_BUT_RESTRICTED):
        return None
    refused = by_error(status, error, headers, wall)
    return Trouble(refused.kind, refused.status) if refused.kind in ENDED_BY_CREDENTIAL else None


def wants_credential(status: int) -> bool:
    """Whether the same call without one was turned away; then having it answered with one proves something."""
    return 300 <= status < 500 and status not in (408, 429)
