"""One leads; when its connection ends, it knows at once and another takes over."""

import asyncio

import psycopg
import pytest

from desk.leader import leadership
from desk.store import plain_url


async def test_only_one_leads_and_the_next_takes_over(url: str) -> None:
    leading: list[int] = []

    async def lead(number: int, done: asyncio.Event) -> None:
        async with leadership(url, "x"):
            leading.append(number)
            assert len(leading) == 1
            await done.wait()
            leading.remove(number)

    events = [asyncio.Event() for _ in range(3)]
    tasks = [asyncio.create_task(lead(number, event)) for number, event in enumerate(events)]
    async with asyncio.timeout(20):
        for _ in range(3):
            while not leading:
                await asyncio.sleep(0.01)
            events[leading[0]].set()
            await tasks[leading[0]]
    await asyncio.gather(*tasks)


async def test_different_names_lead_side_by_side(url: str) -> None:
    async with asyncio.timeout(20), leadership(url, "a"), leadership(url, "b"):
        pass


async def test_who_loses_the_connection_knows_it_and_may_lead_again(url: str) -> None:
    async with asyncio.timeout(20):
        async with leadership(url, "x") as lost:
            async with await psycopg.AsyncConnection.connect(plain_url(url), autocommit=True) as db:
                await db.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            await lost.wait()
        async with leadership(url, "x") as lost:
            assert not lost.is_set()


async def test_an_error_inside_ends_leadership_and_is_not_swallowed(url: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        async with leadership(url, "x"):
            raise psycopg.OperationalError
    async with asyncio.timeout(20), leadership(url, "x"):
        pass
