"""Where a provider does not say what was used, its other answers say what is likely."""

from byway_contract.money import Usage
from byway_proxy.meter import estimates
from byway_proxy.meter.estimates import Estimates

EU, US = "default/eu:m", "default/us:m"


def test_until_anything_was_told_four_bytes_and_one_chunk_are_a_token() -> None:
    known = Estimates()
    assert known.usage(EU, 400, 40, streamed=False) == Usage(100, 10)
    assert known.usage(EU, 400, 40, streamed=True) == Usage(100, 40)


def test_what_an_endpoint_told_is_what_its_silent_answers_are_taken_for() -> None:
    known = Estimates()
    known.learn(EU, Usage(50, 20), asked=400, said=100, streamed=False)
    known.learn(EU, Usage(50, 20), asked=400, said=10, streamed=True)
    assert known.usage(EU, 800, 50, streamed=False) == Usage(100, 10)
    assert known.usage(EU, 800, 50, streamed=True) == Usage(100, 100)
    assert known.usage(US, 800, 40, streamed=False) == Usage(200, 10)


def test_a_tokenizer_that_changes_is_learnt_anew() -> None:
    known = Estimates()
    for tokens in [100] * 200 + [200] * 200:
        known.learn(EU, Usage(tokens, 1), asked=400, said=0, streamed=True)
    assert known.usage(EU, 400, 0, streamed=True).prompt in (197, 198, 199, 200)


def test_however_many_endpoints_come_and_go_few_are_remembered() -> None:
    known = Estimates()
    for number in range(estimates.MOST_KNOWN + 1):
        known.learn(f"default/{number}:m", Usage(1, 1), 1, 1, streamed=True)
    assert known.usage("default/0:m", 400, 0, streamed=True).prompt == 100
