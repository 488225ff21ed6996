"""What came of a write, as far as it matters for the next one, and how long until then."""

from collections.abc import Mapping
from enum import IntEnum


class Outcome(IntEnum):
    """What the API server answered to a write, as far as it matters for the next one."""

    WRITTEN = 0
    GONE = 1
    CONFLICT = 2
    """Written by two at once, or the object was made again under its old name: the source will say which."""
    FORBIDDEN = 3
    REFUSED = 4
    """The status is not as the CustomResourceDefinition wants it: the two are of different versions."""
    FAILED = 5
    """The server has a fault with this one."""
    NO_ANSWER = 6
    """Nobody is served just now."""


def outcome_of(status: int) -> Outcome:
    """By HTTP status; 0 is no answer."""
    known = {404: Outcome.GONE, 409: Outcome.CONFLICT, 403: Outcome.FORBIDDEN}
    if status in known:
        return known[status]
    if status in (0, 401, 429, 503):
        return Outcome.NO_ANSWER
    return Outcome.FAILED if status >= 500 else Outcome.REFUSED


# The first wait after each, doubled at each further one; what does not mend itself soon begins long.
_AGAIN_S: Mapping[Outcome, float] = {
    Outcome.GONE: 30.0,
    Outcome.CONFLICT: 0.2,
    Outcome.FORBIDDEN: 10.0,
    Outcome.REFUSED: 30.0,
    Outcome.FAILED: 1.0,
    Outcome.NO_ANSWER: 0.5,
}


def again_s(outcome: Outcome, tries: int, most_s: float) -> float:
    """How long to wait after the `tries`th failure in a row, counted from 0."""
    return min(_AGAIN_S[outcome] * float(2**tries), most_s)
