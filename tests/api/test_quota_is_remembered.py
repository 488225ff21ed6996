"""What a provider's answers say of its limits is in the next report, whatever the answer was."""

import asyncio
from pathlib import Path

from builders.gateway import gateway, one_route
from byway_contract.report import Quota
from fakes.provider import FakeProvider
from fakes.reply import Reply, status


def test_the_last_answer_says_what_is_left(tmp_path: Path) -> None:
    def left(requests: str) -> dict[str, str]:
        return {"x-ratelimit-remaining-requests": requests, "x-ratelimit-remaining-tokens": "1500"}

    async def main() -> None:
        async with FakeProvider() as provider, gateway(tmp_path, one_route(provider)) as proxy:
            provider.script.then += [
                Reply(headers=left("2")),
                Reply(headers=left("1")),
                status(429, headers=left("0")),
            ]
            for streamed, expected in ((False, 2), (True, 1), (False, 0)):
                await proxy.ask(stream=streamed)
                told = proxy.means.health.report(0.0, 0.0)[1]["default/a"]
                assert told.quota == Quota(expected, 1500)

    asyncio.run(main())
