"""Agents at work: who is there, what they can take, and how silence is told from absence."""

import asyncio
from datetime import UTC, datetime, time

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from desk import claims, presence
from desk.errors import UnknownStaff
from desk.events import Event
from desk.permissions import Role
from desk.presence import Presence, Seat, Shift
from desk.staff import Staff
from desk.store import Store
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import RULES, ZONE, after


async def member(store: Store, language: str = "zh_CN") -> int:
    async with store.transaction() as db:
        made = Staff(name=f"Member {language}", role=Role.AGENT, language=language, created_at=MONDAY)
        db.add(made)
        await db.flush()
        return made.id or 0


async def seat(store: Store, staff_id: int, seconds: float = 0) -> Seat:
    async with store.transaction() as db:
        return await presence.seat(db, staff_id, at=after(seconds))


async def say(store: Store, staff_id: int, status: Presence, seconds: float = 0, **more: int) -> Seat:
    async with store.transaction() as db:
        return await presence.set_status(db, staff_id, status, at=after(seconds), by="x", **more)


async def beat(store: Store, staff_id: int, seconds: float) -> None:
    async with store.transaction() as db:
        await presence.beat(db, staff_id, at=after(seconds))


async def online(store: Store, seconds: float) -> int:
    async with store.transaction() as db:
        return await presence.online(db, at=after(seconds))


async def told(store: Store, staff_id: int) -> list[Event]:
    async with store.transaction() as db:
        query = select(Event).where(col(Event.subject) == f"staff:{staff_id}").order_by(col(Event.id))
        return list((await db.exec(query)).all())


@pytest.mark.parametrize(("language", "spoken"), [("zh_CN", ["zh_CN"]), ("en", ["zh_CN", "en"])])
async def test_a_seat_is_made_when_it_is_needed(store: Store, language: str, spoken: list[str]) -> None:
    mine = await seat(store, await member(store, language))
    assert (mine.status, mine.load, mine.capacity, mine.skills) == ("offline", 0, RULES.capacity, [])
    assert mine.languages == spoken


async def test_two_first_looks_make_one_seat(store: Store) -> None:
    number = await member(store)
    found = await asyncio.gather(*(seat(store, number) for _ in range(5)))
    assert {each.staff_id for each in found} == {number}


async def test_nobody_sits_who_does_not_work_here(store: Store) -> None:
    with pytest.raises(UnknownStaff):
        await seat(store, 4711)


async def test_a_status_is_set_and_a_change_is_told(store: Store) -> None:
    number = await member(store)
    await say(store, number, Presence.ONLINE, 5, capacity=2)
    async with store.transaction() as db:
        resting = await presence.set_status(db, number, Presence.BREAK, at=after(9), by="x", until=after(900))
    assert (resting.until, resting.capacity, resting.changed_at) == (after(900), 2, after(9))
    back = await say(store, number, Presence.ONLINE, 20)
    same = await say(store, number, Presence.ONLINE, 30)
    assert back.until is None and same.changed_at == after(20) and same.heartbeat_at == after(30)
    events = [(e.kind, e.facts.get("before"), e.facts["status"]) for e in await told(store, number)]
    assert events == [
        ("presence.changed", "offline", "online"), ("presence.changed", "online", "break"),
        ("presence.changed", "break", "online"), ("presence.set", None, "online"),
    ]  # fmt: skip


async def test_being_there_lasts_as_long_as_the_lease(store: Store) -> None:
    number = await member(store)
    await say(store, number, Presence.ONLINE)
    assert await online(store, RULES.lease_s - 1) == 1
    assert await online(store, RULES.lease_s) == 0
    await beat(store, number, RULES.lease_s)
    assert await online(store, RULES.lease_s + 1) == 1
    await say(store, number, Presence.BREAK, RULES.lease_s + 1)
    assert await online(store, RULES.lease_s + 1) == 0


async def test_an_older_beat_takes_nothing_back(store: Store) -> None:
    number = await member(store)
    await say(store, number, Presence.ONLINE, 50)
    await beat(store, number, 10)
    assert (await seat(store, number)).heartbeat_at == after(50)


async def test_whoever_vanished_is_online_again_when_heard_of_and_whoever_went_away_is_not(store: Store) -> None:
    vanished, away = await member(store), await member(store, "en")
    for number in (vanished, away):
        await say(store, number, Presence.ONLINE)
    await say(store, away, Presence.AWAY, 1)
    async with store.transaction() as db:
        await claims.lapse(db, RULES, vanished, at=after(60))
    assert (await seat(store, vanished)).status == "away"
    await beat(store, vanished, 61)
    await beat(store, away, 61)
    assert ((await seat(store, vanished)).status, (await seat(store, away)).status) == ("online", "away")
    last = (await told(store, vanished))[-1]
    assert (last.kind, last.facts) == ("presence.changed", {"before": "away", "status": "online"})
    assert (await seat(store, vanished)).lapsed_at is None


async def test_what_an_agent_can_do_is_kept_sorted_and_told(store: Store) -> None:
    number = await member(store)
    shifts = [Shift(day=1, begins=time(8), ends=time(12)), Shift(day=1, begins=time(14), ends=time(18))]
    async with store.transaction() as db:
        able = await presence.equip(
            db, number, at=MONDAY, by="x", capacity=3, skills=["outage", "billing", "billing"], languages=["zh_CN", "en"],
            shifts=shifts,
        )  # fmt: skip
    assert (able.capacity, able.skills, able.languages) == (3, ["billing", "outage"], ["en", "zh_CN"])
    async with store.transaction() as db:
        same = await presence.equip(db, number, at=MONDAY, by="x")
    assert (same.capacity, same.skills, len(same.shifts)) == (3, ["billing", "outage"], 2)
    assert {event.kind for event in await told(store, number)} == {"presence.equipped"}


@pytest.mark.parametrize(
    ("hour", "minute", "day", "working"),
    [(7, 59, 2, False), (8, 0, 2, True), (11, 59, 2, True), (12, 0, 2, False), (14, 0, 2, True), (18, 0, 2, False),
     (9, 0, 3, False)],
)  # fmt: skip
def test_a_split_shift(hour: int, minute: int, day: int, working: bool) -> None:
    shifts = [Shift(day=1, begins=time(8), ends=time(12)), Shift(day=1, begins=time(14), ends=time(18))]
    mine = Seat(
        staff_id=1, capacity=1, heartbeat_at=MONDAY, changed_at=MONDAY,
        shifts=[each.model_dump(mode="json") for each in shifts],
    )  # fmt: skip
    assert mine.on_shift(datetime(2026, 3, day, hour, minute, tzinfo=ZONE)) is working


def test_without_shifts_one_always_works() -> None:
    mine = Seat(staff_id=1, capacity=1, heartbeat_at=MONDAY, changed_at=MONDAY)
    assert mine.on_shift(datetime(2026, 3, 7, 3, tzinfo=UTC))


async def test_the_overview_leaves_out_who_no_longer_works_here(store: Store) -> None:
    one, gone = await floor.agent(store), await floor.agent(store)
    async with store.transaction() as db:
        (await db.get_one(Staff, gone)).disabled_at = MONDAY
    async with store.transaction() as db:
        assert [each.staff_id for each, _ in await presence.overview(db)] == [one]
        (await db.get_one(Staff, one)).disabled_at = MONDAY
    async with store.transaction() as db:
        assert await presence.overview(db) == []


async def test_loads_of_many_seats_change_together_and_never_below_zero(store: Store) -> None:
    one, other = await floor.agent(store), await floor.agent(store)

    async def carry(first: int, second: int) -> None:
        async with store.transaction() as db:
            await presence.carry(db, {first: 1, second: 1})

    await asyncio.gather(*(carry(*pair) for pair in [(one, other), (other, one)] * 10))
    assert (await floor.load(store, one), await floor.load(store, other)) == (20, 20)
    with pytest.raises(IntegrityError, match="load_counted"):
        async with store.transaction() as db:
            await presence.carry(db, {one: -21})
