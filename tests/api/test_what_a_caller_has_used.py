"""`GET /generation`, `/key`, `/activity`, `/credits`: each caller its own, from whichever proxy."""

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, UnixConnector
from builders.booked import booked_gateway
from builders.gateway import Gateway, gateway, one_route
from builders.tables import a_key, access_key
from byway_contract.access_key import digest_of
from byway_contract.budget import Budget, Line
from byway_contract.grants import LIMITS_PATH, Limit, Limits, Match
from byway_contract.records import encode_batch
from byway_contract.table import Identity, Table
from fakes.provider import FakeProvider
from fakes.reply import status as failing
from fakes.usage import COST, batch, intent, ledger_at, settle

CI, CD, PLATFORM = a_key(1), a_key(2), a_key(3)
NANO = 10**9
NUMBER = (int, float)
MAYBE_TEXT, MAYBE_NUMBER, MAYBE_COUNT = (str, type(None)), (*NUMBER, type(None)), (int, type(None))
GENERATION: dict[str, Any] = {
    "api_type": MAYBE_TEXT, "app_id": MAYBE_COUNT, "cache_discount": MAYBE_NUMBER, "cancelled": (bool, type(None)),
    "created_at": str, "data_region": str, "external_user": MAYBE_TEXT, "finish_reason": MAYBE_TEXT,
    "generation_time": MAYBE_NUMBER, "http_referer": MAYBE_TEXT, "id": str, "is_byok": bool,
    "latency": MAYBE_NUMBER, "model": str, "moderation_latency": MAYBE_NUMBER, "native_finish_reason": MAYBE_TEXT,
    "native_tokens_cached": MAYBE_COUNT, "native_tokens_completion": MAYBE_COUNT,
    "native_tokens_completion_images": MAYBE_COUNT, "native_tokens_prompt": MAYBE_COUNT,
    "native_tokens_reasoning": MAYBE_COUNT, "num_fetches": MAYBE_COUNT, "num_input_audio_prompt": MAYBE_COUNT,
    "num_media_completion": MAYBE_COUNT, "num_media_prompt": MAYBE_COUNT, "num_search_results": MAYBE_COUNT,
    "origin": str, "preset_id": MAYBE_TEXT, "provider_name": MAYBE_TEXT, "provider_responses": (list, type(None)),
    "router": MAYBE_TEXT, "service_tier": MAYBE_TEXT, "streamed": (bool, type(None)),
    "tokens_completion": MAYBE_COUNT, "tokens_prompt": MAYBE_COUNT, "total_cost": NUMBER,
    "upstream_id": MAYBE_TEXT, "upstream_inference_cost": MAYBE_NUMBER, "usage": NUMBER, "user_agent": MAYBE_TEXT,
    "web_search_engine": MAYBE_TEXT, "workspace_id": MAYBE_TEXT, "request_id": MAYBE_TEXT,
    "session_id": MAYBE_TEXT, "response_cache_source_id": MAYBE_TEXT,
}  # fmt: skip
"""As OpenRouter's own client has it; it refuses an answer that lacks one."""
KEY: dict[str, Any] = {
    "label": str, "limit": MAYBE_NUMBER, "limit_remaining": MAYBE_NUMBER, "limit_reset": MAYBE_TEXT,
    "include_byok_in_limit": bool, "is_free_tier": bool, "is_management_key": bool, "is_provisioning_key": bool,
    "creator_user_id": MAYBE_TEXT, "organization_id": MAYBE_TEXT, "workspace_id": MAYBE_TEXT,
    "expires_at": MAYBE_TEXT, "allowed_data_regions": list, "budgets": list, "free_model_daily_requests": dict,
    "effective_budget": (dict, type(None)), "rate_limit": dict,
    **{f"{own}usage{span}": NUMBER for own in ("", "byok_") for span in ("", "_daily", "_weekly", "_monthly")},
}  # fmt: skip
BUDGET: dict[str, Any] = {
    "scope": str, "budget_id": MAYBE_TEXT, "guardrail_id": MAYBE_TEXT, "limit_usd": NUMBER, "spend_usd": NUMBER,
    "remaining_usd": NUMBER, "include_byok": bool, "reset_interval": MAYBE_TEXT, "resets_at": MAYBE_TEXT,
}  # fmt: skip
ACTIVITY: dict[str, Any] = {
    "date": str, "model": str, "model_permaslug": str, "endpoint_id": str, "provider_name": str, "requests": int,
    "prompt_tokens": int, "completion_tokens": int, "reasoning_tokens": int, "cached_tokens": int,
    "usage": NUMBER, "byok_usage_inference": NUMBER,
}  # fmt: skip


def fits(told: dict[str, Any], schema: dict[str, Any]) -> None:
    wrong = {
        name: told.get(name, "missing") for name, kind in schema.items() if not isinstance(told.get(name), kind)
    }
    assert not wrong
    assert set(schema) <= set(told)


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def shared(table: Table, *budgets: Budget) -> Table:
    """`smart` is the platform's and shared: team-a has two keys, team-b one, and `default` is trusted."""
    keys = [
        access_key(CI, name="ci", user="ann"),
        access_key(CD, name="cd", namespace="team-b"),
        access_key(PLATFORM, name="platform", namespace="default"),
    ]
    callers: dict[str, Identity] = {f"key:{one.namespace}/{one.name}": one for one in keys}
    return msgspec.structs.replace(
        table,
        callers=callers,
        accounts={name: msgspec.structs.replace(one, shared_with=("*",)) for name, one in table.accounts.items()},
        routes={name: msgspec.structs.replace(one, shared_with=("*",)) for name, one in table.routes.items()},
        budgets={one.id: one for one in budgets},
    )


async def asked(proxy: Gateway, path: str, key: str = CI) -> tuple[int, Any]:
    answer = await proxy.get(path, headers=with_key(key))
    return answer.status, answer.json["data"] if answer.status == 200 else answer.json["error"]["message"]


async def to_ledger(to: str, verb: str, path: str, body: bytes) -> None:
    async with (
        ClientSession(connector=UnixConnector(to.removeprefix("unix:"))) as session,
        session.request(verb, f"http://ledger{path}", data=body) as answer,
    ):
        assert answer.status == 200, await answer.text()


def test_an_answer_is_known_right_after_it_and_to_its_own_namespace_alone(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, booked_gateway(tmp_path, shared(one_route(a))) as proxy:
            for stream in (False, True):
                answered = await proxy.ask(headers={**with_key(CI), "X-Title": "t"}, stream=stream, user="u-1")
                name = answered.headers["X-Generation-Id"]
                status, told = await asked(proxy, f"/api/v1/generation?id={name}")
                assert status == 200
                fits(told, GENERATION)
                (_, settled) = proxy.settled()[-1]
                assert (told["id"], told["streamed"], told["external_user"]) == (name, stream, "u-1")
                assert round(told["usage"] * NANO) == round(told["total_cost"] * NANO) == settled.billed > 0
                assert (told["tokens_prompt"], told["finish_reason"]) == (settled.usage.prompt, "stop")
                assert (told["provider_name"], told["is_byok"]) == ("Provider A", False)
            assert (await asked(proxy, f"/v1/generation?id={name}", PLATFORM))[0] == 200
            foreign = await asked(proxy, f"/v1/generation?id={name}", CD)
            unknown = await asked(proxy, "/v1/generation?id=gen-1-x")
            assert foreign[0] == unknown[0] == 404
            assert foreign[1].replace(name, "gen-1-x") == unknown[1]
            assert (await asked(proxy, "/v1/generation"))[0] == 400

    asyncio.run(tell())


def test_any_proxy_knows_what_another_one_answered_and_what_failed_before(tmp_path: Path) -> None:
    async def tell() -> None:
        (tmp_path / "other").mkdir()
        async with FakeProvider() as a, FakeProvider() as b, ledger_at(tmp_path) as to:
            a.script.always = failing(503)
            table = shared(one_route(a, b))
            async with (
                gateway(tmp_path, table, ledger=to) as proxy,
                gateway(tmp_path / "other", table, ledger=to) as other,
            ):
                answered = await proxy.ask(headers=with_key(CI))
                assert answered.status == 200
                status, told = await asked(other, f"/v1/generation?id={answered.headers['X-Generation-Id']}")
                assert status == 200
                fits(told, GENERATION)
                assert [one["status"] for one in told["provider_responses"]] == [503, 200]
                assert told["provider_name"] == "Provider B"

    asyncio.run(tell())


def test_without_the_ledger_there_is_no_answer_soon_and_models_answer_all_the_same(tmp_path: Path) -> None:
    async def tell() -> None:
        with socket.socket(socket.AF_UNIX) as stuck:
            stuck.bind(str(tmp_path / "stuck.sock"))
            stuck.listen()
            await story()

    async def story() -> None:
        async with FakeProvider() as a:
            for to in (f"unix:{tmp_path / 'nobody.sock'}", f"unix:{tmp_path / 'stuck.sock'}"):
                table = shared(one_route(a))
                async with gateway(tmp_path, table, ledger=to, ledger_within_s=0.2) as proxy:
                    for path in ("/v1/generation?id=gen-1-x", "/v1/key", "/v1/activity", "/v1/credits"):
                        began = time.monotonic()
                        answer = await proxy.get(path, headers=with_key(CI))
                        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
                        assert answer.json["error"]["metadata"]["error_type"] == "ledger_unavailable"
                        assert "sock" not in answer.body.decode()
                        assert time.monotonic() - began < 2.0
                    assert (await proxy.ask(headers=with_key(CI))).status == 200

    asyncio.run(tell())


def test_nobody_reads_without_being_known(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, booked_gateway(tmp_path, shared(one_route(a))) as proxy:
            for path in ("/v1/generation?id=gen-1-x", "/v1/key", "/v1/activity", "/v1/credits"):
                assert (await proxy.get(path)).status == 401

    asyncio.run(tell())


def budget(name: str, amount: int, namespace: str = "default", **fields: Any) -> Budget:
    return Budget(namespace, name, (Line("Month", "nanodollars", amount),), **fields)


BUDGETS = (
    budget("team-a", 5 * NANO, match=Match(namespaces=("team-a",))),
    budget("each-key", 2 * NANO, "team-a", match=Match(namespaces=("team-a",)), per="AccessKey"),
    budget("dear", 1, match=Match(namespaces=("team-a",), models=("else/*",))),
    budget("watching", 1, match=Match(namespaces=("team-a",)), observe=True),
    budget("team-b", 1, "team-b", match=Match(namespaces=("team-b",))),
)


def as_limits(*budgets: Budget) -> bytes:
    some = tuple(
        Limit(one.id, line.period, line.unit, line.amount, per=one.per, match=one.match)
        for one in budgets
        for line in one.lines
    )
    return msgspec.json.encode(Limits(1, 1, "h", some))


def test_a_key_is_told_what_it_spent_and_which_budget_blocks_first(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, ledger_at(tmp_path) as to:
            await to_ledger(to, "PUT", LIMITS_PATH, as_limits(*BUDGETS))
            now = time.time()
            mine: dict[str, Any] = {"access_key": "ci", "namespace": "team-a", "at": now}
            rows = [
                intent("a", **mine), settle("a", billed=NANO, cost=NANO),
                intent("b", **mine | {"at": now - 100 * 86_400.0, "byok": True}), settle("b"),
                intent("c", **mine | {"access_key": ""}), settle("c", billed=NANO // 2, cost=NANO),
                intent("d", **mine | {"namespace": "team-b"}), settle("d", billed=9 * NANO, cost=9 * NANO),
            ]  # fmt: skip
            await to_ledger(to, "POST", "/v1/usage", encode_batch(batch(1, *rows)))
            async with gateway(tmp_path, shared(one_route(a), *BUDGETS), ledger=to) as proxy:
                status, told = await asked(proxy, "/api/v1/key")
                assert status == 200
                fits(told, KEY)
                assert round(told["usage"] * NANO) == NANO + COST
                assert round(told["byok_usage"] * NANO) == COST
                assert (told["usage_daily"], told["usage_monthly"], told["byok_usage_monthly"]) == (1, 1, 0)
                for one in (*told["budgets"], told["effective_budget"]):
                    fits(one, BUDGET)
                left = {one["budget_id"]: (one["scope"], one["remaining_usd"]) for one in told["budgets"]}
                assert left == {
                    "team-a/each-key": ("api_key", 1), "default/dear": ("workspace", 1e-9),
                    "default/team-a": ("workspace", 3.5),
                }  # fmt: skip
                assert told["effective_budget"]["budget_id"] == "team-a/each-key"
                assert (told["limit"], told["limit_remaining"], told["limit_reset"]) == (2, 1, "monthly")
                _, nobodys = await asked(proxy, "/v1/auth/key", PLATFORM)
                assert (nobodys["usage"], nobodys["limit"], nobodys["budgets"]) == (0, None, [])

    asyncio.run(tell())


def test_activity_is_of_thirty_days_that_are_over_and_of_ones_own_namespace(tmp_path: Path) -> None:
    async def tell() -> None:
        today = datetime.now(UTC).replace(hour=12)
        days = [(today - timedelta(days=back)).timestamp() for back in (0, 1, 30, 31)]
        async with FakeProvider() as a, ledger_at(tmp_path) as to:
            rows: list[Any] = []
            for number, at in enumerate(days):
                who: dict[str, Any] = {"at": at, "access_key": "ci", "user_id": "ann", "account": "default/a"}
                rows += [intent(f"a{number}", **who), settle(f"a{number}")]
                rows += [intent(f"b{number}", **who | {"namespace": "team-b"}), settle(f"b{number}")]
                rows += [intent(f"c{number}", **who | {"access_key": "", "user_id": ""}),
                         settle(f"c{number}", outcome="failed", billed=0)]  # fmt: skip
            await to_ledger(to, "POST", "/v1/usage", encode_batch(batch(1, *rows)))
            async with gateway(tmp_path, shared(one_route(a)), ledger=to) as proxy:
                _, told = await asked(proxy, "/api/v1/activity")
                for row in told:
                    fits(row, ACTIVITY)
                days_told = [f"{today - timedelta(days=back):%Y-%m-%d}" for back in (1, 30)]
                assert [row["date"] for row in told] == days_told
                assert {(row["requests"], round(row["usage"] * NANO)) for row in told} == {(1, COST)}
                assert {row["provider_name"] for row in told} == {"Provider A"}
                _, everybodys = await asked(proxy, "/v1/activity", PLATFORM)
                assert [row["requests"] for row in everybodys] == [2, 2]
                _, grouped = await asked(proxy, f"/v1/activity?group_by=workspace&date={days_told[0]}", PLATFORM)
                assert [row["workspace_id"] for row in grouped] == ["team-a", "team-b"]
                for filters, count in (
                    ("user_id=ann", 2), ("user_id=else", 0), (f"api_key_hash={digest_of(CI)}", 2),
                    (f"api_key_hash={digest_of(CD)}", 0), ("api_key_hash=none", 0), ("workspace_id=team-a", 2),
                ):  # fmt: skip
                    assert len((await asked(proxy, f"/v1/activity?{filters}"))[1]) == count
                assert (await asked(proxy, "/v1/activity?workspace_id=team-b"))[0] == 403
                assert len((await asked(proxy, "/v1/activity?workspace_id=team-b", PLATFORM))[1]) == 2
                for wrong in (f"{today:%Y-%m-%d}", "yesterday"):
                    assert (await asked(proxy, f"/v1/activity?date={wrong}"))[0] == 400
                assert (await asked(proxy, "/v1/credits"))[1] == {
                    "total_credits": 0, "total_usage": pytest.approx(4 * COST / NANO),
                }  # fmt: skip
                assert (await asked(proxy, "/v1/credits", PLATFORM))[1]["total_usage"] == 8 * COST / NANO

    asyncio.run(tell())
