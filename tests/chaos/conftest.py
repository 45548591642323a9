"""Real processes that die without warning at a named point, and what the world looks like afterwards.

Points are named from outside: a row lock that the test holds stops a process in front of a statement, a slow answer of
the Bot API double stops it inside a request. Then it is killed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from bot.mind import Mind
from desk.conversations import Direction
from desk.deliveries import Fate
from desk.store import Store, plain_url
from tests.conftest import Process, free_port
from tests.telegram.botapi import BotApi
from tests.telegram.botapi_person import Person
from tests.telegram.world import SECRET, TOKEN, Outside

RESTART = 60.0  # seconds a killed program may take until it answers again, on a busy machine


class Town(Outside):
    """People, their bot as real processes, and the database they share."""

    def __init__(self, api: BotApi, api_url: str, store: Store, start: Callable[..., Process]) -> None:
        super().__init__(api, store)
        self._api_url, self._start = api_url, start

    async def run(self, *, webhook: bool = False, part: str = "run") -> Process:
        """Start the program, or one part of it, and wait until it works."""
        settings = {"telegram_token": TOKEN, "telegram_api_url": self._api_url}
        port = free_port()
        if webhook:
            settings |= {"telegram_webhook_secret": SECRET, "public_url": f"http://127.0.0.1:{port}"}
        process = self._start(part, port=str(port), **settings)
        process.port, process.base = port, f"http://127.0.0.1:{port}"
        if part == "run":
            await asyncio.to_thread(process.ready)
        return process

    @staticmethod
    async def kill(process: Process) -> None:
        """Like a power cut."""
        await asyncio.to_thread(process.kill)

    @contextlib.asynccontextmanager
    async def holding(self, statement: str, *facts: Any) -> AsyncIterator[None]:
        """Hold the locks of a statement meanwhile."""
        async with await psycopg.AsyncConnection.connect(plain_url(self.store.url)) as db:
            await db.execute(statement, facts)
            yield
            await db.rollback()

    async def stuck(self, count: int = 1) -> None:
        """Wait until so many statements wait for a lock."""
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )

        async def so_many() -> bool:
            async with self.store.transaction() as db:
                return bool((await db.execute(waiting)).scalar_one() >= count)

        await self.until(so_many)

    async def doubts(self) -> int:
        """How many sends were counted as possible duplicates."""
        return sum(delivery.doubts for delivery in await self.deliveries())

    async def all_sent(self) -> None:
        """Wait until no delivery is open."""

        async def so() -> bool:
            return {delivery.fate for delivery in await self.deliveries()} <= {Fate.SENT}

        await self.until(so, RESTART)

    async def said(self, person: Person) -> list[str]:
        """What the record has of a person's words."""
        return [line.text for line in await self.lines(Direction.IN, chat=person.user["id"])]


LOCK_CONVERSATIONS = "SELECT FROM conversation FOR UPDATE"
LOCK_SENDING = "SELECT FROM delivery WHERE fate = 'sending' FOR UPDATE"


@pytest.fixture
async def town(
    store: Store, start: Callable[..., Process], loaded: Mind, pytestconfig: pytest.Config, tmp_path: Path
) -> AsyncIterator[Town]:
    """A town without a running bot. Its programs find the vectors of the guide ready, as after an earlier start."""
    assert pytestconfig.cache is not None
    (tmp_path / "process").mkdir()
    (tmp_path / "process" / "cache").symlink_to(pytestconfig.cache.mkdir("mind") / "cache")
    api = BotApi(TOKEN, webhook_backoff=0.05)
    async with api.serve() as url:
        yield Town(api, url, store, start)
