"""The agents' desk over HTTP: presence, the line, claims and offers."""

from datetime import datetime, time
from itertools import pairwise
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from api.callers import Caller, requires
from api.desk_views import (
    AgentView,
    ConversationView,
    EntryView,
    QueueView,
    agent_view,
    conversation_views,
    member,
    queue_view,
)
from api.problems import RESPONSES
from api.services import Services, Tx, Use
from bot import handling
from desk import claims, presence, queue
from desk.claims import Claim
from desk.errors import NotYours
from desk.permissions import Permission
from desk.presence import Presence, Shift, Skill

router = APIRouter(prefix="/api/v1", tags=["queue"], responses=RESPONSES)
Server = Annotated[Caller, requires(Permission.QUEUE_SERVE)]
Leader = Annotated[Caller, requires(Permission.FLOOR_LEAD)]
Number = Annotated[int, Path(ge=1, lt=2**62)]


class PresenceChange(BaseModel):
    """What an agent is doing; `until` is the planned return from a break."""

    status: Presence
    capacity: int | None = Field(default=None, ge=1, le=50)
    until: datetime | None = None


class Equipment(BaseModel):
    """What an agent can do and when they work."""

    capacity: int | None = Field(default=None, ge=1, le=50)
    skills: list[Skill] | None = Field(default=None, max_length=20)
    languages: list[Literal["zh_CN", "en"]] | None = Field(default=None, min_length=1, max_length=5)
    shifts: list[Shift] | None = Field(default=None, max_length=50)

    @field_validator("shifts")
    @classmethod
    def _apart(cls, shifts: list[Shift] | None) -> list[Shift] | None:
        ordered = sorted(shifts or (), key=lambda shift: (shift.day, shift.begins))
        for one, other in pairwise(ordered):
            if one.day == other.day and (one.ends == time(0) or one.ends > other.begins):
                raise PydanticCustomError("hours_overlap", "hours_overlap", {"limit": one.day})
        return shifts

    def given(self) -> dict[str, Any]:
        """What is to change."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class Claimed(BaseModel):
    """A customer that is the caller's now, and why this one."""

    entry: EntryView
    conversation: ConversationView
    why: dict[str, Any]


@router.get("/queue")
async def line(caller: Server, use: Use, db: Tx) -> QueueView:
    """Everybody who waits, in service order."""
    return await queue_view(db, at=use.clock.now())


async def _claimed(db: Tx, use: Services, claim: Claim) -> Claimed:
    [shown] = await conversation_views(db, [claim.entry.conversation_id], at=use.clock.now())
    assert shown.entry is not None
    return Claimed(entry=shown.entry, conversation=shown, why=claim.why)


@router.post(
    "/queue/claims", status_code=201, responses={204: {"description": "Nobody waits whom the caller can take"}}
)
async def claim_next(caller: Server, use: Use, db: Tx, response: Response) -> Claimed | None:
    """Take the head of the line, or what is offered to the caller."""
    at = use.clock.now()
    claim = await handling.claim(db, await member(db, caller, at=at), at=at)
    if claim is None:
        return Response(status_code=204)  # type: ignore[return-value]
    return await _claimed(db, use, claim)


@router.post("/queue/{entry}/claims", status_code=201)
async def claim(entry: Number, caller: Server, use: Use, db: Tx) -> Claimed:
    """Take this one. 409 when it is somebody else's, or when the green channel would be passed over."""
    at = use.clock.now()
    claim = await handling.claim(db, await member(db, caller, at=at), at=at, wanted=entry)
    assert claim is not None
    return await _claimed(db, use, claim)


@router.post("/queue/{entry}/decline", status_code=204)
async def decline(entry: Number, caller: Server, use: Use, db: Tx) -> None:
    """Decline an offer; the customer keeps their place."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    if not await claims.decline(db, entry, me.id, by=me.name, at=at):
        raise NotYours()


@router.get("/agents")
async def agents(caller: Server, use: Use, db: Tx) -> list[AgentView]:
    """Everybody who sits at the desk."""
    local = use.clock.now().astimezone(use.settings.zone)
    return [agent_view(seat, member, local) for seat, member in await presence.overview(db)]


@router.put("/agents/me/presence")
async def set_presence(change: PresenceChange, caller: Server, use: Use, db: Tx) -> AgentView:
    """Say what one is doing. Going offline gives one's customers back to the line, at their old place."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    seat = await handling.set_status(db, me, change.status, at=at, capacity=change.capacity, until=change.until)
    await db.flush()
    return agent_view(seat, me, at.astimezone(use.settings.zone))


@router.put("/agents/me/beat", status_code=204)
async def beat(caller: Server, use: Use, db: Tx) -> None:
    """Prove that one is still there, as an answer to a `beat` of the stream."""
    at = use.clock.now()
    me = await member(db, caller, at=at)
    await presence.beat(db, me.id or 0, at=at)


@router.put("/agents/{staff_id}")
async def equip(staff_id: Number, change: Equipment, caller: Leader, use: Use, db: Tx) -> AgentView:
    """Set an agent's capacity, skills (none = all), languages and shifts."""
    at = use.clock.now()
    seat = await presence.equip(db, staff_id, at=at, by=caller.name, **change.given())
    [shown] = [agent_view(s, m, at.astimezone(use.settings.zone)) for s, m in await presence.overview(db) if s is seat]
    return shown


@router.get("/queue/{entry}/why")
async def why(entry: Number, caller: Server, db: Tx) -> dict[str, Any]:
    """Why this customer was given to whoever has them: rank, wait, who was passed over and why."""
    return (await queue.entry(db, entry)).why
