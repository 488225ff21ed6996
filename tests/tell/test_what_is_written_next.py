"""Which status is written next: a person's own apply first, and nothing that the API has already."""

from collections.abc import Mapping
from typing import Any

import pytest
from byway_operator.resources.manifest import Key
from byway_operator.tell.bucket import Allowance
from byway_operator.tell.news import same
from byway_operator.tell.outbox import Haste, Outbox, Pace, Write
from byway_operator.tell.outcome import Outcome, outcome_of

T0 = "2026-11-24T10:00:00Z"
NOBODY_LOOKED = {"observedGeneration": -1}
PACE = Pace(asked=Allowance(50.0, 200), others=Allowance(10.0, 50))


def a_key(name: str = "smart", namespace: str = "team-a") -> Key:
    return Key("ModelRoute", namespace, name)


def a_status(generation: int = 1, programmed: str = "True", proxies: str = "3/3", at: str = T0) -> dict[str, Any]:
    """`programmed`: True, or the reason it is not."""
    truth, reason = ("True", "Programmed") if programmed == "True" else ("False", programmed)
    conditions = [("Accepted", "True", "Accepted", ""), ("Programmed", truth, reason, f"{proxies} at generation")]
    return {
        "observedGeneration": generation,
        "conditions": [
            {"type": kind, "status": status, "reason": why, "message": text, "lastTransitionTime": at,
             "observedGeneration": generation}
            for kind, status, why, text in conditions
        ],
        "proxies": proxies,
    }  # fmt: skip


class Desk:
    """An outbox, the API behind it, and a clock."""

    def __init__(self, pace: Pace = PACE) -> None:
        self.outbox = Outbox(pace)
        self.now = 1000.0
        self.api: dict[Key, Mapping[str, Any]] = {}
        self.uids: dict[Key, str] = {}
        self.log: list[Write] = []

    def tell(self, *statuses: tuple[Key, Mapping[str, Any]]) -> None:
        for key, _ in statuses:
            self.uids.setdefault(key, "u")
        self.outbox.tell(dict(statuses), dict(self.api), self.uids, self.now)

    def take(self) -> list[Write]:
        writes, _ = self.outbox.take(self.now)
        return writes

    def write(self, outcome: Outcome = Outcome.WRITTEN) -> list[Write]:
        """All that is taken just now, answered at once."""
        written: list[Write] = []
        while writes := self.take():
            for one in writes:
                self.outbox.settled(one, outcome, self.now)
                if outcome is Outcome.WRITTEN:
                    self.api[one.key] = one.status
            written += writes
        self.log += written
        return written

    def write_until(self, later: float) -> list[tuple[float, Key]]:
        """With the clock running: when each was written, since now."""
        began, log = self.now, []
        while self.now <= began + later:
            log += [(self.now - began, one.key) for one in self.write()]
            _, again_at = self.outbox.take(self.now)
            if again_at is None:
                break
            self.now = max(again_at, self.now + 0.001)
        return log


def names(writes: list[Write]) -> list[str]:
    return [write.key.name for write in writes]


def test_what_the_api_has_already_is_not_written() -> None:
    desk = Desk()
    desk.api[a_key()] = a_status()
    desk.tell((a_key(), a_status()))
    assert desk.write() == []


def test_when_a_condition_turned_is_no_news_while_it_has_not_turned() -> None:
    assert same(a_status(at="2026-11-24T10:00:00Z"), a_status(at="2026-11-24T11:00:00Z"))
    assert not same(a_status(), a_status(programmed="Pending"))
    assert not same(a_status(), {**a_status(), "proxies": "2/3"})
    assert not same(NOBODY_LOOKED, a_status())


def test_a_figure_that_is_known_for_the_first_time_does_not_wait_for_the_pace_of_figures() -> None:
    desk = Desk()
    desk.tell((a_key(), a_status()))
    desk.write()
    desk.now += 1
    desk.tell((a_key(), {**a_status(), "lastUsed": "2026-11-24T12:00:00Z"}))
    assert [write.haste for write in desk.write()] == [Haste.TURNED]
    desk.now += 1
    desk.tell((a_key(), {**a_status(), "lastUsed": "2026-11-24T12:00:01Z"}))
    assert desk.write() == []


def test_the_order_of_conditions_is_no_news() -> None:
    turned_round = {**a_status(), "conditions": list(reversed(a_status()["conditions"]))}
    assert same(a_status(), turned_round)


def test_a_persons_apply_is_written_before_two_thousand_statuses_of_a_start() -> None:
    desk = Desk()
    crowd = [(a_key(f"r{n}"), a_status()) for n in range(2000)]
    desk.api = {key: NOBODY_LOOKED for key, _ in crowd}
    desk.tell(*crowd)
    desk.write()
    desk.now += 1
    mine = a_key("mine")
    desk.tell(*crowd, (mine, a_status(programmed="Pending", proxies="0/3")))
    desk.now += 0.1
    desk.tell(*crowd, (mine, a_status()))
    assert names(desk.write())[0] == "mine"
    assert desk.log[0].haste is Haste.TURNED


def test_a_person_who_applies_a_folder_does_not_wait_for_the_allowance_of_a_start() -> None:
    desk = Desk()
    crowd = [(a_key(f"r{n}"), a_status()) for n in range(2000)]
    desk.tell(*crowd)
    desk.write()
    folder = [(a_key(f"mine{n}"), a_status()) for n in range(100)]
    desk.tell(*crowd, *folder)
    assert sorted(names(desk.write())) == sorted(key.name for key, _ in folder)


def test_a_start_of_two_thousand_takes_no_more_than_its_allowance() -> None:
    desk = Desk()
    crowd = [(a_key(f"r{n}"), a_status()) for n in range(2000)]
    desk.tell(*crowd)
    log = desk.write_until(300)
    assert len(log) == 2000
    assert sum(at == 0 for at, _ in log) == 50
    assert log[-1][0] == pytest.approx(195, abs=1)


def test_what_turns_for_one_is_told_before_what_a_start_has_to_tell_of_thousands() -> None:
    desk, start = Desk(), [(a_key(f"r{n}"), a_status()) for n in range(2000)]
    desk.tell(*start)
    desk.write()
    # Somebody deletes a Secret that two of them live on; one has been told of the start, the other waits for it.
    told, waiting = start[0][0], start[1999][0]
    assert told in desk.api
    assert waiting not in desk.api
    desk.now += 1
    turned = {told: a_status(programmed="NoProxies"), waiting: a_status(programmed="NoProxies")}
    desk.tell(*(dict(start) | turned).items())
    assert {key for at, key in desk.write_until(0.5)} >= turned.keys()


def test_nor_do_thousands_that_turn_at_once_hold_up_what_turns_for_one() -> None:
    desk, many = Desk(), [(a_key(f"r{n}"), a_status()) for n in range(300)]
    desk.api = dict(many)
    desk.tell(*many)
    many = [(key, a_status(programmed="NoProxies")) for key, _ in many]
    desk.tell(*many)
    desk.write()
    desk.now += 1
    desk.tell(*many[:-1], (many[-1][0], a_status(programmed="RejectedByProxy")))
    assert many[-1][0] in [key for _, key in desk.write_until(0.5)]
    # And all are told in the end.
    desk.write_until(60)
    assert all(desk.api[key]["conditions"][1]["status"] == "False" for key, _ in many)


def test_after_a_start_only_what_differs_is_written_and_a_persons_change_first() -> None:
    desk = Desk()
    crowd = [(a_key(f"r{n}"), a_status(generation=3)) for n in range(100)]
    desk.api = dict(crowd)
    desk.api[a_key("r7")] = a_status(generation=3, programmed="PartiallyProgrammed")
    desk.api[a_key("r9")] = a_status(generation=2)
    desk.tell(*crowd)
    assert names(desk.write()) == ["r9", "r7"]


def test_both_parts_of_an_answer_are_one_write_when_the_proxies_are_quick() -> None:
    desk = Desk()
    desk.tell()
    desk.tell((a_key(), a_status(programmed="Pending")))
    assert desk.write() == []
    desk.now += 0.1
    desk.tell((a_key(), a_status()))
    assert [write.status["proxies"] for write in desk.write()] == ["3/3"]


def test_when_the_proxies_take_their_time_it_is_said_that_the_object_was_seen() -> None:
    desk = Desk()
    desk.tell()
    desk.tell((a_key(), a_status(programmed="Pending")))
    desk.now += 0.2
    assert len(desk.write()) == 1
    desk.now += 1
    desk.tell((a_key(), a_status()))
    (second,) = desk.write()
    assert second.haste is Haste.ASKED


def test_what_only_informs_is_written_at_most_every_half_minute() -> None:
    desk = Desk()
    desk.tell((a_key(), a_status()))
    desk.write()
    for second in range(1, 30):
        desk.now += 1
        desk.tell((a_key(), a_status(proxies=f"{second}/40")))
        assert desk.write() == []
    desk.now += 1
    assert [write.status["proxies"] for write in desk.write()] == ["29/40"]


def test_a_condition_that_turns_does_not_wait_for_the_half_minute() -> None:
    desk = Desk()
    desk.tell((a_key(), a_status()))
    desk.write()
    desk.now += 1
    desk.tell((a_key(), a_status(programmed="PartiallyProgrammed", proxies="2/3")))
    (write,) = desk.write()
    assert write.haste is Haste.TURNED


def test_who_applied_last_is_answered_first() -> None:
    desk = Desk(Pace(asked=Allowance(1.0, 1)))
    desk.tell()
    crowd = [(a_key(f"r{n}"), a_status()) for n in range(30)]
    desk.tell(*crowd)
    desk.write()
    desk.now += 1
    desk.tell(*crowd, (a_key("mine"), a_status()))
    assert names(desk.write()) == ["mine"]


def test_an_object_has_one_write_under_way_and_the_newest_status_after_it() -> None:
    desk = Desk()
    desk.tell((a_key(), a_status()))
    (first,) = desk.take()
    desk.tell((a_key(), a_status(programmed="RejectedByProxy")))
    desk.tell((a_key(), a_status(programmed="PartiallyProgrammed")))
    assert desk.take() == []
    desk.outbox.settled(first, Outcome.WRITTEN, desk.now)
    (second,) = desk.take()
    assert second.status["conditions"][1]["reason"] == "PartiallyProgrammed"


def test_what_nobody_asked_for_does_not_fill_all_places_of_a_slow_server() -> None:
    desk = Desk()
    crowd = [(a_key(f"r{n}"), a_status()) for n in range(20)]
    desk.tell(*crowd)
    assert len(desk.take()) == 6
    desk.tell(*crowd, (a_key("mine"), a_status()))
    assert names(desk.take()) == ["mine"]


def test_a_write_that_failed_is_tried_again_ever_later_and_holds_up_nobody() -> None:
    desk = Desk()
    one, other = a_key("one"), a_key("other")
    desk.tell((one, a_status()))
    tried = []
    began = desk.now
    while len(tried) < 5:
        if desk.write(Outcome.FAILED):
            tried.append(desk.now - began)
        desk.now += 0.5
    assert tried == [0, 1, 3, 7, 15]
    desk.tell((one, a_status()), (other, a_status()))
    assert names(desk.write()) == ["other"]
    desk.now += 16
    assert names(desk.write()) == ["one"]


def test_a_server_that_answers_nobody_is_asked_seldom_and_forgets_nothing() -> None:
    desk = Desk()
    desk.tell(*((a_key(f"r{n}"), a_status()) for n in range(20)))
    asked = 0
    for _ in range(600):
        asked += len(desk.write(Outcome.NO_ANSWER))
        desk.now += 0.1
    assert 6 <= asked <= 80
    desk.now += 60
    desk.write_until(60)
    assert len(desk.api) == 20


def test_an_object_that_is_gone_is_forgotten() -> None:
    desk = Desk()
    desk.tell((a_key(), a_status()))
    (write,) = desk.take()
    desk.tell()
    desk.outbox.settled(write, Outcome.GONE, desk.now)
    assert desk.outbox.waiting == 0


def test_an_object_made_again_under_its_name_is_told_anew() -> None:
    desk = Desk()
    desk.tell((a_key(), a_status()))
    desk.write()
    desk.uids[a_key()], desk.api[a_key()] = "another", NOBODY_LOOKED
    desk.tell((a_key(), a_status()))
    (write,) = desk.write()
    assert write.uid == "another"


def test_our_own_echo_is_no_news_and_somebody_elses_hand_is_set_right() -> None:
    desk = Desk()
    desk.api[a_key()] = NOBODY_LOOKED
    desk.tell((a_key(), a_status()))
    desk.write()
    desk.api[a_key()] = dict(a_status())
    desk.now += 60
    desk.tell((a_key(), a_status()))
    assert desk.write() == []
    desk.api[a_key()] = a_status(programmed="RejectedByProxy")
    desk.tell((a_key(), dict(a_status())))
    assert len(desk.write()) == 1


def test_in_a_hurry_what_people_wait_for_is_written_and_what_informs_is_left() -> None:
    desk = Desk(Pace(others=Allowance(1.0, 1)))
    seen = [(a_key(f"seen{n}"), a_status()) for n in range(3)]
    desk.api = dict(seen)
    crowd = [(a_key(f"r{n}"), a_status()) for n in range(30)]
    desk.tell(*crowd, *((key, a_status(proxies="2/2")) for key, _ in seen))
    desk.outbox.hurry()
    assert sorted(names(desk.write())) == sorted(key.name for key, _ in crowd)
    assert not desk.outbox.pressing


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(0, "NO_ANSWER"), (401, "NO_ANSWER"), (403, "FORBIDDEN"), (404, "GONE"), (409, "CONFLICT"), (422, "REFUSED"),
     (429, "NO_ANSWER"), (500, "FAILED"), (503, "NO_ANSWER")],
)  # fmt: skip
def test_what_an_answer_means_for_the_next_write(status: int, outcome: str) -> None:
    assert outcome_of(status).name == outcome
