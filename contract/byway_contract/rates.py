"""How a limit of a minute is held by several proxies, and by how much the fleet may exceed it. Pure.

A proxy asks nobody before it lets a request in: it has its share of the limit, rounded up, for a share of nothing
would close a small limit altogether. What one request needs beyond a whole share is let in when nothing else was in
that minute, else a large request would find no proxy to take it. Both are what these figures are about. What an
answer grew beyond what was set aside for it nobody knows before: it comes on top, and is counted as it ends.
"""


def share(limit: int, proxies: int) -> int:
    return -(-limit // proxies)


def overshoot(limit: int, proxies: int, largest: int = 1) -> int:
    """By how much `proxies` may exceed a limit within any minute.

    `largest`: what one request is reckoned at, at most; in requests, 1. Where that is no more than a share, it is
    less than `proxies`.
    """
    if limit <= 0:
        return 0
    return proxies * max(share(limit, proxies), min(largest, limit)) - limit


def overshoot_with_valkey(limit: int, proxies: int, largest: int = 1) -> int:
    """The same where the proxies tell each other through Valkey: each may let in its share of what was left when it
    last heard of the others. It takes all of them at once, with none having heard of the next, to come that far."""
    if limit <= 0 or proxies == 1:
        return 0
    return (proxies - 1) * max(share(limit, proxies), min(largest, limit)) + 1
