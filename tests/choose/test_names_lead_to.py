"""What a namespace means by a name."""

import random

import pytest
from builders.choosing import ask, order, reasons
from builders.tables import account, endpoint, member, providers, route, table
from byway_contract.table import DataPolicy, RouteEndpoint, Table
from byway_proxy.choose.choose import Nothing
from byway_proxy.choose.listing import visible_models
from byway_proxy.choose.names import Name, parse
from byway_proxy.choose.view import View

SHARED = account("shared", "platform", shared_with=("team-a",))


def shop() -> Table:
    return table(
        [account("own"), SHARED], [endpoint("team-a/own"), endpoint("platform/shared")], trusted=("platform",)
    )


def test_own_keys_go_before_those_that_a_trusted_namespace_shares() -> None:
    assert order(ask(shop())) == ["own", "shared"]


def test_a_key_that_an_untrusted_namespace_shares_is_not_used_by_name() -> None:
    other = table([account("own"), SHARED], [endpoint("team-a/own"), endpoint("platform/shared")], trusted=())
    assert order(ask(other)) == ["own"]


def test_a_key_shared_with_others_alone_is_not_ours() -> None:
    with pytest.raises(Nothing) as nothing:
        ask(shop(), namespace="team-b")
    assert nothing.value.status == 400


def test_a_route_takes_its_name_before_the_catalogue_does() -> None:
    named = table(
        [account("own"), account("other")],
        [endpoint("team-a/own"), endpoint("team-a/other", "else/x")],
        [route("r", member("team-a/other:else/x"), model_names=("acme/m",))],
    )
    assert order(ask(named)) == ["other"]


def test_an_own_route_goes_before_one_that_is_shared() -> None:
    both = table(
        [account("own"), account("theirs", "platform")],
        [endpoint("team-a/own"), endpoint("platform/theirs")],
        [
            route("smart", member("team-a/own:acme/m")),
            route("smart", member("platform/theirs:acme/m"), namespace="platform", shared_with=("*",)),
        ],
        trusted=("platform",),
    )
    assert order(ask(both, "smart")) == ["own"]
    assert order(ask(both, "smart", namespace="team-b")) == ["theirs"]


def test_a_shared_route_runs_with_its_own_namespaces_keys() -> None:
    lent = table(
        [account("theirs", "platform")],
        [endpoint("platform/theirs", by_name=False)],
        [route("smart", member("platform/theirs:acme/m"), namespace="platform", shared_with=("team-a",))],
        trusted=("platform",),
    )
    assert order(ask(lent, "smart")) == ["theirs"]


def squatter(**fields: object) -> Table:
    return table(
        [account("theirs", "team-b")],
        [endpoint("team-b/theirs", by_name=False)],
        [route("smart", member("team-b/theirs:acme/m"), namespace="team-b", shared_with=("team-a",))],
        **fields,  # type: ignore[arg-type]  # the builder's own fields
    )


def test_a_route_of_an_untrusted_namespace_is_called_by_its_full_name_only() -> None:
    assert order(ask(squatter(), "team-b/smart")) == ["theirs"]
    with pytest.raises(Nothing):
        ask(squatter(), "smart")
    with pytest.raises(Nothing):
        ask(squatter(), "team-b/smart", namespace="team-c")


def test_a_catalogue_author_wins_against_a_namespace_of_that_name() -> None:
    with pytest.raises(Nothing):
        ask(squatter(authors=("team-b",)), "team-b/smart")


def test_a_rejected_route_keeps_its_name_and_never_falls_through() -> None:
    rejected = table(
        [account("own")], [endpoint("team-a/own")], [route("acme/m", rejected="spec.strategy: no such")]
    )
    with pytest.raises(Nothing) as nothing:
        ask(rejected)
    assert (nothing.value.status, nothing.value.code) == (404, "no_endpoints")
    assert "spec.strategy: no such" in nothing.value.message


def test_a_route_that_lost_a_name_to_another_does_not_take_it_along() -> None:
    both = table(
        [account("own")],
        [endpoint("team-a/own")],
        [
            route("a", model_names=("smart",), rejected='the name "smart" is ModelRoute "z"'),
            route("z", member("team-a/own:acme/m"), model_names=("smart",)),
        ],
    )
    assert order(ask(both, "smart")) == ["own"]


def test_a_name_with_a_colon_is_looked_for_as_written_first() -> None:
    odd = table(
        [account("a"), account("b")],
        [endpoint("team-a/a", "x"), endpoint("team-a/b", "y")],
        [
            route("one", member("team-a/a:x"), model_names=("q:floor",)),
            route("two", member("team-a/b:y"), model_names=("q",)),
        ],
    )
    assert order(ask(odd, "q:floor")) == ["a"]
    assert order(ask(odd, "q:nitro")) == ["b"]


def test_variants_of_the_catalogue_stay_in_the_name_and_the_last_sort_wins() -> None:
    assert parse("a/b:floor:free:nitro") == Name("a/b:free", "throughput")
    assert parse("a/b:thinking") == Name("a/b:thinking")
    assert parse("a/b:exacto:online") == Name("a/b", None, (":exacto", ":online"))


def test_variants_that_do_nothing_are_told() -> None:
    assert ask(shop(), "acme/m:online").ignored == (":online",)


def test_the_nearest_names_are_offered_but_never_those_of_others() -> None:
    secret = table(
        [account("own"), account("theirs", "team-b")],
        [endpoint("team-a/own", "acme/mini"), endpoint("team-b/theirs", "acme/minx")],
    )
    with pytest.raises(Nothing) as nothing:
        ask(secret, "acme/min")
    assert nothing.value.nearest == ("acme/mini",)
    assert 'did you mean "acme/mini"?' in nothing.value.message


def test_fallback_models_are_what_the_routes_namespace_means_by_them() -> None:
    chain = table(
        [account("own"), account("theirs", "platform"), account("spare", "platform")],
        [endpoint("team-a/own", "spare"), endpoint("platform/theirs"), endpoint("platform/spare", "spare")],
        [
            route(
                "smart",
                member("platform/theirs:acme/m"),
                namespace="platform",
                shared_with=("*",),
                fallback_models=("spare",),
            )
        ],
        trusted=("platform",),
    )
    choice = ask(chain, "smart")
    assert order(choice) == ["theirs", "spare"]
    assert [c.group for c in choice.candidates] == [0, 1]


def test_a_routes_policy_binds_its_fallbacks_and_fails_closed() -> None:
    private = table(
        [account("known", may_train=False, retention_days=0), account("unknown")],
        [endpoint("team-a/known"), endpoint("team-a/unknown", "spare")],
        [
            route(
                "private",
                member("team-a/known:acme/m"),
                fallback_models=("spare",),
                policy=DataPolicy(deny_training=True, max_retention_days=0),
            )
        ],
    )
    choice = ask(private, "private")
    assert order(choice) == ["known"]
    assert reasons(choice.left_out) == {"unknown": "policy_training"}


def test_the_policies_of_a_route_and_of_its_fallback_route_both_bind() -> None:
    both = table(
        [account("p"), account("q", retention_days=0)],
        [endpoint("team-a/p"), endpoint("team-a/q", "else/x")],
        [
            route("outer", fallback_models=("inner",), policy=DataPolicy(deny_training=True)),
            route("inner", member("team-a/q:else/x"), policy=DataPolicy(max_retention_days=0)),
        ],
    )
    assert order(ask(both, "inner")) == ["q"]
    with pytest.raises(Nothing) as nothing:
        ask(both, "outer")
    assert nothing.value.excluded_by == ("data_policy:training",)


def test_own_keys_go_first_where_a_route_names_a_catalogue_model_and_not_where_it_names_keys() -> None:
    def firsts(*names: str) -> set[str]:
        mixed = table(
            [account("own"), account("lent", "platform", shared_with=("*",))],
            [endpoint("team-a/own"), endpoint("platform/lent")],
            [route("r", member("team-a/own:acme/m", names[0]), member("platform/lent:acme/m", names[1]))],
            trusted=("platform",),
        )
        return {order(ask(mixed, "r", dice=random.Random(seed)))[0] for seed in range(30)}

    assert firsts("any", "any") == {"own"}
    assert firsts("one", "two") == {"own", "lent"}


def test_regions_must_all_be_allowed() -> None:
    def here(*regions: str) -> Table:
        return table(
            [account("p", regions=regions)],
            [endpoint("team-a/p")],
            [route("eu", member("team-a/p:acme/m"), policy=DataPolicy(regions=("eu",)))],
        )

    assert order(ask(here("eu"), "eu")) == ["p"]
    for elsewhere in (here("eu", "us"), here()):
        with pytest.raises(Nothing) as nothing:
            ask(elsewhere, "eu")
        assert (nothing.value.status, nothing.value.code) == (404, "privacy_restricted")


def test_a_cycle_of_fallbacks_ends() -> None:
    round_and_round = table(
        [account("a"), account("b")],
        [endpoint("team-a/a", "x"), endpoint("team-a/b", "y")],
        [
            route("one", member("team-a/a:x"), fallback_models=("two",)),
            route("two", member("team-a/b:y"), fallback_models=("one",)),
        ],
    )
    assert order(ask(round_and_round, "one")) == ["a", "b"]


def test_a_member_without_an_endpoint_is_told() -> None:
    gone = RouteEndpoint("cloud", missing='no ProviderKey "cloud"')
    half = table([account("p")], [endpoint("team-a/p")], [route("r", member("team-a/p:acme/m"), gone)])
    assert reasons(ask(half, "r").left_out) == {"cloud": "missing"}
    none = table([], [], [route("r", gone)])
    with pytest.raises(Nothing) as nothing:
        ask(none, "r")
    assert (nothing.value.status, nothing.value.code) == (404, "no_endpoints")
    assert 'no ProviderKey "cloud"' in nothing.value.message


def test_an_unknown_name_among_several_is_passed_over() -> None:
    choice = ask(shop(), "nobody/knows", "acme/m")
    assert order(choice) == ["own", "shared"]
    assert choice.left_out[0].reason == "unknown_model"


def test_every_name_listed_can_be_called_and_no_other_is() -> None:
    mixed = table(
        [account("own"), SHARED, account("theirs", "team-b")],
        [endpoint("team-a/own", price=3), endpoint("platform/shared", price=2), endpoint("team-b/theirs", "b/b")],
        [route("ok", member("team-a/own:acme/m")), route("bad", rejected="broken")],
        trusted=("platform",),
    )
    view = View(mixed)
    listed = {each.id: each for each in visible_models(view, "team-a")}
    assert list(listed) == ["acme/m", "ok"]
    cheapest = listed["acme/m"].price
    assert cheapest is not None
    assert cheapest.input == 2_000_000_000
    assert [each.id for each in visible_models(view, "team-b")] == ["b/b"]


def test_a_very_long_name_is_simply_unknown() -> None:
    with pytest.raises(Nothing) as nothing:
        ask(providers(("p", 1.0)), "x" * 100_000)
    assert len(nothing.value.message) < 400


def test_an_access_key_that_allows_a_name_allows_its_variants_but_nothing_else_of_that_name() -> None:
    two = table(
        [account("own")],
        [endpoint("team-a/own"), endpoint("team-a/own", "acme/dear")],
        [
            route("smart", member("team-a/own:acme/m")),
            route("dear", member("team-a/own:acme/dear"), model_names=("smart:floor",)),
        ],
    )
    assert order(ask(two, "smart:nitro", allowed_models=("smart",))) == ["own"]
    assert order(ask(two, "smart:floor")) == ["own"]
    with pytest.raises(Nothing, match='may not call "smart:floor"') as nothing:
        ask(two, "smart:floor", allowed_models=("smart",))
    assert (nothing.value.status, nothing.value.excluded_by) == (403, ("allowed_models",))


def test_an_access_keys_models_are_names_as_callers_write_them_and_bind_no_fallback_of_a_route() -> None:
    two = table(
        [account("own")],
        [endpoint("team-a/own"), endpoint("team-a/own", "acme/next")],
        [route("smart", member("team-a/own:acme/m"), fallback_models=("acme/next",))],
    )
    assert order(ask(two, "smart", allowed_models=("smart",))) == ["own", "own"]
    for other in ("acme/m", "team-a/smart", "acme/none"):
        with pytest.raises(Nothing, match="may not call"):
            ask(two, other, allowed_models=("smart",))
