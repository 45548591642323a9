"""The outbox: one delivery per message to one address, with its fate."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Column, Index, SmallInteger, text
from sqlmodel import Field, SQLModel, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import conversations, events
from desk.columns import key, moment, one_of, ref, words
from desk.conversations import Address, Channel, Conversation, RecordLine
from desk.machine import Machine
from desk.store import notify


class Fate(StrEnum):
    """What became of a delivery."""

    QUEUED = "queued"  # waits for its due time
    SENDING = "sending"  # handed to the channel, answer not yet known
    SENT = "sent"  # the channel confirmed it
    UNKNOWN = "unknown"  # it may or may not have arrived
    UNREACHABLE = "unreachable"  # the address does not work
    FAILED = "failed"  # the channel refuses it for good
    CANCELLED = "cancelled"  # withdrawn before it left


class Act(StrEnum):
    """What can happen to a delivery."""

    HAND_OVER = "hand_over"
    CONFIRM = "confirm"
    POSTPONE = "postpone"
    DOUBT = "doubt"
    REPEAT = "repeat"
    LOSE_ADDRESS = "lose_address"
    REFUSE = "refuse"
    CANCEL = "cancel"


DELIVERY: Final = Machine[Fate, Act](
    {
        Fate.QUEUED: {
            Act.HAND_OVER: Fate.SENDING,
            Act.LOSE_ADDRESS: Fate.UNREACHABLE,
            Act.CANCEL: Fate.CANCELLED,
        },
        Fate.SENDING: {
            Act.CONFIRM: Fate.SENT,
            Act.POSTPONE: Fate.QUEUED,
            Act.DOUBT: Fate.UNKNOWN,
            Act.LOSE_ADDRESS: Fate.UNREACHABLE,
            Act.REFUSE: Fate.FAILED,
        },
        Fate.UNKNOWN: {Act.REPEAT: Fate.QUEUED},
        Fate.SENT: {},
        Fate.UNREACHABLE: {},
        Fate.FAILED: {},
        Fate.CANCELLED: {},
    }
)


class Lane(StrEnum):
    """Replies go before notices."""

    REPLY = "0-reply"
    NOTICE = "1-notice"


class Delivery(SQLModel, table=True):
    """One message to one address. `doubts` counts sends whose outcome stayed unknown: possible duplicates."""

    __table_args__ = (
        Index("delivery_due", "channel", "lane", "due_at", "id", postgresql_where=text("fate = 'queued'")),
        Index("delivery_open", "address_id", "id", postgresql_where=text("fate IN ('queued', 'sending')")),
        one_of("fate", Fate),
        one_of("lane", Lane),
    )

    id: int | None = Field(default=None, sa_column=key())
    line_id: int = Field(sa_column=ref("record_line.id"))
    address_id: int = Field(sa_column=ref("address.id"))
    channel: Channel = Field(sa_column=words())
    lane: Lane = Field(default=Lane.REPLY, sa_column=words())
    fate: Fate = Field(default=Fate.QUEUED, sa_column=words())
    attempts: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default=text("0")))
    doubts: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default=text("0")))
    due_at: datetime = Field(sa_column=moment())
    settled_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    cause: str | None = Field(default=None, sa_column=words(nullable=True))
    external_id: str | None = Field(default=None, sa_column=words(nullable=True))
    parts_sent: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default=text("0")))

    def move(self, action: Act) -> None:
        """Change the fate by the table. Raises MoveNotAllowed."""
        self.fate = DELIVERY.move(self.fate, action)


class ChannelPause(SQLModel, table=True):
    """A channel asked us to be quiet until this time; kept so that a restart obeys it too."""

    __tablename__ = "channel_pause"
    channel: Channel = Field(sa_column=Column("channel", words().type, primary_key=True))
    until: datetime = Field(sa_column=moment())


class Parcel(SQLModel):
    """A due delivery with all that the channel needs."""

    id: int
    lane: Lane
    attempts: int
    parts_sent: int
    recipient: str
    language: str
    line: RecordLine


async def enqueue(
    db: AsyncSession, line: RecordLine, address: Address, *, at: datetime, lane: Lane = Lane.REPLY
) -> None:
    """Store a delivery for `line`. The web chat reads the contact record itself, so there it is sent at once."""
    assert line.id is not None and address.id is not None
    if address.channel == Channel.WEB:
        fate, settled = Fate.SENT, at
    else:
        fate, settled = Fate.QUEUED, None
        await notify(db, f"deliveries:{address.channel}")
    db.add(
        Delivery(
            line_id=line.id,
            address_id=address.id,
            channel=address.channel,
            lane=lane,
            fate=fate,
            due_at=at,
            settled_at=settled,
        )
    )


async def hand_over(db: AsyncSession, channel: Channel, *, at: datetime, limit: int, busy: list[str]) -> list[Parcel]:
    """Claim due deliveries, replies first and in order, skipping recipients that are `busy` in the sender.

    Only the oldest open delivery of an address is given out, so one chat's messages keep their order.
    """
    query = text(
        """
        WITH due AS (
            SELECT d.id
            FROM delivery d JOIN address a ON a.id = d.address_id
            WHERE d.channel = :channel AND d.fate = 'queued' AND d.due_at <= :at
              AND NOT a.external_id = ANY(:busy)
              AND NOT EXISTS (
                SELECT FROM delivery older
                WHERE older.address_id = d.address_id AND older.lane <= d.lane AND older.id < d.id
                  AND older.fate IN ('queued', 'sending')
              )
            ORDER BY d.lane, d.due_at, d.id LIMIT :limit
        )
        UPDATE delivery SET fate = 'sending', attempts = attempts + 1
        FROM due WHERE delivery.id = due.id AND delivery.fate = 'queued'
        RETURNING delivery.id
        """
    )
    result = await db.execute(query, {"channel": channel, "at": at, "limit": limit, "busy": busy})
    claimed = [row[0] for row in result]
    if not claimed:
        return []
    rows = await db.exec(
        select(Delivery, Address, Conversation, RecordLine)
        .join(Address, col(Address.id) == col(Delivery.address_id))
        .join(RecordLine, col(RecordLine.id) == col(Delivery.line_id))
        .join(Conversation, col(Conversation.id) == col(RecordLine.conversation_id))
        .where(col(Delivery.id).in_(claimed))
        .order_by(col(Delivery.lane), col(Delivery.due_at), col(Delivery.id))
    )
    return [
        Parcel(
            id=delivery.id or 0,
            lane=Lane(delivery.lane),
            attempts=delivery.attempts,
            parts_sent=delivery.parts_sent,
            recipient=address.external_id,
            language=conversation.language,
            line=line,
        )
        for delivery, address, conversation, line in rows
    ]


async def _locked(db: AsyncSession, delivery_id: int) -> Delivery:
    return (await db.exec(select(Delivery).where(col(Delivery.id) == delivery_id).with_for_update())).one()


async def confirm(db: AsyncSession, delivery_id: int, *, external_id: str | None, at: datetime) -> None:
    """The channel has it."""
    delivery = await _locked(db, delivery_id)
    delivery.move(Act.CONFIRM)
    delivery.settled_at, delivery.external_id, delivery.cause = at, external_id, None
    db.add(delivery)


async def note_part(db: AsyncSession, delivery_id: int, parts_sent: int) -> None:
    """Remember how many parts of a long message have arrived, so a retry goes on behind them."""
    await db.exec(update(Delivery).where(col(Delivery.id) == delivery_id).values(parts_sent=parts_sent))


async def postpone(db: AsyncSession, delivery_id: int, *, until: datetime, cause: str) -> None:
    """It was certainly not sent; try again at `until`."""
    delivery = await _locked(db, delivery_id)
    delivery.move(Act.POSTPONE)
    delivery.due_at, delivery.cause = until, cause
    db.add(delivery)


async def doubt(db: AsyncSession, delivery_id: int, *, cause: str, at: datetime) -> None:
    """It may have arrived. A reply is repeated once, because silence is worse than a duplicate; a notice is not."""
    delivery = await _locked(db, delivery_id)
    delivery.move(Act.DOUBT)
    delivery.doubts += 1
    delivery.cause = cause
    if delivery.lane == Lane.REPLY and delivery.doubts == 1:
        delivery.move(Act.REPEAT)
        delivery.due_at = at
        await notify(db, f"deliveries:{delivery.channel}")
    else:
        await _settle(db, delivery, cause, at)
    db.add(delivery)


async def lose_address(db: AsyncSession, delivery_id: int, *, cause: str, at: datetime) -> None:
    """The recipient cannot be reached: settle this one and all others that wait for the address."""
    delivery = await _locked(db, delivery_id)
    delivery.move(Act.LOSE_ADDRESS)
    await _settle(db, delivery, cause, at)
    db.add(delivery)
    address = await db.get_one(Address, delivery.address_id)
    await conversations.mark_unreachable(db, address, cause=cause, at=at)
    waiting = update(Delivery).where(col(Delivery.address_id) == address.id, col(Delivery.fate) == Fate.QUEUED)
    await db.exec(waiting.values(fate=Fate.UNREACHABLE, settled_at=at, cause=cause))


async def refuse(db: AsyncSession, delivery_id: int, *, cause: str, at: datetime) -> None:
    """The channel will never take it."""
    delivery = await _locked(db, delivery_id)
    delivery.move(Act.REFUSE)
    await _settle(db, delivery, cause, at)
    db.add(delivery)


async def _settle(db: AsyncSession, delivery: Delivery, cause: str, at: datetime) -> None:
    delivery.settled_at, delivery.cause = at, cause
    await events.record(
        db, f"delivery.{delivery.fate}", f"delivery:{delivery.id}", by=delivery.channel, at=at, cause=cause
    )


async def recover(db: AsyncSession, channel: Channel, *, at: datetime) -> int:
    """A new leader doubts everything its dead predecessor was sending. Returns how many."""
    query = select(Delivery.id).where(col(Delivery.channel) == channel, col(Delivery.fate) == Fate.SENDING)
    ids = [number for number in (await db.exec(query)).all() if number is not None]
    for number in ids:
        await doubt(db, number, cause="sender died while sending", at=at)
    return len(ids)


async def pause(db: AsyncSession, channel: Channel, *, until: datetime) -> None:
    """Keep the whole channel quiet until then."""
    await db.merge(ChannelPause(channel=channel, until=until))


async def paused_until(db: AsyncSession, channel: Channel) -> datetime | None:
    """When the channel may speak again, if it was told to be quiet."""
    found = await db.get(ChannelPause, channel)
    return found.until if found else None


async def next_due(db: AsyncSession, channel: Channel, *, after: datetime) -> timedelta | None:
    """How long until the next waiting delivery is due."""
    query = select(Delivery.due_at).where(col(Delivery.channel) == channel, col(Delivery.fate) == Fate.QUEUED)
    first = (await db.exec(query.order_by(col(Delivery.due_at)).limit(1))).first()
    return None if first is None else max(first - after, timedelta(0))


async def count_by_fate(db: AsyncSession, *, channel: Channel) -> dict[str, int]:
    """How many deliveries have which fate; `doubted` counts those that may have arrived twice."""
    result = await db.execute(
        text("SELECT fate, count(*) FROM delivery WHERE channel = :c GROUP BY fate"), {"c": channel}
    )
    counts = {row[0]: int(row[1]) for row in result}
    doubted = await db.execute(text("SELECT count(*) FROM delivery WHERE channel = :c AND doubts > 0"), {"c": channel})
    return counts | {"doubted": int(doubted.scalar_one())}
