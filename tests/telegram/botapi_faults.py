"""What can go wrong between the bot and the Bot API: faults on demand, dropped connections, flood limits."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import httpx
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.telegram.botapi_requests import Refusal, flood
from tests.telegram.botapi_text import Json

Mode = Literal["before", "after", "delay", "flood", "reset"]


@dataclass
class Fault:
    """What is to go wrong, and how often still."""

    method: str
    mode: Mode
    times: int
    chat_id: int | None
    code: int
    description: str
    seconds: float
    retry_after: float
    hang: bool

    def meets(self, method: str, params: Json) -> bool:
        """Whether it is about this request."""
        here = self.chat_id is None or str(self.chat_id) == str(params.get("chat_id"))
        return here and fnmatch.fnmatchcase(method, self.method)

    async def strike(self, closing: asyncio.Event) -> None:
        """What happens before the request is handled."""
        if self.mode == "before":
            raise Refusal(self.code, self.description)
        if self.mode == "flood":
            raise flood(self.retry_after)
        if self.mode == "delay":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), self.seconds)


class Bucket:
    """A token bucket: so many at once, then so many a second."""

    def __init__(self, size: float, rate: float) -> None:
        self._size, self._rate, self._left, self._at = size, rate, size, time.monotonic()

    def missing(self) -> float:
        """Seconds until one more is allowed; 0 = now."""
        now = time.monotonic()
        self._left, self._at = min(self._size, self._left + (now - self._at) * self._rate), now
        return 0.0 if self._left >= 1 else (1 - self._left) / self._rate

    def take(self, many: int = 1) -> None:
        """Use some up; an album may leave it in debt."""
        self._left -= many


class Server(uvicorn.Server):
    """A server that leaves the signals alone and can drop single connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.closing = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until closing, without the usual ticks."""
        await self.closing.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs it."""
        yield

    def drop(self, client: tuple[str, int]) -> None:
        """Break a client's connection."""
        for connection in list(self.server_state.connections):
            transport: asyncio.Transport = connection.transport
            if transport.get_extra_info("peername") == client and not transport.is_closing():
                transport.abort()


class Dropped(Response):
    """No answer: the connection is reset, at once or (`hang`) when the client has given up waiting."""

    def __init__(self, server: Server | None, hang: bool = False) -> None:
        super().__init__()
        self._server, self._hang = server, hang

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Behave as a dead connection."""
        if self._server is None:  # in-process transport: there is no connection to drop
            raise httpx.ReadTimeout("no answer") if self._hang else httpx.ReadError("connection dropped")
        gone = asyncio.ensure_future(receive())
        if self._hang:
            closing = asyncio.ensure_future(self._server.closing.wait())
            await asyncio.wait({gone, closing}, return_when=asyncio.FIRST_COMPLETED)
            closing.cancel()
        self._server.drop(tuple(scope["client"]))
        await gone
