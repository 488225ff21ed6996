"""Proxies by the dozen or by the thousand in one process, by TLS and tokens as in a cluster, for `bench.cluster`.

    python -m bench.crowd FILE

FILE is JSON: the operator's address, authorities and name, and of each proxy its pod and its token. `real` ones are
`byway_proxy.control` as every proxy has it, each with a log of its own; the others take each frame, read the first
of its kind, and say that they obey it.
"""

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
from byway_contract.report import Report
from byway_contract.stream import (
    PATH,
    SUBPROTOCOL,
    Ack,
    Hello,
    Pod,
    Reported,
    Same,
    decode_from_operator,
    decode_snapshot,
    encode,
)
from byway_contract.table import Table
from byway_process.logs import Log
from byway_process.tls import ClientTls
from byway_proxy.control.control import Control, ControlSettings
from byway_proxy.control.stream import Address

BUILD = "byway-proxy/bench"
REPORT_EVERY_S = 15.0


async def main(asked: dict[str, Any]) -> None:
    async with asyncio.TaskGroup() as tasks:
        if asked["real"]:
            for pod in asked["pods"]:
                tasks.create_task(_control(asked, pod).run())
        else:
            crowd = Crowd(asked)
            for pod in asked["pods"]:
                tasks.create_task(crowd.member(pod))


def _control(asked: dict[str, Any], pod: dict[str, str]) -> Control:
    address = Address(asked["url"], pod["token_file"], asked["ca"], asked["name"])
    log = Log(pod["name"], out=Path(pod["log"]).open("a", buffering=1))  # noqa: SIM115 - for as long as we live

    async def apply(_: Table) -> None:
        """Nobody calls models here."""

    identity = Pod(pod["name"], pod["uid"], pod["namespace"])
    return Control(identity, BUILD, ControlSettings(address), log, apply, lambda: Report(None, True))


class Crowd:
    """They share what is the same for all: the context of TLS, and what a frame says."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self._tls = ClientTls(asked["ca"], Log("crowd")).context
        self._acks: dict[bytes, str] = {}
        self._dialling = asyncio.Semaphore(20)

    async def member(self, pod: dict[str, str]) -> None:
        token = await asyncio.to_thread(Path(pod["token_file"]).read_text)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls)) as session:
            async with self._dialling:
                ws = await session.ws_connect(
                    self._asked["url"] + PATH,
                    protocols=(SUBPROTOCOL,),
                    headers={"Authorization": f"Bearer {token}"},
                    server_hostname=self._asked["name"],
                    max_msg_size=0,
                )
                await ws.send_str(encode(Hello(Pod(pod["name"], pod["uid"], pod["namespace"]), BUILD)))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._report(ws))
                await self._obey(ws)

    async def _obey(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in ws:
            if frame.type is aiohttp.WSMsgType.BINARY:
                await ws.send_str(self._ack(frame.data))
            elif frame.type is aiohttp.WSMsgType.TEXT:
                message = decode_from_operator(frame.data)
                if isinstance(message, Same):
                    await ws.send_str(encode(Ack(message.nonce, message.hash)))
        sys.exit(f"crowd: a stream ended with {ws.close_code}")

    def _ack(self, frame: bytes) -> str:
        digest = hashlib.blake2b(frame).digest()
        if digest not in self._acks:
            snapshot = decode_snapshot(frame)
            self._acks[digest] = encode(Ack(snapshot.nonce, snapshot.hash))
        return self._acks[digest]

    async def _report(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await ws.send_str(encode(Reported(Report(None, True))))
            await asyncio.sleep(REPORT_EVERY_S)


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
