"""Leadership: of all processes, one at a time does a job; when it dies another takes over within seconds."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

import psycopg

from desk.store import plain_url

RETRY: Final = 2.0  # seconds between attempts to become leader, and between looks whether we still are
PATIENCE: Final = 5.0  # seconds a connection may stay silent before it counts as broken
log = logging.getLogger("greenline.leader")
Connection = psycopg.AsyncConnection[tuple[object, ...]]


@contextlib.asynccontextmanager
async def leadership(url: str, name: str) -> AsyncIterator[asyncio.Event]:
    """Wait until this process leads `name`; the event is set when leadership is lost.

    A session advisory lock on its own connection: PostgreSQL frees it the moment the process is gone.
    """
    connection = await _lead(plain_url(url), name)
    lost = asyncio.Event()
    watch = asyncio.create_task(_watch(connection, name, lost), name=f"leader:{name}")
    log.info("leading %s", name)
    try:
        yield lost
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await connection.close()


async def _lead(url: str, name: str) -> Connection:
    while True:
        connection: Connection | None = None
        try:
            connection = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=int(PATIENCE))
            while not await _locked(connection, name):
                await asyncio.sleep(RETRY)
            return connection
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("no database while waiting to lead %s: %s", name, error)
            if connection:
                await connection.close()
        except asyncio.CancelledError:
            if connection:
                await connection.close()
            raise
        await asyncio.sleep(RETRY)


async def _locked(connection: Connection, name: str) -> bool:
    async with asyncio.timeout(PATIENCE):
        cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (f"leader:{name}",))
        row = await cursor.fetchone()
    return bool(row and row[0])


async def _watch(connection: Connection, name: str, lost: asyncio.Event) -> None:
    """A broken connection shows at once; one that only went silent, when it does not answer."""
    try:
        while True:
            async for _ in connection.notifies(timeout=RETRY):
                pass
            async with asyncio.timeout(PATIENCE):
                await connection.execute("SELECT 1")
    except (psycopg.Error, OSError, TimeoutError) as error:
        log.warning("no longer leading %s: %s", name, error)
        lost.set()
