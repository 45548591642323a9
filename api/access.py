"""Personal data with a reason, the log of who looked, and the events of everything that changed."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from api.callers import STORABLE, Caller, requires
from api.services import Tx, Use
from desk import access, events, staff
from desk.errors import BadCursor, UnknownAccount
from desk.events import Event
from desk.permissions import Permission, Role

router = APIRouter(prefix="/api/v1", tags=["access"])
No = Annotated[str, Path(pattern=r"^[0-9]{4,20}$")]
Reader = Annotated[Caller, requires(Permission.EVENTS_READ)]


class Reason(BaseModel):
    """Why personal data are needed; kept in the access log."""

    reason: str = Field(min_length=4, max_length=500, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")


class Person(BaseModel):
    """Who may speak for an account."""

    name: str
    phone: str
    role: str
    how: str
    since: datetime


class Revealed(BaseModel):
    """The personal data of one account, unmasked."""

    no: str
    name: str
    address: str
    contacts: list[Person]


class AccessView(BaseModel):
    """One look at personal data, or a refused try."""

    id: int
    by: str
    role: str
    action: str
    subject: str
    reason: str
    refused: bool
    at: datetime


class AccessPage(BaseModel):
    """Lines of the access log, latest first; `next` goes into `after` for older ones."""

    lines: list[AccessView]
    next: str | None


class EventView(BaseModel):
    """One change of state. `id` goes into `after` to get everything behind it."""

    id: str
    kind: str
    subject: str
    by: str
    at: datetime
    facts: dict[str, Any]


class EventPage(BaseModel):
    """Events, oldest first; `next` goes into `after`, also later, when there are more."""

    events: list[EventView]
    next: str | None


@router.post("/accounts/{no}/reveal")
async def reveal(
    no: No, why: Reason, caller: Annotated[Caller, requires(Permission.CUSTOMERS_REVEAL)], use: Use
) -> Revealed:
    """Contact data of one account, unmasked. The look is in the access log before the answer leaves."""
    # a village electrician sees only the accounts they serve; a program is nobody's electrician
    proxy = (caller.staff_id or 0) if caller.role == Role.PROXY else None
    async with use.store.transaction() as db:
        found = await access.reveal(
            db, no, reason=why.reason.strip(), by=caller.name, role=caller.role, at=use.clock.now(), proxy=proxy
        )
    if found is None:
        raise UnknownAccount()
    account, people = found
    contacts = [Person(name=c.name, phone=c.phone, role=a.role, how=a.how, since=a.since) for c, a in people]
    return Revealed(no=account.no, name=account.name, address=account.address, contacts=contacts)


@router.get("/access")
async def log(
    db: Tx,
    caller: Annotated[Caller, requires(Permission.ACCESS_READ)],
    after: str | None = None,
    by: Annotated[str | None, Query(pattern=STORABLE)] = None,
    subject: Annotated[str | None, Query(pattern=STORABLE)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> AccessPage:
    """The access log, latest first; `by` and `subject` (`account:` and its number) narrow it."""
    if after is not None and not (after.isdecimal() and after.isascii() and int(after) < 2**62):
        raise BadCursor(after=after)
    lines = await access.read(db, before=int(after) if after else None, by=by, subject=subject, limit=limit)
    shown = [AccessView(**line.model_dump(), refused=line.reason == access.REFUSED) for line in lines]
    return AccessPage(lines=shown, next=str(lines[-1].id) if len(lines) == limit else None)


def _view(event: Event) -> EventView:
    return EventView(
        id=event.cursor, kind=event.kind, subject=event.subject, by=event.by, at=event.at, facts=event.facts
    )


@router.get("/events")
async def page(
    db: Tx, caller: Reader, after: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> EventPage:
    """Every change of state once, oldest first, behind `after`."""
    found = await events.read(db, after=after, limit=limit)
    return EventPage(events=[_view(event) for event in found], next=found[-1].cursor if found else after)


@router.get("/events/stream", response_class=EventSourceResponse)
async def stream(
    caller: Reader, use: Use, last_event_id: Annotated[str | None, Header()] = None, after: str | None = None
) -> AsyncIterator[ServerSentEvent]:
    """The same as it happens; resumes behind Last-Event-ID (or `after`). Ends when the sign-in does."""
    last = last_event_id or after
    async for rung in use.bell.rings("events", patience=15):
        while True:
            async with use.store.transaction() as db:
                if not await staff.still_in(
                    db, session_id=caller.session_id, token_id=caller.token_id, at=use.clock.now()
                ):
                    return
                found = await events.read(db, after=last)
            for event in found:
                last = event.cursor
                yield ServerSentEvent(id=last, event=event.kind, data=_view(event).model_dump(mode="json"))
            if not found:
                break
        if not rung:
            yield ServerSentEvent(comment="still here")
