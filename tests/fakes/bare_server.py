"""A server that says exactly the bytes it is told, for whoever tests an HTTP client."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """Where it listens, and what came in: a count of connections and the questions, whole."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.questions: list[bytes] = []
        self.gone = asyncio.Event()
        """A connection ended."""

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}"

    async def question(self, reader: asyncio.StreamReader) -> bytes:
        """One request. b"" when there is no more."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        whole = head + (await reader.readexactly(length) if length else b"")
        self.questions.append(whole)
        return whole


@asynccontextmanager
async def serving(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """`handler` gets every connection; when it returns, the connection is closed."""
    wire = Wire()
    tasks: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.connections += 1
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, which is its right
        except RuntimeError:  # uvloop's word for it when writing
            assert writer.is_closing()
        finally:
            writer.close()
            writers.discard(writer)
            wire.gone.set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not server.is_serving():  # accepted in the turn in which we end
            writer.close()
            return
        writers.add(writer)
        task = asyncio.get_running_loop().create_task(hold(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in list(writers):  # of tasks that had not begun
            writer.close()


@asynccontextmanager
async def answering(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Each question gets the next of the answers, over all connections; the last one repeats. Keeps connections."""
    asked = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await wire.question(reader):
            asked += 1
            writer.write(answers[min(asked, len(answers)) - 1])
            await writer.drain()

    async with serving(handler, tls=tls) as wire:
        yield wire
