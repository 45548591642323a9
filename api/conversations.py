"""Conversations over HTTP, for the people who talk with customers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response, UploadFile
from pydantic import BaseModel, Field
from sqlmodel import col, select

from api import files
from api.callers import STORABLE
from api.chat import Place, SourceView
from api.desk_views import (
    ConversationView,
    HeldView,
    LineView,
    conversation,
    conversation_views,
    held_view,
    line_view,
    line_views,
    member,
)
from api.files import FileView
from api.problems import RESPONSES
from api.queue import Leader, Number, Server
from api.services import Services, Tx, Use
from bot import handling
from desk import agent_messages, attachments, binding, claims, conversations, deliveries, policy, queue
from desk.areas import manager_of
from desk.canned import replies
from desk.conversations import Address, Channel, Conversation, Direction, Handler, RecordLine
from desk.customers import Account
from desk.deliveries import Delivery, Fate
from desk.errors import NotYours
from desk.queue import Act
from desk.store import notify

router = APIRouter(prefix="/api/v1/conversations", tags=["conversations"], responses=RESPONSES)
PAGE: Final = 100  # lines read at a time
LONGEST: Final = 20_000  # characters of one message
Words = Annotated[str, Field(max_length=LONGEST, pattern=STORABLE)]


class Page(BaseModel):
    """Conversations, those that wait longest for an answer first."""

    conversations: list[ConversationView]


class Opened(BaseModel):
    """One conversation with its newest lines."""

    conversation: ConversationView
    lines: list[LineView]
    held: list[HeldView]
    why: dict[str, Any]


class AgentMessageIn(BaseModel):
    """A message to the customer; `seen` is the newest line that the writer has seen."""

    client_id: str = Field(min_length=1, max_length=64, pattern=r"^[\w.:-]+$")
    text: Words = ""
    attachments: list[str] = Field(default=[], max_length=10)
    location: Place | None = None
    sources: list[SourceView] = Field(default=[], max_length=5)
    seen: int | None = Field(default=None, ge=0, lt=2**62)


class Note(BaseModel):
    """A note among staff; a whisper is meant for whoever answers."""

    text: Words = Field(min_length=1)
    mentions: list[int] = Field(default=[], max_length=20)
    whisper: bool = False
    via: Literal["", "phone", "hall", "visit"] = ""  # where the customer was met, when it was not in a chat


class Transfer(BaseModel):
    """To a colleague, or back to the line (`to` null)."""

    to: int | None = Field(default=None, ge=1, lt=2**62)
    skill: str | None = Field(default=None, max_length=40)
    summary: Words = Field(min_length=1)


class Return(BaseModel):
    """Back to the bot."""

    note: Words = ""


class Close(BaseModel):
    """The end of a conversation."""

    outcome: Literal["resolved", "follow_up", "no_answer", "other"] = "resolved"
    category: str = Field(default="", max_length=80, pattern=STORABLE)
    note: Words = ""


class TakeOver(BaseModel):
    """Why a supervisor takes a conversation."""

    reason: Words = Field(min_length=1)


class Read(BaseModel):
    """Up to which line one has read."""

    line: int = Field(ge=0, lt=2**62)


async def _view(db: Tx, use: Services, number: int) -> ConversationView:
    await db.flush()
    [shown] = await conversation_views(db, [number], at=use.clock.now())
    return shown


async def _account(db: Tx, talk: Conversation) -> Account | None:
    """The account that a conversation is about: the chosen one, or the only one."""
    return binding.current(talk, await binding.accounts_of(db, talk.contact_id))


@router.get("")
async def mine(
    caller: Server, use: Use, db: Tx, mine: bool = False, handler: Handler | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page:  # fmt: skip
    """The caller's conversations, or all that people handle or wait in."""
    at = use.clock.now()
    query = select(Conversation.id)
    if mine:
        query = query.where(col(Conversation.agent_id) == (await member(db, caller, at=at)).id)
    if handler is not None:
        query = query.where(col(Conversation.handler) == handler)
    query = query.order_by(col(Conversation.last_inbound_at).desc().nulls_last(), col(Conversation.id)).limit(limit)
    numbers = [number for number in (await db.exec(query)).all() if number is not None]
    return Page(conversations=await conversation_views(db, numbers, at=at))


@router.get("/{number}")
async def opened(
    number: Number, caller: Server, use: Use, db: Tx, before: Annotated[int | None, Query(ge=1, lt=2**62)] = None
) -> Opened:
    """A conversation and its newest lines, or those before one."""
    await conversation(db, number)
    lines = await conversations.latest(db, number, limit=PAGE, before=before, notes=True)
    entry = await queue.open_entry(db, number)
    return Opened(
        conversation=await _view(db, use, number), lines=await line_views(db, lines),
        held=[held_view(each) for each in await agent_messages.held(db, number)], why=entry.why if entry else {},
    )  # fmt: skip


@router.post("/{number}/messages", status_code=201)
async def write(number: Number, message: AgentMessageIn, caller: Server, use: Use, db: Tx) -> HeldView:
    """Write to the customer. It leaves after some seconds, in which it can be undone; repeating it changes nothing.

    Where the bot answers, the person takes over. 409 when the customer has written something newer than `seen`.
    """
    at = use.clock.now()
    me = await member(db, caller, at=at)
    talk = await conversation(db, number)
    if talk.handler == Handler.QUEUE:
        waiting = await queue.open_entry(db, number)
        await handling.claim(db, me, at=at, wanted=waiting.id if waiting else 0)
    elif talk.handler == Handler.BOT:
        await handling.open_by(db, number, await _account(db, talk), me, at=at)
    talk = await conversation(db, number, lock=True)
    kept = [await attachments.of_conversation(db, each, number) for each in message.attachments]
    body: dict[str, Any] = {}
    if kept:
        body["attachments"] = [{"id": f.id, "name": f.name, "media_type": f.media_type, "size": f.size} for f in kept]
    if message.location:
        body["location"] = message.location.model_dump()
    if message.sources:
        body["sources"] = [source.model_dump() for source in message.sources]
    rules = (await policy.current(db, at=at)).queue
    held = await agent_messages.hold(
        db, talk, me.id or 0, message.client_id, message.text, body,
        seen=2**62 if message.seen is None else message.seen, undo_s=rules.undo_s, by=me.name, at=at,
    )  # fmt: skip
    return held_view(held)


@router.delete("/{number}/messages/{client_id}")
async def undo(number: Number, client_id: str, caller: Server, use: Use, db: Tx) -> HeldView:
    """Take a message back before it has left. 409 when it has."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    return held_view(await agent_messages.undo(db, number, me.id or 0, client_id, by=me.name, at=at))


@router.post("/{number}/messages/{line}/retry", status_code=201)
async def retry(number: Number, line: Number, caller: Server, use: Use, db: Tx) -> LineView:
    """Send a message again that has failed."""
    at = use.clock.now()
    talk = await conversation(db, number, lock=True)
    me = await member(db, caller, at=at)
    said = await db.get(RecordLine, line)
    if said is None or said.conversation_id != number or said.direction != Direction.OUT or talk.agent_id != me.id:
        raise NotYours()
    query = select(Delivery).where(col(Delivery.line_id) == line).order_by(col(Delivery.id).desc())
    last = (await db.exec(query)).first()
    if last is not None and last.fate in (Fate.FAILED, Fate.UNREACHABLE, Fate.UNKNOWN):
        address = await db.get_one(Address, talk.address_id)
        if last.fate == Fate.UNREACHABLE:
            await conversations.mark_reachable(db, address, at=at)
        await deliveries.enqueue(db, said, address, at=at)
        await db.flush()
        last = (await db.exec(query)).first()
    return line_view(said, last)


@router.post("/{number}/attachments", status_code=201)
async def upload(number: Number, file: UploadFile, caller: Server, use: Use, db: Tx) -> FileView:
    """Store a file of at most 20 MB, to be named in a message."""
    await conversation(db, number)
    return await files.taken(db, use, number, file, f"/api/v1/conversations/{number}/attachments")


@router.get("/{number}/attachments/{file}")
async def download(number: Number, file: str, caller: Server, use: Use, db: Tx) -> Response:
    """A file of this conversation."""
    return await files.handed(use, await attachments.of_conversation(db, file, number))


@router.post("/{number}/notes", status_code=201)
async def note(number: Number, note: Note, caller: Server, use: Use, db: Tx) -> LineView:
    """Write a note that only staff see."""
    at = use.clock.now()
    await conversation(db, number)
    me = await member(db, caller, at=at)
    line = await handling.note(
        db, number, me, note.text, mentions=note.mentions, whisper=note.whisper, via=note.via, at=at
    )
    return line_view(line)


@router.put("/{number}/read", status_code=204)
async def read(number: Number, read: Read, caller: Server, use: Use, db: Tx) -> None:
    """Move the cursor of what has been read; only whoever answers there does."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    talk = await conversation(db, number, lock=True)
    if talk.agent_id == me.id and read.line > talk.read_to:
        talk.read_to = read.line
        db.add(talk)


@router.post("/{number}/typing", status_code=204)
async def typing(number: Number, caller: Server, use: Use, db: Tx) -> None:
    """Tell the customer that somebody is writing."""
    me = await member(db, caller, at=use.clock.now())
    talk = await conversation(db, number)
    if talk.agent_id != me.id:
        raise NotYours()
    address = await db.get_one(Address, talk.address_id)
    if address.channel == Channel.WEB:
        await notify(db, f"conversation:{number}", "typing")
    else:
        await notify(db, "typing", f"{address.channel}:{address.external_id}")


@router.post("/{number}/transfer")
async def transfer(number: Number, transfer: Transfer, caller: Server, use: Use, db: Tx) -> ConversationView:
    """Hand over to a colleague, who must accept in time, or back to the line at the old place."""
    at = use.clock.now()
    await conversation(db, number)
    me = await member(db, caller, at=at)
    await handling.transfer(db, number, me, transfer.to, summary=transfer.summary, at=at, skill=transfer.skill)
    return await _view(db, use, number)


@router.post("/{number}/transfer/accept")
async def accept(number: Number, caller: Server, use: Use, db: Tx) -> ConversationView:
    """Take what a colleague hands over."""
    at = use.clock.now()
    await conversation(db, number)
    await handling.accept(db, number, await member(db, caller, at=at), at=at)
    return await _view(db, use, number)


@router.post("/{number}/transfer/decline")
async def decline(number: Number, caller: Server, use: Use, db: Tx) -> ConversationView:
    """Leave it with the colleague."""
    at = use.clock.now()
    await conversation(db, number)
    me = await member(db, caller, at=at)
    await claims.keep(db, number, by=me.name, at=at, staff_id=me.id)
    return await _view(db, use, number)


@router.post("/{number}/return")
async def give_back(number: Number, caller: Server, use: Use, db: Tx, body: Return | None = None) -> ConversationView:
    """Let the bot answer again; the customer is told."""
    at = use.clock.now()
    await conversation(db, number)
    me = await member(db, caller, at=at)
    await handling.end(db, number, me, Act.RETURN, at=at, text=body.note if body else "")
    return await _view(db, use, number)


@router.post("/{number}/close")
async def close(number: Number, caller: Server, use: Use, db: Tx, body: Close | None = None) -> ConversationView:
    """End the conversation with what came of it."""
    at = use.clock.now()
    await conversation(db, number)
    body = body or Close()
    me = await member(db, caller, at=at)
    await handling.end(db, number, me, Act.CLOSE, at=at, outcome=body.outcome, category=body.category, text=body.note)
    return await _view(db, use, number)


@router.post("/{number}/takeover")
async def take_over(number: Number, body: TakeOver, caller: Leader, use: Use, db: Tx) -> ConversationView:
    """A supervisor takes the conversation from whoever has it."""
    at = use.clock.now()
    await conversation(db, number)
    await handling.take_over(db, number, await member(db, caller, at=at), reason=body.reason, at=at)
    return await _view(db, use, number)


class CannedView(BaseModel):
    """A canned reply with this customer's data filled in."""

    id: int
    shortcut: str
    text: str
    updated_at: datetime


@router.get("/{number}/canned")
async def canned(number: Number, caller: Server, use: Use, db: Tx) -> list[CannedView]:
    """Canned replies in the conversation's language, filled in."""
    talk = await conversation(db, number)
    me = await member(db, caller, at=use.clock.now())
    account = await _account(db, talk)
    manager = await manager_of(db, account) if account else None
    filled = {
        "{name}": account.name if account else "", "{number}": account.no if account else "",
        "{agent}": handling.number(me.id or 0), "{manager}": manager.name if manager else "",
    }  # fmt: skip
    shown = []
    for each in await replies(db, talk.language):
        text = each.text
        for variable, value in filled.items():
            text = text.replace(variable, value)
        shown.append(CannedView(id=each.id or 0, shortcut=each.shortcut, text=text, updated_at=each.updated_at))
    return shown
