"""The event table: every reader sees every event exactly once, in one order, whoever commits when."""

import asyncio
import random

import pytest

from desk import events
from desk.errors import BadCursor
from desk.events import Event
from desk.store import Bell, Store
from tests.conftest import MONDAY

WRITERS, ROUNDS = 6, 8


async def write(store: Store, *numbers: int) -> None:
    async with store.transaction() as db:
        for number in numbers:
            await events.record(db, "tested", f"thing:{number}", by="test", at=MONDAY, number=number)


async def test_events_come_in_order_behind_the_cursor(store: Store) -> None:
    await write(store, 1, 2)
    await write(store, 3)
    async with store.transaction() as db:
        all_of_them = await events.read(db)
        assert [event.facts["number"] for event in all_of_them] == [1, 2, 3]
        assert [e.facts["number"] for e in await events.read(db, after=all_of_them[0].cursor)] == [2, 3]
        assert [e.facts["number"] for e in await events.read(db, limit=2)] == [1, 2]
        assert await events.read(db, after=all_of_them[-1].cursor) == []


async def test_an_event_keeps_who_when_and_what(store: Store) -> None:
    await write(store, 1)
    async with store.transaction() as db:
        [event] = await events.read(db)
        assert (event.kind, event.subject, event.by, event.at) == ("tested", "thing:1", "test", MONDAY)
        assert await events.about(db, "thing:1", "tested") == [event]
        assert await events.about(db, "thing:1", "other") == []


async def test_an_event_of_a_transaction_that_failed_never_was(store: Store) -> None:
    with pytest.raises(RuntimeError):
        async with store.transaction() as db:
            await events.record(db, "tested", "x", by="test", at=MONDAY)
            raise RuntimeError
    async with store.transaction() as db:
        assert await events.read(db) == []


async def test_a_later_commit_waits_for_an_earlier_transaction(store: Store) -> None:
    async with store.transaction() as early:
        await events.record(early, "tested", "early", by="test", at=MONDAY, number=1)
        await early.flush()
        await write(store, 2)
        async with store.transaction() as reader:
            assert await events.read(reader) == []  # showing 2 now would hide 1 for ever
    async with store.transaction() as reader:
        assert [event.facts["number"] for event in await events.read(reader)] == [1, 2]


async def test_racing_writers_are_read_exactly_once_and_without_gaps(store: Store, bell: Bell) -> None:
    total = WRITERS * ROUNDS * 2
    chance = random.Random(7)

    async def writer(number: int) -> None:
        for turn in range(ROUNDS):
            first = (number * ROUNDS + turn) * 2
            async with store.transaction() as db:
                for offset in (0, 1):
                    await events.record(db, "tested", "x", by="test", at=MONDAY, number=first + offset)
                    await db.flush()
                    for _ in range(chance.randrange(30)):  # others get ahead meanwhile
                        await asyncio.sleep(0)

    async def reader(limit: int) -> list[int]:
        seen: list[int] = []
        cursor: str | None = None
        async for _ in bell.rings("events", patience=0.2):
            while True:
                async with store.transaction() as db:
                    found = await events.read(db, after=cursor, limit=limit)
                if not found:
                    break
                seen += [event.facts["number"] for event in found]
                cursor = found[-1].cursor
            if len(seen) >= total:
                return seen
        raise AssertionError

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        readers = [group.create_task(reader(limit)) for limit in (1, 3, 200)]
        for number in range(WRITERS):
            group.create_task(writer(number))
    orders = [task.result() for task in readers]
    assert sorted(orders[0]) == list(range(total))
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize("cursor", ["x", "1", "1-2-3", "-1", "1-", "1_0-2", "１-２", f"{10**19}-1", "1-2 ", "1;--"])
async def test_a_cursor_that_was_never_issued_is_refused(store: Store, cursor: str) -> None:
    async with store.transaction() as db:
        with pytest.raises(BadCursor):
            await events.read(db, after=cursor)


def test_a_cursor_names_transaction_and_event() -> None:
    assert Event(id=5, xid=9, kind="k", subject="s", by="b", at=MONDAY).cursor == "9-5"
