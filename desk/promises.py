"""The promise ledger 承诺: "we do X by time T", with owner, deadline, every attempt, outcome and proof.

电力客户的分级和分类及管理: a customer whom the busy desk did not reach is called back within 24 hours, with their data
at hand, and their business is dealt with. One ledger serves every promise; its deadline never moves.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events, hours, policy
from desk.columns import facts, key, moment, one_of, ref, words
from desk.errors import BadInput, UnknownPromise
from desk.machine import Machine
from desk.store import notify


class Kind(StrEnum):
    """What is promised."""

    CALLBACK = "callback"  # 回拨


class Status(StrEnum):
    """Where a promise stands."""

    OPEN = "open"
    OVERDUE = "overdue"
    KEPT = "kept"
    CANCELLED = "cancelled"


class Act(StrEnum):
    """What can happen to a promise."""

    TAKE = "take"
    TRY = "try"
    LAPSE = "lapse"  # the deadline has passed
    KEEP = "keep"
    CANCEL = "cancel"


PROMISE: Final = Machine[Status, Act](
    {
        Status.OPEN: {
            Act.TAKE: Status.OPEN, Act.TRY: Status.OPEN, Act.LAPSE: Status.OVERDUE, Act.KEEP: Status.KEPT,
            Act.CANCEL: Status.CANCELLED,
        },
        Status.OVERDUE: {
            Act.TAKE: Status.OVERDUE, Act.TRY: Status.OVERDUE, Act.KEEP: Status.KEPT, Act.CANCEL: Status.CANCELLED,
        },
        Status.KEPT: {},
        Status.CANCELLED: {},
    }
)  # fmt: skip


class Result(StrEnum):
    """What came of one attempt."""

    REACHED = "reached"
    NO_ANSWER = "no_answer"
    WRONG_NUMBER = "wrong_number"


class Promise(SQLModel, table=True):
    """One promise. `offer_at` is when it may be done at the earliest, outside the night; `data` is the customer's."""

    __table_args__ = (
        one_of("kind", Kind),
        one_of("status", Status),
        Index("promise_due", "due_at", postgresql_where=text("status IN ('open', 'overdue')")),
        Index("promise_open", "subject", unique=True, postgresql_where=text("status IN ('open', 'overdue')")),
    )

    id: int | None = Field(default=None, sa_column=key())
    kind: Kind = Field(sa_column=words())
    subject: str = Field(sa_column=words())  # what it is about: `queue:17`
    conversation_id: int = Field(sa_column=ref("conversation.id"))
    contact_id: int = Field(sa_column=ref("contact.id"))
    account_id: int | None = Field(default=None, sa_column=ref("account.id", nullable=True))
    status: Status = Field(default=Status.OPEN, sa_column=words(default="open"))
    due_at: datetime = Field(sa_column=moment())
    offer_at: datetime = Field(sa_column=moment())
    owner_id: int | None = Field(default=None, sa_column=ref("staff.id", nullable=True))
    data: dict[str, Any] = Field(default_factory=dict, sa_column=facts())
    made_by: str = Field(sa_column=words())
    made_at: datetime = Field(sa_column=moment())
    reminded: list[int] = Field(default_factory=list, sa_column=facts("[]"))  # minutes before the deadline
    escalated_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    outcome: str = Field(default="", sa_column=words(default=""))
    note: str = Field(default="", sa_column=words(default=""))
    proof: str = Field(default="", sa_column=words(default=""))  # a line of the contact record, a file
    ended_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    ended_by: str | None = Field(default=None, sa_column=words(nullable=True))


class Attempt(SQLModel, table=True):
    """One try to keep a promise. Append-only."""

    __tablename__ = "promise_attempt"
    __table_args__ = (one_of("result", Result),)

    id: int | None = Field(default=None, sa_column=key())
    promise_id: int = Field(sa_column=ref("promise.id"))
    at: datetime = Field(sa_column=moment())
    by: str = Field(sa_column=words())
    result: Result = Field(sa_column=words())
    note: str = Field(default="", sa_column=words(default=""))


async def make(
    db: AsyncSession, kind: Kind, subject: str, *, conversation_id: int, contact_id: int, account_id: int | None,
    data: dict[str, Any], by: str, at: datetime, zone: ZoneInfo,
) -> Promise:  # fmt: skip
    """Promise a callback within the policy's hours; an open one about the same is kept as it is."""
    query = select(Promise).where(col(Promise.subject) == subject, col(Promise.status).in_(_OPEN))
    if (there := (await db.exec(query)).first()) is not None:
        return there
    rules = await policy.current(db, at=at)
    due_at = at + timedelta(hours=rules.promises.callback_hours)
    promise = Promise(
        kind=kind, subject=subject, conversation_id=conversation_id, contact_id=contact_id, account_id=account_id,
        due_at=due_at, offer_at=hours.callback_window(rules.night, due_at, at, zone), data=data, made_by=by, made_at=at,
    )  # fmt: skip
    db.add(promise)
    await db.flush()
    told = {"conversation": conversation_id, "about": subject, "due_at": due_at.isoformat(), "status": Status.OPEN}
    await events.record(db, "promise.made", f"promise:{promise.id}", by=by, at=at, promise=kind, **told)
    await notify(db, "promises")
    return promise


_OPEN: Final = (Status.OPEN, Status.OVERDUE)


async def one(db: AsyncSession, number: int) -> Promise:
    """One promise, locked. Raises UnknownPromise."""
    query = select(Promise).where(col(Promise.id) == number).with_for_update().execution_options(populate_existing=True)
    found = (await db.exec(query)).first()
    if found is None:
        raise UnknownPromise()
    return found


async def _move(db: AsyncSession, promise: Promise, act: Act, *, by: str, at: datetime, **told: Any) -> None:
    before = promise.status
    promise.status = PROMISE.move(Status(before), act)
    if PROMISE.final(promise.status):
        promise.ended_at, promise.ended_by = at, by
    db.add(promise)
    facts = {"conversation": promise.conversation_id, "before": before, "status": promise.status, **told}
    await events.record(db, f"promise.{act}", f"promise:{promise.id}", by=by, at=at, **facts)
    await notify(db, "promises")


async def take(db: AsyncSession, number: int, staff_id: int, *, by: str, at: datetime) -> Promise:
    """Make it one's own. Raises UnknownPromise, MoveNotAllowed."""
    promise = await one(db, number)
    former, promise.owner_id = promise.owner_id, staff_id
    await _move(db, promise, Act.TAKE, by=by, at=at, owner=staff_id, former=former)
    return promise


async def attempt(db: AsyncSession, number: int, result: Result, *, note: str, by: str, at: datetime) -> Promise:
    """Write down one try to reach the customer. Raises UnknownPromise, MoveNotAllowed."""
    promise = await one(db, number)
    db.add(Attempt(promise_id=number, at=at, by=by, result=result, note=note))
    await _move(db, promise, Act.TRY, by=by, at=at, result=result)
    return promise


async def keep(
    db: AsyncSession, number: int, *, outcome: str, note: str, by: str, at: datetime, proof: str = ""
) -> Promise:
    """It is done, with what came of it, including the business dealt with. Raises UnknownPromise, MoveNotAllowed."""
    if not outcome.strip():
        raise BadInput(problems=[("outcome", "missing", None)])
    promise = await one(db, number)
    promise.outcome, promise.note, promise.proof = outcome.strip(), note, proof
    await _move(db, promise, Act.KEEP, by=by, at=at, late=at > promise.due_at)
    return promise


async def cancel(db: AsyncSession, number: int, *, reason: str, by: str, at: datetime) -> Promise:
    """It is not needed any more. Raises UnknownPromise, MoveNotAllowed."""
    promise = await one(db, number)
    promise.note = reason
    await _move(db, promise, Act.CANCEL, by=by, at=at, reason=reason)
    return promise


async def served(db: AsyncSession, conversation_id: int, *, by: str, at: datetime) -> None:
    """The customer reached a person after all: open callbacks of this conversation are kept by that."""
    query = select(Promise).where(col(Promise.conversation_id) == conversation_id, col(Promise.status).in_(_OPEN))
    for promise in (await db.exec(query.with_for_update())).all():
        promise.outcome = "served_in_chat"
        await _move(db, promise, Act.KEEP, by=by, at=at, late=at > promise.due_at)


async def attend(db: AsyncSession, *, at: datetime) -> int:
    """Remind before the deadline, call it overdue after it, and escalate; each once. Returns how many changed."""
    rules = (await policy.current(db, at=at)).promises
    first = timedelta(minutes=max(rules.remind_before_min, default=0))
    query = select(Promise).where(col(Promise.status).in_(_OPEN), col(Promise.due_at) <= at + first)
    query = query.order_by(col(Promise.due_at)).with_for_update(skip_locked=True)
    changed = 0
    for promise in (await db.exec(query)).all():
        changed += await _attend(db, promise, rules, at=at)
    return changed


async def _attend(db: AsyncSession, promise: Promise, rules: Any, *, at: datetime) -> bool:
    subject, told = f"promise:{promise.id}", {"conversation": promise.conversation_id, "owner": promise.owner_id}
    if promise.status == Status.OPEN and at > promise.due_at:
        await _move(db, promise, Act.LAPSE, by="greenline", at=at, owner=promise.owner_id)
        return True
    if promise.status == Status.OPEN:
        due = [m for m in rules.remind_before_min if at >= promise.due_at - timedelta(minutes=m)]
        new = [m for m in due if m not in promise.reminded]
        if new:
            promise.reminded = sorted({*promise.reminded, *new}, reverse=True)
            db.add(promise)
            await events.record(db, "promise.reminded", subject, by="greenline", at=at, minutes=min(new), **told)
            await notify(db, "promises")
        return bool(new)
    if promise.escalated_at is None and at >= promise.due_at + timedelta(minutes=rules.escalate_after_min):
        promise.escalated_at = at
        db.add(promise)
        await events.record(db, "promise.escalated", subject, by="greenline", at=at, **told)
        await notify(db, "promises")
        return True
    return False


async def find(
    db: AsyncSession, *, at: datetime, owner: int | None = None, overdue: bool = False,
    conversation_id: int | None = None, before: datetime | None = None, limit: int = 200,
) -> list[Promise]:  # fmt: skip
    """Open promises by deadline."""
    query = select(Promise).where(col(Promise.status).in_(_OPEN))
    if owner is not None:
        query = query.where(col(Promise.owner_id) == owner)
    if overdue:
        query = query.where(col(Promise.due_at) < at)
    if conversation_id is not None:
        query = query.where(col(Promise.conversation_id) == conversation_id)
    if before is not None:
        query = query.where(col(Promise.due_at) < before)
    return list((await db.exec(query.order_by(col(Promise.due_at), col(Promise.id)).limit(limit))).all())


async def attempts(db: AsyncSession, promises: Sequence[int | None]) -> dict[int, list[Attempt]]:
    """The attempts of some promises, oldest first."""
    query = select(Attempt).where(col(Attempt.promise_id).in_(promises)).order_by(col(Attempt.id))
    found: dict[int, list[Attempt]] = {}
    for each in (await db.exec(query)).all():
        found.setdefault(each.promise_id, []).append(each)
    return found
