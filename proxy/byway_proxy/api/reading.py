"""The public URLs that only read: what a caller has used, and what of it is left."""

from collections.abc import Callable

from byway_proxy.api.activity import Activity, Credits
from byway_proxy.api.generation import Generation
from byway_proxy.api.key import Key
from byway_proxy.api.server import Handler
from byway_proxy.api.serving import Serving
from byway_proxy.meter.books import Books


def reading(serving: Serving, books: Books, wall: Callable[[], float]) -> dict[tuple[str, str], Handler]:
    key = Key(serving, books, wall)
    return {
        ("GET", "/v1/key"): key,
        ("GET", "/v1/auth/key"): key,
        ("GET", "/v1/generation"): Generation(serving, books, wall),
        ("GET", "/v1/activity"): Activity(serving, books, wall),
        ("GET", "/v1/credits"): Credits(serving, books),
    }
