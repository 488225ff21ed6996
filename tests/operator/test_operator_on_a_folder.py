"""The operator as a process runs it, over a folder: what it says, what it remembers, what it keeps to itself."""

import asyncio
import io
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from byway_operator import app
from byway_process.logs import Log

KEY = """
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {name: acme}
spec:
  provider: openai-compatible
  baseURL: http://127.0.0.1:9/v1
  secretRef: {name: acme-key}
  models: [{name: acme/m}]
---
apiVersion: v1
kind: Secret
metadata: {name: acme-key, labels: {byway.dev/credential: "true"}}
stringData: {apiKey: sk-only-in-memory}
"""
ROUTE = """
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {name: smart}
spec: {endpoints: [{name: a, providerKeyRef: {name: acme}, model: acme/m}]}
"""


class Asked:
    def __init__(self, session: aiohttp.ClientSession, said: io.StringIO) -> None:
        self._session, self._said = session, said

    async def get(self, path: str) -> Any:
        async with self._session.get(f"http://operator{path}") as answer:
            return await answer.json()

    async def accepted(self, kind: str) -> str:
        """The reason of the only object's condition."""
        [item] = (await self.get(f"/v1/resources?kind={kind}"))["items"]
        conditions = {c["type"]: c for c in item["status"]["conditions"]}
        return str(conditions["Accepted"]["reason"])

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        end = time.monotonic() + 5
        while not await condition():
            assert time.monotonic() < end
            await asyncio.sleep(0)

    async def has_problems(self) -> bool:
        # A file written a moment ago is in doubt before it is called broken.
        return bool((await self.get("/v1/problems"))["problems"])

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._said.getvalue().splitlines()]


@asynccontextmanager
async def operator(folder: Path, state: Path) -> AsyncIterator[Asked]:
    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="byway-", dir="/tmp") as short:
        socket = f"{short}/operator.sock"
        settings = app.Settings(source=str(folder), socket=socket, state=str(state), drain_s=0.1)
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(settings, Log("operator", out=said), stop))
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as session:
            asked = Asked(session, said)

            async def ready() -> bool:
                try:
                    async with session.get("http://operator/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await asked.until(ready)
            yield asked
        stop.set()
        await running


def test_what_a_broken_manifest_served_survives_a_restart(tmp_path: Path) -> None:
    folder, state = tmp_path / "dir", tmp_path / "state"
    folder.mkdir()
    (folder / "key.yaml").write_text(KEY)
    (folder / "route.yaml").write_text(ROUTE)

    async def story() -> None:
        async with operator(folder, state) as asked:
            assert await asked.accepted("ModelRoute") == "Accepted"
            await asked.until(lambda: _exists(state / "memory.json"))
        (folder / "route.yaml").write_text(ROUTE.replace("model:", "modle:"))
        async with operator(folder, state) as asked:
            assert await asked.accepted("ModelRoute") == "Invalid"
            [line] = [one for one in asked.lines() if one["what"] == "ModelRoute default/smart: Invalid"]
            assert line["serves"] == "last-good"
            assert line["place"] == "route.yaml:5"
            [item] = (await asked.get("/v1/resources?kind=ModelRoute"))["items"]
            assert item["metadata"]["generation"] == 2

    asyncio.run(story())


def test_secrets_are_neither_remembered_nor_told(tmp_path: Path) -> None:
    folder, state = tmp_path / "dir", tmp_path / "state"
    folder.mkdir()
    (folder / "key.yaml").write_text(KEY)

    async def story() -> None:
        async with operator(folder, state) as asked:
            assert await asked.accepted("ProviderKey") == "Accepted"
            await asked.until(lambda: _exists(state / "memory.json"))
            for kind in ("Secret", "ProviderKey", ""):
                assert "sk-only-in-memory" not in json.dumps(await asked.get(f"/v1/resources?kind={kind}"))
            assert (await asked.get("/v1/resources?kind=Secret"))["items"] == []
            assert "sk-only-in-memory" not in json.dumps(asked.lines())
        remembered = (state / "memory.json").read_text()
        assert "sk-only-in-memory" not in remembered
        assert "acme" in remembered

    asyncio.run(story())


def test_a_file_that_is_no_yaml_is_a_problem_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "dir"
    folder.mkdir()
    (folder / "bad.yaml").write_text("kind: [\n")

    async def story() -> None:
        async with operator(folder, tmp_path / "state") as asked:
            await asked.until(lambda: asked.has_problems())
            [problem] = (await asked.get("/v1/problems"))["problems"]
            assert problem["place"].startswith("bad.yaml:")
            assert problem["message"]

    asyncio.run(story())


def test_a_memory_that_cannot_be_read_is_said_and_forgotten(tmp_path: Path) -> None:
    folder, state = tmp_path / "dir", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    (folder / "key.yaml").write_text(KEY)
    (state / "memory.json").write_text('{"generations": [')

    async def story() -> None:
        async with operator(folder, state) as asked:
            assert await asked.accepted("ProviderKey") == "Accepted"
            assert any("remembered cannot be read" in line["what"] for line in asked.lines())

    asyncio.run(story())


async def _exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)
