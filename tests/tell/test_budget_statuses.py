"""What a Budget's status says: what is left, who is near the end, and whether it is measured at all."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from builders.spending import (
    BUDGET,
    HASH,
    KEY,
    NOON,
    Telling,
    a_budget,
    a_counter,
    a_fleet,
    a_line,
    condition,
    message,
    usd,
)
from byway_contract.grants import Counters, TopUp
from byway_contract.money import Price
from byway_contract.report import BudgetReport, Report
from byway_contract.table import Endpoint
from byway_operator.compile.verdict import Condition, Verdict
from byway_operator.push.spend import Spend, heard, silent
from byway_operator.resources.manifest import Manifest
from byway_operator.resources.structural import structural
from byway_operator.tell.books import Books
from byway_operator.tell.columns import table_of
from byway_operator.tell.news import turned
from byway_operator.tell.statuses import status_model
from byway_operator.tell.summary import Summary
from byway_operator.tell.tell import status_of

DECEMBER = "2026-12-01T00:00:00Z"


def test_what_is_left_adds_up_and_says_when_it_begins_anew() -> None:
    used = a_counter(spent=usd(120.5), reserved=usd(1.25), stranded=usd(2), metered=9)
    status = Telling().status(used)
    assert status["tightest"] == {
        "period": "Month", "unit": "usd", "limit": "500", "spent": "120.5", "reserved": "1.25",
        "remaining": "376.25", "resetsAt": DECEMBER,
    }  # fmt: skip
    assert status["limits"] == [{**status["tightest"], "stranded": "2", "forecast": "233"}]
    assert status["overspendBound"] == "0"
    assert condition(status, "Enforcing") == ("True", "Metering")
    assert condition(status, "Exceeded") == ("False", "WithinLimits")
    assert "consumers" not in status
    assert "refused" not in status


def test_a_limit_that_nobody_has_used_yet_is_whole_in_the_budgets_own_time_zone() -> None:
    status = Telling(time_zone="Europe/Berlin").status()
    assert status["tightest"]["remaining"] == status["tightest"]["limit"] == "500"
    assert status["tightest"]["resetsAt"] == "2026-11-30T23:00:00Z"
    assert status["limits"][0]["forecast"] == "0"


def test_each_unit_of_each_period_has_a_line_and_the_one_with_the_least_left_is_the_tightest() -> None:
    lines = a_line(usd(500)), a_line(1_000_000, "Day", "tokens"), a_line(100, "Lifetime", "requests")
    status = Telling(a_budget(*lines)).status(
        a_counter(spent=usd(100)),
        a_counter(period="Day", unit="tokens", spent=900_000),
        a_counter(period="Lifetime", unit="requests", spent=50),
    )
    assert [(line["period"], line["unit"], line["spent"]) for line in status["limits"]] == [
        ("Month", "usd", "100"), ("Day", "tokens", 900_000), ("Lifetime", "requests", 50),
    ]  # fmt: skip
    assert status["tightest"]["remaining"] == 100_000
    assert "resetsAt" not in status["limits"][2]
    assert "forecast" not in status["limits"][2]


def test_a_minute_limit_shows_what_all_proxies_used_and_is_never_the_tightest_beside_another() -> None:
    budget = a_budget(a_line(60, "Minute", "requests"), a_line(usd(500)))
    reports = [BudgetReport(3, used={"requests": {"": 40}}), BudgetReport(2, used={"requests": {"": 19}})]
    status = Telling(budget).status(reports=reports)
    assert status["limits"][0] == {"period": "Minute", "unit": "requests", "limit": 60, "spent": 59, "remaining": 1}
    assert status["tightest"]["period"] == "Month"
    alone = Telling(a_budget(a_line(60, "Minute", "requests"))).status(reports=reports)
    assert alone["tightest"]["remaining"] == 1
    assert condition(alone, "Exceeded") == ("False", "WithinLimits")


def test_a_window_that_is_over_counts_for_nothing() -> None:
    told = Telling(a_budget(a_line(10, "Day", "requests")))
    full = a_counter(period="Day", unit="requests", spent=10)
    today = told.status(full)
    assert condition(today, "Exceeded") == ("True", "Exceeded")
    assert message(today, "Exceeded") == (
        "(everyone): 10 of 10 requests spent (Day), resets at 2026-11-17T00:00:00Z"
    )
    tomorrow = told.status(full, now=NOON + 43_200)
    assert condition(tomorrow, "Exceeded") == ("False", "WithinLimits")
    assert tomorrow["tightest"]["resetsAt"] == "2026-11-18T00:00:00Z"


def test_top_ups_count_until_they_end_and_only_for_whom_they_are() -> None:
    top_ups = TopUp(usd(200), NOON + 60, "team-a"), TopUp(usd(50), NOON + 99)
    told = Telling(a_budget(a_line(usd(500), "Month", "nanodollars", *top_ups), per="Namespace"))
    used = a_counter("team-a", spent=usd(600)), a_counter("team-b", spent=usd(10))
    limits = {one["name"]: one["limit"] for one in told.status(*used)["consumers"]}
    assert limits == {"team-a": "750", "team-b": "550"}
    later = told.status(*used, now=NOON + 61)
    assert (later["tightest"]["name"], later["tightest"]["limit"]) == ("team-a", "550")
    assert condition(later, "Exceeded") == ("True", "OverByLimitChange")


def test_the_twenty_who_are_nearest_to_their_limit_are_named() -> None:
    told = Telling(a_budget(a_line(1000, "Month", "tokens"), per="User"))
    counters = [a_counter(f"u{n:02}@example.com", unit="tokens", spent=n * 10) for n in range(30)]
    status = told.status(*counters, a_counter(unit="tokens", spent=999))
    names = [one["name"] for one in status["consumers"]]
    assert (len(names), names[:2]) == (20, ["(no proven user)", "u29@example.com"])
    assert status["tightest"]["spent"] == 999


def test_who_is_refused_is_named_and_the_beginning_and_the_end_of_it_are_told_at_once() -> None:
    told = Telling(a_budget(a_line(100, "Month", "tokens"), per="ServiceAccount"))
    used = a_counter("team-a/ci", unit="tokens", spent=90)
    quiet = told.status(used)
    refused = told.status(used, reports=[BudgetReport(refused={"team-a/ci": NOON, "team-a/job": NOON - 300})])
    assert refused["refused"] == ["team-a/ci"]
    assert {one["name"]: one.get("refusedAt") for one in refused["consumers"]} == {
        "team-a/ci": "2026-11-16T12:00:00Z", "team-a/job": "2026-11-16T11:55:00Z",
    }  # fmt: skip
    assert turned(quiet, refused)
    later = told.status(used, now=NOON + 61, reports=[BudgetReport(refused={"team-a/ci": NOON})])
    assert "refused" not in later
    assert turned(refused, later)


def test_figures_alone_are_no_turn_but_the_first_and_those_past_a_mark_are() -> None:
    told = Telling()
    amounts = 0, 1, usd(9), usd(250), usd(251), usd(399), usd(401), usd(449), usd(451), usd(499)
    statuses = [told.status(a_counter(spent=amount, metered=1)) for amount in amounts]
    turns = [turned(before, after) for before, after in pairwise(statuses)]
    assert turns == [True, False, False, True, False, True, False, True, False]


def test_a_forecast_waits_for_a_twentieth_of_the_window_and_does_not_follow_the_clock() -> None:
    told, used = Telling(), a_counter(spent=usd(10))
    assert "forecast" not in told.status(used, now=NOON - 15 * 86_400)["limits"][0]
    first = told.status(used)["limits"][0]["forecast"]
    assert told.status(used, now=NOON + 3600)["limits"][0]["forecast"] == first
    assert told.status(a_counter(spent=usd(100)))["limits"][0]["forecast"] == "194"


def test_a_little_that_no_request_fits_is_out_once_somebody_was_refused_and_stays_out() -> None:
    told = Telling()
    nearly = a_counter(spent=usd(499.9999), metered=9)
    assert condition(told.status(nearly), "Exceeded") == ("False", "WithinLimits")
    refused = [BudgetReport(refused={"": NOON})]
    assert condition(told.status(nearly, reports=refused), "Exceeded") == ("True", "Exceeded")
    assert condition(told.status(nearly, now=NOON + 900), "Exceeded") == ("True", "Exceeded")
    assert condition(told.status(a_counter(spent=usd(9), metered=9)), "Exceeded")[0] == "False"


def test_a_limit_lowered_below_what_is_spent_says_so() -> None:
    told = Telling()
    used = a_counter(spent=usd(120), metered=7)
    told.status(used)
    told.know(a_budget(a_line(usd(100))))
    status = told.status(used)
    assert condition(status, "Exceeded") == ("True", "OverByLimitChange")
    assert "120 of 100 usd spent (Month), over by limit change" in message(status, "Exceeded")
    assert status["tightest"]["remaining"] == "0"


def test_what_streams_ran_over_is_no_change_of_the_limit() -> None:
    over = a_counter(spent=usd(500.001), overrun=usd(0.001), metered=7)
    assert condition(Telling().status(over), "Exceeded") == ("True", "Exceeded")


def test_traffic_that_goes_by_uncounted_is_not_measured_once_that_has_lasted() -> None:
    told = Telling()
    told.status()
    told.status(a_counter(unmetered=2, spent=5), now=NOON + 5)
    early = told.status(a_counter(unmetered=3, spent=7), now=NOON + 30)
    assert condition(early, "Enforcing") == ("True", "Metering")
    late = told.status(a_counter(unmetered=4, spent=9), now=NOON + 36)
    assert condition(late, "Enforcing") == ("False", "NotMeasured")
    assert message(late, "Enforcing").startswith(
        f"4 attempts that {BUDGET}/Month/nanodollars applies to were booked"
    )
    counted = told.status(a_counter(unmetered=4, metered=1, spent=11), now=NOON + 40)
    assert condition(counted, "Enforcing") == ("True", "Metering")


def test_what_a_proxy_holds_and_has_not_settled_yet_is_measured() -> None:
    told = Telling()
    told.status(a_counter(unmetered=2), reports=[BudgetReport(1)])
    going_on = told.status(a_counter(unmetered=2), now=NOON + 60, reports=[BudgetReport(2)])
    assert condition(going_on, "Enforcing") == ("True", "Metering")


def test_uncounted_traffic_after_counted_traffic_is_not_measured_either() -> None:
    told = Telling()
    told.status(a_counter(metered=50, unmetered=8))
    told.status(a_counter(metered=50, unmetered=9), now=NOON + 5)
    late = told.status(a_counter(metered=50, unmetered=9), now=NOON + 40)
    assert condition(late, "Enforcing") == ("False", "NotMeasured")
    assert message(late, "Enforcing").startswith("1 attempt that")


def test_a_budget_that_only_observes_says_so_and_is_no_failure() -> None:
    told = Telling(a_budget(observe=True))
    told.status(a_counter(unmetered=5, spent=usd(600)))
    status = told.status(a_counter(unmetered=9, spent=usd(700)), now=NOON + 60)
    assert condition(status, "Enforcing") == ("True", "Observing")
    assert condition(status, "Exceeded")[0] == "True"
    assert message(status, "Exceeded").endswith("nobody is refused: spec.enforcement is Observe")
    assert "overspendBound" not in status


def test_a_silent_ledger_is_told_after_three_missed_answers_and_what_it_said_stands() -> None:
    told = Telling()
    spend = heard(Counters([a_counter(spent=usd(3), metered=1)], HASH))
    told.status(spend=spend)
    soon = told.status(spend=silent(spend, "no answer", NOON), now=NOON + 14)
    assert condition(soon, "Enforcing") == ("True", "Metering")
    late = told.status(spend=silent(spend, "connection refused", NOON), now=NOON + 15)
    assert condition(late, "Enforcing") == ("False", "LedgerUnavailable")
    assert "connection refused" in message(late, "Enforcing")
    assert late["tightest"]["spent"] == "3"


def test_a_proxy_that_cannot_reach_the_ledger_is_named() -> None:
    fleet = a_fleet(Report("t", True), Report("t", True, ledger=False))
    status = Telling().status(fleet=fleet)
    assert condition(status, "Enforcing") == ("False", "LedgerUnavailable")
    assert "proxy-1" in message(status, "Enforcing")
    assert "proxy-0" not in message(status, "Enforcing")
    rates = Telling(a_budget(a_line(60, "Minute", "requests"))).status(fleet=fleet)
    assert condition(rates, "Enforcing") == ("True", "Metering")


def test_an_operator_that_begins_to_lead_repeats_what_was_said_until_the_ledger_answers() -> None:
    before = Telling().status(a_counter(spent=usd(500), metered=1))
    successor = Telling(before=before)
    assert successor.status(spend=Spend()) == before
    newborn = Telling().status(spend=Spend())
    assert condition(newborn, "Enforcing") == ("Unknown", "Pending")
    assert condition(newborn, "Exceeded") == ("Unknown", "Pending")


def test_without_a_ledger_nothing_is_enforced() -> None:
    told = Telling()
    status = status_of(
        Verdict(KEY, 1, fingerprint="form"), Manifest(KEY, {}), a_fleet(), Summary(), None, NOON,
        books=told.books(None),
    )  # fmt: skip
    assert condition(status, "Enforcing") == ("False", "LedgerUnavailable")
    assert "BYWAY_LEDGER" in message(status, "Enforcing")


UNPRICED = {
    "team-a/own:m": Endpoint("team-a/own", "m", "m"),
    "team-a/own:p": Endpoint("team-a/own", "p", "p", Price(1, 2)),
}


def test_endpoints_without_a_price_are_named_until_they_have_one() -> None:
    report = BudgetReport(unpriced=("team-a/own:gone", "team-a/own:m", "team-a/own:p"))
    status = Telling(endpoints=UNPRICED).status(reports=[report])
    assert condition(status, "Enforcing") == ("False", "UnpricedEndpoint")
    assert "team-a/own:m;" in message(status, "Enforcing")
    assert "own:p" not in message(status, "Enforcing")
    priced = {name: replace_price(endpoint) for name, endpoint in UNPRICED.items()}
    assert condition(Telling(endpoints=priced).status(reports=[report]), "Enforcing") == ("True", "Metering")


def replace_price(endpoint: Endpoint) -> Endpoint:
    return Endpoint(endpoint.account, endpoint.model, endpoint.upstream_model, Price(1, 2))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (a_line(usd(5)), "0.00099 usd × running streams"),
        (a_line(5, "Day", "tokens"), "66 tokens × running streams"),
        (a_line(5, "Day", "requests"), "0"),
    ],
)
def test_the_bound_of_a_metered_budget_is_what_each_running_stream_may_run_over(line: Any, expected: str) -> None:
    endpoints = {
        "team-a/own:dear": Endpoint("team-a/own", "dear", "dear", Price(usd(3), usd(15))),
        "team-a/own:cheap": Endpoint("team-a/own", "cheap", "cheap", Price(usd(1), usd(2))),
    }
    assert Telling(a_budget(line, metered=True), endpoints).status()["overspendBound"] == expected


def test_programmed_waits_for_the_ledger_to_take_the_limits() -> None:
    told = Telling()
    other = told.status(spend=heard(Counters([], "another hash")))
    assert condition(other, "Programmed") == ("False", "Pending")
    assert message(other, "Programmed") == "1/1 at generation 1; the ledger has not taken its limits yet"
    assert condition(told.status(), "Programmed") == ("True", "Programmed")


def test_limits_of_other_budgets_leave_this_one_programmed() -> None:
    told = Telling()
    told.status()
    told.know(told.budget, "h2")
    assert condition(told.status(), "Programmed") == ("True", "Programmed")
    told.know(a_budget(a_line(usd(9))), "h3")
    told.generation = 2
    assert condition(told.status(), "Programmed") == ("False", "Pending")


def test_limits_that_the_ledger_took_count_though_it_still_has_others_that_are_on_their_way_out() -> None:
    told = Telling()
    assert told.bookkeeping.hear(heard(Counters([], "more than these")), {}, NOON, HASH).books[BUDGET].taken


def test_limits_that_another_operator_brought_are_believed_to_be_those_that_were_programmed() -> None:
    before = Telling().status()
    unknown = heard(Counters([], "another hash"))
    assert condition(Telling(before=before).status(spend=unknown), "Programmed") == ("True", "Programmed")


def test_a_budget_that_is_not_in_force_says_why() -> None:
    wrong = Condition("False", "Invalid", 'spec.timeZone: no time zone "Mars"')
    verdict = Verdict(KEY, 1, accepted=wrong, serves="nothing")
    status = status_of(verdict, Manifest(KEY, {}), a_fleet(), Summary(), None, NOON, books=Books(heard=True))
    assert condition(status, "Enforcing") == ("False", "NotMeasured")
    assert message(status, "Enforcing") == f"it is not in force: {wrong.message}"


def test_kubectl_get_budgets_is_the_dashboard() -> None:
    status = Telling().status(a_counter(spent=usd(120.5), reserved=usd(1.25), metered=3))
    manifest = Manifest(KEY, {}, created="2026-11-16T11:00:00Z")
    assert table_of("Budget", [(manifest, status)], NOON) == [
        ["NAME", "LIMIT", "SPENT", "RESERVED", "REMAINING", "RESETS", "ENFORCING", "AGE"],
        ["monthly", "500", "120.5", "1.25", "378.25", DECEMBER, "True", "60m"],
    ]


def test_kubectl_explain_knows_every_field_of_a_budgets_status() -> None:
    told = Telling(a_budget(a_line(100, "Month", "tokens"), per="User"))
    used = a_counter("ada@example.com", unit="tokens", spent=90)
    status = told.status(used, reports=[BudgetReport(refused={"ada@example.com": NOON})])
    described = structural(status_model("Budget"))["properties"]
    assert status.keys() == described.keys()
    assert status["tightest"].keys() == described["tightest"]["properties"].keys()
    for name in ("limits", "consumers"):
        assert status[name][0].keys() == described[name]["items"]["properties"].keys()


def test_a_status_is_told_again_only_where_books_differ() -> None:
    told = Telling()
    spend = heard(Counters([a_counter(spent=1, metered=1)], HASH))
    first = told.books(spend)
    assert told.books(spend, NOON + 5) is first
    assert told.books(replace(spend), NOON + 10).books == first.books
