"""A world that suddenly shrinks is looked at twice."""

from byway_operator.resources.manifest import Key
from byway_operator.watch.shrink import Doubted, believe


def routes(count: int) -> frozenset[Key]:
    return frozenset(Key("ModelRoute", "default", f"r{number}") for number in range(count))


KEY = frozenset([Key("ProviderKey", "default", "openai")])


def test_a_handful_may_go_at_once() -> None:
    assert believe(routes(11) | KEY, routes(1) | KEY, None) is None
    assert believe(routes(40), routes(20), None) is None


def test_most_routes_gone_need_a_second_reading_that_agrees() -> None:
    doubted = believe(routes(40), routes(5), None)
    assert doubted == Doubted(routes(5))
    assert believe(routes(40), routes(5), doubted) is None


def test_a_second_reading_that_differs_is_doubted_in_turn() -> None:
    doubted = believe(routes(40), routes(5), None)
    again = believe(routes(40), routes(6), doubted)
    assert again == Doubted(routes(6))
    assert believe(routes(40), routes(40), again) is None


def test_emptiness_is_always_doubted_but_not_at_the_start() -> None:
    assert believe(KEY, frozenset(), None) == Doubted(frozenset())
    assert believe(frozenset(), frozenset(), None) is None
    assert believe(frozenset(), routes(40), None) is None
