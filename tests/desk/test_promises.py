"""The promise ledger: due in 24 hours, offered outside the night, reminded and escalated once, kept with an outcome."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from desk import promises
from desk.conversations import Conversation
from desk.errors import BadInput, MoveNotAllowed, UnknownPromise
from desk.events import Event
from desk.promises import PROMISE, Act, Attempt, Kind, Promise, Result, Status
from desk.store import Store
from tests.desk import floor
from tests.desk.floor import ZONE


def local(text: str) -> datetime:
    """A moment in Shanghai."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


NOON = local("2026-03-02 12:00")


async def make(store: Store, *, at: datetime = NOON, subject: str = "queue:1", talk: int | None = None) -> Promise:
    number = talk or (await floor.customer(store, floor.Rank.B))[0]
    async with store.transaction() as db:
        conversation = await db.get_one(Conversation, number)
        return await promises.make(
            db, Kind.CALLBACK, subject, conversation_id=number, contact_id=conversation.contact_id, account_id=None,
            data={"name": "Wang", "phone": "13800000000", "last": ["when?"]}, by="greenline", at=at, zone=ZONE,
        )  # fmt: skip


async def told(store: Store, promise: Promise) -> list[Event]:
    async with store.transaction() as db:
        query = select(Event).where(col(Event.subject) == f"promise:{promise.id}").order_by(col(Event.id))
        return list((await db.exec(query)).all())


async def attend(store: Store, at: datetime) -> int:
    async with store.transaction() as db:
        return await promises.attend(db, at=at)


async def now(store: Store, promise: Promise) -> Promise:
    async with store.transaction() as db:
        return await promises.one(db, promise.id or 0)


async def do(store: Store, verb: Any, promise: Promise, *arguments: Any, **more: Any) -> Promise:
    async with store.transaction() as db:
        done: Promise = await verb(db, promise.id, *arguments, **{"by": "agent", "at": NOON, **more})
        return done


# -- making -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "due", "offered"),
    [
        ("2026-03-02 20:50", "2026-03-03 20:50", "2026-03-02 20:50"),  # scenario 7: before 21:00, or from 08:00 on
        ("2026-03-02 20:59", "2026-03-03 20:59", "2026-03-02 20:59"),
        ("2026-03-02 21:00", "2026-03-03 21:00", "2026-03-03 08:00"),
        ("2026-03-02 23:30", "2026-03-03 23:30", "2026-03-03 08:00"),
        ("2026-03-03 00:10", "2026-03-04 00:10", "2026-03-03 08:00"),
        ("2026-03-03 07:59", "2026-03-04 07:59", "2026-03-03 08:00"),
        ("2026-03-03 08:00", "2026-03-04 08:00", "2026-03-03 08:00"),
    ],
)
async def test_a_callback_is_due_in_a_day_and_offered_outside_the_night(
    store: Store, made: str, due: str, offered: str
) -> None:
    promise = await make(store, at=local(made))
    assert (promise.due_at, promise.offer_at) == (local(due), local(offered))
    assert promise.data == {"name": "Wang", "phone": "13800000000", "last": ["when?"]}
    [event] = await told(store, promise)
    assert event.kind == "promise.made" and event.facts["promise"] == "callback" and event.facts["status"] == "open"
    assert datetime.fromisoformat(event.facts["due_at"]) == local(due)


async def test_the_same_is_not_promised_twice_while_it_is_open(store: Store) -> None:
    first = await make(store)
    again = await make(store, at=NOON + timedelta(hours=3), talk=first.conversation_id)
    assert again.id == first.id and again.due_at == first.due_at
    await do(store, promises.cancel, first, reason="called already")
    third = await make(store, at=NOON + timedelta(hours=4), talk=first.conversation_id)
    assert third.id != first.id
    with pytest.raises(IntegrityError, match="promise_open"):
        async with store.transaction() as db:
            copy = third.model_dump(exclude={"id"})
            db.add(Promise(**copy))


# -- time -------------------------------------------------------------------------------------------------------------


async def test_reminders_come_once_each_then_overdue_then_escalation_once(store: Store) -> None:
    promise = await make(store)
    due = promise.due_at
    looks = [
        (due - timedelta(minutes=241), None), (due - timedelta(minutes=240), "promise.reminded"),
        (due - timedelta(minutes=239), None), (due - timedelta(minutes=60), "promise.reminded"),
        (due - timedelta(minutes=1), None), (due, None), (due + timedelta(seconds=1), "promise.lapse"),
        (due + timedelta(minutes=29), None), (due + timedelta(minutes=30), "promise.escalated"),
        (due + timedelta(days=2), None),
    ]  # fmt: skip
    expected = ["promise.made"]
    for at, kind in looks:
        assert await attend(store, at) == (kind is not None)
        assert await attend(store, at) == 0
        expected += [kind] if kind else []
        assert [event.kind for event in await told(store, promise)] == expected
    found = await now(store, promise)
    assert (found.status, found.reminded, found.due_at) == ("overdue", [240, 60], due)
    assert found.escalated_at == due + timedelta(minutes=30)
    assert [e.facts["minutes"] for e in await told(store, promise) if e.kind == "promise.reminded"] == [240, 60]


async def test_a_desk_that_was_away_reminds_once_of_what_it_missed(store: Store) -> None:
    promise = await make(store)
    assert await attend(store, promise.due_at - timedelta(minutes=5)) == 1
    assert [e.facts["minutes"] for e in await told(store, promise) if e.kind == "promise.reminded"] == [60]
    assert await attend(store, promise.due_at - timedelta(minutes=4)) == 0


async def test_exactly_in_time_is_in_time(store: Store) -> None:
    promise = await make(store)
    await attend(store, promise.due_at)
    kept = await do(store, promises.keep, promise, outcome="reached", note="", at=promise.due_at)
    assert kept.status == "kept" and (await told(store, promise))[-1].facts["late"] is False


async def test_a_kept_promise_falls_due_no_more(store: Store) -> None:
    promise = await make(store)
    await do(store, promises.keep, promise, outcome="reached", note="")
    assert await attend(store, promise.due_at + timedelta(days=9)) == 0
    async with store.transaction() as db:
        assert await promises.find(db, at=promise.due_at) == []


# -- people -----------------------------------------------------------------------------------------------------------


async def test_taken_tried_and_kept_with_outcome_and_proof(store: Store) -> None:
    promise = await make(store)
    agent, other = await floor.agent(store), await floor.agent(store)
    assert (await do(store, promises.take, promise, agent)).owner_id == agent
    await do(store, promises.take, promise, other)
    await do(store, promises.attempt, promise, Result.NO_ANSWER, note="rang long")
    await do(store, promises.attempt, promise, Result.REACHED, note="")
    kept = await do(
        store, promises.keep, promise, outcome=" application accepted ", note="n", proof="line:7",
        at=promise.due_at + timedelta(minutes=1),
    )  # fmt: skip
    assert (kept.status, kept.outcome, kept.proof, kept.ended_by) == ("kept", "application accepted", "line:7", "agent")
    events = await told(store, promise)
    assert [event.kind.removeprefix("promise.") for event in events] == ["made", "take", "take", "try", "try", "keep"]
    assert events[2].facts["former"] == agent and events[-1].facts["late"] is True
    async with store.transaction() as db:
        tries = await promises.attempts(db, [promise.id])
    assert [(each.result, each.note) for each in tries[promise.id or 0]] == [
        ("no_answer", "rang long"),
        ("reached", ""),
    ]
    status = Status.OPEN
    for event in events[1:]:
        assert event.facts["before"] == status
        status = PROMISE.move(status, Act(event.kind.removeprefix("promise.")))
        assert event.facts["status"] == status
    assert status == kept.status


async def test_keeping_needs_an_outcome(store: Store) -> None:
    promise = await make(store)
    with pytest.raises(BadInput) as error:
        await do(store, promises.keep, promise, outcome="  ", note="")
    assert error.value.facts == {"problems": [("outcome", "missing", None)]}
    assert (await now(store, promise)).status == "open"


@pytest.mark.parametrize("ended", ["kept", "cancelled"])
async def test_what_has_ended_stays_as_it_is(store: Store, ended: str) -> None:
    promise = await make(store)
    if ended == "kept":
        await do(store, promises.keep, promise, outcome="reached", note="")
    else:
        cancelled = await do(store, promises.cancel, promise, reason="not needed")
        assert (cancelled.status, cancelled.note) == ("cancelled", "not needed")
    for verb, arguments, more in (
        (promises.take, (1,), {}), (promises.attempt, (Result.REACHED,), {"note": ""}),
        (promises.keep, (), {"outcome": "x", "note": ""}), (promises.cancel, (), {"reason": "x"}),
    ):  # fmt: skip
        with pytest.raises(MoveNotAllowed):
            await do(store, verb, promise, *arguments, **more)
    assert (await now(store, promise)).status == ended
    async with store.transaction() as db:
        assert (await db.exec(select(Attempt))).all() == []


async def test_an_unknown_promise_is_said_to_be_unknown(store: Store) -> None:
    async with store.transaction() as db:
        with pytest.raises(UnknownPromise):
            await promises.take(db, 4711, 1, by="x", at=NOON)


async def test_whoever_reaches_a_person_after_all_needs_no_callback(store: Store) -> None:
    mine, other = await make(store), await make(store, subject="queue:2")
    async with store.transaction() as db:
        await promises.served(db, mine.conversation_id, by="agent", at=NOON + timedelta(hours=1))
    found = await now(store, mine)
    assert (found.status, found.outcome) == ("kept", "served_in_chat")
    assert (await now(store, other)).status == "open"


async def test_lists_are_by_deadline_and_can_be_narrowed(store: Store) -> None:
    late = await make(store, at=NOON, subject="queue:1")
    early = await make(store, at=NOON - timedelta(hours=5), subject="queue:2")
    agent = await floor.agent(store)
    await do(store, promises.take, late, agent)
    async with store.transaction() as db:
        at = early.due_at + timedelta(minutes=1)
        assert [p.id for p in await promises.find(db, at=at)] == [early.id, late.id]
        assert [p.id for p in await promises.find(db, at=at, overdue=True)] == [early.id]
        assert [p.id for p in await promises.find(db, at=at, owner=agent)] == [late.id]
        assert [p.id for p in await promises.find(db, at=at, before=late.due_at)] == [early.id]
        assert [p.id for p in await promises.find(db, at=at, conversation_id=late.conversation_id)] == [late.id]
        assert [p.id for p in await promises.find(db, at=at, limit=1)] == [early.id]


@given(st.lists(st.sampled_from(list(Act)), max_size=10))
def test_an_overdue_promise_never_becomes_open_again(acts: list[Act]) -> None:
    status, seen = Status.OPEN, [Status.OPEN]
    for act in acts:
        if act in PROMISE.actions(status):
            status = PROMISE.move(status, act)
            seen.append(status)
    assert Status.OPEN not in seen[seen.index(Status.OVERDUE) :] if Status.OVERDUE in seen else True
