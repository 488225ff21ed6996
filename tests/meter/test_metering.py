import re
import uuid
from pathlib import Path

import pytest
from byway_contract.money import MOST, Price, Usage
from byway_proxy.meter.charge import MOST_TOKENS, charge
from byway_proxy.meter.ids import attempt_id, generation_id
from byway_proxy.meter.log import Log
from byway_proxy.meter.meter import Meter
from fakes.usage import COST, PRICE, USAGE, intent
from hypothesis import given
from hypothesis import strategies as some


def test_the_run_that_answered_is_billed_what_it_cost() -> None:
    charged = charge(intent(), USAGE, "provider", answered=True, finish="stop")
    assert (charged.cost, charged.billed) == (COST, COST)
    assert COST == 228_000


def test_an_attempt_that_did_not_answer_is_absorbed() -> None:
    charged = charge(intent(), USAGE, "provider", answered=False, finish="stop")
    assert (charged.cost, charged.billed) == (COST, 0)


def test_an_answer_without_any_output_is_not_billed_although_the_provider_charges() -> None:
    charged = charge(intent(), Usage(prompt=1200), "provider", answered=True, finish="")
    assert charged.cost == 180_000
    assert charged.billed == 0


def test_an_answer_without_output_that_says_why_it_ended_is_billed() -> None:
    charged = charge(intent(), Usage(prompt=1200), "provider", answered=True, finish="stop")
    assert charged.billed == 180_000


def test_an_answer_that_finished_in_an_error_is_not_billed() -> None:
    assert charge(intent(), USAGE, "provider", answered=True, finish="error").billed == 0


def test_embeddings_have_no_output_and_are_billed() -> None:
    charged = charge(intent(api="embeddings"), Usage(prompt=1200), "provider", answered=True, finish="")
    assert charged.billed == 180_000


def test_what_nobody_counted_or_priced_costs_nothing() -> None:
    unknown = charge(intent(price=Price(1, 1, per_request=5)), Usage(), "unknown", answered=False, finish="")
    assert (unknown.cost, unknown.billed) == (0, 0)
    assert charge(intent(price=None), USAGE, "provider", answered=True, finish="stop").cost == 0


def test_whoever_prices_its_own_key_at_nothing_is_billed_nothing_and_reckoned_all_the_same() -> None:
    own = intent(price=Price(0, 0), list_price=PRICE)
    charged = charge(own, USAGE, "provider", answered=True, finish="stop")
    assert (charged.cost, charged.billed, charged.reckoned) == (0, 0, COST)
    absorbed = charge(own, USAGE, "provider", answered=False, finish="stop")
    assert (absorbed.billed, absorbed.reckoned) == (0, 0)
    assert charge(intent(), USAGE, "provider", answered=True, finish="stop").reckoned == 0


def test_more_cached_than_sent_is_made_to_add_up_and_is_no_longer_the_providers_word() -> None:
    charged = charge(intent(), Usage(prompt=10, completion=1, cached=99), "provider", answered=True, finish="stop")
    assert charged.usage == Usage(prompt=10, completion=1, cached=10)
    assert charged.usage_from == "estimated"


@given(
    some.builds(Usage, *(some.integers(-(2**63), 2**63) for _ in range(9))),
    some.builds(Price, some.integers(0, MOST), some.integers(0, MOST)),
    some.booleans(),
    some.sampled_from(["", "stop", "error"]),
)
def test_whatever_a_provider_counts_it_can_be_booked(
    usage: Usage, price: Price, answered: bool, finish: str
) -> None:
    charged = charge(intent(price=price), usage, "provider", answered=answered, finish=finish)
    assert 0 <= charged.billed <= charged.cost <= MOST
    assert charged.usage.adds_up
    assert charged.usage.prompt <= MOST_TOKENS


def test_an_attempt_is_settled_exactly_once(tmp_path: Path) -> None:
    log = Log(tmp_path)
    meter = Meter(log, now=lambda: 9.0)
    meter.begin(intent("a"))
    with pytest.raises(AssertionError, match="begins twice"):
        meter.begin(intent("a"))
    settled = meter.settle("a", "ok", USAGE, "provider", answered=True, finish="stop", status=200).record
    assert (settled.at, settled.cost, settled.billed) == (9.0, COST, COST)
    with pytest.raises(AssertionError, match="settled twice"):
        meter.settle("a", "ok", answered=True)
    assert (log.last, meter.attempts, meter.billed, meter.absorbed) == (3, 1, COST, 0)
    log.close()


def test_what_failed_attempts_cost_is_counted_as_absorbed(tmp_path: Path) -> None:
    log = Log(tmp_path)
    meter = Meter(log)
    meter.begin(intent("a"))
    meter.settle("a", "failed", USAGE, "provider", answered=False, reason="status", status=500)
    assert (meter.billed, meter.absorbed) == (0, COST)
    log.close()


@given(some.integers(0, 2**48 - 1), some.binary(min_size=10, max_size=10))
def test_an_attempts_id_is_a_uuid_that_sorts_by_time(now_ms: int, dice: bytes) -> None:
    text = attempt_id(now_ms, dice)
    read = uuid.UUID(text)
    assert str(read) == text
    assert read.version == 7
    assert read.variant == uuid.RFC_4122
    assert read.int >> 80 == now_ms


def test_different_dice_give_different_ids() -> None:
    names = {attempt_id(1, bytes([n]) * 10) for n in range(256)}
    names |= {generation_id(1, bytes([n]) * 20) for n in range(62)}
    assert len(names) == 256 + 62


@given(some.binary(min_size=20, max_size=20))
def test_a_generations_id_has_the_shape_clients_know(dice: bytes) -> None:
    assert re.fullmatch(r"gen-1795477693-[0-9A-Za-z]{20}", generation_id(1_795_477_693, dice))
