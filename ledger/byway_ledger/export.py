"""The books as a file of FOCUS rows, a piece at a time: however long it gets, little of it is held."""

from collections.abc import AsyncIterator

from byway_ledger import focus
from byway_ledger.focus import Daily
from byway_ledger.stores.store import Store

AT_ONCE = 2000
DAY_S = 86_400.0


async def exported(store: Store, since: float, until: float, now: float) -> AsyncIterator[bytes]:
    """The header comes first, and only once the books have answered. Raises StoreError.

    Each piece is of its own moment: what is booked meanwhile may be in it, and nothing is in it twice.
    """
    known = await store.span()
    yield focus.header().encode()
    if known is None:
        return
    # A proxy whose clock is centuries off must not make us walk through them.
    first = max(since, known[0], 0.0) // DAY_S * DAY_S
    last = min(until, known[1] + 1.0, now + DAY_S)
    while first < last:
        after: Daily | None = None
        while rows := await store.daily(max(first, since), min(first + DAY_S, until), after, AT_ONCE):
            yield focus.lines(rows).encode()
            after = rows[-1]
        first += DAY_S
