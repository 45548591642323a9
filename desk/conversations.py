"""Contacts, the addresses where they are reached, their running conversations and the contact record."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events
from desk.columns import facts, key, moment, one_of, ref, words
from desk.store import notify


class Channel(StrEnum):
    """Where a contact can be reached."""

    WEB = "web"
    TELEGRAM = "telegram"


class Handler(StrEnum):
    """Who answers in a conversation."""

    BOT = "bot"
    QUEUE = "queue"  # nobody yet: a person is waited for
    AGENT = "agent"  # the one in `agent_id`


class Direction(StrEnum):
    """A line of the contact record is an inbound, a reply, or a note among staff."""

    IN = "in"
    OUT = "out"
    NOTE = "note"  # never shown to the customer


class Contact(SQLModel, table=True):
    """A person who writes to us; bound to accounts later."""

    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(default="", sa_column=words(default=""))
    phone: str = Field(
        default="", sa_column=Column("phone", words().type, nullable=False, server_default="", index=True)
    )
    created_at: datetime = Field(sa_column=moment())


class Address(SQLModel, table=True):
    """One place where a contact is reached: a Telegram chat, or a web session (only the token's hash is kept)."""

    __table_args__ = (UniqueConstraint("channel", "external_id"), one_of("channel", Channel))

    id: int | None = Field(default=None, sa_column=key())
    contact_id: int = Field(sa_column=ref("contact.id"))
    channel: Channel = Field(sa_column=words())
    external_id: str = Field(sa_column=words())
    unreachable_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    unreachable_cause: str | None = Field(default=None, sa_column=words(nullable=True))
    created_at: datetime = Field(sa_column=moment())


class Conversation(SQLModel, table=True):
    """The running dialogue at one address. Its row is the lock under which a message is handled."""

    __table_args__ = (
        one_of("handler", Handler),
        CheckConstraint("(handler = 'agent') = (agent_id IS NOT NULL)", name="agent_answers"),
    )

    id: int | None = Field(default=None, sa_column=key())
    address_id: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    contact_id: int = Field(sa_column=ref("contact.id"))
    language: str = Field(sa_column=words())
    handler: Handler = Field(default=Handler.BOT, sa_column=words(default="bot"))
    agent_id: int | None = Field(default=None, sa_column=ref("staff.id", nullable=True))  # exactly while one answers
    # the last line that whoever answers has read
    read_to: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    account_id: int | None = Field(default=None, sa_column=ref("account.id", nullable=True))  # the one talked about
    state: dict[str, Any] = Field(default_factory=dict, sa_column=facts())
    created_at: datetime = Field(sa_column=moment())
    last_inbound_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class RecordLine(SQLModel, table=True):
    """One line of the contact record 客户接触记录: what was said, by whom, when. Append-only."""

    __tablename__ = "record_line"
    __table_args__ = (
        Index(
            "record_line_dedup",
            "channel",
            "external_id",
            unique=True,
            postgresql_where=text("direction = 'in'"),
        ),
        Index("record_line_reading", "conversation_id", "id"),
        one_of("direction", Direction),
    )

    id: int | None = Field(default=None, sa_column=key())
    conversation_id: int = Field(sa_column=ref("conversation.id", index=False))
    channel: Channel = Field(sa_column=words())
    direction: Direction = Field(sa_column=words())
    external_id: str | None = Field(default=None, sa_column=words(nullable=True))
    by: str = Field(sa_column=words())
    text: str = Field(sa_column=words())
    # in: choice, attachments, location, understanding; out: reply name, choices, sources, in_reply_to
    body: dict[str, Any] = Field(default_factory=dict, sa_column=facts())
    at: datetime = Field(sa_column=moment())


async def seen(db: AsyncSession, channel: Channel, external_id: str) -> RecordLine | None:
    """The inbound that already carries this external id, if any."""
    query = select(RecordLine).where(
        col(RecordLine.channel) == channel,
        col(RecordLine.external_id) == external_id,
        col(RecordLine.direction) == Direction.IN,
    )
    return (await db.exec(query)).first()


async def open_at(
    db: AsyncSession, channel: Channel, external_id: str, *, name: str, language: str, at: datetime
) -> tuple[Conversation, Address]:
    """The conversation at this address, its row locked until the transaction ends; begun if there is none."""
    address = await _address(db, channel, external_id)
    if address is None:
        contact = Contact(name=name, created_at=at)
        db.add(contact)
        await db.flush()
        values = {"contact_id": contact.id, "channel": channel, "external_id": external_id, "created_at": at}
        # two first messages can race: the loser waits here and reads the winner's row
        await db.execute(insert(Address).values(**values).on_conflict_do_nothing())
        address = await _address(db, channel, external_id)
        assert address is not None
        if address.contact_id != contact.id:
            await db.delete(contact)
    conversation = await _locked(db, address)
    if conversation is None:
        values = {
            "address_id": address.id,
            "contact_id": address.contact_id,
            "language": language,
            "created_at": at,
            "handler": Handler.BOT,
        }
        result = await db.execute(
            insert(Conversation).values(**values).on_conflict_do_nothing().returning(col(Conversation.id))
        )
        begun = result.scalar()
        conversation = await _locked(db, address)
        assert conversation is not None
        if begun:
            await events.record(
                db, "conversation.begun", f"conversation:{begun}", by="customer", at=at, channel=channel
            )
    return conversation, address


async def _address(db: AsyncSession, channel: Channel, external_id: str) -> Address | None:
    query = select(Address).where(col(Address.channel) == channel, col(Address.external_id) == external_id)
    return (await db.exec(query)).first()


async def _locked(db: AsyncSession, address: Address) -> Conversation | None:
    query = select(Conversation).where(col(Conversation.address_id) == address.id).with_for_update()
    return (await db.exec(query.execution_options(populate_existing=True))).first()


async def find(db: AsyncSession, channel: Channel, external_id: str) -> Conversation | None:
    """The conversation at this address without locking it."""
    address = await _address(db, channel, external_id)
    if address is None:
        return None
    return (await db.exec(select(Conversation).where(col(Conversation.address_id) == address.id))).first()


async def write(db: AsyncSession, line: RecordLine, conversation: Conversation | None = None) -> RecordLine:
    """Add one line to the contact record and wake whoever reads this conversation.

    While a person answers or is waited for (`conversation`), the line is an event too: it must reach a screen.
    """
    db.add(line)
    await db.flush()
    await notify(db, f"conversation:{line.conversation_id}")
    if conversation is not None and conversation.handler != Handler.BOT:
        told = {"line": line.id, "direction": line.direction, "agent": conversation.agent_id}
        subject = f"conversation:{line.conversation_id}"
        await events.record(db, "conversation.line", subject, by=line.by, at=line.at, **told)
    return line


async def lines(
    db: AsyncSession, conversation_id: int, *, after: int = 0, limit: int = 200, notes: bool = False
) -> list[RecordLine]:
    """Lines behind `after`, oldest first; notes only for staff. The lock makes their ids commit in order."""
    query = select(RecordLine).where(col(RecordLine.conversation_id) == conversation_id, col(RecordLine.id) > after)
    if not notes:
        query = query.where(col(RecordLine.direction) != Direction.NOTE)
    return list((await db.exec(query.order_by(col(RecordLine.id)).limit(limit))).all())


async def latest(
    db: AsyncSession, conversation_id: int, *, limit: int = 200, before: int | None = None, notes: bool = False
) -> list[RecordLine]:
    """The newest lines (before one), oldest of them first; notes only for staff."""
    query = select(RecordLine).where(col(RecordLine.conversation_id) == conversation_id)
    if before is not None:
        query = query.where(col(RecordLine.id) < before)
    if not notes:
        query = query.where(col(RecordLine.direction) != Direction.NOTE)
    found = await db.exec(query.order_by(col(RecordLine.id).desc()).limit(limit))
    return list(found.all())[::-1]


async def replies_to(db: AsyncSession, inbound_id: int) -> list[RecordLine]:
    """The replies that answered one inbound."""
    query = (
        select(RecordLine)
        .where(col(RecordLine.direction) == Direction.OUT)
        .where(col(RecordLine.body)["in_reply_to"].as_integer() == inbound_id)
        .where(col(RecordLine.id) > inbound_id)
        .where(
            col(RecordLine.conversation_id)
            == select(RecordLine.conversation_id).where(col(RecordLine.id) == inbound_id).scalar_subquery()
        )
        .order_by(col(RecordLine.id))
    )
    return list((await db.exec(query)).all())


async def mark_reachable(db: AsyncSession, address: Address, *, at: datetime) -> None:
    """The address works (again)."""
    if address.unreachable_at:
        address.unreachable_at = address.unreachable_cause = None
        db.add(address)
        await events.record(db, "address.reachable", f"address:{address.id}", by=address.channel, at=at)


async def mark_unreachable(db: AsyncSession, address: Address, *, cause: str, at: datetime) -> None:
    """Nothing can be delivered here until the person comes back."""
    if not address.unreachable_at:
        address.unreachable_at, address.unreachable_cause = at, cause
        db.add(address)
        await events.record(db, "address.unreachable", f"address:{address.id}", by=address.channel, at=at, cause=cause)
