"""LISTs and watches arrive in whatever order; what is held is the truth all the same."""

from typing import Any

import pytest
from byway_operator.watch import held
from byway_operator.watch.held import Held, Object, Relisted
from hypothesis import given
from hypothesis import strategies as st


def pod(name: str, version: int, says: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "a", "resourceVersion": str(version)}, "says": says}


def said(found: Object, _before: str | None) -> str:
    return str(found["says"])


def names(held: Held[str]) -> set[str]:
    return {name for (_, name), _ in held.items()}


def listed(*found: Object, version: int) -> Held[str]:
    made = Held(said)
    made.relist(found, version)
    return made


def test_what_is_made_while_a_list_is_on_its_way_stays() -> None:
    held = Held(said)
    assert held.take(pod("new", 12))
    assert held.relist([pod("old", 5)], 10) == Relisted(True, 0)
    assert names(held) == {"old", "new"}


def test_what_is_deleted_while_a_list_is_on_its_way_does_not_come_back() -> None:
    held = listed(pod("x", 5), version=8)
    assert held.drop(pod("x", 12))
    assert held.names_after([pod("x", 5)], 10) == frozenset()
    assert held.relist([pod("x", 5)], 10) == Relisted(False, 0)
    assert names(held) == set()


def test_a_deletion_that_no_watch_told_is_counted() -> None:
    held = listed(pod("x", 5), pod("y", 6), version=8)
    assert held.relist([pod("y", 6)], 20) == Relisted(True, 1)
    assert names(held) == {"y"}


def test_an_event_from_before_the_list_brings_nothing_back() -> None:
    held = listed(pod("y", 6), version=20)
    assert not held.take(pod("x", 19))
    assert not held.drop(pod("y", 5))
    assert names(held) == {"y"}


def test_the_same_name_made_again_is_not_taken_for_the_deleted_one() -> None:
    held = listed(pod("x", 5), version=8)
    assert held.take(pod("x", 14, "second"))
    assert not held.drop(pod("x", 12))
    assert list(held) == ["second"]


def test_an_older_form_never_replaces_a_newer_one() -> None:
    held = listed(pod("x", 9, "new"), version=10)
    assert not held.take(pod("x", 7, "old"))
    assert not held.relist([pod("x", 7, "old")], 8).changed
    assert list(held) == ["new"]


def test_another_version_of_the_same_content_is_no_news() -> None:
    held = listed(pod("x", 9, "same"), version=10)
    assert not held.take(pod("x", 11, "same"))
    assert not held.relist([pod("x", 12, "same")], 13).changed


def test_deletions_are_remembered_until_the_next_list_and_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MOST_GONE", 3)
    some = Held(said)
    for version in range(1, 6):
        some.drop(pod(f"p{version}", version))
    assert len(some._gone) == 3
    some.relist([], 10)
    assert not some._gone


@given(st.data())
def test_whatever_the_order_the_last_list_and_all_events_make_the_truth(data: st.DataObject) -> None:
    """A history of three names; LISTs are taken at random moments, events and LISTs are delivered late at random,
    each kind of them in order. At the end of the last LIST and the last event everything is as it is."""
    history = data.draw(st.lists(st.sampled_from("abc"), max_size=12))
    alive: dict[str, int] = {}
    events: list[tuple[str, dict[str, Any]]] = []
    truth: list[dict[str, int]] = [{}]
    for version, name in enumerate(history, 1):
        if name in alive and data.draw(st.booleans()):
            del alive[name]
            events.append(("drop", pod(name, version, str(version))))
        else:
            alive[name] = version
            events.append(("take", pod(name, version, str(version))))
        truth.append(dict(alive))
    at = sorted(data.draw(st.lists(st.integers(0, len(history)), min_size=1, max_size=4)))
    known, told, lists = Held(said), 0, 0
    while told < len(events) or lists < len(at):
        if told < len(events) and (lists == len(at) or data.draw(st.booleans())):
            what, found = events[told]
            known.take(found) if what == "take" else known.drop(found)
            told += 1
        else:
            found_then = [pod(name, version, str(version)) for name, version in truth[at[lists]].items()]
            known.relist(found_then, at[lists])
            lists += 1
    assert {name: value for (_, name), value in known.items()} == {n: str(v) for n, v in alive.items()}
