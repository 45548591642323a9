"""Agents at work: who is there, how much they can take, what they speak and know.

Being there is proved again and again: an agent who is not heard of for the length of the lease counts as gone.
"""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Any

import pydantic
from pydantic import BaseModel
from pydantic_core import PydanticCustomError
from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events, policy
from desk.columns import facts, moment, one_of, words
from desk.errors import UnknownStaff
from desk.staff import Staff


class Skill(StrEnum):
    """What an agent may know."""

    APPLICATION = "application"
    BILLING = "billing"
    COMPLAINT = "complaint"
    FAULT = "fault"
    OUTAGE = "outage"


class Presence(StrEnum):
    """What an agent is doing."""

    ONLINE = "online"  # takes customers
    BREAK = "break"  # keeps conversations, takes no new ones
    AWAY = "away"  # the same, or vanished
    OFFLINE = "offline"


class Shift(BaseModel, frozen=True):
    """When an agent works on a weekday (ISO 1-7), in the time of the service area; several a day for a split shift.

    `ends` 00:00 is the end of the day.
    """

    day: int = pydantic.Field(ge=1, le=7)
    begins: time
    ends: time

    @pydantic.field_validator("ends")
    @classmethod
    def _later(cls, ends: time, info: pydantic.ValidationInfo) -> time:
        begins = info.data.get("begins")
        if begins is not None and ends != time(0) and ends <= begins:
            raise PydanticCustomError("closes_early", "closes_early")
        return ends

    def runs(self, local: datetime) -> bool:
        """Whether it runs at this local time."""
        now = local.time()
        return self.day == local.isoweekday() and self.begins <= now and (self.ends == time(0) or now < self.ends)


class Seat(SQLModel, table=True):
    """An agent's place at the desk. `load` counts what they hold or are offered; it changes with every claim."""

    __table_args__ = (one_of("status", Presence), CheckConstraint("load >= 0", name="load_counted"))

    staff_id: int = Field(sa_column=Column(BigInteger, ForeignKey("staff.id"), primary_key=True, autoincrement=False))
    status: Presence = Field(default=Presence.OFFLINE, sa_column=words(default="offline"))
    until: datetime | None = Field(default=None, sa_column=moment(nullable=True))  # planned return from a break
    capacity: int = Field(sa_column=Column(SmallInteger, nullable=False))
    load: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default=text("0")))
    skills: list[str] = Field(default_factory=list, sa_column=facts("[]"))  # empty = everything
    languages: list[str] = Field(default_factory=lambda: ["zh_CN"], sa_column=facts('["zh_CN"]'))
    shifts: list[dict[str, Any]] = Field(default_factory=list, sa_column=facts("[]"))
    heartbeat_at: datetime = Field(sa_column=moment())
    lapsed_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))  # vanished while online
    changed_at: datetime = Field(sa_column=moment())

    def on_shift(self, local: datetime) -> bool:
        """Whether a shift runs at this local time; without any, always."""
        shifts = [Shift.model_validate(each) for each in self.shifts]
        return not shifts or any(shift.runs(local) for shift in shifts)


async def seat(db: AsyncSession, staff_id: int, *, at: datetime, lock: bool = False) -> Seat:
    """The seat of a member of staff, made when there is none."""
    query = select(Seat).where(col(Seat.staff_id) == staff_id).execution_options(populate_existing=True)
    found = (await db.exec(query.with_for_update() if lock else query)).first()
    if found is None:
        member = await db.get(Staff, staff_id)
        if member is None:
            raise UnknownStaff(name=f"#{staff_id}")
        spoken = ["zh_CN"] if member.language == "zh_CN" else ["zh_CN", member.language]
        capacity = (await policy.current(db, at=at)).queue.capacity
        values = {"staff_id": staff_id, "capacity": capacity, "heartbeat_at": at, "changed_at": at, "languages": spoken}
        await db.execute(insert(Seat).values(**values).on_conflict_do_nothing())
        found = (await db.exec(query.with_for_update())).one()
    return found


async def set_status(
    db: AsyncSession, staff_id: int, status: Presence, *, at: datetime, by: str,
    capacity: int | None = None, until: datetime | None = None,
) -> Seat:  # fmt: skip
    """Say what one is doing. Whoever goes offline must have given their customers back before."""
    mine = await seat(db, staff_id, at=at, lock=True)
    before = mine.status
    mine.status, mine.heartbeat_at, mine.lapsed_at = status, at, None
    mine.until = until if status == Presence.BREAK else None
    if capacity is not None:
        mine.capacity = capacity
    if before != status:
        mine.changed_at = at
        await events.record(db, "presence.changed", f"staff:{staff_id}", by=by, at=at, before=before, status=status)
    else:
        await events.record(db, "presence.set", f"staff:{staff_id}", by=by, at=at, status=status)
    db.add(mine)
    return mine


async def equip(
    db: AsyncSession, staff_id: int, *, at: datetime, by: str, capacity: int | None = None,
    skills: list[str] | None = None, languages: list[str] | None = None, shifts: list[Shift] | None = None,
) -> Seat:  # fmt: skip
    """Set what an agent can do and when they work."""
    theirs = await seat(db, staff_id, at=at, lock=True)
    theirs.capacity = theirs.capacity if capacity is None else capacity
    theirs.skills = theirs.skills if skills is None else sorted(set(skills))
    theirs.languages = theirs.languages if languages is None else sorted(set(languages))
    if shifts is not None:
        theirs.shifts = [shift.model_dump(mode="json") for shift in shifts]
    db.add(theirs)
    told = {"capacity": theirs.capacity, "skills": theirs.skills, "languages": theirs.languages}
    await events.record(db, "presence.equipped", f"staff:{staff_id}", by=by, at=at, **told)
    return theirs


async def beat(db: AsyncSession, staff_id: int, *, at: datetime) -> None:
    """The agent was heard of; their seat is locked. Whoever had vanished while online is online again."""
    mine = col(Seat.staff_id) == staff_id
    heard = update(Seat).where(mine).values(heartbeat_at=func.greatest(col(Seat.heartbeat_at), at))
    heard = heard.returning(col(Seat.lapsed_at), col(Seat.status)).execution_options(synchronize_session=False)
    found = (await db.execute(heard)).first()
    if found is None or found.lapsed_at is None or found.status != Presence.AWAY:
        return
    back = update(Seat).where(mine).values(status=Presence.ONLINE, lapsed_at=None, changed_at=at)
    await db.exec(back.execution_options(synchronize_session=False))
    facts = {"before": Presence.AWAY, "status": Presence.ONLINE}
    await events.record(db, "presence.changed", f"staff:{staff_id}", by=f"staff:{staff_id}", at=at, **facts)


async def carry(db: AsyncSession, changes: Mapping[int, int]) -> None:
    """Change how many customers agents hold (staff id to difference), always in the same order."""
    for staff_id, change in sorted(changes.items()):
        theirs = update(Seat).where(col(Seat.staff_id) == staff_id).values(load=col(Seat.load) + change)
        await db.exec(theirs.execution_options(synchronize_session=False))


async def overview(db: AsyncSession) -> list[tuple[Seat, Staff]]:
    """Everybody who ever sat at the desk and still works here, by name."""
    query = select(Seat, Staff).join(Staff, col(Staff.id) == col(Seat.staff_id))
    query = query.where(col(Staff.disabled_at).is_(None)).order_by(col(Staff.name))
    return list((await db.exec(query.execution_options(populate_existing=True))).all())


async def online(db: AsyncSession, *, at: datetime) -> int:
    """How many agents take customers now."""
    lease = timedelta(seconds=(await policy.current(db, at=at)).queue.lease_s)
    query = select(func.count()).select_from(Seat)
    query = query.where(col(Seat.status) == Presence.ONLINE, col(Seat.heartbeat_at) > at - lease)
    return (await db.exec(query)).one()
