"""A network between a console and its server that can fail without a word."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Wire:
    """Passes bytes on until it is cut; then nothing arrives any more, and no connection is closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._whole = asyncio.Event()
        self._whole.set()
        self.base = ""

    def cut(self) -> None:
        """From now on nothing gets through."""
        self._whole.clear()

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator["Wire"]:
        """The wire, to be used at `base`."""
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
            for source, sink in ((reader, back), (there, writer)):
                tasks.add(asyncio.create_task(self._pass(source, sink)))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while content := await source.read(65536):
                await self._whole.wait()
                sink.write(content)
                await sink.drain()
        finally:
            sink.close()
