"""Who sees, calls and is bound by what: beside a plain model of the rules, and what strangers are told."""

import asyncio
import time
from pathlib import Path

from builders.gateway import gateway
from builders.tables import account, endpoint, member, route, table
from byway_contract.globs import allows
from byway_contract.table import DataPolicy, Floor, RouteEndpoint, Table
from byway_proxy.choose.listing import visible_models
from byway_proxy.choose.view import View
from tenancy.comparison import Run, compare

WITHIN_S, ENOUGH = 10.0, 1200
"""`python -m tenancy.comparison 10000`, from this folder's parent, compares more."""


def test_every_caller_of_random_worlds_reaches_what_the_rules_say() -> None:
    run, end = Run(), time.monotonic() + WITHIN_S
    while run.worlds < ENOUGH and time.monotonic() < end and not run.differences:
        compare(run.worlds, run)
    assert run.differences == []
    # It found something to compare.
    assert run.worlds >= 100
    assert min(run.served, run.rejected, run.conflicts) >= 10


def test_a_pattern_of_many_stars_is_no_work() -> None:
    hostile = allows(("*a" * 60 + "*b",))
    began = time.process_time()
    assert not hostile("a" * 256)
    assert time.process_time() - began < 0.1
    for glob, name, fits in [
        ("a*", "a", True), ("a*a", "a", False), ("*b*", "abc", True), ("a*b*c", "a-b-b-c", True),
        ("a.c", "abc", False),
    ]:  # fmt: skip
        assert allows((glob,))(name) is fits, glob


def lent(**fields: object) -> Table:
    """`team-b` has a route of its own, and one that the platform shares is partly out of order."""
    return table(
        [account("own"), account("hidden", "team-b")],
        [endpoint("team-a/own"), endpoint("team-b/hidden")],
        [
            route("secret", member("team-b/hidden:acme/m"), namespace="team-b", model_names=("zq7secret",)),
            route(
                "half",
                RouteEndpoint("zq7member", missing='SecretNotFound: spec.secretRef: no Secret "zq7secret"'),
                namespace="platform",
                shared_with=("*",),
                fallback_models=("zq7spare",),
            ),
            route("broken", namespace="platform", shared_with=("*",), rejected="Invalid: spec.zq7field: no such"),
        ],
        trusted=("platform",),
        anonymous="team-a",
        **fields,  # type: ignore[arg-type]  # the builder's own
    )


def test_a_strangers_route_is_answered_like_a_name_that_does_not_exist(tmp_path: Path) -> None:
    async def tell() -> None:
        async with gateway(tmp_path, lent()) as proxy:
            for explain in ({}, {"X-Byway-Explain": "1"}):
                stranger = await proxy.ask("team-b/secret", headers=explain)
                nobody = await proxy.ask("team-b/sacred", headers=explain)
                assert stranger.status == nobody.status == 400
                assert stranger.body.decode().replace("secret", "sacred") == nobody.body.decode()
            stranger = await proxy.get("/v1/models/team-b/secret")
            nobody = await proxy.get("/v1/models/team-b/sacred")
            assert (stranger.status, stranger.body.decode().replace("secret", "sacred")) == (
                404,
                nobody.body.decode(),
            )

    asyncio.run(tell())


def test_a_shared_route_tells_what_is_wrong_with_it_to_its_owner_alone(tmp_path: Path) -> None:
    async def tell() -> None:
        async with gateway(tmp_path, lent()) as proxy:
            heard = [
                await proxy.ask(name, headers={"X-Byway-Explain": "1"})
                for name in ("half", "broken", "platform/half", "zq-secret")
            ]
            heard.append(await proxy.get("/v1/models"))
            assert [answer.status for answer in heard] == [404, 404, 404, 400, 200]
            assert "SecretNotFound" in heard[0].body.decode()
            assert "Invalid" in heard[1].body.decode()
            for answer in heard:
                assert "zq7" not in answer.body.decode()

    asyncio.run(tell())


def test_a_list_of_models_lacks_what_the_floor_forbids(tmp_path: Path) -> None:
    forbidding = Floor(("team-a",), allowed_models=(("acme/*",),), policies=(DataPolicy(deny_training=True),))
    floored = table(
        [account("own", may_train=False), account("loose")],
        [endpoint("team-a/own"), endpoint("team-a/own", "beta/x"), endpoint("team-a/loose", "acme/loose")],
        floors=[forbidding],
        anonymous="team-a",
    )
    assert [listed.id for listed in visible_models(View(floored), "team-a")] == ["acme/m"]

    async def tell() -> None:
        async with gateway(tmp_path, floored) as proxy:
            model, privacy = await proxy.ask("beta/x"), await proxy.ask("acme/loose")
            assert (model.status, privacy.status) == (404, 404)
            assert "floor.allowedModels: beta/x is no model that the platform's floor allows" in model.body.decode()
            assert "floor.dataPolicy.training" in privacy.body.decode()

    asyncio.run(tell())
