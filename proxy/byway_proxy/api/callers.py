"""Who is calling: the credential of a request, and 401 in our callers' words."""

from collections.abc import Mapping

from multidict import istr

from byway_proxy.admit.admit import Admission, Caller, Denied
from byway_proxy.api.errors import ApiError

# Looked for in every request: such a name is folded once, not each time.
_AUTHORIZATION, _API_KEY = istr("Authorization"), istr("X-Api-Key")


def caller_of(headers: Mapping[str, str], admission: Admission, now: float) -> Caller:
    """Raises ApiError 401."""
    found = admission.admit(credential_in(headers), now)
    if isinstance(found, Denied):
        raise ApiError(401, found.message, more_headers=b"WWW-Authenticate: Bearer\r\n")
    return found


def credential_in(headers: Mapping[str, str]) -> str | None:
    """`Authorization: Bearer …`, as OpenAI's clients send it, else `x-api-key: …`, as Anthropic's do."""
    said = headers.get(_AUTHORIZATION)
    if said is not None and said[:7].lower() == "bearer ":
        return said[7:].strip(" ") or None
    return headers.get(_API_KEY) or None
