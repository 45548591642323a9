"""The usher: what happens by itself, looked at once with the clock where the test wants it."""

from typing import Any

import pytest
from sqlmodel import col, select

from bot import handling
from bot.reception import Reception
from bot.usher import Usher
from desk import alarms, claims, presence, promises, storm
from desk.areas import Area
from desk.customers import Account
from desk.deliveries import Delivery
from desk.presence import Presence
from desk.promises import Promise
from desk.queue import Act, QueueEntry, Status
from desk.ranks import Rank
from desk.settings import Settings
from desk.staff import Staff
from desk.store import Bell, Store
from tests.bot.hall import Hall
from tests.bot.talk import Customer
from tests.conftest import SetClock
from tests.desk import floor


async def waits(hall: Hall, rank: Rank | None = None) -> Customer:
    """A customer who has joined the line."""
    person = await hall.customer(rank)
    await person.says(choice="person")
    return person


async def entry(hall: Hall, person: Customer) -> QueueEntry:
    """The open wait, which there must be."""
    found = await hall.entry(person)
    assert found is not None
    return found


async def beat(hall: Hall, *staff: Staff) -> None:
    """Consoles answer."""
    async with hall.store.transaction() as db:
        for each in staff:
            await presence.beat(db, each.id or 0, at=hall.clock.now())


async def consistent(hall: Hall) -> None:
    """Seats, waits and conversations say the same."""
    async with hall.store.transaction() as db:
        await floor.assert_consistent(db)


# -- messages and leases ----------------------------------------------------------------------------------------------


async def test_what_an_agent_wrote_leaves_after_five_seconds(hall: Hall) -> None:
    staff, person = await hall.agent(), await hall.customer()
    talk = await hall.serves(staff, person)
    await hall.writes(staff, talk, "c1", "第一句")
    hall.clock.forward(seconds=1)
    await hall.writes(staff, talk, "c2", "第二句")
    hall.clock.forward(seconds=3.9)
    await hall.usher.attend()
    assert "第一句" not in await hall.last(person)
    hall.clock.forward(seconds=0.2)
    await hall.usher.attend()
    assert await hall.last(person) == "第一句"
    hall.clock.forward(seconds=1)
    await hall.usher.attend()
    await hall.usher.attend()
    assert [line.text for line in await hall.heard(person)][-2:] == ["第一句", "第二句"]


async def test_an_agent_who_vanishes_loses_the_customer_within_thirty_seconds(hall: Hall) -> None:
    gone, person = await hall.agent(), await hall.customer()
    await hall.serves(gone, person)
    hall.clock.forward(seconds=19)
    await hall.usher.attend()
    assert (await hall.talk(person)).agent_id == gone.id
    hall.clock.forward(seconds=1)
    other = await hall.agent()
    await hall.usher.attend()
    assert "agent_lapsed" in await hall.told(person) and (await entry(hall, person)).status == Status.WAITING
    taken = await hall.claims(other)
    assert taken and taken.conversation.agent_id == other.id
    await consistent(hall)


async def test_who_vanished_and_comes_back_is_online_again_without_the_customer(hall: Hall) -> None:
    gone, person = await hall.agent(), await hall.customer()
    await hall.serves(gone, person)
    hall.clock.forward(seconds=25)
    await hall.usher.attend()
    await beat(hall, gone)
    async with hall.store.transaction() as db:
        seat = await presence.seat(db, gone.id or 0, at=hall.clock.now())
    assert (seat.status, seat.load) == (Presence.ONLINE, 0)


# -- offers -----------------------------------------------------------------------------------------------------------


async def test_without_auto_offer_nobody_is_offered_anything(hall: Hall) -> None:
    await hall.agent()
    person = await waits(hall)
    await hall.usher.attend()
    assert (await entry(hall, person)).status == Status.WAITING


async def test_the_head_of_the_line_is_offered_and_an_offer_is_accepted_by_claiming(hall: Hall) -> None:
    await hall.rules(queue={"auto_offer": True})
    staff = await hall.agent(capacity=1)
    later, first = await waits(hall, Rank.D), await waits(hall, Rank.A)
    await hall.usher.attend()
    assert (await entry(hall, first)).offered_to == staff.id and (await entry(hall, later)).offered_to is None
    taken = await hall.claims(staff)
    assert taken and taken.conversation.id == (await hall.talk(first)).id
    await consistent(hall)


async def test_an_offer_that_is_declined_or_runs_out_goes_to_the_next(hall: Hall) -> None:
    await hall.rules(queue={"auto_offer": True})
    staff = [await hall.agent(), await hall.agent()]
    person = await waits(hall)
    joined = (await entry(hall, person)).joined_at
    await hall.usher.attend()
    offer = await entry(hall, person)
    async with hall.store.transaction() as db:
        assert await claims.decline(db, offer.id or 0, offer.offered_to, by="test", at=hall.clock.now())
    await hall.usher.attend()
    second = await entry(hall, person)
    assert {offer.offered_to, second.offered_to} == {each.id for each in staff}
    hall.clock.forward(seconds=21)
    await beat(hall, *staff)
    await hall.usher.attend()
    third = await entry(hall, person)
    assert third.status == Status.OFFERED and third.joined_at == joined  # after the last one it begins again
    assert [event.facts["lapsed"] for event in await hall.happened("queue.decline")] == [False, True]
    await consistent(hall)


async def test_the_manager_of_the_area_is_offered_their_own_customer_first(hall: Hall) -> None:
    await hall.rules(queue={"auto_offer": True})
    others = [await hall.agent() for _ in range(3)]
    manager = others[1]
    person = await hall.customer(Rank.B)
    async with hall.store.transaction() as db:
        area = Area(name="城南", manager_id=manager.id)
        db.add(area)
        await db.flush()
        account = (await db.exec(select(Account).order_by(col(Account.id).desc()))).first()
        assert account is not None
        account.area_id = area.id
        db.add(account)
    await person.says(choice="person")
    await hall.usher.attend()
    assert (await entry(hall, person)).offered_to == manager.id


async def test_a_customer_does_not_wait_for_the_manager_of_their_area(hall: Hall) -> None:
    await hall.rules(queue={"auto_offer": True})
    manager, other = await hall.agent(status=Presence.BREAK), await hall.agent()
    person = await hall.customer(Rank.B)
    async with hall.store.transaction() as db:
        area = Area(name="城南", manager_id=manager.id)
        db.add(area)
        await db.flush()
        account = (await db.exec(select(Account).order_by(col(Account.id).desc()))).first()
        assert account is not None
        account.area_id = area.id
        db.add(account)
    await person.says(choice="person")
    await hall.usher.attend()
    assert (await entry(hall, person)).offered_to == other.id


@pytest.mark.parametrize("able", [{"skills": ["complaint"]}, {}])
async def test_an_offer_goes_to_somebody_who_knows_the_matter(hall: Hall, able: dict[str, Any]) -> None:
    await hall.rules(queue={"auto_offer": True})
    await hall.agent(skills=["application"])
    fit = await hall.agent(**able)
    person = await hall.customer()
    await person.says("我要投诉你们的抄表员")
    await person.says(choice="person")
    await hall.usher.attend()
    assert (await entry(hall, person)).offered_to == fit.id


# -- long waits -------------------------------------------------------------------------------------------------------


async def test_a_wait_that_is_too_long_becomes_a_promise_or_an_offer_to_leave_a_message(hall: Hall) -> None:
    known, stranger = await waits(hall, Rank.B), await waits(hall)
    hall.clock.forward(seconds=900)
    await hall.usher.attend()
    assert await hall.entry(known) is not None
    hall.clock.forward(seconds=1)
    await hall.usher.attend()
    assert (await hall.told(known))[-1] == "queue_expired_promised" and await hall.entry(known) is None
    assert "我们会在 3月3日 09:15 前给您回电" in await hall.last(known)
    [promise] = await hall.promises()
    assert (promise.due_at - hall.clock.now()).total_seconds() == 24 * 3600
    hall.clock.forward(seconds=900)
    await hall.usher.attend()
    assert (await hall.told(stranger))[-1] == "queue_expired" and len(await hall.promises()) == 1
    assert (await hall.talk(stranger)).handler == "bot"
    await consistent(hall)


async def test_who_is_just_being_offered_is_not_sent_away(hall: Hall) -> None:
    await hall.rules(queue={"auto_offer": True})
    person = await waits(hall)
    hall.clock.forward(seconds=1795)
    staff = await hall.agent()
    await hall.usher.attend()
    hall.clock.forward(seconds=10)
    await beat(hall, staff)
    await hall.usher.attend()
    assert (await entry(hall, person)).status == Status.OFFERED


# -- alarms, promises, storms -----------------------------------------------------------------------------------------

LIST = [{"name": name, "phone": f"1380000123{number}"} for number, name in enumerate(("张值班", "李值班"))]


async def test_an_alarm_goes_down_the_list_and_round_again_until_somebody_takes_it(hall: Hall) -> None:
    await hall.rules(alarms={"on_call": LIST, "escalate_s": 60})
    person = await hall.customer()
    await person.says("变压器着火了，有人触电")
    for _ in range(3):
        hall.clock.forward(seconds=30)
        await hall.usher.attend()
        hall.clock.forward(seconds=30)
        await hall.usher.attend()
    told = await hall.happened("alarm.told")
    assert [event.facts["name"] for event in told] == ["张值班", "李值班", "张值班", "李值班"]
    async with hall.store.transaction() as db:
        [alarm] = await alarms.find(db)
        await alarms.acknowledge(db, alarm.id or 0, by="test", at=hall.clock.now())
    hall.clock.forward(minutes=10)
    await hall.usher.attend()
    assert len(await hall.happened("alarm.told")) == 4


async def test_a_promise_is_reminded_of_becomes_overdue_and_is_escalated_once_each(hall: Hall) -> None:
    person = await waits(hall, Rank.C)
    await person.says(choice="queue:leave")
    for hours in (20, 3, 1.1, 0.5, 1):
        hall.clock.forward(hours=hours)
        await hall.usher.attend()
        await hall.usher.attend()
    assert [event.facts["minutes"] for event in await hall.happened("promise.reminded")] == [240, 60]
    assert len(await hall.happened("promise.lapse")) == len(await hall.happened("promise.escalated")) == 1
    [promise] = await hall.promises()
    assert promise.status == "overdue"


async def test_a_promise_that_was_kept_is_left_alone(hall: Hall) -> None:
    person = await waits(hall, Rank.C)
    await person.says(choice="queue:leave")
    async with hall.store.transaction() as db:
        promise = (await db.exec(select(Promise))).one()
        await promises.keep(db, promise.id or 0, outcome="done", note="", by="test", at=hall.clock.now())
    hall.clock.forward(hours=30)
    await hall.usher.attend()
    assert await hall.happened("promise.reminded", "promise.lapse", "promise.escalated") == []


async def test_a_surge_begins_a_storm_where_the_policy_wants_it(hall: Hall) -> None:
    await hall.rules(storm={"automatic": True, "surge_entries": 2})
    for _ in range(3):
        await waits(hall)
    await hall.usher.attend()
    async with hall.store.transaction() as db:
        assert await storm.current(db) is not None


# -- being alone and being restarted ----------------------------------------------------------------------------------


async def test_what_an_usher_left_undone_the_next_one_finds(
    hall: Hall, store: Store, bell: Bell, clock: SetClock, config: Settings
) -> None:
    staff, person = await hall.agent(), await hall.customer()
    talk = await hall.serves(staff, person)
    await hall.writes(staff, talk, "c1", "我们周三上门")
    clock.forward(seconds=6)
    await Usher(store, bell, clock, Reception(config.zone)).attend()
    await hall.usher.attend()
    async with store.transaction() as db:
        lines = [line.id for line in await hall.heard(person) if line.text == "我们周三上门"]
        assert len(lines) == 1
        assert len((await db.exec(select(Delivery).where(col(Delivery.line_id) == lines[0]))).all()) == 1


async def test_a_closed_conversation_is_not_looked_after_any_more(hall: Hall) -> None:
    staff, person = await hall.agent(), await hall.customer()
    talk = await hall.serves(staff, person)
    async with hall.store.transaction() as db:
        await handling.end(db, talk, staff, Act.CLOSE, at=hall.clock.now())
    told = len(await hall.told(person))
    hall.clock.forward(hours=1)
    await hall.usher.attend()
    assert len(await hall.told(person)) == told
