"""A service floor to test on: agents with seats, customers of every rank, and what must always be true of them."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import claims, conversations, presence, queue
from desk.claims import Claim
from desk.conversations import Channel, Conversation
from desk.customers import Account
from desk.events import Event
from desk.permissions import Role
from desk.policy import Queue
from desk.presence import Presence
from desk.queue import ENTRY, Act, QueueEntry, Reason, Status
from desk.ranks import Rank
from desk.staff import Staff
from desk.store import Store
from tests.conftest import MONDAY

RULES: Final = Queue()
ZONE: Final = ZoneInfo("Asia/Shanghai")
TIER: Final = {Rank.A: "A", Rank.IMPORTANT: "D", Rank.B: "B", Rank.C: "C", Rank.D: "D"}
_numbers: Final = itertools.count(1)


def after(seconds: float) -> datetime:
    """A moment on Monday morning."""
    return MONDAY + timedelta(seconds=seconds)


async def agent(
    store: Store, *, capacity: int = 4, skills: Sequence[str] = (), languages: Sequence[str] = ("zh_CN",),
    status: Presence = Presence.ONLINE, at: datetime = MONDAY,
) -> int:  # fmt: skip
    """A member of staff at the desk; their number."""
    async with store.transaction() as db:
        member = Staff(name=f"Agent F{next(_numbers)}", role=Role.AGENT, created_at=at)
        db.add(member)
        await db.flush()
        assert member.id is not None
        able = {"capacity": capacity, "skills": list(skills), "languages": list(languages)}
        await presence.equip(db, member.id, at=at, by="test", **able)  # type: ignore[arg-type]
        await presence.set_status(db, member.id, status, at=at, by="test")
    return member.id


async def customer(
    store: Store, rank: Rank | None = Rank.D, *, language: str = "zh_CN", **more: Any
) -> tuple[int, int | None]:  # fmt: skip
    """Somebody who writes, with an account of that rank (None = unidentified): conversation and account."""
    number = next(_numbers)
    async with store.transaction() as db:
        talk, _ = await conversations.open_at(
            db, Channel.WEB, f"visitor {number}", name=f"Visitor {number}", language=language, at=MONDAY
        )
        if rank is None:
            return talk.id or 0, None
        holder = await db.execute(
            text("INSERT INTO customer (name, created_at) VALUES ('Holder', :at) RETURNING id"), {"at": MONDAY}
        )
        account = Account(
            no=str(3_400_000_000_000 + number), customer_id=holder.scalar_one(), name=f"Account {number}",
            tier=TIER[rank], important=rank is Rank.IMPORTANT, updated_at=MONDAY, **more,
        )  # fmt: skip
        db.add(account)
        await db.flush()
        return talk.id or 0, account.id


async def join(
    store: Store, rank: Rank | None = Rank.D, *, at: datetime = MONDAY, skill: str = "", language: str = "zh_CN"
) -> int:
    """A customer of that rank joins the line; the number of the wait."""
    talk, account = await customer(store, rank, language=language)
    return await join_as(store, talk, account, at=at, skill=skill)


async def join_as(store: Store, talk: int, account: int | None, *, at: datetime = MONDAY, skill: str = "") -> int:
    """A known customer joins the line; the number of the wait."""
    async with store.transaction() as db:
        conversation = await claims.held(db, talk)
        known = await db.get(Account, account) if account else None
        entry = await queue.join(db, conversation, known, reason=Reason.BUTTON, by="customer", at=at, skill=skill)
    assert entry.id is not None
    return entry.id


async def claim(store: Store, staff_id: int, *, at: datetime = MONDAY, wanted: int | None = None) -> Claim | None:
    """One agent presses the button."""
    async with store.transaction() as db:
        return await claims.claim_next(db, RULES, staff_id, by=f"staff:{staff_id}", at=at, wanted=wanted)


async def served(store: Store, staff_id: int, *, at: datetime = MONDAY) -> list[int]:
    """Whom an agent gets, one after the other, each closed before the next."""
    order = []
    while (taken := await claim(store, staff_id, at=at)) is not None:
        order.append(taken.entry.id or 0)
        await end(store, taken.entry.conversation_id, staff_id, at=at)
    return order


async def end(store: Store, talk: int, staff_id: int, act: Act = Act.CLOSE, *, at: datetime = MONDAY) -> Claim:
    """A conversation ends."""
    async with store.transaction() as db:
        return await claims.end(db, talk, staff_id, act, by=f"staff:{staff_id}", at=at, outcome="answered")


async def leave(store: Store, talk: int, *, at: datetime = MONDAY) -> QueueEntry | None:
    """A customer stops waiting."""
    async with store.transaction() as db:
        return await queue.leave(db, await claims.held(db, talk), by="customer", at=at)


async def entry(store: Store, number: int) -> QueueEntry:
    """A wait as it is now."""
    async with store.transaction() as db:
        return await queue.entry(db, number)


async def load(store: Store, staff_id: int) -> int:
    """How many customers an agent's seat counts."""
    async with store.transaction() as db:
        return (await presence.seat(db, staff_id, at=MONDAY)).load


async def happened(store: Store, number: int) -> list[Event]:
    """The events of a wait, oldest first."""
    async with store.transaction() as db:
        query = select(Event).where(col(Event.subject) == f"queue:{number}").order_by(col(Event.id))
        return list((await db.exec(query)).all())


def replayed(told: Sequence[Event]) -> Status:
    """The status that the events of one wait lead to, by the table of moves alone."""
    first, *moves = [event for event in told if event.kind != "queue.resorted"]
    assert first.facts["status"] in (Status.WAITING, Status.CLAIMED)  # joined, or opened by an agent
    status = Status(first.facts["status"])
    for event in moves:
        assert event.facts["before"] == status
        status = ENTRY.move(status, Act(event.kind.removeprefix("queue.")))
        assert event.facts["status"] == status
    return status


async def assert_consistent(db: AsyncSession) -> None:
    """Seats, waits and conversations say the same."""
    entries = (await db.exec(select(QueueEntry).execution_options(populate_existing=True))).all()
    talks = (await db.exec(select(Conversation).execution_options(populate_existing=True))).all()
    for seat, _ in await presence.overview(db):
        mine = [e for e in entries if e.status in queue.HELD and e.agent_id == seat.staff_id]
        offered = [e for e in entries if e.status in queue.OPEN and e.offered_to == seat.staff_id]
        assert seat.load == len(mine) + len(offered), f"seat {seat.staff_id}: {seat.load} is not what it holds"
    for talk in talks:
        open_ones = [e for e in entries if e.conversation_id == talk.id and e.status in queue.OPEN]
        assert len(open_ones) <= 1
        if not open_ones:
            assert (talk.handler, talk.agent_id) == ("bot", None)
        elif open_ones[0].status in queue.HELD:
            assert (talk.handler, talk.agent_id) == ("agent", open_ones[0].agent_id)
        else:
            assert (talk.handler, talk.agent_id) == ("queue", None)
            assert open_ones[0].agent_id is None
    for each in entries:
        assert (each.offered_to is None) == (each.status not in (Status.OFFERED, Status.TRANSFERRING))
        assert (each.ended_at is not None) == ENTRY.final(Status(each.status))


async def emptied(store: Store) -> None:
    """As if nobody had ever come, or worked here."""
    async with store.transaction() as db:
        await db.execute(text("TRUNCATE contact, address, customer, staff, event RESTART IDENTITY CASCADE"))
