"""A proxy without its operator and ledger: real sockets, a real log, and the table a test gives it."""

import asyncio
import io
import json
import random
import time
from asyncio import get_running_loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from builders.tables import DOLLAR
from byway_contract.money import Price
from byway_contract.records import Intent, Record, Settle, decode
from byway_contract.secret import Secret
from byway_contract.table import (
    Account,
    Anonymous,
    Credential,
    Endpoint,
    Route,
    RouteEndpoint,
    SectionName,
    Table,
    TableObject,
    Tenancy,
    canonical,
)
from byway_contract.table import decode as decode_table
from byway_process.logs import Log
from byway_proxy.api.chat import Chat
from byway_proxy.api.models import Models
from byway_proxy.api.reading import reading
from byway_proxy.api.server import Limits, Server
from byway_proxy.api.serving import Serving
from byway_proxy.carry.deadlines import Deadlines
from byway_proxy.carry.draining import Draining
from byway_proxy.carry.job import Means, Patience
from byway_proxy.carry.retries import RetryBudget
from byway_proxy.carry.tally import Tally
from byway_proxy.carry.upstream.client import Client
from byway_proxy.choose.health import Health
from byway_proxy.choose.trouble import Limits as HealthLimits
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.books import Books
from byway_proxy.meter.chance import Chance
from byway_proxy.meter.log import Log as RecordLog
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.post import Ledger, LedgerPost
from byway_proxy.meter.ship import Shipper
from byway_proxy.meter.witness import Witness
from canary import KEY
from fakes.provider import FakeProvider

PATIENT = Patience(connect_s=2.0, first_token_s=5.0, idle_s=5.0, request_s=20.0, comment_s=10.0, blocked_s=5.0)


@dataclass
class Gateway:
    url: str
    session: aiohttp.ClientSession
    means: Means
    serving: Serving
    server: Server
    records: RecordLog
    shipper: Shipper

    async def ask(self, model: str = "smart", headers: dict[str, str] | None = None, **fields: Any) -> "Answer":
        body = {"model": model, "messages": [{"role": "user", "content": "Say something."}], **fields}
        # As a file: aiohttp warns of large bodies in one piece.
        return await self.post("/v1/chat/completions", headers=headers, data=io.BytesIO(json.dumps(body).encode()))

    async def post(self, path: str, **how: Any) -> "Answer":
        async with self.session.post(self.url + path, **how) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def get(self, path: str, **how: Any) -> "Answer":
        async with self.session.get(self.url + path, **how) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    def written(self) -> list[Record]:
        """Everything in the log so far."""
        self.records.sync()
        return [decode(one) for one in self.records.read(1, 100_000, 1 << 30)]

    def settled(self) -> list[tuple[Intent, Settle]]:
        """Each INTENT with its SETTLE, in the order of the INTENTs. Fails if one has none, or two."""
        records = self.written()
        ends: dict[str, list[Settle]] = {}
        for record in records:
            if isinstance(record, Settle):
                ends.setdefault(record.attempt, []).append(record)
        intents = [record for record in records if isinstance(record, Intent)]
        assert [len(ends.get(intent.attempt, [])) for intent in intents] == [1] * len(intents)
        return [(intent, ends[intent.attempt][0]) for intent in intents]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def chunks(self) -> list[Any]:
        """The chunks of a stream, `[DONE]` as a string."""
        events = [e for e in self.body.decode().split("\n\n") if e.startswith("data: ")]
        return [e[6:] if e == "data: [DONE]" else json.loads(e[6:]) for e in events]

    @property
    def text(self) -> str:
        """What a stream said."""
        return "".join(
            choice["delta"].get("content") or ""
            for chunk in self.chunks
            if isinstance(chunk, dict)
            for choice in chunk["choices"]
        )


@asynccontextmanager
async def gateway(
    folder: Path,
    table: Table,
    *,
    patience: Patience = PATIENT,
    health: HealthLimits | None = None,
    limits: Limits | None = None,
    seed: int = 1,
    ledger: str = "",
    ledger_within_s: float = 2.0,
    draining: Draining | None = None,
    wait_s: float = 2.0,
    **changes: Any,
) -> AsyncIterator[Gateway]:
    loop = get_running_loop()
    """`ledger`: where one is; without, nothing is shipped and no budget has room."""
    records = RecordLog(folder / "log")
    log = Log("proxy", "error")
    there = Ledger(ledger or "unix:/nowhere")
    meter, post = Meter(records), LedgerPost(there)
    asking = Asking(meter, records, post, log, now=loop.time, wait_s=wait_s)
    shipper = Shipper(records, post, log, first_wait_s=0.01, longest_wait_s=0.05, on_recall=asking.recall)
    means = Means(
        client=Client(),
        deadlines=Deadlines(loop, tick_s=0.01),
        health=Health(health or HealthLimits()),
        meter=meter,
        asking=asking,
        witness=Witness(time.time),
        retries=RetryBudget(),
        tally=Tally(),
        dice=random.Random(seed),
        draining=Draining(loop.time) if draining is None else draining,
        now=loop.time,
        wall=time.time,
        random_bytes=Chance(),
        patience=replace(patience, **changes) if changes else patience,
    )
    serving = Serving()
    serving.swap(table)
    means.health.rates.obey(table.budgets)
    models, books = Models(serving), Books(there, loop.time, within_s=ledger_within_s)
    server = Server(
        {
            ("POST", "/v1/chat/completions"): Chat(serving, means),
            ("GET", "/v1/models"): models.all,
            ("GET", "/v1/models/"): models.one,
            **reading(serving, books, time.time),
        },
        limits or Limits(),
        log,
    )
    running = [loop.create_task(part.run()) for part in (asking, shipper) if ledger]
    listening = await loop.create_server(server.protocol_factory, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            yield Gateway(f"http://127.0.0.1:{port}", session, means, serving, server, records, shipper)
    finally:
        listening.close()
        await server.shut_down(1.0)
        await means.draining.close()
        means.deadlines.close()
        await means.client.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await post.close()
        await books.close()
        records.close()


def one_route(
    *providers: FakeProvider, route: dict[str, Any] | None = None, free: int = 0, **account: Any
) -> Table:
    """Route `smart` over one endpoint at each provider, in that order (each a step of its own).

    At 1 $/M in and 2 out; also callable as `acme/m`. The names are a, b, c …, and the first `free` cost nothing.
    """
    names = [chr(ord("a") + n) for n in range(len(providers))]
    sections: dict[SectionName, dict[str, TableObject]] = {
        "callers": {"anonymous": Anonymous(namespace="default")},
        "policies": {"tenancy": Tenancy(trusted_namespaces=("default",))},
        "accounts": {},
        "credentials": {},
        "endpoints": {},
        "models": {},
    }
    members = []
    for number, (name, provider) in enumerate(zip(names, providers, strict=True)):
        key = f"default/{name}"
        ca = provider.authority.cert_pem.bytes().decode() if provider.authority else None
        sections["accounts"][key] = Account(
            namespace="default", name=name, provider=name, display_name=f"Provider {name.upper()}",
            base_url=provider.url, credential=key, ca_bundle=ca, **account,
        )  # fmt: skip
        sections["credentials"][key] = Credential(Secret(KEY))
        sections["endpoints"][f"{key}:m"] = Endpoint(
            account=key,
            model="acme/m",
            upstream_model="m",
            price_origin="test",
            price=Price(0, 0) if number < free else Price(DOLLAR, 2 * DOLLAR),
        )
        members.append(RouteEndpoint(name=name, endpoint=f"{key}:m", order=number))
    smart = Route(
        namespace="default", name="smart", model_names=("smart",), endpoints=tuple(members), **(route or {})
    )
    sections["routes"] = {"default/smart": smart}
    return decode_table({s: {n: canonical(o) for n, o in members_.items()} for s, members_ in sections.items()})
