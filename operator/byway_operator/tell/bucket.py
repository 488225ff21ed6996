"""A token bucket: so many at once, then so many a second. Time is an argument."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    per_s: float
    burst: int


class Bucket:
    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._held = float(allowance.burst)
        self._at: float | None = None

    def take(self, now: float) -> float | None:
        """None: take it. Otherwise when there is one again."""
        allowance = self._allowance
        if self._at is not None:
            self._held = min(self._held + (now - self._at) * allowance.per_s, allowance.burst)
        self._at = now
        # What arithmetic loses must not cost a second look.
        if self._held >= 1.0 - 1e-6:
            self._held -= 1.0
            return None
        return now + (1.0 - self._held) / allowance.per_s
