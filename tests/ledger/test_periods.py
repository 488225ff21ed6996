"""Windows of time, in any zone, over every change of its clocks."""

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from byway_contract.periods import EVER, Period, Window, window
from hypothesis import example, given
from hypothesis import strategies as some

HOUR = 3600
# Clocks that jump at midnight, that show midnight twice, or not at all; half hours; a day that never was.
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Havana", "America/Sao_Paulo", "America/St_Johns",
    "Asia/Beirut", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia", "Asia/Tehran",
)  # fmt: skip
CALENDAR: tuple[Period, ...] = ("Day", "Week", "Month")


def at(text: str) -> float:
    """`2026-11-25T12:00Z`, or `2026-11-25T12:00 Europe/Berlin`."""
    moment, _, zone = text.partition(" ")
    return datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone or "UTC")).timestamp()


def shown(found: Window, zone: str) -> tuple[str, str]:
    assert found.end is not None
    start, end = (
        datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(zone)) for second in (found.start, found.end)
    )
    return f"{start:%a %Y-%m-%d %H:%M}", f"{end:%a %Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("period", "zone", "moment", "start", "end"),
    [
        ("Day", "Europe/Berlin", "2026-11-25T12:00", "Wed 2026-11-25 00:00", "Thu 2026-11-26 00:00"),
        ("Week", "Europe/Berlin", "2026-11-25T12:00", "Mon 2026-11-23 00:00", "Mon 2026-11-30 00:00"),
        ("Month", "Europe/Berlin", "2026-12-31T22:59", "Tue 2026-12-01 00:00", "Fri 2027-01-01 00:00"),
        ("Month", "Europe/Berlin", "2026-12-31T23:00", "Fri 2027-01-01 00:00", "Mon 2027-02-01 00:00"),
        ("Month", "America/New_York", "2028-02-15T00:00", "Tue 2028-02-01 00:00", "Wed 2028-03-01 00:00"),
        ("Day", "America/Sao_Paulo", "2018-11-04T12:00", "Sun 2018-11-04 01:00", "Mon 2018-11-05 00:00"),
        ("Day", "Pacific/Apia", "2011-12-30T09:59", "Thu 2011-12-29 00:00", "Sat 2011-12-31 00:00"),
        ("Day", "Pacific/Apia", "2011-12-30T10:00", "Sat 2011-12-31 00:00", "Sun 2012-01-01 00:00"),
    ],
)
def test_a_window_begins_where_the_calendar_says(
    period: Period, zone: str, moment: str, start: str, end: str
) -> None:
    assert shown(window(period, zone, at(moment)), zone) == (start, end)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Sao_Paulo", "2018-11-04", 23),
        ("America/Sao_Paulo", "2018-02-17", 25),
        ("America/Havana", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ],
)
def test_a_day_on_which_the_clocks_change_is_as_long_as_it_is(zone: str, day: str, hours: float) -> None:
    found = window("Day", zone, at(f"{day}T12:00 {zone}"))
    assert found.end is not None
    assert (found.end - found.start) / HOUR == hours


def test_a_midnight_that_is_shown_twice_begins_one_day() -> None:
    # At 00:01 the clocks of Newfoundland went back to 23:01: that hour is of the day that had begun.
    zone = "America/St_Johns"
    first = at("2010-11-07T00:00 " + zone)
    assert window("Day", zone, first - 1).end == first
    for second in (first, first + 120, first + HOUR - 1, first + HOUR + 60):
        assert window("Day", zone, second).start == first


def test_minutes_and_a_lifetime_know_no_zone() -> None:
    assert window("Minute", "Asia/Kolkata", 119.9) == Window(60, 120)
    assert window("Lifetime", "Asia/Kolkata", 1e12) == EVER == Window(0, None)


@given(
    period=some.sampled_from(CALENDAR),
    zone=some.sampled_from(ZONES),
    moment=some.floats(0.0, 4_102_444_800.0),
)
@example("Day", "America/St_Johns", 1_289_097_060.0)
@example("Month", "America/St_Johns", 1_289_097_060.0)
def test_windows_hold_their_moment_and_follow_one_another_without_a_hole(
    period: Period, zone: str, moment: float
) -> None:
    found = window(period, zone, moment)
    assert found.end is not None
    assert found.start <= moment < found.end
    for inside in (found.start, found.end - 1, (found.start + found.end) / 2):
        assert window(period, zone, inside) == found
    assert window(period, zone, found.end).start == found.end
    assert window(period, zone, found.start - 1).end == found.start


def test_every_change_of_clocks_of_a_decade_leaves_no_hole() -> None:
    for zone in ZONES:
        second = at("2009-01-01T00:00")
        while second < at("2020-01-01T00:00"):
            found = window("Day", zone, second)
            assert found.end is not None
            assert 22 * HOUR <= found.end - found.start <= 26 * HOUR, (zone, second)
            odd = found.end - found.start != 24 * HOUR
            for inside in range(found.start, found.end, HOUR // 2 if odd else 23 * HOUR):
                assert window("Day", zone, inside) == found, (zone, inside)
            second = found.end


def test_a_time_zone_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="no time zone 'Europe/Bielefeld'"):
        window("Day", "Europe/Bielefeld", 0.0)
    with pytest.raises(ValueError, match="no time zone"):
        window("Day", "../../etc/passwd", 0.0)


def test_a_days_last_instant_is_in_its_own_window() -> None:
    midnight = datetime(2026, 11, 17, tzinfo=UTC).timestamp()
    around = window("Day", "UTC", math.nextafter(midnight, 0.0))
    assert (around.start, around.end) == (midnight - 86_400, midnight)
