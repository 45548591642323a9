"""Consoles of agents and chats of customers as programs of their own: real HTTP and real event streams."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

T: Final = 30.0  # seconds a condition may take; nothing waits that long when all is well
COOKIE: Final = "greenline_staff"
_numbers: Final = itertools.count(1)


async def until(condition: Callable[[], Any], seconds: float = T) -> Any:
    """The first true value of a condition, looked at again and again; it may be a coroutine function."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        await asyncio.sleep(0.02)


class AgentClient:
    """One console: calls the API, follows its stream, answers beats, and comes back where it was cut off."""

    def __init__(self, base: str, cookie: str, staff_id: int) -> None:
        self.id = staff_id
        self.events: list[tuple[str, Any]] = []
        self.cursor = ""
        self.connections = 0  # that were opened so far
        self.reads = asyncio.Event()  # while it is not set, what comes is left in the network
        self.reads.set()
        self._cookie = cookie
        self._stream: asyncio.Task[None] | None = None
        self._used: list[httpx.AsyncClient] = []
        self.point(base)

    def point(self, base: str) -> None:
        """Talk to this server from now on."""
        headers = {"Cookie": f"{COOKIE}={self._cookie}", "Origin": base}
        self.http = httpx.AsyncClient(base_url=f"{base}/api/v1", headers=headers, timeout=T)
        self._used.append(self.http)

    async def call(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        """A call with this outcome; what was answered."""
        answer = await self.http.request(method, path, json=body or None)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def online(self, capacity: int = 4) -> "AgentClient":
        """Sit down with the console open."""
        answer = await self.http.put("/agents/me/presence", json={"status": "online", "capacity": capacity})
        assert answer.status_code == 200, answer.text
        return await self.connect()

    async def connect(self) -> "AgentClient":
        """Open the stream; its first event has come."""
        before = len(self.events)
        self._stream = asyncio.create_task(self._follow())
        await until(lambda: len(self.events) > before)
        return self

    async def hang_up(self) -> None:
        """Close the stream; the console knows what it saw last."""
        if self._stream:
            self._stream.cancel()
            await asyncio.gather(self._stream, return_exceptions=True)
            self._stream = None

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await self._listen()
            await asyncio.sleep(0.1)

    async def _listen(self) -> None:
        headers = {"Last-Event-ID": self.cursor} if self.cursor else {}
        path = "/agents/me/events?beat=answered"
        patience = httpx.Timeout(T, read=20)
        async with self.http.stream("GET", path, headers=headers, timeout=patience) as answer:
            assert answer.status_code == 200, answer.status_code
            name, data, cursor = "", "", ""
            self.connections += 1
            async for line in answer.aiter_lines():
                await self.reads.wait()
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif field == "id":
                    cursor = value
                elif not line and name:
                    self.events.append((name, json.loads(data)))
                    self.cursor = cursor or self.cursor
                    if name == "beat":
                        await self.http.put("/agents/me/beat")
                    name = data = cursor = ""

    def heard(self, event: str, **facts: Any) -> list[Any]:
        """Events of this name so far, with these facts in them."""
        return [d for name, d in self.events if name == event and all(d.get(k) == v for k, v in facts.items())]

    def lines(self, conversation: int) -> list[dict[str, Any]]:
        """Lines of a conversation as they came."""
        return [each["line"] for each in self.heard("line", conversation=conversation)]

    async def claim(self, entry: int | None = None) -> httpx.Response:
        """Press the button."""
        return await self.http.post(f"/queue/{entry}/claims" if entry else "/queue/claims")

    async def takes(self, entry: int | None = None) -> dict[str, Any]:
        """Press the button and get a customer."""
        answer = await self.claim(entry)
        assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    async def writes(self, conversation: int, text: str, **more: Any) -> httpx.Response:
        """Write to the customer."""
        body = {"client_id": f"a{next(_numbers)}", "text": text} | more
        return await self.http.post(f"/conversations/{conversation}/messages", json=body)

    async def open(self, conversation: int) -> dict[str, Any]:
        """A conversation with its newest lines."""
        found: dict[str, Any] = await self.call("GET", f"/conversations/{conversation}")
        return found

    async def leave(self) -> None:
        """Close everything."""
        await self.hang_up()
        for each in self._used:
            await each.aclose()


class CustomerClient:
    """One customer in the web chat."""

    def __init__(self, base: str) -> None:
        self.base, self.conversation = base, 0
        self.no = ""
        self._http = httpx.AsyncClient(timeout=T)
        self._headers: dict[str, str] = {}

    async def arrive(self) -> "CustomerClient":
        """Begin a conversation."""
        answer = await self._http.post(f"{self.base}/api/v1/chat/sessions", json={"language": "zh_CN"})
        assert answer.status_code == 201, answer.text
        self._http.cookies.clear()
        self._headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        self.conversation = answer.json()["conversation"]["id"]
        return self

    async def says(self, text: str = "", **more: Any) -> dict[str, Any]:
        """Send a message; what was answered."""
        body = {"client_id": f"c{next(_numbers)}", "text": text} | more
        answer = await self._http.post(f"{self.base}/api/v1/chat/messages", json=body, headers=self._headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def joins(self) -> dict[str, Any]:
        """Ask for a person."""
        return await self.says(choice="person")

    async def sees(self) -> dict[str, Any]:
        """All lines, and how the conversation stands."""
        answer = await self._http.get(f"{self.base}/api/v1/chat/messages", headers=self._headers)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def place(self) -> int | None:
        """The shown position."""
        waits = (await self.sees())["conversation"]["queue"]
        return waits["position"] if waits else None

    async def told(self, name: str) -> list[dict[str, Any]]:
        """Replies of this name."""
        return [line for line in (await self.sees())["messages"] if line["name"] == name]

    async def uploads(self, name: str, content: bytes, media_type: str) -> str:
        """Send a file; its number."""
        files = {"file": (name, content, media_type)}
        url = f"{self.base}/api/v1/chat/attachments"
        answer = (await self._http.post(url, files=files, headers=self._headers)).raise_for_status()
        return str(answer.json()["id"])

    async def downloads(self, url: str) -> bytes:
        """A file of the conversation."""
        return (await self._http.get(f"{self.base}{url}", headers=self._headers)).raise_for_status().content

    async def leave(self) -> None:
        """Close the browser."""
        await self._http.aclose()
