"""Alarms: raised once, told one after the other, until somebody looks after them."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from desk import alarms, policy
from desk.alarms import Alarm
from desk.conversations import Channel, Direction, RecordLine
from desk.errors import UnknownAlarm
from desk.events import Event
from desk.store import Store
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import after

PEOPLE = [{"name": "Wang", "phone": "13800000001"}, {"name": "Li", "phone": "13800000002"}]


async def on_call(store: Store, people: list[dict[str, str]]) -> None:
    async with store.transaction() as db:
        await policy.publish(db, {"alarms": {"on_call": people}}, version=0, note="n", by="x", at=MONDAY)


async def shout(store: Store) -> tuple[int, int]:
    """Somebody writes about danger: conversation and line."""
    talk, _ = await floor.customer(store, None)
    async with store.transaction() as db:
        line = RecordLine(
            conversation_id=talk, channel=Channel.WEB, direction=Direction.IN, by="customer", text="fire", at=MONDAY
        )
        db.add(line)
        await db.flush()
        return talk, line.id or 0


async def raised(store: Store, talk: int, line: int, *, at: datetime = MONDAY) -> Alarm:
    async with store.transaction() as db:
        return await alarms.raise_alarm(db, talk, line, at=at)


async def told(store: Store) -> list[Any]:
    """The jobs that tell people, in order."""
    async with store.transaction() as db:
        rows = await db.execute(
            text("SELECT args FROM procrastinate_jobs WHERE task_name = :task ORDER BY id"), {"task": alarms.TELL}
        )
        return [row.args for row in rows]


async def escalate(store: Store, seconds: float) -> int:
    async with store.transaction() as db:
        return await alarms.escalate(db, at=after(seconds))


async def test_an_alarm_tells_the_first_at_once_and_the_next_until_somebody_acknowledges(store: Store) -> None:
    await on_call(store, PEOPLE)
    alarm = await raised(store, *await shout(store))
    assert [each["name"] for each in alarm.told] == ["Wang"] and alarm.next_at == after(60)
    [job] = await told(store)
    assert (job["alarm"], job["number"], job["phone"]) == (alarm.id, 1, "13800000001")
    assert await escalate(store, 59) == 0
    assert await escalate(store, 60) == 1
    assert await escalate(store, 60) == 0
    assert await escalate(store, 120) == 1  # after the last it begins again
    assert [each["phone"][-1] for each in await told(store)] == ["1", "2", "1"]
    async with store.transaction() as db:
        done = await alarms.acknowledge(db, alarm.id or 0, by="Zhao", at=after(130))
        assert (done.acknowledged_by, done.acknowledged_at) == ("Zhao", after(130))
        again = await alarms.acknowledge(db, alarm.id or 0, by="Qian", at=after(140))
        assert again.acknowledged_by == "Zhao"
    assert await escalate(store, 9999) == 0
    async with store.transaction() as db:
        query = select(Event.kind).where(col(Event.subject) == f"alarm:{alarm.id}").order_by(col(Event.id))
        assert (await db.exec(query)).all() == [
            "alarm.raised", "alarm.told", "alarm.told", "alarm.told", "alarm.acknowledged",
        ]  # fmt: skip


async def test_nobody_on_call_still_alarms_the_consoles_and_asks_again(store: Store) -> None:
    alarm = await raised(store, *await shout(store))
    assert alarm.told == [] and await told(store) == []
    assert await escalate(store, 60) == 1
    async with store.transaction() as db:
        assert [each.id for each in await alarms.find(db)] == [alarm.id]


async def test_a_conversation_keeps_its_alarm_until_somebody_took_it(store: Store) -> None:
    talk, line = await shout(store)
    first = await raised(store, talk, line)
    assert (await raised(store, talk, line, at=after(5))).id == first.id
    async with store.transaction() as db:
        await alarms.acknowledge(db, first.id or 0, by="x", at=after(6))
    second = await raised(store, talk, line, at=after(7))
    assert second.id != first.id
    async with store.transaction() as db:
        assert [each.id for each in await alarms.find(db)] == [second.id]
        assert [each.id for each in await alarms.find(db, open_only=False)] == [second.id, first.id]


async def test_two_who_escalate_at_once_tell_one_person(store: Store) -> None:
    await on_call(store, PEOPLE)
    await raised(store, *await shout(store))
    assert sum(await asyncio.gather(*(escalate(store, 61) for _ in range(4)))) == 1
    assert len(await told(store)) == 2


async def test_two_who_acknowledge_at_once_are_one(store: Store) -> None:
    alarm = await raised(store, *await shout(store))

    async def take(by: str) -> str | None:
        async with store.transaction() as db:
            return (await alarms.acknowledge(db, alarm.id or 0, by=by, at=after(1))).acknowledged_by

    assert len(set(await asyncio.gather(take("a"), take("b"), take("c")))) == 1
    async with store.transaction() as db:
        query = select(Event).where(col(Event.kind) == "alarm.acknowledged")
        assert len((await db.exec(query)).all()) == 1


async def test_an_unknown_alarm_is_said_to_be_unknown(store: Store) -> None:
    async with store.transaction() as db:
        with pytest.raises(UnknownAlarm):
            await alarms.acknowledge(db, 4711, by="x", at=MONDAY + timedelta(1))
