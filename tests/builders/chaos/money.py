"""What budgets were charged, what callers are billed, what providers would bill: added up from each witness.

Three sums that have to agree, and one that must stay under every limit:

    a counter's `spent`  =  what its rows weigh         its `extra`: crashes, charged what they held
    exact rows           =  what the provider told      to the nanodollar
    what the providers served for a limit  ≤  the limit
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builders.chaos.callers import COUNTED, EACH, INPUT, MOST_OUTPUT, OUTPUT, PROMPT, USERS
from builders.chaos.story import Seen, Story

PLATFORM = "default/platform"
MOST_HELD = (len(PROMPT) + 1000) * INPUT + MOST_OUTPUT * OUTPUT
"""More than any attempt holds."""
RECOVERS_S = 10.0
"""The ledger is started again, and proxies find it."""
Named = tuple[str, str]
"""A budget, and whose counter."""


@dataclass(frozen=True)
class Weighed:
    """What a counter should say."""

    spent: int = 0
    served: int = 0
    """What the providers did for it, in its unit."""
    crashes: int = 0


def differences(story: Story) -> list[str]:
    """Every sum that does not come out, as a line."""
    return [*_looks(story), *_counters(story)]


def overspent(story: Story) -> int:
    """Nanodollars and requests that were served beyond any limit; 0, or the product is broken."""
    limits = {(_budget(look.limit), look.subject): look.amount for look in story.looks}
    return sum(max(0, one.served - limits[name]) for name, one in weighed(story).items() if name in limits)


def weighed(story: Story) -> dict[Named, Weighed]:
    """By the rows and by the providers' own word, for each counter that there should be."""
    callers = {seen.user: seen.caller for seen in story.seen}
    failed = {(row["user"], row["account"]) for row in story.rows if row["outcome"] == "failed"}
    spent: dict[Named, int] = defaultdict(int)
    served: dict[Named, int] = defaultdict(int)
    crashes: Counter[Named] = Counter()
    for row in story.rows:
        for name in names(callers[row["user"]]):
            spent[name] += int(row["attempt_no"] == 1) if name[0] == COUNTED else row["billed"]
            crashes[name] += row["outcome"] == "crash"
    asked: set[tuple[Named, str]] = set()
    for account, all_of in story.served.items():
        for one in all_of:
            mark = one["body"]["mark"]
            for name in names(callers[mark]):
                if name[0] == COUNTED:
                    served[name] += (name, mark) not in asked
                    asked.add((name, mark))
                elif (mark, account) not in failed:
                    served[name] += bill(one)
    return {name: Weighed(spent[name], served[name], crashes[name]) for name in spent}


def names(caller: str) -> Iterator[Named]:
    """Which counters a request of this caller is counted on."""
    yield (PLATFORM, "")
    if caller == "counted":
        yield (COUNTED, "")
    elif caller in {user.name for user in USERS}:
        yield (EACH, caller)


def bill(one: Mapping[str, Any], input: int = INPUT) -> int:
    """What a provider asks for what it served, nanodollars."""
    return int(one["prompt_tokens"] * input + one["completion_tokens"] * OUTPUT)


def _looks(story: Story) -> Iterator[str]:
    """Whenever anybody looked, no more was out than there is."""
    for look in story.looks:
        if look.left < 0:
            yield f"{look.limit} {look.subject}: {look}"


def _counters(story: Story) -> Iterator[str]:
    found = {(_budget(one["limit_id"]), one["subject"]): one for one in story.counters}
    for name, should in weighed(story).items():
        one = found.get(name)
        if one is None:
            yield f"{name}: there is no counter, and there should be {should}"
            continue
        if one["spent"] != should.spent:
            yield f"{name}: spent {one['spent']}, and its rows add up to {should.spent}"
        if not 0 <= one["extra"] <= should.crashes * MOST_HELD:
            yield f"{name}: charged {one['extra']} beyond its rows, for {should.crashes} crashes"
        if one["reserved"] or one["stranded"]:
            yield f"{name}: {one['reserved']} reserved and {one['stranded']} stranded, and all have ended"
        if one["unmetered"] or one["overrun"]:
            yield f"{name}: {one['unmetered']} went past it, {one['overrun']} over what was held"


def short(story: Story) -> dict[str, int]:
    """Those refused, and how many of them had more than 2 % of their limit left, as rows and counters tell it."""
    refused = [seen for seen in story.seen if seen.how == "refused"]
    return {"refused": len(refused), "early": sum(_left(story, seen) > 0.02 for seen in refused)}


def phantom(story: Story) -> Callable[[Seen], bool]:
    """Whether somebody was told that the ledger does not answer, and nothing had happened to it for a while."""
    blows = [*story.deaths("ledger", "kill"), *story.deaths("ledger", "stop")]

    def found(seen: Seen) -> bool:
        return seen.how == "unavailable" and not any(seen.began - RECOVERS_S <= at <= seen.ended for at in blows)

    return found


def _left(story: Story, seen: Seen) -> float:
    """Of the limit, when it was refused: by the nearest look within its time, or just before."""
    own = [name for name in names(seen.caller) if name[0] != PLATFORM]
    near = [
        look
        for look in story.looks
        if (_budget(look.limit), look.subject) in own and seen.began - 0.5 <= look.at <= seen.ended + 0.5
    ]
    return min((look.left / look.amount for look in near), default=0.0)


def _budget(limit: str) -> str:
    return limit.rsplit("/", 2)[0]
