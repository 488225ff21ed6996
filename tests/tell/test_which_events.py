"""Which Events `kubectl describe` shows: that something turned, once, and never what was so already."""

from itertools import pairwise
from typing import Any

from byway_contract.table import Account, Endpoint, Route, RouteEndpoint, Tenancy, canonical, decode
from byway_operator.compile.verdict import Verdict
from byway_operator.kube.events import as_object
from byway_operator.resources.manifest import Key
from byway_operator.tell.events import Event, Events, fallen_through

ROUTE = Key("ModelRoute", "team-a", "smart")
MISSING = ("ResolvedRefs", "False", "SecretNotFound", 'spec.secretRef: no Secret "openai-key"')
FOUND = ("ResolvedRefs", "True", "ResolvedRefs", "")
PENDING = ("Programmed", "False", "Pending", "1/3 at generation 2")
PROGRAMMED = ("Programmed", "True", "Programmed", "3/3 at generation 2")
PARTIAL = ("Programmed", "False", "PartiallyProgrammed", "2/3 at generation 2; behind: p2")
NOTHING: dict[str, Any] = {"observedGeneration": -1}


def a_status(*conditions: tuple[str, str, str, str]) -> dict[str, Any]:
    fields = ("type", "status", "reason", "message")
    return {"conditions": [dict(zip(fields, condition, strict=True)) for condition in conditions]}


def told(*statuses: dict[str, Any], each_s: float = 1.0, events: Events | None = None) -> list[str]:
    """`Warning SecretNotFound` and so on, from one status after the other; the first is what the API had."""
    events = events or Events()
    said = [
        event
        for number, (before, after) in enumerate(pairwise(statuses))
        for event in events.turned(ROUTE, "u", before, after, number * each_s)
    ]
    return [f"{event.type} {event.reason}" for event in said]


def test_a_reference_that_breaks_and_is_mended_is_told_both_times() -> None:
    story = (a_status(FOUND), a_status(MISSING), a_status(FOUND))
    assert told(*story) == ["Warning SecretNotFound", "Normal ResolvedRefs"]


def test_what_was_so_already_is_no_event() -> None:
    assert told(a_status(MISSING), a_status(MISSING, PARTIAL)) == ["Warning PartiallyProgrammed"]


def test_a_new_object_that_is_well_is_no_event_and_one_that_is_not_is() -> None:
    assert told(NOTHING, a_status(FOUND, PENDING), a_status(FOUND, PROGRAMMED)) == []
    assert told(NOTHING, a_status(MISSING, PENDING)) == ["Warning SecretNotFound"]


def test_pending_between_two_truths_is_no_event() -> None:
    assert told(a_status(PROGRAMMED), a_status(PENDING), a_status(PROGRAMMED)) == []
    assert told(a_status(PARTIAL), a_status(PENDING), a_status(PROGRAMMED)) == ["Normal Programmed"]


def test_another_reason_is_another_event() -> None:
    unlabelled = ("ResolvedRefs", "False", "SecretNotLabelled", "label it")
    assert told(a_status(MISSING), a_status(unlabelled)) == ["Warning SecretNotLabelled"]


def test_what_flaps_is_told_once_in_five_minutes() -> None:
    flapping = [a_status(FOUND if number % 2 else MISSING) for number in range(60)]
    assert told(a_status(FOUND), *flapping, each_s=2.0) == ["Warning SecretNotFound", "Normal ResolvedRefs"]
    assert told(a_status(FOUND), *flapping[:4], each_s=400.0) == 2 * [
        "Warning SecretNotFound",
        "Normal ResolvedRefs",
    ]


def test_an_object_made_again_is_another_one() -> None:
    events = Events()
    assert told(a_status(FOUND), a_status(MISSING), events=events)
    (again,) = events.turned(ROUTE, "another", NOTHING, a_status(MISSING), 3.0)
    assert again.uid == "another"


def test_that_nothing_answers_behind_a_broken_reference_is_no_second_story() -> None:
    nothing_answers = ("Available", "False", "NoEndpoint", "only: SecretNotFound")
    assert told(a_status(FOUND), a_status(MISSING, nothing_answers)) == ["Warning SecretNotFound"]
    assert told(a_status(FOUND), a_status(FOUND, nothing_answers)) == ["Warning NoEndpoint"]


def test_an_event_says_who_says_it_and_of_what() -> None:
    made = as_object(Event(ROUTE, "u-1", "Warning", "SecretNotFound", "x" * 2000), "byway-operator-0", 0.0)
    assert made["involvedObject"] == {
        "apiVersion": "byway.dev/v1alpha1", "kind": "ModelRoute", "namespace": "team-a", "name": "smart",
        "uid": "u-1",
    }  # fmt: skip
    assert (made["reportingComponent"], made["reportingInstance"]) == ("byway-operator", "byway-operator-0")
    assert len(made["message"]) == 1024


WITHIN = ("Exceeded", "False", "WithinLimits", "there is something left of every limit")
OUT = ("Exceeded", "True", "Exceeded", "(everyone): 10 of 10 requests spent (Day), resets at 2026-11-17T00:00:00Z")


def test_a_budget_that_is_spent_and_one_that_has_something_left_again_are_told_once() -> None:
    assert told(a_status(WITHIN), a_status(OUT), a_status(OUT), a_status(WITHIN)) == [
        "Warning BudgetExceeded", "Normal BudgetAvailable",
    ]  # fmt: skip
    assert told(NOTHING, a_status(WITHIN)) == []
    assert told(NOTHING, a_status(OUT)) == ["Warning BudgetExceeded"]


def test_a_ledger_that_is_away_is_no_event_of_each_budget() -> None:
    away = ("Enforcing", "False", "LedgerUnavailable", "no answer")
    assert told(a_status(WITHIN), a_status(WITHIN, away), a_status(WITHIN)) == []


GONE = Verdict(ROUTE, 3, model_names=("smart", "openai/gpt-5-mini"))


def a_table(*, shared: tuple[str, ...] = (), trusted: tuple[str, ...] = ("platform",), route: str = "") -> Any:
    account = Account("platform", "openai", "openai", "OpenAI", "https://x", shared_with=shared)
    routes = {}
    if route:
        member = (RouteEndpoint("only", "platform/openai:gpt"),)
        routes = {
            f"{route}/other": canonical(Route(route, "other", ("smart",), endpoints=member, shared_with=shared))
        }
    endpoint = Endpoint("platform/openai", "openai/gpt-5-mini", "gpt")
    return decode(
        {
            "accounts": {"platform/openai": canonical(account)},
            "endpoints": {"platform/openai:gpt": canonical(endpoint)},
            "policies": {"tenancy": canonical(Tenancy(trusted))},
            "routes": routes,
        }
    )


def heir(table: Any) -> str | None:
    event = fallen_through(GONE, "u", table)
    return event.message.partition(";")[0] if event else None


def test_a_deleted_routes_name_that_now_leads_elsewhere_is_warned_of() -> None:
    assert heir(a_table(route="team-a")) == '"smart" now leads to ModelRoute "team-a/other"'
    assert heir(a_table(route="platform", shared=("*",))) == '"smart" now leads to ModelRoute "platform/other"'
    assert heir(a_table(shared=("team-a",))) == '"openai/gpt-5-mini" now leads to ProviderKey "platform/openai"'


def test_a_deleted_routes_name_that_leads_nowhere_is_no_event() -> None:
    assert heir(a_table()) is None
    assert heir(a_table(route="platform")) is None
    assert heir(a_table(route="team-b", shared=("*",), trusted=())) is None
