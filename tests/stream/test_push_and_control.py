"""Hub and proxies together: what is published is served, what is refused is not, and breaks heal."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import aiohttp
import pytest
import uvloop
from byway_contract.stream import PATH, Ack, Hello, Nack, Pod, Welcome
from byway_operator.compile.verdict import Verdict
from byway_operator.push.door import not_leading
from byway_operator.resources.manifest import Key
from stream.parts import PUSH, a_proxy, a_raw_proxy, an_operator, compiled, until

SMART, FAST = Key("ModelRoute", "team-a", "smart"), Key("ModelRoute", "team-a", "fast")


def test_a_published_table_is_served_by_every_proxy_and_acked() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            table = compiled("smart")
            operator.hub.publish(table)
            async with a_proxy(operator.socket, "a") as a, a_proxy(operator.socket, "b") as b:
                await until(lambda: operator.acked == [table.hash] * 2)
                assert a.serving == b.serving == table.hash
                assert a.control.ready
                assert list(a.applied[0].routes) == ["team-a/smart"]
                view = operator.hub.fleet()
                assert view.holding(SMART, table.verdicts[SMART].fingerprint) == view.counted == 2

    asyncio.run(story())


def test_before_the_first_table_a_proxy_is_asked_to_come_again() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            connector = aiohttp.UnixConnector(str(operator.socket))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get(f"http://operator{PATH}") as answer,
            ):
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            async with a_proxy(operator.socket) as proxy:
                await until(lambda: "HTTP 503" in proxy.log.getvalue())
                assert not proxy.control.ready
                operator.hub.publish(compiled("smart"))
                await until(lambda: proxy.control.ready)

    asyncio.run(story())


def test_the_same_resources_again_are_no_news() -> None:
    async def story() -> None:
        async with an_operator() as operator, a_proxy(operator.socket) as proxy:
            operator.hub.publish(compiled("smart"))
            await until(lambda: proxy.control.ready)
            operator.hub.publish(compiled("smart"))
            operator.hub.publish(compiled("fast"))
            await until(lambda: len(proxy.applied) == 2)
            assert [held and held.seq for held in [proxy.control.live]] == [2]

    asyncio.run(story())


def test_what_did_not_change_is_not_decoded_again() -> None:
    async def story() -> None:
        async with an_operator() as operator, a_proxy(operator.socket) as proxy:
            operator.hub.publish(compiled("smart"))
            await until(lambda: len(proxy.applied) == 1)
            operator.hub.publish(compiled("smart", "fast"))
            await until(lambda: len(proxy.applied) == 2)
            before, after = proxy.applied
            assert after.routes["team-a/smart"] is before.routes["team-a/smart"]
            assert after.accounts["team-a/openai"] is before.accounts["team-a/openai"]

    asyncio.run(story())


def test_a_restarted_operator_with_the_same_resources_swaps_nothing() -> None:
    async def story() -> None:
        async with an_operator() as first:
            first.hub.publish(compiled("smart"))
            async with a_proxy(first.socket) as proxy:
                await until(lambda: len(first.acked) == 1 and first.acked[0])
                await first.hub.drain("shutdown", 0.05)
                async with an_operator(first.socket, term=2) as second:
                    second.hub.publish(compiled("smart"))
                    await until(lambda: second.acked == [compiled("smart").hash])
                    assert len(proxy.applied) == 1
                    assert proxy.control.live is not None
                    await until(lambda: proxy.control.live and proxy.control.live.number == (2, 1))

    asyncio.run(story())


def test_one_proxy_of_each_build_goes_first() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with (
                a_raw_proxy(operator.socket, "a", "1") as a,
                a_raw_proxy(operator.socket, "b", "1") as b,
                a_raw_proxy(operator.socket, "c", "2") as c,
            ):
                for raw in (a, b, c):
                    table = await raw.hears_table()
                    await raw.says(Ack(table.nonce, table.hash))
                await until(lambda: operator.acked == [compiled("smart").hash] * 3)
                operator.hub.publish(compiled("fast"))
                first, other = await a.hears_table(), await c.hears_table()
                assert first.hash == other.hash == compiled("fast").hash
                waiting = asyncio.create_task(b.hears_table())
                await a.says(Ack(first.nonce, first.hash))
                await until(lambda: compiled("fast").hash in operator.acked)
                assert not waiting.done()
                began = asyncio.get_running_loop().time()
                await c.says(Ack(first.nonce, first.hash))
                assert (await waiting).hash == first.hash
                # Acks speed it up: nobody waited the 300 ms out.
                assert asyncio.get_running_loop().time() - began < PUSH.scout_s / 2

    asyncio.run(story())


def test_a_scout_that_does_not_answer_stops_nobody() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket, "mute") as mute:
                await mute.hears_table()
                async with a_proxy(operator.socket, "b") as b:
                    await until(lambda: b.control.ready)

    asyncio.run(story())


def test_a_refused_object_is_laid_at_its_owners_door_and_nobody_else_meets_the_table() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            refuse = {"routes/team-a/fast": "cannot be obeyed"}
            async with (
                a_proxy(operator.socket, "a", refuse=refuse) as a,
                a_proxy(operator.socket, "b", refuse=refuse) as b,
            ):
                await until(lambda: operator.acked == [compiled("smart").hash] * 2)
                bad = compiled("smart", "fast")
                operator.hub.publish(bad)
                await until(lambda: FAST in operator.hub.refusals)
                refusal = operator.hub.refusals[FAST]
                assert (refusal.fingerprint, refusal.message) == (
                    bad.verdicts[FAST].fingerprint,
                    "cannot be obeyed",
                )
                assert a.serving == b.serving == compiled("smart").hash
                assert sum("a table is refused" in proxy.log.getvalue() for proxy in (a, b)) == 1
                # The cycle compiles again with it held back, which here is the table before.
                operator.hub.publish(compiled("smart"))
                operator.hub.publish(compiled("smart", "slow"))
                await until(lambda: a.serving == b.serving == compiled("smart", "slow").hash)
                # The resource is gone, and so is what was held against it.
                assert FAST not in operator.hub.refusals

    asyncio.run(story())


def test_a_refusal_that_names_nothing_keeps_everybody_on_the_table_before() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket, "scout") as scout, a_proxy(operator.socket, "b") as b:
                table = await scout.hears_table()
                await scout.says(Ack(table.nonce, table.hash))
                await until(lambda: operator.acked == [table.hash] * 2)
                operator.hub.publish(compiled("fast"))
                bad = await scout.hears_table()
                await scout.says(Nack(bad.nonce, bad.hash, "Build", "", "TypeError while building", table.hash))
                await until(lambda: operator.hub.fleet().stuck)
                assert b.serving == table.hash
                async with a_proxy(operator.socket, "late") as late:
                    await until(lambda: late.serving == table.hash)
                operator.hub.publish(compiled("good"))
                await scout.hears_table()
                await until(lambda: b.serving == compiled("good").hash)
                assert operator.hub.fleet().stuck == ""

    asyncio.run(story())


def test_a_slow_proxy_gets_the_latest_table_and_holds_up_nobody() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("t0"))
            async with a_raw_proxy(operator.socket, "slow", "old") as slow, a_proxy(operator.socket, "b") as b:
                first = await slow.hears_table()
                for number in range(1, 6):
                    operator.hub.publish(compiled(f"t{number}"))
                    await until(lambda n=number: b.serving == compiled(f"t{n}").hash)  # type: ignore[misc]
                await slow.says(Ack(first.nonce, first.hash))
                assert (await slow.hears_table()).hash == compiled("t5").hash

    asyncio.run(story())


def test_a_proxy_that_reads_nothing_holds_up_nobody_and_is_let_go() -> None:
    async def story() -> None:
        async with an_operator(settings=replace(PUSH, answer_s=0.3, close_s=0.1)) as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket, "deaf", "old") as deaf, a_proxy(operator.socket, "b") as b:
                await deaf.says(Ack((await deaf.hears_table()).nonce, compiled("smart").hash))
                await until(lambda: operator.acked == [compiled("smart").hash] * 2)
                deaf.reads_nothing_more()
                # More than the sockets' buffers take, and of bytes that do not compress.
                large = compiled("smart", secret=random.Random(7).randbytes(4_000_000).hex())
                operator.hub.publish(large)
                await until(lambda: b.serving == large.hash)
                operator.hub.publish(compiled("fast"))
                await until(lambda: b.serving == compiled("fast").hash)
                await until(lambda: len(operator.hub.fleet().proxies) == 1)
                # And what it was sent does not stay in the operator's memory until it reads.
                await until(lambda: operator.runner.server and len(operator.runner.server.connections) == 1)

    asyncio.run(story())


def test_a_refused_table_is_not_sent_again() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket) as raw:
                bad = await raw.hears_table()
                await raw.says(Nack(bad.nonce, bad.hash, "Build", "", "TypeError while building"))
                await until(lambda: operator.hub.fleet().proxies[0].nack)
                operator.hub.publish(compiled("fast"))
                assert (await raw.hears_table()).hash == compiled("fast").hash

    asyncio.run(story())


def test_an_operator_that_lost_its_lease_sends_everybody_away() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket) as raw:
                await raw.hears_table()
                await operator.hub.drain("lost-lease", 0.01)
                assert await raw.closed_with() == 4421
            async with a_proxy(operator.socket) as proxy:
                await until(lambda: "HTTP 421" in proxy.log.getvalue())

    asyncio.run(story())


def test_a_resource_that_changes_nothing_in_the_table_is_programmed_too() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_proxy(operator.socket):
                await until(lambda: operator.acked == [compiled("smart").hash])
                again = compiled("smart")
                budget = Key("Budget", "team-a", "all")
                verdicts = {**again.verdicts, budget: Verdict(budget, 1)}
                operator.hub.publish(replace(again, verdicts=verdicts))
                assert operator.hub.fleet().holding(budget, "") == 1

    asyncio.run(story())


def test_a_proxy_that_never_answers_a_table_is_let_go() -> None:
    async def story() -> None:
        settings = replace(PUSH, answer_s=0.05)
        async with an_operator(settings=settings) as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket) as raw:
                assert await raw.closed_with() == 1008

    asyncio.run(story())


def test_a_pod_that_dials_again_supersedes_itself() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with (
                a_raw_proxy(operator.socket, "a") as old,
                a_raw_proxy(operator.socket, "a") as new,
            ):
                assert isinstance(await new.hears(), Welcome)
                assert await old.closed_with() == 4409
                await until(lambda: len(operator.hub.fleet().proxies) == 1)

    asyncio.run(story())


def test_garbage_closes_the_stream_with_a_code() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket, hello=False) as raw:
                await raw.ws.send_str("{")
                assert await raw.closed_with() == 1002
            async with a_raw_proxy(operator.socket, hello=False) as raw:
                await raw.says(Ack("n", "h"))
                assert await raw.closed_with() == 1002
            async with a_raw_proxy(operator.socket) as raw:
                await raw.ws.send_str('{"type":"dance"}')
                assert await raw.closed_with() == 1002
            async with a_raw_proxy(operator.socket) as raw:
                await raw.ws.send_bytes(b"\x00")
                assert await raw.closed_with() == 1003
            async with a_raw_proxy(operator.socket, hello=False) as raw:
                await raw.says(Hello(Pod("a", "u"), "1", schemas=(7,)))
                assert await raw.closed_with() == 4426

    asyncio.run(story())


def test_every_proxy_hears_how_many_share_a_cap() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_proxy(operator.socket, "a") as a:
                await until(lambda: a.fleets == [1])
                async with a_proxy(operator.socket, "b") as b:
                    await until(lambda: a.fleets == [1, 2] and b.fleets == [2])
                await until(lambda: a.fleets == [1, 2, 1])
                operator.hub.expect(3)
                await until(lambda: a.fleets[-1] == 3)

    asyncio.run(story())


def test_an_aged_stream_is_dialled_again_while_the_proxy_serves_on() -> None:
    async def story() -> None:
        async with an_operator(settings=replace(PUSH, max_age_s=0.2)) as operator:
            operator.hub.publish(compiled("smart"))
            async with a_proxy(operator.socket) as proxy:
                await until(lambda: operator.log.getvalue().count("a proxy is connected") == 2)
                assert proxy.control.ready
                assert len(proxy.applied) == 1

    asyncio.run(story())


def test_a_proxy_that_is_silent_for_too_long_is_gone() -> None:
    async def story() -> None:
        async with an_operator(settings=replace(PUSH, dead_s=0.05)) as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket) as raw:
                assert isinstance(await raw.hears(), Welcome)
                await until(lambda: not operator.hub.fleet().proxies)

    asyncio.run(story())


def test_pings_keep_a_quiet_stream_alive() -> None:
    async def story() -> None:
        settings = replace(PUSH, dead_s=0.2, ping_s=0.02, report_every_s=60.0)
        async with an_operator(settings=settings) as operator:
            operator.hub.publish(compiled("smart"))
            async with a_proxy(operator.socket, dead_s=0.2) as proxy:
                await until(lambda: proxy.control.ready)
                began = asyncio.get_running_loop().time()
                await until(lambda: asyncio.get_running_loop().time() > began + 0.5)
                assert operator.log.getvalue().count("a proxy is connected") == 1
                assert proxy.control.connected

    asyncio.run(story())


def test_reports_arrive_and_many_at_once_are_one() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_proxy(operator.socket) as proxy:
                await until(lambda: proxy.control.ready)
                for _ in range(100):
                    proxy.control.report_now()
                await until(lambda: (report := operator.hub.fleet().proxies[0].report) and report.ready)
                report = operator.hub.fleet().proxies[0].report
                assert report is not None
                assert report.serving == compiled("smart").hash

    asyncio.run(story())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_that_all_have_a_table_is_told_at_once_and_that_some_have_it_is_not(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def story() -> None:
        slow, table = replace(PUSH, scout_s=0.01, gather_s=60, late_s=60), compiled("smart")
        async with an_operator(settings=slow) as operator, a_proxy(operator.socket, "a"):
            operator.hub.publish(table)
            async with a_raw_proxy(operator.socket) as late:
                sent = await late.hears_table()
                await until(lambda: table.hash in operator.acked)
                assert operator.changes == []
                await late.says(Ack(sent.nonce, sent.hash))
                await until(lambda: operator.changes)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


def test_the_leader_is_named_to_a_websocket_client() -> None:
    answer = not_leading("192.0.2.7:8443")
    assert (answer.status, answer.headers["Byway-Leader"]) == (421, "192.0.2.7:8443")


def test_fifty_proxies_have_a_change_within_a_second() -> None:
    async def story() -> None:
        async with an_operator() as operator, AsyncExitStack() as stack:
            operator.hub.publish(compiled("smart"))
            proxies = [await stack.enter_async_context(a_proxy(operator.socket, f"p{n}")) for n in range(50)]
            await until(lambda: all(proxy.control.ready for proxy in proxies))
            operator.hub.publish(compiled("fast"))
            began = asyncio.get_running_loop().time()
            await until(lambda: operator.acked == [compiled("fast").hash] * 50)
            assert asyncio.get_running_loop().time() - began < 1

    asyncio.run(story())
