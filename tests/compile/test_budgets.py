"""Whom a Budget binds and what it limits: nobody binds others or gets round one, and the ledger takes them all."""

import copy
import time
from typing import Any

import msgspec
import pytest
from byway_contract.budget import Budget
from byway_contract.grants import MOST_LIMITS, Limit, Limits
from byway_contract.records import Intent
from byway_contract.table import decode
from byway_ledger.grants import rules
from byway_operator.compile import budgets
from byway_operator.compile.catalogue.catalogue import load
from byway_operator.compile.compile import compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.standing import Readings
from byway_operator.compile.verdict import Compiled
from byway_operator.resources.manifest import Key, Manifest, Surroundings
from hypothesis import given, settings
from hypothesis import strategies as st

TRUSTED = Settings(trusted_namespaces=("platform",), namespace="platform")
MONTH = [{"period": "Month", "usd": "5"}]
NEVER = "2026-02-30T00:00:00Z"
LABELS = {"team-a": {"tier": "paid"}, "team-b": {}, "platform": {}}


def budget(name: str = "b", namespace: str = "team-a", created: str = "", **spec: Any) -> Manifest:
    spec.setdefault("limits", MONTH)
    body = {"apiVersion": "byway.dev/v1alpha1", "kind": "Budget", "metadata": {"name": name}, "spec": spec}
    return Manifest(Key("Budget", namespace, name), body, created=created)


def compiled(*manifests: Manifest, good: tuple[Manifest, ...] = ()) -> Compiled:
    return compile_table(
        {one.key: one for one in manifests},
        held_back={one.key: one for one in good},
        refused={},
        settings=TRUSTED,
        catalogue=load(),
        surroundings=Surroundings(LABELS),
    )


def the_limit(made: Compiled) -> Limit:
    (one,) = made.limits
    return one


def an_intent(namespace: str, **fields: Any) -> Intent:
    usual: dict[str, Any] = {
        "attempt": "a", "request": "gen-1", "attempt_no": 1, "at": 0.0, "namespace": namespace, "route": "r",
        "endpoint": "e", "account": "team-b/openai", "provider": "openai", "model": "openai/gpt-5", "price": None,
    }  # fmt: skip
    known = {field.name for field in msgspec.structs.fields(Intent)}
    return Intent(**{name: value for name, value in {**usual, **fields}.items() if name in known})


_applies = st.fixed_dictionaries(
    {},
    optional={
        "models": st.just(["openai/*"]),
        "serviceAccounts": st.just(["web"]),
        "accessKeys": st.just(["ci"]),
        "users": st.just(["ada"]),
    },
)
_callers = st.fixed_dictionaries(
    {"service_account": st.sampled_from(["web", "other"]), "access_key": st.sampled_from(["", "ci"]),
     "user_id": st.sampled_from(["", "ada"]), "account": st.sampled_from(["team-a/openai", "team-b/openai"])}
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(_applies, _callers)
def test_a_tenants_budget_counts_its_own_callers_alone(applies: dict[str, Any], caller: dict[str, str]) -> None:
    limit = the_limit(compiled(budget(appliesTo=applies)))
    assert not limit.match.fits(an_intent("team-b", **caller))
    assert not limit.match.fits(an_intent("platform", **caller))


@settings(max_examples=200, deadline=None)
@given(_applies, _callers)
def test_a_tenants_budget_on_its_account_counts_nothing_that_another_pays(
    applies: dict[str, Any], caller: dict[str, str]
) -> None:
    limit = the_limit(compiled(budget(appliesTo={**applies, "providerKeys": ["openai"]})))
    if limit.match.fits(an_intent("team-b", **caller)):
        assert caller["account"] == "team-a/openai"


def test_the_account_of_a_namespace_is_budgeted_whoever_calls() -> None:
    limit = the_limit(compiled(budget(appliesTo={"providerKeys": ["openai"]})))
    assert limit.match.fits(an_intent("team-b", account="team-a/openai"))
    assert not limit.match.fits(an_intent("team-a", account="platform/openai"))


def test_a_platform_budget_is_not_dodged_by_another_route_a_key_or_a_user() -> None:
    limit = the_limit(compiled(budget(namespace="platform", appliesTo={"namespaces": {"names": ["team-a"]}})))
    for fields in ({"route": "team-a/new"}, {"access_key": "k"}, {"user_id": "x"}, {"account": "team-a/own"}):
        assert limit.match.fits(an_intent("team-a", **fields))
    assert limit.dearest  # a tenant's own price for its key does not make it cheaper
    assert not the_limit(compiled(budget())).dearest


def test_a_tenant_cannot_touch_the_platforms_budget() -> None:
    ours = budget(name="team-a", namespace="platform", appliesTo={"namespaces": {"names": ["team-a"]}})
    loose = budget(name="team-a", limits=[{"period": "Month", "usd": "999999999"}], appliesTo={"models": ["none"]})
    made = compiled(ours, loose)
    assert (
        decode(made.sections).budgets["platform/team-a"]
        == decode(compiled(ours).sections).budgets["platform/team-a"]
    )
    assert {limit.id for limit in made.limits} == {
        "platform/team-a/Month/nanodollars", "team-a/team-a/Month/nanodollars",
    }  # fmt: skip


def test_a_label_that_is_taken_away_takes_the_budget_away_and_binds_nobody_instead() -> None:
    chosen = budget(namespace="platform", appliesTo={"namespaces": {"selector": {"matchLabels": {"tier": "paid"}}}})
    assert the_limit(compiled(chosen)).match.namespaces == ("team-a",)
    made = compile_table(
        {chosen.key: chosen}, held_back={chosen.key: chosen}, refused={}, settings=TRUSTED, catalogue=load(),
        surroundings=Surroundings({"team-a": {}}),
    )  # fmt: skip
    assert (made.limits, dict(made.sections["budgets"])) == ((), {})
    assert "binds nobody" in made.verdicts[chosen.key].resolved.message


def test_a_budget_under_another_name_is_another_limit_that_counts_the_same() -> None:
    (before,), (after,) = compiled(budget("old")).limits, compiled(budget("new")).limits
    assert before.id != after.id
    assert before.match == after.match


def test_a_deleted_budget_is_gone_at_once_and_its_last_good_form_with_it() -> None:
    made = compiled(good=(budget(),))
    assert (made.limits, dict(made.sections["budgets"])) == ((), {})


def test_the_order_in_which_a_second_writer_leaves_lists_changes_nothing() -> None:
    limits = [{"period": "Month", "usd": "5"}, {"period": "Day", "tokens": 7}]
    ups = [{"name": "b", "period": "Month", "usd": "1"}, {"name": "a", "period": "Month", "usd": "2"}]
    applies = {"models": ["b", "a"], "users": ["y", "x"]}
    one = compiled(budget(limits=limits, topUps=ups, appliesTo=applies))
    reordered = {name: values[::-1] for name, values in applies.items()}
    other = compiled(budget(limits=limits[::-1], topUps=ups[::-1], appliesTo=reordered))
    assert (one.hash, one.limits_hash) == (other.hash, other.limits_hash)


def test_what_is_not_written_differently_is_the_same_limit() -> None:
    assert (
        compiled(budget()).limits_hash == compiled(budget(limits=[{"period": "Month", "usd": "5.00"}])).limits_hash
    )
    assert compiled(budget()).limits_hash != compiled(budget(timeZone="Asia/Tokyo")).limits_hash


def test_a_namespaces_many_budgets_leave_room_for_everybodys() -> None:
    per_budget = [
        {"period": p, "usd": "1", "tokens": 1, "requests": 1} for p in ("Day", "Week", "Month", "Lifetime")
    ]
    many = [budget(f"b{number:03}", "team-b", "2026-01-01T00:00:00Z", limits=per_budget) for number in range(90)]
    made = compiled(*many, budget("young", "team-a", "2026-11-01T00:00:00Z"))
    of_b = [limit for limit in made.limits if limit.budget.startswith("team-b/")]
    assert len(of_b) == budgets.MOST_LIMITS_OF_A_TENANT // 12 * 12
    assert made.verdicts[many[-1].key].accepted.reason == "Invalid"
    assert "take some out" in made.verdicts[many[-1].key].accepted.message
    assert any(limit.budget == "team-a/young" for limit in made.limits)


def test_names_in_namespaces_have_an_end() -> None:
    names = {"serviceAccounts": [f"s{number}" for number in range(64)]}
    teams = {"names": [f"team-{number}" for number in range(65)]}
    made = compiled(budget(namespace="platform", appliesTo={**names, "namespaces": teams}))
    assert "more than 4096" in made.verdicts[Key("Budget", "platform", "b")].accepted.message


_ids = st.text("ab-", min_size=1, max_size=3).map(lambda text: f"n{text}n")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_ids, st.sampled_from(["team-a", "platform"])), max_size=6))
def test_the_ledger_takes_whatever_is_compiled(names: list[tuple[str, str]]) -> None:
    every = [{"period": p, "usd": "999999999.999999999"} for p in ("Day", "Week", "Month", "Lifetime")]
    ups = [{"name": "a", "period": "Day", "usd": "999999999", "for": "x"}]
    made = compiled(*(budget(name, home, limits=every, per="User", topUps=ups) for name, home in names))
    message = msgspec.json.encode(Limits(1, 1, made.limits_hash, made.limits))
    assert rules(msgspec.json.decode(message, type=Limits)).limits.keys() == {limit.id for limit in made.limits}
    assert len(made.limits) <= MOST_LIMITS
    for one in decode(made.sections).budgets.values():
        assert {one.limit_id(line) for line in one.counted()} <= {limit.id for limit in made.limits}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"topUps": [{"name": "a", "period": "Month", "usd": "0.00"}]}, "raises nothing"),
        ({"topUps": [{"name": "a", "period": "Month", "usd": "1", "for": "x"}]}, "goes with per"),
        ({"topUps": [{"name": "a", "period": "Month", "usd": "1", "until": NEVER}]}, "no calendar"),
        ({"enforcement": "Observe", "downgrade": {"model": "m"}}, "goes with enforcement: Enforce"),
        ({"timeZone": "localtime"}, "no time zone"),
        ({"timeZone": "../etc"}, "no time zone"),
        ({"per": "Namespace", "topUps": [{"name": "a", "period": "Month", "usd": "1", "for": "b"}]}, '"b"'),
        ({"per": "User", "appliesTo": {"users": ["x"]},
          "topUps": [{"name": "a", "period": "Month", "usd": "1", "for": "y"}]}, '"y"'),
    ],
)  # fmt: skip
def test_what_would_do_nothing_is_refused(spec: dict[str, Any], said: str) -> None:
    verdict = compiled(budget(**copy.deepcopy(spec))).verdicts[Key("Budget", "team-a", "b")]
    assert verdict.accepted.status == "False"
    assert said in verdict.accepted.message
    assert verdict.budget is None


def test_whose_counter_a_top_up_raises_is_spelled_as_attempts_are_counted() -> None:
    for per, written, counted in (
        ("ServiceAccount", "web", "team-a/web"), ("AccessKey", "team-a/ci", "team-a/ci"),
        ("Namespace", "team-a", "team-a"), ("User", "ada@example.com", "ada@example.com"),
    ):  # fmt: skip
        ups = [{"name": "a", "period": "Month", "usd": "1", "for": written}]
        (up,) = the_limit(compiled(budget(per=per, topUps=ups))).top_ups
        assert up.subject == counted


def test_a_verdict_says_what_proxies_and_ledger_are_told() -> None:
    made = compiled(budget(limits=[*MONTH, {"period": "Minute", "requests": 3}]))
    verdict = made.verdicts[Key("Budget", "team-a", "b")]
    assert isinstance(verdict.budget, Budget)
    assert [line.period for line in verdict.budget.lines] == ["Minute", "Month"]
    assert verdict.limits == made.limits


def test_a_thousand_budgets_are_compiled_in_a_moment() -> None:
    many = [
        budget(f"b{number}", f"team-{number % 100}", limits=[*MONTH, {"period": "Day", "usd": "1"}])
        for number in range(1000)
    ]
    world, readings = {one.key: one for one in many}, Readings()
    for _ in range(2):
        began = time.process_time()
        made = compile_table(world, held_back={}, refused={}, settings=TRUSTED, catalogue=load(), readings=readings)
        took = time.process_time() - began
    assert len(made.limits) == 2000
    assert took < 1.0
