"""What the agents' desk shows over HTTP: agents, the line, conversations and their lines. Personal data masked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api import files
from api.callers import Caller
from api.chat import ChoiceView, Place, SourceView
from api.files import FileView
from bot.handling import number
from desk import claims, masks, policy, presence, queue, staff, storm
from desk.agent_messages import AgentMessage
from desk.conversations import Address, Contact, Conversation, Direction, Handler, RecordLine
from desk.customers import Account
from desk.deliveries import Delivery
from desk.errors import UnknownConversation
from desk.presence import Presence, Seat, Shift
from desk.queue import QueueEntry, Status, Waiting
from desk.ranks import Rank, estimate_s, rank_of
from desk.staff import Staff


class AgentView(BaseModel):
    """An agent at work."""

    id: int
    name: str
    number: str
    role: str
    status: Presence
    until: datetime | None
    capacity: int
    load: int
    skills: list[str]
    languages: list[str]
    shifts: list[Shift]
    on_shift: bool
    seen_at: datetime


class EntryView(BaseModel):
    """One wait; `position` counts from 1 in service order while it lasts."""

    id: int
    conversation: int
    status: Status
    rank: str
    tier: str | None
    important: bool
    large: bool
    coal_mine: bool
    identified: bool
    name: str
    account: str | None
    channel: str
    language: str
    skill: str
    reason: str
    joined_at: datetime
    position: int | None
    estimate_s: int | None
    target_s: int
    agent: int | None
    offered_to: int | None
    offer_until: datetime | None
    manager: int | None
    outcome: str = ""


class QueueView(BaseModel):
    """The line in service order."""

    entries: list[EntryView]
    at: datetime
    agents_online: int
    storm: dict[str, Any] | None


class LineView(BaseModel):
    """One line of the contact record as staff see it."""

    id: int
    direction: Direction
    by: str
    who: str
    name: str
    text: str
    choice: str | None
    choices: list[ChoiceView]
    sources: list[SourceView]
    attachments: list[FileView]
    album: str | None
    location: Place | None
    at: datetime
    client_id: str | None
    fate: str | None
    cause: str | None
    mentions: list[int]
    whisper: bool
    via: str


class ConversationView(BaseModel):
    """A conversation as staff see it in a list."""

    id: int
    contact: int
    handler: Handler
    agent: int | None
    agent_name: str
    language: str
    channel: str
    name: str
    account: str | None
    rank: str
    tier: str | None
    entry: EntryView | None
    unread: int
    read_to: int
    newest: int
    last: dict[str, Any] | None
    waiting_since: datetime | None


class HeldView(BaseModel):
    """A message that can still be taken back."""

    client_id: str
    text: str
    attachments: list[Any]
    release_at: datetime
    state: str
    line: int | None


def agent_view(seat: Seat, member: Staff, local: datetime) -> AgentView:
    """An agent; `local` is the time of the service area."""
    assert member.id is not None
    return AgentView(
        id=member.id, name=member.name, number=number(member.id), role=member.role, status=seat.status,
        until=seat.until, capacity=seat.capacity, load=seat.load, skills=seat.skills, languages=seat.languages,
        shifts=[Shift.model_validate(each) for each in seat.shifts], on_shift=seat.on_shift(local),
        seen_at=seat.heartbeat_at,
    )  # fmt: skip


def held_view(message: AgentMessage) -> HeldView:
    """A held message for whoever wrote it."""
    return HeldView(
        client_id=message.client_id, text=message.text, attachments=message.body.get("attachments", []),
        release_at=message.release_at, state=message.state, line=message.line_id,
    )  # fmt: skip


async def queue_view(db: AsyncSession, *, at: datetime) -> QueueView:
    """The line as it stands."""
    rules = (await policy.current(db, at=at)).queue
    agents = await presence.online(db, at=at)
    handling = await queue.pace(db, rules, at=at)
    on = await storm.current(db)
    return QueueView(
        entries=[
            _waiting_view(each, rules.targets_s, estimate_s(each.position - 1, handling, agents))
            for each in await queue.line(db)
        ],
        at=at, agents_online=agents, storm={"since": on.began_at, "message": on.message} if on else None,
    )  # fmt: skip


def _waiting_view(each: Waiting, targets: dict[str, int], estimate: int) -> EntryView:
    facts = each.model_dump(exclude={"entry", "rank", "name"})
    return EntryView(
        **facts, id=each.entry, rank=each.rank.key, name=masks.holder(each.name), identified=each.account is not None,
        estimate_s=estimate, target_s=targets[each.rank.key], agent=None,
    )  # fmt: skip


def entry_view(
    entry: QueueEntry, account: Account | None, name: str, channel: str, targets: dict[str, int]
) -> EntryView:
    """One wait that may be over."""
    rank = rank_of(account.tier, account.important) if account else Rank.D
    return EntryView(
        id=entry.id or 0, conversation=entry.conversation_id, status=entry.status, rank=rank.key,
        tier=account.tier if account else None, important=bool(account and account.important),
        large=bool(account and account.large), coal_mine=bool(account and account.coal_mine),
        identified=account is not None, name=masks.holder(name), account=account.no if account else None,
        channel=channel, language=entry.language, skill=entry.skill, reason=entry.reason, joined_at=entry.joined_at,
        position=None, estimate_s=None, target_s=targets[rank.key], agent=entry.agent_id, offered_to=entry.offered_to,
        offer_until=entry.offer_until, manager=None, outcome=entry.outcome,
    )  # fmt: skip


def line_view(line: RecordLine, delivery: Delivery | None = None) -> LineView:
    """One line, with what became of it."""
    body = line.body
    who = {Direction.IN: "customer", Direction.NOTE: "agent"}.get(Direction(line.direction))
    who = who or ("system" if line.by in ("system", "greenline") else "bot" if line.by == "bot" else "agent")
    folder = f"/api/v1/conversations/{line.conversation_id}/attachments"
    return LineView(
        id=line.id or 0, direction=line.direction, by=line.by, who=who, name=body.get("name", ""), text=line.text,
        choice=body.get("choice"), choices=body.get("choices", []), sources=body.get("sources", []),
        attachments=files.shown(body.get("attachments", []), folder), album=body.get("album"),
        location=body.get("location"), at=line.at,
        client_id=body.get("client_id"), fate=delivery.fate if delivery else None,
        cause=delivery.cause if delivery else None, mentions=body.get("mentions", []),
        whisper=body.get("whisper", False), via=body.get("via", ""),
    )  # fmt: skip


async def line_views(db: AsyncSession, lines: Sequence[RecordLine]) -> list[LineView]:
    """Lines with the latest delivery of each."""
    query = select(Delivery).where(col(Delivery.line_id).in_([line.id for line in lines])).order_by(col(Delivery.id))
    fates = {each.line_id: each for each in (await db.exec(query)).all()}
    return [line_view(line, fates.get(line.id or 0)) for line in lines]


async def conversation(db: AsyncSession, number: int, *, lock: bool = False) -> Conversation:
    """One conversation. Raises UnknownConversation."""
    if await db.get(Conversation, number) is None:
        raise UnknownConversation()
    return await claims.held(db, number) if lock else await db.get_one(Conversation, number)


async def conversation_views(db: AsyncSession, numbers: Sequence[int], *, at: datetime) -> list[ConversationView]:
    """Conversations in the order asked for."""
    targets = (await policy.current(db, at=at)).queue.targets_s
    query = (
        select(Conversation, Address, Contact, Account)
        .join(Address, col(Address.id) == col(Conversation.address_id))
        .join(Contact, col(Contact.id) == col(Conversation.contact_id))
        .outerjoin(Account, col(Account.id) == col(Conversation.account_id))
        .where(col(Conversation.id).in_(numbers))
    )
    rows = (await db.exec(query.execution_options(populate_existing=True))).all()
    entries = select(QueueEntry).where(col(QueueEntry.conversation_id).in_(numbers)).order_by(col(QueueEntry.id))
    latest = {each.conversation_id: each for each in (await db.exec(entries)).all()}
    accounts = {each.account_id for each in latest.values() if each.account_id}
    known = {a.id: a for a in (await db.exec(select(Account).where(col(Account.id).in_(accounts)))).all()}
    counts = {row.id: row for row in await db.execute(_COUNTS, {"numbers": list(numbers)})}
    views = {}
    agents = {talk.agent_id for talk, *_ in rows if talk.agent_id}
    names = {m.id: m.name for m in (await db.exec(select(Staff).where(col(Staff.id).in_(agents)))).all()}
    for talk, address, contact, chosen in rows:
        assert talk.id is not None
        entry, count = latest.get(talk.id), counts[talk.id]
        account = known.get(entry.account_id) if entry and entry.account_id else chosen
        name = account.name if account else contact.name
        rank = rank_of(account.tier, account.important) if account else Rank.D
        last = {"text": count.text, "at": count.at, "direction": count.direction} if count.newest else None
        views[talk.id] = ConversationView(
            id=talk.id, contact=talk.contact_id, handler=talk.handler, agent=talk.agent_id,
            agent_name=names.get(talk.agent_id, ""), language=talk.language, channel=address.channel,
            name=masks.holder(name), account=account.no if account else None, rank=rank.key,
            tier=account.tier if account else None,
            entry=entry_view(entry, account, name, address.channel, targets) if entry else None,
            unread=count.unread, read_to=talk.read_to, newest=count.newest or 0, last=last,
            waiting_since=count.waiting_since,
        )  # fmt: skip
    return [views[number] for number in numbers if number in views]


# a customer waits since the oldest inbound of this wait behind the last line of a person
_COUNTS: Final = text(
    """
    SELECT v.id, last.id AS newest, last.text, last.at, last.direction,
      (SELECT count(*) FROM record_line l WHERE l.conversation_id = v.id AND l.id > v.read_to AND l.direction = 'in')
        AS unread,
      CASE WHEN v.handler = 'agent' THEN (
        SELECT min(l.at) FROM record_line l WHERE l.conversation_id = v.id AND l.direction = 'in' AND l.id > coalesce((
          SELECT max(p.id) FROM record_line p WHERE p.conversation_id = v.id AND p.direction = 'out'
            AND p.by NOT IN ('bot', 'system', 'greenline')), 0)
          AND l.at >= (SELECT max(q.joined_at) FROM queue_entry q WHERE q.conversation_id = v.id)
      ) END AS waiting_since
    FROM conversation v LEFT JOIN LATERAL (
      SELECT id, text, at, direction FROM record_line l WHERE l.conversation_id = v.id AND l.direction <> 'note'
      ORDER BY id DESC LIMIT 1
    ) last ON true
    WHERE v.id = ANY(:numbers)
    """
)


async def member(db: AsyncSession, caller: Caller, *, at: datetime) -> Staff:
    """The member of staff who acts: the caller, or whoever a program's token stands for."""
    if caller.staff_id is not None:
        return await db.get_one(Staff, caller.staff_id)
    return await staff.behind(db, caller.name.removeprefix("token:"), caller.role, at=at)
