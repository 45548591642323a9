"""The database seam: one engine, one transaction per message or job, and wake-ups through NOTIFY.

Nobody else commits. A transaction that ends without an exception is committed; anything else is rolled back.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.errors import DatabaseDown

CHANNEL: Final = "greenline"
PATIENCE: Final = 5.0  # seconds a start waits for the first connection of the bell
log = logging.getLogger("greenline.store")


def sqlalchemy_url(url: str) -> str:
    """The same database for SQLAlchemy: psycopg 3 driver."""
    for prefix in ("postgresql+psycopg://", "postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def plain_url(url: str) -> str:
    """The same database for libpq."""
    return "postgresql://" + sqlalchemy_url(url).removeprefix("postgresql+psycopg://")


class Store:
    """Opens transactions on one PostgreSQL."""

    def __init__(self, url: str, *, pool_size: int = 12) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=20,
            pool_pre_ping=True,
            connect_args={"options": "-c timezone=UTC"},
        )

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: commits at the end, rolls back on any exception. Raises DatabaseDown."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            try:
                yield session
                await session.commit()
            except PoolTimeout as error:
                raise DatabaseDown() from error
            except DBAPIError as error:
                if _unreachable(error):
                    raise DatabaseDown() from error
                raise

    async def ping(self) -> None:
        """Raises DatabaseDown when the database does not answer."""
        try:
            async with asyncio.timeout(3), self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
            raise DatabaseDown() from error

    async def close(self) -> None:
        """Return all connections."""
        await self.engine.dispose()


def _unreachable(error: DBAPIError) -> bool:
    """Whether the server is away, full or shutting down, rather than unhappy with a statement."""
    if error.connection_invalidated:
        return True
    if not isinstance(error.orig, psycopg.OperationalError):
        return False
    state = error.orig.sqlstate
    return state is None or state.startswith(("08", "53", "57P"))


async def notify(db: AsyncSession, topic: str, detail: str = "") -> None:
    """Wake everyone who waits for `topic`, in every process, once this transaction commits; they hear the detail."""
    await db.execute(_NOTIFY, {"channel": CHANNEL, "topic": f"{topic}|{detail}" if detail else topic})


_NOTIFY = text("SELECT pg_notify(:channel, :topic)")


async def raw_connection(db: AsyncSession) -> Any:
    """The psycopg connection of this transaction, for jobs that are deferred inside it."""
    connection = await db.connection()
    return (await connection.get_raw_connection()).driver_connection


@dataclass(eq=False)
class Waiter:
    """Somebody who waits for topics, and what rang since they last looked."""

    heard: set[str]
    event: asyncio.Event = field(default_factory=asyncio.Event)


class Bell:
    """Listens to NOTIFY on one connection per process and wakes local waiters.

    A wake-up is a hint: whoever waits re-reads the database, also after `patience` seconds without one and after
    every reconnection, so a lost notification costs time and never data.
    """

    def __init__(self, url: str) -> None:
        self._url = plain_url(url)
        self._waiters: dict[str, set[Waiter]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def __aenter__(self) -> "Bell":
        self._task = asyncio.create_task(self._listen(), name="bell")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._ready.wait()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.contextmanager
    def _subscribed(self, topics: tuple[str, ...], waiter: "Waiter") -> Any:
        for topic in topics:
            self._waiters[topic].add(waiter)
        try:
            yield
        finally:
            for topic in topics:
                self._waiters[topic].discard(waiter)
                if not self._waiters[topic]:
                    del self._waiters[topic]

    async def rings(self, *topics: str, patience: float) -> AsyncIterator[frozenset[str]]:
        """What rang (`topic` or `topic|detail`): something at once, nothing after `patience` seconds of silence."""
        waiter = Waiter({""})
        waiter.event.set()
        with self._subscribed(topics, waiter):
            while True:
                try:
                    async with asyncio.timeout(patience):
                        await waiter.event.wait()
                    waiter.event.clear()
                    heard, waiter.heard = frozenset(waiter.heard), set()
                    yield heard
                except TimeoutError:
                    yield frozenset()

    def ring(self, said: str) -> None:
        """Wake local waiters of a topic, with or without a detail."""
        for waiter in self._waiters.get(said.partition("|")[0], ()):
            waiter.heard.add(said)
            waiter.event.set()

    async def _listen(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._ready.set()
                    for topic in list(self._waiters):
                        self.ring(topic)
                    async for notification in connection.notifies():
                        self.ring(notification.payload)
            except (psycopg.Error, OSError) as error:
                log.warning("listening interrupted: %s", error)
            await asyncio.sleep(1)
