"""The queue 绿色通道: one customer's wait for a person, from joining to the end of the conversation.

Whoever is at the head is decided from the archive as it is now (`desk.ranks`), so a changed tier re-sorts those who
wait, and they keep the time at which they first joined. Locks are taken in the order entry, seat, conversation; whoever
already holds a conversation takes an entry only if it is free.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, Index, SmallInteger, text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events, presence
from desk.columns import facts, key, moment, one_of, ref, words
from desk.conversations import Conversation, Handler
from desk.customers import Account
from desk.errors import UnknownWait
from desk.machine import Machine
from desk.policy import Queue as QueueRules
from desk.ranks import RANK_SQL, Rank, estimate_s, rank_of
from desk.store import notify

RECENT: Final = timedelta(hours=24)  # whose handling times count for an estimate
ENOUGH: Final = 5  # finished conversations that make a recent handling time
LINE: Final = 0x6C696E65  # advisory lock: claims share it, whoever locks waits without taking them has it alone


class Status(StrEnum):
    """Where a wait stands."""

    WAITING = "waiting"
    OFFERED = "offered"  # to one agent, who has some seconds to accept
    CLAIMED = "claimed"  # one agent talks with the customer
    TRANSFERRING = "transferring"  # still with that agent, offered to another
    CLOSED = "closed"
    RETURNED = "returned"  # to the bot
    LEFT = "left"
    EXPIRED = "expired"  # nobody came in time


class Act(StrEnum):
    """What can happen to a wait."""

    OFFER = "offer"
    DECLINE = "decline"
    CLAIM = "claim"
    LEAVE = "leave"
    EXPIRE = "expire"
    LAPSE = "lapse"  # the agent vanished
    RELEASE = "release"  # given back to the queue
    TRANSFER = "transfer"
    ACCEPT = "accept"
    KEEP = "keep"  # a transfer that was not accepted
    TAKE_OVER = "take_over"
    CLOSE = "close"
    RETURN = "return"


_S, _A = Status, Act
ENTRY: Final = Machine[Status, Act](
    {
        _S.WAITING: {_A.OFFER: _S.OFFERED, _A.CLAIM: _S.CLAIMED, _A.LEAVE: _S.LEFT, _A.EXPIRE: _S.EXPIRED},
        _S.OFFERED: {_A.CLAIM: _S.CLAIMED, _A.DECLINE: _S.WAITING, _A.LEAVE: _S.LEFT, _A.EXPIRE: _S.EXPIRED},
        _S.CLAIMED: {
            _A.LAPSE: _S.WAITING, _A.RELEASE: _S.WAITING, _A.TRANSFER: _S.TRANSFERRING, _A.TAKE_OVER: _S.CLAIMED,
            _A.CLOSE: _S.CLOSED, _A.RETURN: _S.RETURNED,
        },
        _S.TRANSFERRING: {
            _A.ACCEPT: _S.CLAIMED, _A.KEEP: _S.CLAIMED, _A.LAPSE: _S.WAITING, _A.RELEASE: _S.WAITING,
            _A.TAKE_OVER: _S.CLAIMED, _A.CLOSE: _S.CLOSED, _A.RETURN: _S.RETURNED,
        },
        _S.CLOSED: {}, _S.RETURNED: {}, _S.LEFT: {}, _S.EXPIRED: {},
    }
)  # fmt: skip
OPEN: Final = (Status.WAITING, Status.OFFERED, Status.CLAIMED, Status.TRANSFERRING)
HELD: Final = (Status.CLAIMED, Status.TRANSFERRING)


class Reason(StrEnum):
    """Why somebody waits for a person."""

    BUTTON = "button"
    WORDS = "words"
    ABSTENTION = "abstention"  # the guide had no answer, again
    ANGER = "anger"
    RULE = "rule"  # green-channel customers wait for no second try
    AGENT = "agent"  # an agent opened the conversation


class QueueEntry(SQLModel, table=True):
    """One wait. `joined_at` is when it began and never changes; `rank` is the one last seen, for the log."""

    __tablename__ = "queue_entry"
    __table_args__ = (
        one_of("status", Status),
        Index("queue_entry_waiting", "joined_at", postgresql_where=text("status IN ('waiting', 'offered')")),
        Index("queue_entry_held", "agent_id", postgresql_where=text("status IN ('claimed', 'transferring')")),
        Index("queue_entry_ended", "ended_at"),
        Index(
            "queue_entry_open", "conversation_id", unique=True,
            postgresql_where=text("status IN ('waiting', 'offered', 'claimed', 'transferring')"),
        ),
    )  # fmt: skip

    id: int | None = Field(default=None, sa_column=key())
    conversation_id: int = Field(sa_column=ref("conversation.id"))
    account_id: int | None = Field(default=None, sa_column=ref("account.id", nullable=True))
    language: str = Field(sa_column=words())
    skill: str = Field(default="", sa_column=words(default=""))
    reason: Reason = Field(sa_column=words())
    status: Status = Field(default=Status.WAITING, sa_column=words(default="waiting"))
    rank: int = Field(sa_column=Column(SmallInteger, nullable=False))
    joined_at: datetime = Field(sa_column=moment())
    agent_id: int | None = Field(default=None, sa_column=ref("staff.id", index=False, nullable=True))
    offered_to: int | None = Field(default=None, sa_column=ref("staff.id", index=False, nullable=True))
    offer_until: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    claimed_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    why: dict[str, Any] = Field(default_factory=dict, sa_column=facts())  # of the last claim
    declined: list[int] = Field(default_factory=list, sa_column=facts("[]"))  # agents it was offered to in vain
    outcome: str = Field(default="", sa_column=words(default=""))
    category: str = Field(default="", sa_column=words(default=""))


async def move(db: AsyncSession, entry: QueueEntry, action: Act, *, by: str, at: datetime, **told: Any) -> None:
    """Change the status by the table and write the event. Raises MoveNotAllowed."""
    before = Status(entry.status)
    entry.status = ENTRY.move(before, action)
    if ENTRY.final(entry.status):
        entry.ended_at = at
    db.add(entry)
    await log(db, entry, action, before=before, by=by, at=at, **told)


async def log(
    db: AsyncSession, entry: QueueEntry, action: Act, *, before: Status | None, by: str, at: datetime, **told: Any
) -> None:
    """The event of a move that has been made, and a wake-up for all who watch the queue."""
    facts = {"conversation": entry.conversation_id, "before": before, "status": entry.status, **told}
    await events.record(db, f"queue.{action}", f"queue:{entry.id}", by=by, at=at, **facts)
    await notify(db, "queue")


async def entry(db: AsyncSession, number: int, *, lock: bool = False) -> QueueEntry:
    """One entry. Raises UnknownWait."""
    query = select(QueueEntry).where(col(QueueEntry.id) == number).execution_options(populate_existing=True)
    found = (await db.exec(query.with_for_update() if lock else query)).first()
    if found is None:
        raise UnknownWait()
    return found


async def open_entry(
    db: AsyncSession, conversation_id: int, *, lock: bool = False, if_free: bool = False
) -> QueueEntry | None:
    """The open wait of a conversation; with `if_free`, only when nobody else is just changing it."""
    query = select(QueueEntry).where(col(QueueEntry.conversation_id) == conversation_id)
    query = query.where(col(QueueEntry.status).in_(OPEN)).execution_options(populate_existing=True)
    if lock or if_free:
        query = query.with_for_update(skip_locked=if_free)
    return (await db.exec(query)).first()


# -- joining and leaving: the caller holds the conversation ------------------------------------------------------------


async def join(
    db: AsyncSession, conversation: Conversation, account: Account | None, *, reason: Reason, by: str, at: datetime,
    skill: str = "",
) -> QueueEntry:  # fmt: skip
    """Wait for a person, in the rank that the account has; who waits already keeps their place."""
    assert conversation.id is not None
    if (there := await open_entry(db, conversation.id)) is not None:
        return there
    rank = rank_of(account.tier, account.important) if account else Rank.D
    entry = QueueEntry(
        conversation_id=conversation.id, account_id=account.id if account else None, language=conversation.language,
        skill=skill, reason=reason, rank=rank, joined_at=at,
    )  # fmt: skip
    db.add(entry)
    conversation.handler, conversation.agent_id = Handler.QUEUE, None
    db.add(conversation)
    await db.flush()
    told = {"conversation": entry.conversation_id, "rank": rank.key, "reason": reason, "status": Status.WAITING}
    await events.record(db, "queue.joined", f"queue:{entry.id}", by=by, at=at, **told)
    await notify(db, "queue")
    return entry


async def leave(db: AsyncSession, conversation: Conversation, *, by: str, at: datetime) -> QueueEntry | None:
    """Stop waiting; the bot answers again. None when an agent is just taking the conversation, or nobody waits."""
    found = await open_entry(db, conversation.id or 0, if_free=True)
    if found is None or found.status not in (Status.WAITING, Status.OFFERED):
        return None
    offered, found.offered_to, found.offer_until = found.offered_to, None, None
    await move(db, found, Act.LEAVE, by=by, at=at, rank=Rank(found.rank).key)
    if offered is not None:
        await presence.carry(db, {offered: -1})
    conversation.handler, conversation.agent_id = Handler.BOT, None
    db.add(conversation)
    return found


async def expire(db: AsyncSession, number: int, *, by: str, at: datetime) -> Conversation | None:
    """Nobody came in time; the bot answers again. The conversation, or None when the customer no longer waits."""
    found = await entry(db, number, lock=True)
    if found.status != Status.WAITING:
        return None
    await move(db, found, Act.EXPIRE, by=by, at=at)
    query = select(Conversation).where(col(Conversation.id) == found.conversation_id).with_for_update()
    conversation = (await db.exec(query.execution_options(populate_existing=True))).one()
    conversation.handler, conversation.agent_id = Handler.BOT, None
    db.add(conversation)
    return conversation


async def identify(db: AsyncSession, conversation: Conversation, account: Account, *, by: str, at: datetime) -> None:
    """Whoever waits has proved which account they speak for: the wait counts for it, with its old time."""
    found = await open_entry(db, conversation.id or 0, if_free=True)
    if found is None or found.account_id == account.id:
        return
    found.account_id = account.id
    db.add(found)
    await _resort(db, found, rank_of(account.tier, account.important), by=by, at=at)


async def _resort(db: AsyncSession, entry: QueueEntry, rank: Rank, *, by: str, at: datetime) -> None:
    if entry.rank == rank:
        return
    facts = {"conversation": entry.conversation_id, "before": Rank(entry.rank).key, "rank": rank.key}
    entry.rank = rank
    db.add(entry)
    await events.record(db, "queue.resorted", f"queue:{entry.id}", by=by, at=at, **facts)
    await notify(db, "queue")


async def note_ranks(db: AsyncSession, *, at: datetime) -> int:
    """Log every wait whose rank is another than when it was last seen: the archive has changed. Returns how many."""
    if not (await db.execute(_CHANGED)).all():
        return 0
    # a claim skips what is locked, and these stay in the line: so no claim runs meanwhile
    await db.execute(text("SELECT pg_advisory_xact_lock(:line)"), {"line": LINE})
    changed = [(row.id, Rank(row.now)) for row in await db.execute(_CHANGED)]
    for number, rank in changed:
        query = select(QueueEntry).where(col(QueueEntry.id) == number).with_for_update(skip_locked=True)
        if (there := (await db.exec(query.execution_options(populate_existing=True))).first()) is not None:
            await _resort(db, there, rank, by="greenline", at=at)
    return len(changed)


_CHANGED: Final = text(
    f"SELECT q.id, {RANK_SQL} AS now FROM queue_entry q LEFT JOIN account a ON a.id = q.account_id"
    f" WHERE q.status IN ('waiting', 'offered') AND q.rank <> {RANK_SQL}"
)


# -- the line ---------------------------------------------------------------------------------------------------------


class Waiting(SQLModel):
    """One customer in the line, as it stands now. `position` counts from 1 in service order."""

    entry: int
    conversation: int
    status: Status
    rank: Rank
    tier: str | None
    important: bool
    large: bool
    coal_mine: bool
    account: str | None
    name: str
    channel: str
    language: str
    skill: str
    reason: Reason
    joined_at: datetime
    position: int
    offered_to: int | None
    offer_until: datetime | None
    manager: int | None


async def line(db: AsyncSession) -> list[Waiting]:
    """Everybody who waits, in service order."""
    found = await db.execute(_LINE)
    return [Waiting.model_validate(dict(row._mapping)) for row in found]


_LINE: Final = text(
    f"""
    SELECT q.id AS entry, q.conversation_id AS conversation, q.status, {RANK_SQL} AS rank, a.tier,
      coalesce(a.important, false) AS important, coalesce(a.large, false) AS large,
      coalesce(a.coal_mine, false) AS coal_mine, a.no AS account, coalesce(a.name, c.name) AS name, d.channel,
      q.language, q.skill, q.reason, q.joined_at, q.offered_to, q.offer_until, r.manager_id AS manager,
      row_number() OVER (ORDER BY {RANK_SQL}, q.joined_at, q.id) AS position
    FROM queue_entry q
    JOIN conversation v ON v.id = q.conversation_id
    JOIN address d ON d.id = v.address_id
    JOIN contact c ON c.id = v.contact_id
    LEFT JOIN account a ON a.id = q.account_id
    LEFT JOIN area r ON r.id = a.area_id
    WHERE q.status IN ('waiting', 'offered')
    ORDER BY position
    """
)


class Place(SQLModel):
    """What somebody who waits is told: how many are ahead in service order, and how long it may take."""

    position: int
    ahead: int
    estimate_s: int
    agents: int
    rank: Rank


async def pace(db: AsyncSession, rules: QueueRules, *, at: datetime) -> float:
    """Seconds that a conversation took lately, on average; the policy's number where there were too few."""
    count, mean = (await db.execute(_PACE, {"since": at - RECENT})).one()
    return float(mean) if count >= ENOUGH else float(rules.handling_s)


_PACE: Final = text(
    """
    SELECT count(*), avg(extract(epoch FROM ended_at - claimed_at)) FROM (
        SELECT ended_at, claimed_at FROM queue_entry WHERE ended_at > :since AND claimed_at IS NOT NULL
        ORDER BY ended_at DESC LIMIT 50
    ) recent
    """
)


async def places(db: AsyncSession, rules: QueueRules, *, agents: int, at: datetime) -> dict[int, Place]:
    """For every conversation that waits, its place in the line."""
    handling = await pace(db, rules, at=at)
    return {
        each.conversation: Place(
            position=each.position, ahead=each.position - 1, agents=agents, rank=each.rank,
            estimate_s=estimate_s(each.position - 1, handling, agents),
        )
        for each in await line(db)
    }  # fmt: skip
