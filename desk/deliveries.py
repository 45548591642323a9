"""The outbox: one delivery per message to one address, with its fate.

A delivery writes an event when it is settled and whenever its outcome is in doubt. What the sender does with it in
between (handing over, postponing) is no event: a broadcast would write millions that nobody asks for.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Column, Index, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import insert
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
    """A channel asked us to be quiet until this time; notices obey it even after a restart."""

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
    """Store a delivery for `line`. The web chat reads the contact record itself, so there it is sent at once.

    To an address that is known not to work nothing is tried; it works again once the person writes.
    """
    assert line.id is not None and address.id is not None
    delivery = Delivery(line_id=line.id, address_id=address.id, channel=address.channel, lane=lane, due_at=at)
    db.add(delivery)
    if address.channel == Channel.WEB:
        delivery.fate, delivery.settled_at = Fate.SENT, at
    elif address.unreachable_at:
        await db.flush()
        delivery.move(Act.LOSE_ADDRESS)
        await _settle(db, delivery, address.unreachable_cause, at)
    else:
        await notify(db, f"deliveries:{address.channel}")


async def hand_over(
    db: AsyncSession, channel: Channel, lane: Lane, *, at: datetime, limit: int, busy: Collection[str]
) -> list[Parcel]:
    """Claim due deliveries of one lane in order, skipping recipients that are `busy` in the sender.

    Only the oldest open delivery of an address is given out, so one chat's messages keep their order.
    """
    facts = {"channel": channel, "lane": lane, "at": at, "limit": limit, "busy": list(busy)}
    claimed = [row[0] for row in await db.execute(_HAND_OVER, facts)]
    if not claimed:
        return []
    rows = await db.exec(
        select(Delivery, Address, Conversation, RecordLine)
        .join(Address, col(Address.id) == col(Delivery.address_id))
        .join(RecordLine, col(RecordLine.id) == col(Delivery.line_id))
        .join(Conversation, col(Conversation.id) == col(RecordLine.conversation_id))
        .where(col(Delivery.id).in_(claimed))
        .order_by(col(Delivery.due_at), col(Delivery.id))
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


# attempts stop counting at 1000: whoever asks only wants to know that there were many
_HAND_OVER: Final = text(
    """
    WITH due AS (
        SELECT d.id
        FROM delivery d JOIN address a ON a.id = d.address_id
        WHERE d.channel = :channel AND d.lane = :lane AND d.fate = 'queued' AND d.due_at <= :at
          AND NOT a.external_id = ANY(:busy)
          AND NOT EXISTS (
            SELECT FROM delivery older
            WHERE older.address_id = d.address_id AND older.lane <= d.lane AND older.id < d.id
              AND older.fate IN ('queued', 'sending')
          )
        ORDER BY d.due_at, d.id LIMIT :limit
    )
    UPDATE delivery SET fate = 'sending', attempts = least(attempts + 1, 1000)
    FROM due WHERE delivery.id = due.id AND delivery.fate = 'queued'
    RETURNING delivery.id
    """
)


async def _locked(db: AsyncSession, delivery_id: int) -> Delivery:
    return (await db.exec(select(Delivery).where(col(Delivery.id) == delivery_id).with_for_update())).one()


async def confirm(db: AsyncSession, delivery_id: int, *, external_id: str | None, at: datetime) -> None:
    """The channel has it."""
    delivery = await _locked(db, delivery_id)
    delivery.move(Act.CONFIRM)
    delivery.external_id = external_id
    await _settle(db, delivery, None, at)


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
    await _doubt(db, await _locked(db, delivery_id), cause, at)


async def _doubt(db: AsyncSession, delivery: Delivery, cause: str, at: datetime) -> None:
    delivery.move(Act.DOUBT)
    delivery.doubts += 1
    if delivery.lane != Lane.REPLY or delivery.doubts > 1:
        await _settle(db, delivery, cause, at)
        return
    delivery.move(Act.REPEAT)
    delivery.due_at, delivery.cause = at, cause
    db.add(delivery)
    await events.record(db, "delivery.repeated", f"delivery:{delivery.id}", by=delivery.channel, at=at, cause=cause)
    await notify(db, f"deliveries:{delivery.channel}")


async def lose_address(
    db: AsyncSession, delivery_id: int, *, cause: str, at: datetime, asked_at: datetime | None = None
) -> None:
    """The recipient cannot be reached: settle this one and all others that wait for the address.

    Unless the person has written to us since the channel was asked (`asked_at`): then only try again.
    """
    delivery = await _locked(db, delivery_id)
    heard = select(Conversation.last_inbound_at).where(col(Conversation.address_id) == delivery.address_id)
    heard_at = (await db.exec(heard)).first()
    if asked_at and heard_at and heard_at > asked_at:
        delivery.move(Act.POSTPONE)
        delivery.due_at, delivery.cause = at, cause
        db.add(delivery)
        await notify(db, f"deliveries:{delivery.channel}")
        return
    address = await db.get_one(Address, delivery.address_id)
    await conversations.mark_unreachable(db, address, cause=cause, at=at)
    waiting = select(Delivery).where(col(Delivery.address_id) == address.id, col(Delivery.fate) == Fate.QUEUED)
    for lost in [delivery, *await db.exec(waiting.order_by(col(Delivery.id)).with_for_update())]:
        lost.move(Act.LOSE_ADDRESS)
        await _settle(db, lost, cause, at)


async def refuse(db: AsyncSession, delivery_id: int, *, cause: str, at: datetime) -> None:
    """The channel will never take it."""
    delivery = await _locked(db, delivery_id)
    delivery.move(Act.REFUSE)
    await _settle(db, delivery, cause, at)


async def _settle(db: AsyncSession, delivery: Delivery, cause: str | None, at: datetime) -> None:
    delivery.settled_at, delivery.cause = at, cause
    db.add(delivery)
    facts = {"cause": cause} if cause else {}
    await events.record(db, f"delivery.{delivery.fate}", f"delivery:{delivery.id}", by=delivery.channel, at=at, **facts)


async def recover(db: AsyncSession, channel: Channel, *, at: datetime, but: Collection[int] = ()) -> int:
    """Doubt everything that is being sent by nobody: all but what the caller itself has in the air (`but`).

    Returns how many.
    """
    query = select(Delivery).where(col(Delivery.channel) == channel, col(Delivery.fate) == Fate.SENDING)
    query = query.where(col(Delivery.id).not_in(but)).order_by(col(Delivery.id)).with_for_update()
    orphans = (await db.exec(query)).all()
    for delivery in orphans:
        await _doubt(db, delivery, "sender died while sending", at)
    return len(orphans)


async def pause(db: AsyncSession, channel: Channel, *, until: datetime) -> None:
    """Keep the notices of a channel quiet until then; a pause never becomes shorter."""
    asked = insert(ChannelPause).values(channel=channel, until=until)
    longer = func.greatest(col(ChannelPause.until), asked.excluded.until)
    await db.execute(asked.on_conflict_do_update(index_elements=["channel"], set_={"until": longer}))


async def paused_until(db: AsyncSession, channel: Channel) -> datetime | None:
    """When the notices of a channel may go on, if it was told to be quiet."""
    query = select(ChannelPause.until).where(col(ChannelPause.channel) == channel)
    return (await db.exec(query)).first()


async def next_due(db: AsyncSession, channel: Channel, *, after: datetime) -> timedelta | None:
    """How long until the next delivery falls due that is not due yet."""
    # lane by lane, so that each is one step into the index however many wait
    firsts = [
        select(func.min(Delivery.due_at))
        .where(col(Delivery.channel) == channel, col(Delivery.lane) == lane)
        .where(col(Delivery.fate) == Fate.QUEUED, col(Delivery.due_at) > after)
        .scalar_subquery()
        for lane in Lane
    ]
    first = (await db.exec(select(func.least(*firsts)))).one()
    return None if first is None else first - after


async def readdress(db: AsyncSession, channel: Channel, old: str, new: str, *, at: datetime) -> None:
    """An address has got another number. If both have been used, what waits for the old one goes to the new one."""
    known = await db.exec(
        select(Address).where(col(Address.channel) == channel, col(Address.external_id).in_([old, new]))
    )
    addresses = {address.external_id: address for address in known}
    if old not in addresses:
        return
    if new not in addresses:
        addresses[old].external_id = new
        db.add(addresses[old])
        return
    waiting = update(Delivery).where(
        col(Delivery.address_id) == addresses[old].id, col(Delivery.fate).in_([Fate.QUEUED, Fate.SENDING])
    )
    await db.exec(waiting.values(address_id=addresses[new].id))
    await conversations.mark_unreachable(db, addresses[old], cause=f"now {new}", at=at)


async def count_by_fate(db: AsyncSession, *, channel: Channel) -> dict[str, int]:
    """How many deliveries have which fate; `doubted` counts those that may have arrived twice."""
    result = await db.execute(
        text("SELECT fate, count(*) FROM delivery WHERE channel = :c GROUP BY fate"), {"c": channel}
    )
    counts = {row[0]: int(row[1]) for row in result}
    doubted = await db.execute(text("SELECT count(*) FROM delivery WHERE channel = :c AND doubts > 0"), {"c": channel})
    return counts | {"doubted": int(doubted.scalar_one())}
