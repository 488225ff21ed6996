"""What a resource's status says, from acks, nacks and reports."""

from collections.abc import Mapping
from typing import Any

import pytest
from byway_contract.report import EndpointReport, LastError, ProviderKeyReport, Quota, Report
from byway_contract.stream import Nack, Pod
from byway_operator.compile.verdict import Condition, EndpointFact, KeyFact, Refusal, Verdict
from byway_operator.push.fleet import FleetView, ProxyView, Ring, Sent
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.resources.structural import structural
from byway_operator.tell.columns import ago, columns, table_of
from byway_operator.tell.conditions import WELL
from byway_operator.tell.statuses import status_model
from byway_operator.tell.summary import Summary, summarize
from byway_operator.tell.tell import duration, percent, status_of

T = 1_800_000_000.0
ROUTE, KEY = Key("ModelRoute", "team-a", "smart"), Key("ProviderKey", "team-a", "openai")
ENDPOINT = "team-a/openai:gpt"
MISSING = Condition("False", "SecretNotFound", 'spec.secretRef: no Secret "openai-key" in namespace "team-a"')


def a_manifest(key: Key = ROUTE, generation: int = 12, **spec: object) -> Manifest:
    return Manifest(key, {"spec": spec}, generation, created="2027-01-15T07:00:00Z")


def a_verdict(key: Key = ROUTE, **changed: Any) -> Verdict:
    return Verdict(key, **{"generation": 12, "fingerprint": "new", **changed})


def a_fleet(*acked: str | None, nack: Nack | None = None, sent_at: float = T, **changed: Any) -> FleetView:
    """Proxies that serve these tables: `old` and `new` hold those forms of everything."""
    ring = tuple(Sent(form, sent_at, {ROUTE: form, KEY: form}) for form in ("old", "new"))
    proxies = tuple(ProxyView(Pod(f"p{n}", "u"), "1", form, nack=nack) for n, form in enumerate(acked))
    return FleetView(**{"proxies": proxies, "ring": ring, **changed})


def told(
    verdict: Verdict | None = None,
    fleet: FleetView | None = None,
    health: Summary | None = None,
    previous: Mapping[str, Any] | None = None,
    now: float = T,
    good: Manifest | None = None,
) -> dict[str, Any]:
    verdict = verdict or a_verdict()
    return status_of(
        verdict, a_manifest(verdict.key), fleet or a_fleet("new"), health or Summary(), previous, now, good
    )


def a_condition(status: Mapping[str, Any], kind: str) -> tuple[str, str, str] | None:
    found = [c for c in status["conditions"] if c["type"] == kind]
    return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else None


def test_programmed_is_true_when_every_proxy_acked_this_form() -> None:
    status = told(fleet=a_fleet("new", "new", "new"))
    assert a_condition(status, "Programmed") == ("True", "Programmed", "3/3 at generation 12")
    assert a_condition(status, "Ready") == ("True", "Ready", WELL["Ready"])
    assert a_condition(status, "Reconciling") is a_condition(status, "Stalled") is None
    assert status["proxies"] == "3/3"
    assert status["observedGeneration"] == 12
    assert {condition["observedGeneration"] for condition in status["conditions"]} == {12}


def test_programmed_is_pending_for_half_a_minute_and_then_partial() -> None:
    fleet = a_fleet("new", "new", "old")
    soon, late = told(fleet=fleet, now=T + 29), told(fleet=fleet, now=T + 31)
    assert a_condition(soon, "Programmed") == ("False", "Pending", "2/3 at generation 12")
    assert a_condition(soon, "Reconciling") == ("True", "Pending", "2/3 at generation 12")
    assert a_condition(late, "Programmed") == ("False", "PartiallyProgrammed", "2/3 at generation 12; behind: p2")


PODS = frozenset({"p0", "p1", "p2"})


def test_where_pods_are_known_a_ready_one_without_a_stream_counts_as_missing() -> None:
    late = told(fleet=a_fleet("new", "old", expected=PODS), now=T + 31)
    assert a_condition(late, "Programmed") == (
        "False", "PartiallyProgrammed", "1/3 at generation 12; behind: p1; not connected to the operator: p2",
    )  # fmt: skip
    assert late["proxies"] == "1/3"


def test_where_pods_are_known_a_connected_one_that_is_not_ready_does_not_count() -> None:
    status = told(fleet=a_fleet("new", "new", "new", "old", expected=PODS))
    assert a_condition(status, "Programmed") == ("True", "Programmed", "3/3 at generation 12")


def test_where_pods_are_known_and_none_is_ready_nothing_is_known_of_them() -> None:
    status = told(fleet=a_fleet("new", expected=frozenset()))
    assert a_condition(status, "Programmed") == (
        "Unknown", "NoProxies", "no proxy is ready: kubectl get pods shows why",
    )  # fmt: skip


def test_a_pod_that_dials_again_with_its_old_stream_still_open_counts_once() -> None:
    twice = (*a_fleet("old", "new", "new").proxies, *a_fleet("new").proxies)
    assert told(fleet=a_fleet(proxies=twice, expected=PODS))["proxies"] == "3/3"


def test_what_was_said_of_a_generation_stands_while_a_proxy_dials_again() -> None:
    before = told(fleet=a_fleet("new", "new", "new", expected=PODS))
    dialling = a_fleet("new", "new", expected=PODS, awaited=frozenset({"p2"}))
    assert told(fleet=dialling, previous=before, now=T + 9) == before
    nobody_yet = a_fleet(expected=PODS, awaited=PODS)
    assert told(fleet=nobody_yet, previous=before, now=T + 9) == before


def test_a_proxy_that_dials_again_excuses_no_other_and_no_newer_generation() -> None:
    before = told(fleet=a_fleet("new", "new", "new", expected=PODS))
    behind = a_fleet("new", "old", expected=PODS, awaited=frozenset({"p2"}))
    assert told(fleet=behind, previous=before)["proxies"] == "1/3"
    dialling = a_fleet("new", "new", expected=PODS, awaited=frozenset({"p2"}))
    newer = told(a_verdict(generation=13), dialling, previous=before)
    assert a_condition(newer, "Programmed") == ("False", "Pending", "2/3 at generation 13")


def test_a_form_that_did_not_change_is_programmed_though_another_table_is_out() -> None:
    ring = Ring()
    ring.remember(Sent("one", T, {ROUTE: "new"}))
    ring.remember(Sent("two", T + 9, {ROUTE: "new"}))
    fleet = a_fleet("one", "two", ring=ring.all())
    assert a_condition(told(fleet=fleet), "Programmed") == ("True", "Programmed", "2/2 at generation 12")
    assert fleet.since(ROUTE, "new") == T


def test_a_proxy_without_a_stream_is_missing_and_one_that_is_not_ready_does_not_count() -> None:
    assert told(fleet=a_fleet("new", "new", expected=3))["proxies"] == "2/3"
    leaving = ProxyView(Pod("p9", "u"), "1", "old", Report("old", ready=False))
    fleet = a_fleet("new")
    assert told(fleet=FleetView((*fleet.proxies, leaving), ring=fleet.ring))["proxies"] == "1/1"


def test_without_a_proxy_nobody_knows() -> None:
    status = told(fleet=a_fleet())
    assert a_condition(status, "Programmed") == ("Unknown", "NoProxies", "no proxy is connected and ready")
    assert a_condition(status, "Ready") == ("Unknown", "NoProxies", "no proxy is connected and ready")


def test_a_refused_form_says_why_and_which_generation_serves_on() -> None:
    fleet = a_fleet("old", refusals={ROUTE: Refusal("new", "weights add up to 0")})
    verdict = a_verdict(serves="last-good", fingerprint="old")
    status = told(verdict, fleet, good=a_manifest(generation=11))
    message = "a proxy refused it: weights add up to 0; generation 11 serves on"
    assert a_condition(status, "Programmed") == ("False", "RejectedByProxy", message)
    assert a_condition(status, "Stalled") == ("True", "RejectedByProxy", message)
    assert a_condition(status, "Reconciling") is None


def test_a_refusal_of_an_older_form_says_nothing_of_this_one() -> None:
    fleet = a_fleet("new", refusals={ROUTE: Refusal("old", "weights add up to 0")})
    assert a_condition(told(fleet=fleet), "Programmed") == ("True", "Programmed", "1/1 at generation 12")


def test_a_table_refused_as_a_whole_is_told_where_it_matters() -> None:
    fleet = a_fleet("old", "old", stuck="Build: TypeError while building")
    status = told(fleet=fleet)
    message = "0/2 at generation 12; a proxy refused the whole table: Build: TypeError while building"
    assert a_condition(status, "Programmed") == ("False", "RejectedByProxy", message)
    nacked = a_fleet("old", nack=Nack("n", "new", "Build", "", "TypeError", "old"))
    assert (a_condition(told(fleet=nacked), "Programmed") or ())[1] == "RejectedByProxy"


def test_a_rejected_resource_is_stalled_at_once_while_its_last_good_form_serves() -> None:
    invalid = Condition("False", "Invalid", "spec.endpoints[0].weight: goes with strategy: Weighted")
    verdict = a_verdict(accepted=invalid, serves="last-good", fingerprint="old")
    status = told(verdict, a_fleet("old"), good=a_manifest(generation=11))
    assert a_condition(status, "Ready") == ("False", "Invalid", invalid.message)
    assert a_condition(status, "Stalled") == ("True", "Invalid", invalid.message)
    assert a_condition(status, "Programmed") == (
        "False",
        "Pending",
        "generation 12 is not served; generation 11 serves on",
    )


def test_a_missing_secret_is_waited_for_a_minute() -> None:
    verdict = a_verdict(KEY, resolved=MISSING)
    first = told(verdict)
    later = told(verdict, previous=first, now=T + 59)
    last = told(verdict, previous=later, now=T + 60)
    assert a_condition(first, "Reconciling") == a_condition(later, "Reconciling") == ("True", *_words(MISSING))
    assert a_condition(last, "Stalled") == ("True", *_words(MISSING))
    assert a_condition(last, "Reconciling") is None


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = told(fleet=a_fleet("old"))
    second = told(fleet=a_fleet("old"), previous=first, now=T + 40)
    third = told(fleet=a_fleet("new"), previous=second, now=T + 50)
    times = [_time(status, "Programmed") for status in (first, second, third)]
    assert times[0] == times[1] == "2027-01-15T08:00:00Z"
    assert times[2] == "2027-01-15T08:00:50Z"
    assert _time(third, "Accepted") == "2027-01-15T08:00:00Z"


FACTS = (
    EndpointFact("eu", ENDPOINT, price="0.25/2", price_origin="Catalogue"),
    EndpointFact("us", "team-a/other:gpt"),
    EndpointFact("gone", None, "ProviderKeyNotFound"),
)


def a_summary(state: Any, before: Summary | None = None, now: float = T, **changed: Any) -> Summary:
    return summarize(
        [Report("new", True, endpoints={ENDPOINT: EndpointReport(state, **changed)})], before or Summary(), now
    )


def test_a_route_tells_which_endpoints_can_answer() -> None:
    resting = a_summary("resting", last_error=LastError("rate_limited", T, 429))
    status = told(a_verdict(endpoints=FACTS, model_names=("smart",)), health=resting)
    assert status["endpoints"] == [
        {"name": "eu", "available": False, "reason": "RateLimited", "price": "0.25/2", "priceOrigin": "Catalogue"},
        {"name": "us", "available": True},
        {"name": "gone", "available": False, "reason": "ProviderKeyNotFound"},
    ]
    assert status["endpointsAvailable"] == "1/3"
    assert a_condition(status, "Available") == (
        "True",
        "SomeEndpoints",
        "eu: RateLimited; gone: ProviderKeyNotFound",
    )
    assert a_condition(status, "Ready") == ("True", "Ready", WELL["Ready"])


def test_an_endpoint_is_out_after_a_while_and_back_after_a_longer_one() -> None:
    verdict = a_verdict(endpoints=FACTS[:1])

    def says(health: Summary, before: Mapping[str, Any] | None, now: float) -> tuple[str, dict[str, Any]]:
        status = told(verdict, health=health, previous=before, now=now)
        return (a_condition(status, "Available") or ("",) * 3)[1], status

    good = a_summary("healthy")
    bad = a_summary("ejected", good, T + 10)
    back = a_summary("healthy", bad, T + 20)
    assert a_summary("ejected", bad, T + 12).endpoints[ENDPOINT].since == T + 10
    said, status = says(good, None, T)
    assert said == "AllEndpoints"
    said, status = says(bad, status, T + 12)
    assert said == "AllEndpoints"
    said, status = says(bad, status, T + 15)
    assert said == "NoEndpoint"
    said, status = says(back, status, T + 30)
    assert said == "NoEndpoint"
    assert says(back, status, T + 35)[0] == "AllEndpoints"


def test_an_endpoint_that_was_out_is_not_back_because_another_operator_has_heard_nothing_yet() -> None:
    verdict = a_verdict(endpoints=FACTS[:1])
    before = told(verdict, health=a_summary("ejected"))
    assert told(verdict, health=Summary(complete=False), previous=before) == before
    heard = told(verdict, health=Summary(), previous=before)
    assert a_condition(heard, "Available") == ("True", "AllEndpoints", WELL["Available"])


def test_an_endpoint_is_up_if_one_proxy_reaches_it() -> None:
    reports = [
        Report("new", True, endpoints={ENDPOINT: EndpointReport("ejected", 10, error_rate=1.0)}),
        Report("new", True, endpoints={ENDPOINT: EndpointReport("healthy", 30, error_rate=0.0)}),
    ]
    endpoint = summarize(reports, Summary(), T).endpoints[ENDPOINT]
    assert (endpoint.up, endpoint.requests, endpoint.error_rate) == (True, 40, 0.25)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (ProviderKeyReport(), ("Unknown", "Unverified")),
        (ProviderKeyReport(last_ok=T), ("True", "Verified")),
        (ProviderKeyReport(last_error=LastError("unauthorized", T, 401)), ("False", "Unauthorized")),
        (ProviderKeyReport(last_ok=T - 1, last_error=LastError("unauthorized", T, 403)), ("False", "Unauthorized")),
        (ProviderKeyReport(last_ok=T - 1, last_error=LastError("forbidden", T, 403)), ("True", "Verified")),
        (ProviderKeyReport(last_ok=T - 99, last_error=LastError("forbidden", T, 403)), ("False", "Unauthorized")),
        (ProviderKeyReport(last_ok=T - 1, last_error=LastError("off_limits", T)), ("False", "Unreachable")),
        (ProviderKeyReport(last_error=LastError("timeout", T)), ("False", "Unreachable")),
        (ProviderKeyReport(last_ok=T, last_error=LastError("unauthorized", T - 1, 401)), ("True", "Verified")),
        (
            ProviderKeyReport(last_ok=T - 9, last_error=LastError("payment_required", T, 402)),
            ("False", "PaymentRequired"),
        ),
        (ProviderKeyReport(last_ok=T - 9, last_error=LastError("connect", T)), ("True", "Verified")),
        (ProviderKeyReport(last_ok=T - 99, last_error=LastError("connect", T)), ("False", "Unreachable")),
        (ProviderKeyReport(last_ok=T - 99, last_error=LastError("server_error", T, 503)), ("True", "Verified")),
        (ProviderKeyReport(last_error=LastError("rate_limited", T, 429)), ("Unknown", "Unverified")),
    ],
)
def test_a_credential_is_judged_by_live_traffic(report: ProviderKeyReport, expected: tuple[str, str]) -> None:
    health = summarize([Report("new", True, provider_keys={"team-a/openai": report})], Summary(), T)
    status = told(a_verdict(KEY), health=health)
    assert (a_condition(status, "Valid") or ())[:2] == expected


ACCESS = Key("AccessKey", "team-a", "ci")


def test_an_access_key_tells_when_each_of_its_keys_was_last_used_and_when_the_last_one_ends() -> None:
    keys = KeyFact("a", "sk-byway-abc…123", 1_900_000_000), KeyFact("b", "sha256:def…456", 1_800_000_000)
    reports = [Report("new", True, access_keys={f"team-a/ci/{name}": at}) for name, at in (("a", T), ("a", T - 99))]
    status = told(a_verdict(ACCESS, keys=keys), health=summarize(reports, Summary(), T))
    assert status["keys"] == [
        {"name": "a", "label": "sk-byway-abc…123", "lastUsed": "2027-01-15T08:00:00Z"},
        {"name": "b", "label": "sha256:def…456"},
    ]
    assert (status["lastUsed"], status["expiresAt"]) == ("2027-01-15T08:00:00Z", "2030-03-17T17:46:40Z")
    assert a_condition(status, "Ready") is not None
    # A proxy that ended forgets; a moment later is no news; a key that goes takes its line along, not the time.
    soon = summarize([Report("new", True, access_keys={"team-a/ci/a": T + 29})], Summary(), T)
    for health in (None, soon):
        assert told(a_verdict(ACCESS, keys=keys), health=health, previous=status) == status
    rotated = told(a_verdict(ACCESS, keys=(KeyFact("b", "sha256:def…456"),)), previous=status)
    assert rotated["keys"] == [{"name": "b", "label": "sha256:def…456"}]
    assert rotated["lastUsed"] == status["lastUsed"]
    assert "expiresAt" not in rotated


def test_why_a_provider_is_not_reached_is_told_in_the_proxys_words() -> None:
    for error, message in (
        (LastError("off_limits", T, why="a.example leads to a private address"), "not called: a.example leads"),
        (LastError("connect", T, why="a.example port 443: Connection refused"), "Connection refused)"),
        (LastError("connect", T), "(no connection)"),
    ):
        report = ProviderKeyReport(last_error=error)
        health = summarize([Report("new", True, provider_keys={"team-a/openai": report})], Summary(), T)
        assert message in (a_condition(told(a_verdict(KEY), health=health), "Valid") or ())[2]


def test_what_is_left_of_a_providers_limits_is_what_the_last_proxy_was_told() -> None:
    early = ProviderKeyReport(last_used=T - 9, quota=Quota(90, 9000))
    late = ProviderKeyReport(last_used=T, quota=Quota(80))
    silent = ProviderKeyReport(last_used=T + 1)
    reports = [Report("new", True, provider_keys={"team-a/openai": one}) for one in (late, early, silent)]
    first = told(a_verdict(KEY), health=summarize(reports, Summary(), T))
    assert first["quota"] == {"requestsRemaining": 80}
    later = told(a_verdict(KEY), health=summarize(reports[2:], Summary(), T), previous=first)
    assert later["quota"] == {"requestsRemaining": 80}


def test_what_was_known_of_a_credential_outlives_the_proxies_that_knew_it() -> None:
    used = ProviderKeyReport(last_used=T, last_ok=T, requests=200, failures=5)
    health = summarize([Report("new", True, provider_keys={"team-a/openai": used})], Summary(), T)
    first = told(a_verdict(KEY, models=42), health=health)
    assert (first["models"], first["lastUsed"], first["errorRate"]) == (42, "2027-01-15T08:00:00Z", "2.5%")
    assert first["credential"] == {"verifiedAt": "2027-01-15T08:00:00Z"}
    later = told(a_verdict(KEY, models=42), previous=first, now=T + 99)
    assert a_condition(later, "Valid") == ("True", "Verified", WELL["Valid"])
    assert (later["lastUsed"], later["credential"]) == (first["lastUsed"], first["credential"])


def test_a_status_does_not_follow_every_twitch() -> None:
    def health(p50: float, used: float) -> Summary:
        endpoints = {ENDPOINT: EndpointReport("healthy", 9, first_token_p50_ms=p50)}
        accounts = {"team-a/openai": ProviderKeyReport(last_used=used, last_ok=used, requests=9)}
        return summarize([Report("new", True, endpoints=endpoints, provider_keys=accounts)], Summary(), T)

    for verdict in (a_verdict(endpoints=FACTS), a_verdict(KEY)):
        first = told(verdict, health=health(1180, T))
        assert told(verdict, health=health(1250, T + 29), previous=first, now=T + 29) == first
        assert told(verdict, health=health(1400, T + 31), previous=first, now=T + 31) != first
    assert told(a_verdict(endpoints=FACTS), health=health(1180, T))["firstTokenP50"] == "1s200ms"


def test_durations_and_shares_read_as_people_write_them() -> None:
    assert [duration(ms) for ms in (0.2, 340.4, 999.9, 1180, 2000, 12345, 75_000)] == [
        "1ms",
        "340ms",
        "1s",
        "1s200ms",
        "2s",
        "12s",
        "75s",
    ]
    assert [percent(share) for share in (0, 0.0001, 0.004, 0.025, 0.5, 1)] == [
        "0%",
        "0.1%",
        "0.4%",
        "2.5%",
        "50%",
        "100%",
    ]
    assert [
        ago(s) for s in (-3, 45, 119, 180, 185, 3600, 8000, 3 * 3600 + 60, 30 * 3600, 50 * 3600, 9 * 86400)
    ] == [
        "0s",
        "45s",
        "119s",
        "3m",
        "3m5s",
        "60m",
        "133m",
        "3h1m",
        "30h",
        "2d2h",
        "9d",
    ]


def test_the_columns_are_those_of_kubectl_get() -> None:
    route = told(a_verdict(endpoints=FACTS), a_fleet("new", "new", "old"))
    assert table_of("ModelRoute", [(a_manifest(), route)], T) == [
        ["NAME", "READY", "ENDPOINTS", "TTFT", "PROGRAMMED", "AGE"],
        ["smart", "False", "2/3", "", "2/3", "60m"],
    ]
    used = ProviderKeyReport(last_used=T - 180, last_ok=T - 180, requests=200, failures=5)
    health = summarize([Report("new", True, provider_keys={"team-a/openai": used})], Summary(), T)
    key = told(a_verdict(KEY, models=42), health=health)
    assert table_of("ProviderKey", [(a_manifest(KEY, provider="openai"), key)], T, namespaces=True) == [
        ["NAMESPACE", "NAME", "PROVIDER", "VALID", "MODELS", "LAST-USED", "ERRORS", "AGE"],
        ["team-a", "openai", "openai", "True", "42", "3m", "2.5%", "60m"],
    ]
    assert [column.name for column in columns("AccessKey")] == ["READY", "USER", "LAST-USED", "EXPIRES", "AGE"]


def test_kubectl_explain_knows_every_field_of_a_status() -> None:
    report = ProviderKeyReport(last_used=T, last_ok=T, requests=200, failures=5)
    health = summarize([Report("new", True, provider_keys={"team-a/openai": report})], Summary(), T)
    for kind, status in (
        ("ModelRoute", told(a_verdict(endpoints=FACTS), a_fleet("new", "old"))),
        ("ProviderKey", told(a_verdict(KEY, models=42), health=health)),
    ):
        described = structural(status_model(kind))["properties"]
        assert status.keys() <= described.keys()
        for name in ("conditions", "endpoints"):
            for item in status.get(name, ()):
                assert item.keys() <= described[name]["items"]["properties"].keys()
                assert set(described[name]["items"]["required"]) <= item.keys()


def _words(condition: Condition) -> tuple[str, str]:
    return condition.reason, condition.message


def _time(status: Mapping[str, Any], kind: str) -> str:
    return next(str(c["lastTransitionTime"]) for c in status["conditions"] if c["type"] == kind)
