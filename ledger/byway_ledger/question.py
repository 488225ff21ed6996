"""What `GET /v1/usage?…` asks, or why that is no question. Pure."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from byway_contract.activity import BY, By

from byway_ledger.stores.store import Question

MOST_ROWS = 10_000
_PARAMETERS = ("by", "since", "until", "limit")


class NoQuestion(ValueError):
    """The message is for the client."""


def question(query: Mapping[str, str]) -> Question:
    """Raises NoQuestion."""
    for name in query:
        if name not in _PARAMETERS:
            raise NoQuestion(f"{name}: no such parameter; there are {', '.join(_PARAMETERS)}")
    asked = Question(
        by=tuple(_by(name) for name in dict.fromkeys(query.get("by", "route").split(","))),
        since=_time(query, "since", 0.0),
        until=_time(query, "until", math.inf),
        limit=_limit(query.get("limit", "1000")),
    )
    if asked.since >= asked.until:
        raise NoQuestion("since: must be before until")
    return asked


def _by(name: str) -> By:
    for by in BY:
        if by == name:
            return by
    raise NoQuestion(f"by: want some of {', '.join(BY)} with commas between, not {name!r}")


def _time(query: Mapping[str, str], name: str, otherwise: float) -> float:
    text = query.get(name)
    if text is None:
        return otherwise
    try:
        seconds = float(text)
    except ValueError:
        seconds = _moment(text)
    if not math.isfinite(seconds):
        raise NoQuestion(f"{name}: want seconds since 1970, or a date like 2026-11-24, not {text!r}")
    return seconds


def _moment(text: str) -> float:
    """NaN where it is none. Without a zone it is UTC, as the days of the answer are."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_ROWS:
        raise NoQuestion(f"limit: want a number from 1 to {MOST_ROWS}, not {text!r}")
    return int(text)
