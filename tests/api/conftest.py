"""The web edge over real HTTP, and visitors who use it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.services import Services

API = "/api/v1/chat"


@dataclass
class Visitor:
    """Somebody with a token of their own."""

    http: httpx.AsyncClient
    token: str
    conversation: int

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.http.get(f"{API}{path}", headers=self.headers, **more)

    async def post(self, path: str, **more: Any) -> httpx.Response:
        return await self.http.post(f"{API}{path}", headers=self.headers, **more)

    async def says(self, client_id: str, text: str = "", **more: Any) -> dict[str, Any]:
        """Send a message that must be accepted."""
        body = {"client_id": client_id, **more} | ({"text": text} if text else {})
        answer = await self.post("/messages", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def sees(self) -> list[dict[str, Any]]:
        """All lines of the conversation."""
        found: list[dict[str, Any]] = (await self.get("/messages")).json()["messages"]
        return found


async def arrive(http: httpx.AsyncClient) -> Visitor:
    """A new visitor; the client keeps no cookie of theirs."""
    answer = await http.post(f"{API}/sessions")
    assert answer.status_code == 201, answer.text
    http.cookies.clear()
    return Visitor(http, answer.json()["token"], answer.json()["conversation"]["id"])


@pytest.fixture
async def visitor(client: httpx.AsyncClient) -> Visitor:
    return await arrive(client)


@contextlib.asynccontextmanager
async def serving(services: Services) -> AsyncIterator[str]:
    """The application behind a real server; gives its address."""
    config = uvicorn.Config(create_app(services), port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def running(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the web application over a real connection, as many at a time as a test needs."""
    async with serving(services) as base, httpx.AsyncClient(base_url=base, timeout=20) as http:
        yield http


@pytest.fixture
def calling_from(services: Services) -> Callable[[str], httpx.AsyncClient]:
    """The same application as a client at another address sees it: `calling_from("203.0.113.9")`."""
    app = create_app(services)

    def called(address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://greenline.test")

    called.app = app  # type: ignore[attr-defined]
    return called
