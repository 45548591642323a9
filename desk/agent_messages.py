"""What agents write: held for some seconds, in which it can be taken back, then sent once and for all.

A held message is no line of the contact record yet, so nobody has seen it. Its client id makes sending idempotent.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events
from desk.columns import facts, key, moment, one_of, ref, words
from desk.conversations import Conversation, Direction, Handler, RecordLine
from desk.errors import EmptyMessage, NewerUnseen, NotYours, TooLate
from desk.store import notify


class State(StrEnum):
    """What became of it."""

    HELD = "held"
    RELEASED = "released"
    UNDONE = "undone"
    REFUSED = "refused"  # the conversation was somebody else's by then


class AgentMessage(SQLModel, table=True):
    """One message of an agent, from writing to its line in the contact record."""

    __tablename__ = "agent_message"
    __table_args__ = (
        one_of("state", State),
        UniqueConstraint("conversation_id", "client_id"),
        Index("agent_message_held", "release_at", postgresql_where=text("state = 'held'")),
    )

    id: int | None = Field(default=None, sa_column=key())
    conversation_id: int = Field(sa_column=ref("conversation.id", index=False))
    staff_id: int = Field(sa_column=ref("staff.id", index=False))
    client_id: str = Field(sa_column=words())
    text: str = Field(sa_column=words())
    body: dict[str, Any] = Field(default_factory=dict, sa_column=facts())  # attachments, location, sources
    state: State = Field(default=State.HELD, sa_column=words(default="held"))
    created_at: datetime = Field(sa_column=moment())
    release_at: datetime = Field(sa_column=moment())
    line_id: int | None = Field(default=None, sa_column=ref("record_line.id", index=False, nullable=True))


async def hold(
    db: AsyncSession, conversation: Conversation, staff_id: int, client_id: str, words: str, body: dict[str, Any], *,
    seen: int, undo_s: int, by: str, at: datetime,
) -> AgentMessage:  # fmt: skip
    """Keep a message until it may leave; a repeated client id gives the first one. The caller holds the conversation.

    Raises NotYours, EmptyMessage, and NewerUnseen when the customer has written something that the agent has not seen.
    """
    known = select(AgentMessage).where(col(AgentMessage.conversation_id) == conversation.id)
    if (there := (await db.exec(known.where(col(AgentMessage.client_id) == client_id))).first()) is not None:
        return there
    if conversation.handler != Handler.AGENT or conversation.agent_id != staff_id:
        raise NotYours()
    if not words.strip() and not body:
        raise EmptyMessage()
    newest = select(func.max(RecordLine.id)).where(col(RecordLine.conversation_id) == conversation.id)
    last = (await db.exec(newest.where(col(RecordLine.direction) == Direction.IN))).one()
    if last is not None and last > seen:
        raise NewerUnseen(newest=last)
    message = AgentMessage(
        conversation_id=conversation.id or 0, staff_id=staff_id, client_id=client_id, text=words, body=body,
        created_at=at, release_at=at + timedelta(seconds=undo_s),
    )  # fmt: skip
    db.add(message)
    await db.flush()
    await _tell(db, message, by=by, at=at)
    await notify(db, "held")
    return message


async def _tell(db: AsyncSession, message: AgentMessage, *, by: str, at: datetime) -> None:
    told = {"client_id": message.client_id, "state": message.state, "agent": message.staff_id, "line": message.line_id}
    await events.record(db, "conversation.held", f"conversation:{message.conversation_id}", by=by, at=at, **told)


async def _locked(db: AsyncSession, conversation_id: int, client_id: str) -> AgentMessage | None:
    query = select(AgentMessage).where(col(AgentMessage.conversation_id) == conversation_id)
    query = query.where(col(AgentMessage.client_id) == client_id).with_for_update()
    return (await db.exec(query.execution_options(populate_existing=True))).first()


async def undo(
    db: AsyncSession, conversation_id: int, staff_id: int, client_id: str, *, by: str, at: datetime
) -> AgentMessage:
    """Take a message back before it has left. Raises TooLate, NotYours."""
    message = await _locked(db, conversation_id, client_id)
    if message is None or message.staff_id != staff_id:
        raise NotYours()
    if message.state == State.UNDONE:
        return message
    if message.state != State.HELD:
        raise TooLate()
    message.state = State.UNDONE
    db.add(message)
    await _tell(db, message, by=by, at=at)
    return message


async def due(db: AsyncSession, *, at: datetime, limit: int = 100) -> list[tuple[int, str]]:
    """Which messages may leave now: conversation and client id, in the order in which they were written."""
    query = select(AgentMessage.conversation_id, AgentMessage.client_id).where(col(AgentMessage.state) == State.HELD)
    query = query.where(col(AgentMessage.release_at) <= at).order_by(col(AgentMessage.id)).limit(limit)
    return list((await db.exec(query)).all())


async def next_due(db: AsyncSession) -> datetime | None:
    """When the next message may leave."""
    query = select(func.min(AgentMessage.release_at)).where(col(AgentMessage.state) == State.HELD)
    return (await db.exec(query)).one()


async def release(db: AsyncSession, conversation: Conversation, client_id: str, *, at: datetime) -> AgentMessage | None:
    """Let a message leave: it becomes a line, which the caller writes and names in `line_id`. None = not (any more).

    The caller holds the conversation. If another answers there by now, it is refused and its agent is told.
    """
    message = await _locked(db, conversation.id or 0, client_id)
    if message is None or message.state != State.HELD:
        return None
    theirs = conversation.handler == Handler.AGENT and conversation.agent_id == message.staff_id
    message.state = State.RELEASED if theirs else State.REFUSED
    db.add(message)
    if not theirs:
        await _tell(db, message, by="greenline", at=at)
        return None
    return message


async def released(db: AsyncSession, message: AgentMessage, line: RecordLine, *, by: str, at: datetime) -> None:
    """The message has become this line."""
    message.line_id = line.id
    db.add(message)
    await _tell(db, message, by=by, at=at)


async def held(db: AsyncSession, conversation_id: int) -> list[AgentMessage]:
    """Messages of a conversation that have not left yet."""
    query = select(AgentMessage).where(col(AgentMessage.conversation_id) == conversation_id)
    return list(
        (await db.exec(query.where(col(AgentMessage.state) == State.HELD).order_by(col(AgentMessage.id)))).all()
    )
