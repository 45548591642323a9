"""Alarms: somebody may be in danger. People are told at once and one after the other until one of them acknowledges.

Danger to life never waits in a queue.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events, jobs, policy
from desk.columns import facts, key, moment, one_of, ref, words
from desk.errors import UnknownAlarm
from desk.store import notify

TELL = "tell_on_call"  # the job that tells one person of the on-call list


class Kind(StrEnum):
    """What the alarm is about."""

    DANGER = "danger"


class Alarm(SQLModel, table=True):
    """One alarm. `told` lists the people of the on-call list who were told, in order."""

    __table_args__ = (
        one_of("kind", Kind),
        Index("alarm_open", "conversation_id", unique=True, postgresql_where=text("acknowledged_at IS NULL")),
    )

    id: int | None = Field(default=None, sa_column=key())
    kind: Kind = Field(default=Kind.DANGER, sa_column=words(default="danger"))
    conversation_id: int = Field(sa_column=ref("conversation.id"))
    line_id: int = Field(sa_column=ref("record_line.id", index=False))
    at: datetime = Field(sa_column=moment())
    told: list[dict[str, Any]] = Field(default_factory=list, sa_column=facts("[]"))
    next_at: datetime = Field(sa_column=moment())  # when the next person is told
    acknowledged_by: str | None = Field(default=None, sa_column=words(nullable=True))
    acknowledged_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


async def raise_alarm(db: AsyncSession, conversation_id: int, line_id: int, *, at: datetime) -> Alarm:
    """Alarm all consoles and the first on call; a conversation whose alarm nobody took yet keeps that one."""
    query = select(Alarm).where(col(Alarm.conversation_id) == conversation_id, col(Alarm.acknowledged_at).is_(None))
    if (there := (await db.exec(query)).first()) is not None:
        return there
    alarm = Alarm(conversation_id=conversation_id, line_id=line_id, at=at, next_at=at)
    db.add(alarm)
    await db.flush()
    told = {"conversation": conversation_id, "line": line_id}
    await events.record(db, "alarm.raised", f"alarm:{alarm.id}", by="customer", at=at, **told)
    await _tell_next(db, alarm, at=at)
    await notify(db, "alarms")
    return alarm


async def _tell_next(db: AsyncSession, alarm: Alarm, *, at: datetime) -> None:
    """The next person of the on-call list is told; after the last one it begins again."""
    rules = (await policy.current(db, at=at)).alarms
    alarm.next_at = at + timedelta(seconds=rules.escalate_s)
    if rules.on_call:
        person = rules.on_call[len(alarm.told) % len(rules.on_call)]
        alarm.told = [*alarm.told, {"name": person.name, "at": at.isoformat()}]
        number = len(alarm.told)
        await jobs.defer(db, TELL, alarm=alarm.id, number=number, phone=person.phone, telegram=person.telegram)
        told = {"conversation": alarm.conversation_id, "name": person.name, "number": number}
        await events.record(db, "alarm.told", f"alarm:{alarm.id}", by="greenline", at=at, **told)
    db.add(alarm)


async def escalate(db: AsyncSession, *, at: datetime) -> int:
    """Tell the next person about every alarm that nobody acknowledged in time. Returns how many."""
    query = select(Alarm).where(col(Alarm.acknowledged_at).is_(None), col(Alarm.next_at) <= at)
    due = (await db.exec(query.with_for_update(skip_locked=True).execution_options(populate_existing=True))).all()
    for alarm in due:
        await _tell_next(db, alarm, at=at)
    return len(due)


async def acknowledge(db: AsyncSession, number: int, *, by: str, at: datetime) -> Alarm:
    """Somebody looks after it; the first one counts. Raises UnknownAlarm."""
    query = select(Alarm).where(col(Alarm.id) == number).with_for_update().execution_options(populate_existing=True)
    alarm = (await db.exec(query)).first()
    if alarm is None:
        raise UnknownAlarm()
    if alarm.acknowledged_at is None:
        alarm.acknowledged_by, alarm.acknowledged_at = by, at
        db.add(alarm)
        facts = {"conversation": alarm.conversation_id}
        await events.record(db, "alarm.acknowledged", f"alarm:{alarm.id}", by=by, at=at, **facts)
        await notify(db, "alarms")
    return alarm


async def find(db: AsyncSession, *, open_only: bool = True, limit: int = 100) -> list[Alarm]:
    """Alarms, the newest first."""
    query = select(Alarm).order_by(col(Alarm.id).desc()).limit(limit)
    return list((await db.exec(query.where(col(Alarm.acknowledged_at).is_(None)) if open_only else query)).all())
