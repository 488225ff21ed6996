"""Windows of time that limits count in: when the one around a moment begins and ends. Pure.

Calendar windows begin at the first instant of a local day, week (Monday) or month. Where clocks skip midnight, that
is the instant after the gap; where they show it twice, the first of the two. So windows have no holes and never
overlap, whatever a government decides about summer.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

Period = Literal["Minute", "Day", "Week", "Month", "Lifetime"]

MINUTE_S = 60


class Window(msgspec.Struct, frozen=True):
    """From `start` until before `end`, whole seconds since 1970; without an end, for ever."""

    start: int
    end: int | None = None


EVER = Window(0)


def window(period: Period, time_zone: str, at: float) -> Window:
    """The window around `at` (seconds since 1970). Raises ValueError if there is no such time zone."""
    if period == "Lifetime":
        return EVER
    if period == "Minute":
        start = int(at // MINUTE_S) * MINUTE_S
        return Window(start, start + MINUTE_S)
    zone = zone_of(time_zone)
    # Whole seconds: `fromtimestamp` rounds, and the last microsecond of a day would be of the next.
    day = datetime.fromtimestamp(at // 1, UTC).astimezone(zone).date()
    first = _first(period, day)
    start, end = _begins(first, zone), _begins(_next(period, first), zone)
    if at >= end:
        # The clock was set back over midnight: the local date shows yesterday again, but its window has ended.
        return Window(end, _begins(_next(period, _next(period, first)), zone))
    return Window(start, end)


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"no time zone {name!r}; want one of the IANA names, as Europe/Berlin or UTC") from error


def _first(period: Period, day: date) -> date:
    if period == "Week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "Month" else day


def _next(period: Period, first: date) -> date:
    if period == "Month":
        return (first + timedelta(days=32)).replace(day=1)
    return first + timedelta(days=7 if period == "Week" else 1)


def _begins(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
