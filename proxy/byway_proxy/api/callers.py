"""Who is calling, or 401 in our callers' words."""

from byway_proxy.admit.admit import Caller, Denied, admit
from byway_proxy.api.errors import ApiError
from byway_proxy.choose.view import View


def caller_of(view: View) -> Caller:
    """Raises ApiError 401."""
    match admit(view.table):
        case Denied(message=message):
            raise ApiError(401, message)
        case caller:
            return caller
