"""What twitches is told coarsely, so that a status differs only when there is something to read. Pure."""

from byway_operator.tell.conditions import rfc3339, seconds

COARSE_S = 30.0
_DIGITS = 3


def coarse_time(at: float | None, before: str | None) -> str | None:
    """The time, or the one told before if that is not half a minute older: or newer, from proxies that are gone."""
    was = seconds(before) if before else None
    if at is None or (was is not None and at - was < COARSE_S):
        return before
    return rfc3339(at)


def coarse_amount(amount: int) -> int:
    """An estimate, to three digits."""
    step: int = 10 ** max(len(str(abs(amount))) - _DIGITS, 0)
    return (amount + step // 2) // step * step
