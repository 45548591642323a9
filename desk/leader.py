"""Leadership: of all processes, one at a time does a job; when it dies another takes over within seconds."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

import psycopg

from desk.store import plain_url

RETRY: Final = 2.0  # seconds between attempts to become leader
log = logging.getLogger("greenline.leader")


@contextlib.asynccontextmanager
async def leadership(url: str, name: str) -> AsyncIterator[asyncio.Event]:
    """Wait until this process leads `name`; the event is set when leadership is lost.

    A session advisory lock on its own connection: PostgreSQL frees it the moment the process is gone.
    """
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(plain_url(url), autocommit=True)
        except (psycopg.Error, OSError) as error:
            log.warning("no database while waiting to lead %s: %s", name, error)
            await asyncio.sleep(RETRY)
            continue
        try:
            cursor = await connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (f"leader:{name}",))
            row = await cursor.fetchone()
            if row and row[0]:
                lost = asyncio.Event()
                watch = asyncio.create_task(_watch(connection, lost), name=f"leader:{name}")
                log.info("leading %s", name)
                try:
                    yield lost
                finally:
                    watch.cancel()
                    await asyncio.gather(watch, return_exceptions=True)
                return
        except psycopg.Error as error:
            log.warning("leadership of %s interrupted: %s", name, error)
        finally:
            await connection.close()
        await asyncio.sleep(RETRY)


async def _watch(connection: psycopg.AsyncConnection[tuple[object, ...]], lost: asyncio.Event) -> None:
    try:
        while True:
            await asyncio.sleep(RETRY)
            await connection.execute("SELECT 1")
    except (psycopg.Error, OSError):
        lost.set()
