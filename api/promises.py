"""Promises, alarms, canned replies and storms over HTTP."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import col, select

from api.callers import STORABLE
from api.desk_views import conversation, member
from api.problems import RESPONSES
from api.queue import Leader, Number, Server
from api.services import Tx, Use
from desk import alarms, canned, masks, promises, storm
from desk.alarms import Alarm
from desk.canned import CannedReply
from desk.conversations import Contact, RecordLine
from desk.promises import Promise, Result
from desk.ranks import rank_of
from desk.staff import Staff

router = APIRouter(prefix="/api/v1", tags=["desk"], responses=RESPONSES)
SHOWN_SOON = timedelta(hours=24)
Words = Annotated[str, Field(max_length=4000, pattern=STORABLE)]


class AttemptView(BaseModel):
    """One try to keep a promise."""

    at: datetime
    by: str
    result: Result
    note: str


class PromiseView(BaseModel):
    """A promise with everything that is needed to keep it; personal data masked."""

    id: int
    kind: str
    status: str
    contact: int
    conversation: int
    name: str
    phone: str
    account: str | None
    rank: str
    tier: str | None
    due_at: datetime
    offer_at: datetime
    made_at: datetime
    owner: int | None
    owner_name: str
    attempts: list[AttemptView]
    outcome: str
    note: str
    ended_at: datetime | None
    last: list[str]


class Promises(BaseModel):
    """Promises by deadline."""

    promises: list[PromiseView]


class Tried(BaseModel):
    """What came of one try."""

    result: Result
    note: Words = ""


class Kept(BaseModel):
    """What came of it, with the business dealt with."""

    outcome: Words = Field(min_length=1)
    note: Words = ""
    proof: Words = ""


class Cancelled(BaseModel):
    """Why it is not needed any more."""

    reason: Words = Field(min_length=1)


class AlarmView(BaseModel):
    """Somebody may be in danger."""

    id: int
    kind: str
    conversation: int
    line: int
    text: str
    name: str
    at: datetime
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    told: list[dict[str, Any]]


class Alarms(BaseModel):
    """Alarms, the newest first."""

    alarms: list[AlarmView]


class CannedIn(BaseModel):
    """A text that is sent often; {name}, {number}, {agent} and {manager} are filled in."""

    shortcut: str = Field(min_length=1, max_length=30, pattern=r"^[^\s\x00/]+$")
    language: Literal["zh_CN", "en"] = "zh_CN"
    text: Words = Field(min_length=1)


class CannedOut(CannedIn):
    """One canned reply."""

    id: int
    by: str
    updated_at: datetime


class StormIn(BaseModel):
    """What everybody is told about the event."""

    message: Words = ""


class StormView(BaseModel):
    """One storm and what became of those who joined the line in it, by rank."""

    id: int
    message: str
    began_by: str
    began_at: datetime
    ended_by: str | None
    ended_at: datetime | None
    report: list[dict[str, Any]]


async def promise_views(db: Tx, found: Sequence[Promise]) -> list[PromiseView]:
    """Promises as they are shown."""
    tried = await promises.attempts(db, [each.id for each in found])
    owners = select(Staff).where(col(Staff.id).in_({each.owner_id for each in found}))
    names = {each.id: each.name for each in (await db.exec(owners)).all()}
    views = []
    for each in found:
        data = each.data
        rank = rank_of(data.get("tier"), data.get("important", False))
        views.append(
            PromiseView(
                **each.model_dump(include={"kind", "status", "due_at", "offer_at", "made_at", "outcome", "note",
                                           "ended_at"}, warnings=False),
                id=each.id or 0, contact=each.contact_id, conversation=each.conversation_id, owner=each.owner_id,
                name=masks.holder(data.get("holder") or data.get("name") or ""),
                phone=masks.phone(data.get("phone") or ""), account=data.get("account"), rank=rank.key,
                tier=data.get("tier"), owner_name=names.get(each.owner_id, ""), last=data.get("last", []),
                attempts=[AttemptView(**a.model_dump(warnings=False)) for a in tried.get(each.id or 0, [])],
            )
        )  # fmt: skip
    return views


async def alarm_view(db: Tx, alarm: Alarm) -> AlarmView:
    """An alarm as it is shown."""
    line = await db.get_one(RecordLine, alarm.line_id)
    talk = await conversation(db, alarm.conversation_id)
    contact = await db.get_one(Contact, talk.contact_id)
    shown = alarm.model_dump(exclude={"conversation_id", "line_id", "next_at"}, warnings=False)
    return AlarmView(
        **shown, conversation=alarm.conversation_id, line=alarm.line_id, text=line.text, name=masks.holder(contact.name)
    )


async def _one(db: Tx, promise: Promise) -> PromiseView:
    await db.flush()
    [shown] = await promise_views(db, [promise])
    return shown


@router.get("/promises")
async def ledger(caller: Server, use: Use, db: Tx, view: Literal["today", "overdue", "mine"] = "today") -> Promises:
    """Open promises by deadline: due within a day, overdue, or the caller's own."""
    at = use.clock.now()
    owner = (await member(db, caller, at=at)).id if view == "mine" else None
    before = at + SHOWN_SOON if view == "today" else None
    found = await promises.find(db, at=at, owner=owner, overdue=view == "overdue", before=before)
    return Promises(promises=await promise_views(db, found))


@router.post("/promises/{number}/take")
async def take(number: Number, caller: Server, use: Use, db: Tx) -> PromiseView:
    """Make a promise one's own."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    return await _one(db, await promises.take(db, number, me.id or 0, by=me.name, at=at))


@router.post("/promises/{number}/attempts")
async def attempt(number: Number, tried: Tried, caller: Server, use: Use, db: Tx) -> PromiseView:
    """Write down one try to reach the customer."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    return await _one(db, await promises.attempt(db, number, tried.result, note=tried.note, by=me.name, at=at))


@router.post("/promises/{number}/keep")
async def keep(number: Number, kept: Kept, caller: Server, use: Use, db: Tx) -> PromiseView:
    """It is done."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    done = await promises.keep(db, number, outcome=kept.outcome, note=kept.note, proof=kept.proof, by=me.name, at=at)
    return await _one(db, done)


@router.post("/promises/{number}/cancel")
async def cancel(number: Number, body: Cancelled, caller: Server, use: Use, db: Tx) -> PromiseView:
    """It is not needed any more."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    return await _one(db, await promises.cancel(db, number, reason=body.reason, by=me.name, at=at))


@router.get("/alarms")
async def find_alarms(caller: Server, db: Tx, open: bool = True) -> Alarms:
    """Alarms that nobody has acknowledged, or all."""
    return Alarms(alarms=[await alarm_view(db, each) for each in await alarms.find(db, open_only=open)])


@router.post("/alarms/{number}/acknowledge")
async def acknowledge(number: Number, caller: Server, use: Use, db: Tx) -> AlarmView:
    """Look after it: nobody else is told."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    return await alarm_view(db, await alarms.acknowledge(db, number, by=me.name, at=at))


def _canned(reply: CannedReply) -> CannedOut:
    return CannedOut.model_validate(reply.model_dump())


@router.get("/canned")
async def canned_replies(caller: Server, db: Tx) -> list[CannedOut]:
    """All canned replies."""
    return [_canned(each) for each in await canned.replies(db)]


@router.post("/canned", status_code=201)
async def add_canned(body: CannedIn, caller: Server, use: Use, db: Tx) -> CannedOut:
    """A new one."""
    return _canned(await canned.put(db, None, **body.model_dump(), by=caller.name, at=use.clock.now()))


@router.put("/canned/{number}")
async def change_canned(number: Number, body: CannedIn, caller: Server, use: Use, db: Tx) -> CannedOut:
    """Change one."""
    return _canned(await canned.put(db, number, **body.model_dump(), by=caller.name, at=use.clock.now()))


@router.delete("/canned/{number}", status_code=204)
async def drop_canned(number: Number, caller: Server, db: Tx) -> None:
    """Take one away."""
    await canned.drop(db, number)


async def _storm(db: Tx, found: storm.Storm, at: datetime) -> StormView:
    return StormView(**found.model_dump(), report=await storm.report(db, found, at=at))


@router.post("/storms", status_code=201)
async def begin_storm(body: StormIn, caller: Leader, use: Use, db: Tx) -> StormView:
    """Switch storm mode on."""
    at = use.clock.now()
    return await _storm(db, await storm.begin(db, body.message, by=caller.name, at=at), at)


@router.post("/storms/current/end")
async def end_storm(caller: Leader, use: Use, db: Tx) -> StormView | None:
    """Switch it off; gives the report."""
    at = use.clock.now()
    ended = await storm.end(db, by=caller.name, at=at)
    return await _storm(db, ended, at) if ended else None


@router.get("/storms")
async def storms(caller: Leader, use: Use, db: Tx) -> list[StormView]:
    """All storms with their reports, the latest first."""
    found = await storm.storms(db)
    return [await _storm(db, each, use.clock.now()) for each in found]
