"""What `GET /v1/usage?…`, `/v1/focus?…` and `/v1/counters?…` ask, or why that is no question. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from byway_contract.activity import BY, By, by_of

from byway_ledger.stores.store import Question

MOST_ROWS = 10_000
MOST_COUNTERS = 100_000
MOST_NAMED = 200
"""Counters that are asked for by name."""
_PARAMETERS = ("by", "since", "until", "limit")
_FILTERS = tuple(by for by in BY if by != "day")


class NoQuestion(ValueError):
    """The message is for the client."""


def question(query: Mapping[str, str]) -> Question:
    """Raises NoQuestion."""
    since, until = _span(query)
    return Question(
        by=tuple(dict.fromkeys(map(_by, query.get("by", "route").split(",")))),
        since=since,
        until=until,
        limit=_number(query, "limit", "1000", MOST_ROWS),
        only=tuple(_filters(query, _PARAMETERS)),
    )


def span(query: Mapping[str, str]) -> tuple[float, float]:
    """Of an export, whose other parameters are none. Raises NoQuestion."""
    for _ in _filters(query, ("since", "until"), ()):
        pass
    return _span(query)


@dataclass(frozen=True)
class Named:
    """Which counters are asked for."""

    most: int
    open: bool
    """Only of windows that are not over."""
    names: Sequence[tuple[str, str]]
    """(limit, subject); none: all."""


def named(query: Iterable[tuple[str, str]]) -> Named:
    """`?limit=10&open=true`, or `?of=LIMIT%0ASUBJECT&of=…`. Raises NoQuestion."""
    most, open_, names = 10_000, False, []
    for name, value in query:
        if name == "limit":
            most = _number({name: value}, name, "", MOST_COUNTERS)
        elif name == "open":
            if value not in ("true", "false"):
                raise NoQuestion(f"open: want true or false, not {value[:20]!r}")
            open_ = value == "true"
        elif name == "of":
            limit, _, subject = value.partition("\n")
            names.append((limit, subject))
        else:
            raise NoQuestion(f"{name}: no such parameter; there are limit, open, of")
    if len(names) > MOST_NAMED:
        raise NoQuestion(f"of: want at most {MOST_NAMED} counters, not {len(names)}")
    return Named(most, open_, names)


def _filters(
    query: Mapping[str, str], others: tuple[str, ...], filters: tuple[By, ...] = _FILTERS
) -> Iterable[tuple[By, str]]:
    for name, value in query.items():
        by = by_of(name)
        if by in filters and by is not None:
            yield by, value
        elif name not in others:
            raise NoQuestion(f"{name}: no such parameter; there are {', '.join((*others, *filters))}")


def _span(query: Mapping[str, str]) -> tuple[float, float]:
    since, until = _time(query, "since", 0.0), _time(query, "until", math.inf)
    if since >= until:
        raise NoQuestion("since: must be before until")
    return since, until


def _by(name: str) -> By:
    by = by_of(name)
    if by is None:
        raise NoQuestion(f"by: want some of {', '.join(BY)} with commas between, not {name!r}")
    return by


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


def _number(query: Mapping[str, str], name: str, otherwise: str, most: int) -> int:
    text = query.get(name, otherwise)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
        raise NoQuestion(f"{name}: want a number from 1 to {most}, not {text[:20]!r}")
    return int(text)
