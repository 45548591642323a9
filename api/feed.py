"""The live feed of an agent's console: what concerns this agent, as it is committed, resumable without loss.

One reader per process follows the event table and hands what it read to every console that is connected there. The
cursor of a console is a snapshot of the database (`desk.events.Seen`): whatever committed after it is sent when the
console comes back, however long it was away.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.callers import Caller
from api.desk_views import agent_view, conversation_views, line_views, member, queue_view
from api.problems import RESPONSES
from api.promises import alarm_view, promise_views
from api.queue import Server
from api.services import Services, Use
from desk import alarms, events, presence, staff
from desk.conversations import Conversation, RecordLine
from desk.deliveries import Delivery
from desk.events import Event, Seen
from desk.promises import Promise
from desk.store import notify

router = APIRouter(prefix="/api/v1/agents/me", tags=["queue"], responses=RESPONSES)
KINDS: Final = (
    "queue.", "conversation.line", "conversation.held", "conversation.mentioned", "presence.changed",
    "presence.equipped", "alarm.", "promise.", "delivery.", "storm.", "account.tier_changed", "account.designated",
    "account.designation_ended",
)  # fmt: skip
BEAT: Final = 8.0  # seconds between signs of life
CALM: Final = 0.5  # seconds between two pictures of the line
MOST: Final = 2000  # batches a slow console may lag behind until it must come back and catch up
log = logging.getLogger("greenline.feed")


@dataclass(frozen=True)
class Message:
    """One message of the stream; `to` = the agents whom it concerns, None = all."""

    event: str
    data: Any
    to: frozenset[int] | None = None
    conversation: int | None = None  # whoever watches it hears it too
    xid: int = 0  # the transaction that it tells of; 0 = how something stands now

    @cached_property
    def text(self) -> str:
        """The data as JSON, written once for all consoles."""
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Batch:
    """What was committed between two looks, and what has been seen with it."""

    events: Sequence[Event]
    messages: Sequence[Message]
    seen: Seen


@dataclass(eq=False)
class Listener:
    """One connected console."""

    staff_id: int
    batches: asyncio.Queue[Batch | None] = field(default_factory=lambda: asyncio.Queue(MOST))
    watched: set[int] = field(default_factory=set)


class Feed:
    """Reads events once for all consoles of this process. Started by the first of them."""

    def __init__(self, use: Services) -> None:
        self._use = use
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._began = asyncio.Event()
        self.seen: Seen | None = None  # up to here everything has been handed out

    @contextlib.asynccontextmanager
    async def listening(self, staff_id: int) -> AsyncIterator[Listener]:
        """Hear every batch from now on."""
        listener = Listener(staff_id)
        self._listeners.add(listener)
        if self._task is None:
            self._began.clear()
            self._task = asyncio.create_task(self._run(), name="feed")
            self._task.add_done_callback(self._ended)
        try:
            # what is committed before the reader begins must be in what the console reads itself
            await self._began.wait()
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._task:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        self.seen = None
        pictured, dirty = 0.0, True
        loop = asyncio.get_running_loop()
        async for rung in self._use.bell.rings("events", "typing", "watch", patience=CALM):
            self._hear(rung)
            try:
                async with self._use.store.transaction() as db:
                    found, now = await events.fresh(db, self.seen or await events.now(db), KINDS)
                    messages = await messages_of(db, self._use, found)
                self._hand_out(Batch(found, messages, now))
                self.seen = now
                self._began.set()
                dirty = dirty or any(_moves_the_line(event) for event in found)
                if dirty and loop.time() - pictured >= CALM:
                    async with self._use.store.transaction() as db:
                        line = await picture(db, at=self._use.clock.now())
                    self._hand_out(Batch([], [line], now))
                    pictured, dirty = loop.time(), False
            except Exception:
                # consoles stay; what they missed is read as soon as the database answers
                log.exception("the feed could not be read")
                await asyncio.sleep(CALM)

    def _hear(self, rung: frozenset[str]) -> None:
        """What is not worth keeping: who is writing, and which conversation somebody has opened."""
        for said in rung:
            topic, _, detail = said.partition("|")
            if topic == "watch":
                staff_id, _, number = detail.partition(":")
                for listener in self._listeners:
                    if listener.staff_id == int(staff_id):
                        listener.watched = {int(number)} if number else set()
            elif topic == "typing" and detail.startswith("conversation:"):
                _, number, agent = detail.split(":")
                data = {"conversation": int(number)}
                self._hand_out(Batch([], [Message("typing", data, frozenset({int(agent)}), int(number))], Seen("")))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A reader that ended unasked: its consoles come back, and the first of them starts another."""
        if task is not self._task:
            return
        self._task = None
        log.error("the feed ended: %r", None if task.cancelled() else task.exception())
        for listener in list(self._listeners):
            self._let_go(listener)

    def _hand_out(self, batch: Batch) -> None:
        """To every console that it concerns; waking all two hundred for each line of one is what would cost."""
        for listener in list(self._listeners):
            if not any(_for(message, listener.staff_id, listener.watched) for message in batch.messages):
                continue
            try:
                listener.batches.put_nowait(batch)
            except asyncio.QueueFull:
                self._let_go(listener)

    def _let_go(self, listener: Listener) -> None:
        """It comes back with its cursor and catches up from the database."""
        self._listeners.discard(listener)
        while not listener.batches.empty():
            listener.batches.get_nowait()
        listener.batches.put_nowait(None)


def _moves_the_line(event: Event) -> bool:
    return event.kind.startswith(("queue.", "presence.", "storm.", "account."))


async def picture(db: AsyncSession, *, at: datetime) -> Message:
    """The line as it stands, for everybody."""
    return Message("queue", (await queue_view(db, at=at)).model_dump(mode="json"))


async def messages_of(db: AsyncSession, use: Services, found: Sequence[Event]) -> list[Message]:
    """What consoles are told about events, in their order."""
    if not found:
        return []
    told: list[Message] = []
    spoken = ("conversation.line", "conversation.mentioned")
    lines = {event.facts["line"] for event in found if event.kind in spoken}
    rows = (await db.exec(select(RecordLine).where(col(RecordLine.id).in_(lines)))).all() if lines else []
    views = {view.id: view.model_dump(mode="json") for view in await line_views(db, rows)}
    talks: dict[int, set[int]] = {}  # conversation -> agents whom a change of it concerns
    for event in found:
        number = event.facts.get("conversation") or _number(event.subject, "conversation")
        concerned, before = _concerned(event), len(told)
        match event.kind.partition("."):
            case ("conversation", _, "line" | "mentioned"):
                if view := views.get(event.facts["line"]):
                    data = {"conversation": number, "line": view}
                    told.append(Message("line", data, concerned, number))
                    talks.setdefault(number, set()).update(concerned)
            case ("conversation", _, "held"):
                data = {"conversation": number, **{k: event.facts.get(k) for k in ("client_id", "state", "line")}}
                told.append(Message("held", data, concerned))
            case ("queue", _, _) if number:
                talks.setdefault(number, set()).update(concerned)
            case ("alarm", _, "raised" | "acknowledged"):
                alarm = await db.get(alarms.Alarm, _number(event.subject, "alarm"), populate_existing=True)
                if alarm is not None:
                    told.append(Message("alarm", (await alarm_view(db, alarm)).model_dump(mode="json")))
            case ("promise", _, what):
                promise = await db.get(Promise, _number(event.subject, "promise"), populate_existing=True)
                if promise is not None:
                    [owed] = await promise_views(db, [promise])
                    told.append(Message("promise", {**owed.model_dump(mode="json"), "event": what}))
            case ("delivery", _, fate):
                told += await _fate(db, event, fate)
        told[before:] = [replace(message, xid=event.xid or 0) for message in told[before:]]
    told += await _changed(db, use, found, talks)
    return told


async def _changed(
    db: AsyncSession, use: Services, found: Sequence[Event], talks: dict[int, set[int]]
) -> list[Message]:
    """Conversations and agents as they are now, after all these events."""
    told: list[Message] = []
    at = use.clock.now()
    views = {view.id: view for view in await conversation_views(db, sorted(talks), at=at)} if talks else {}
    for number, concerned in talks.items():
        if view := views.get(number):
            data = view.model_dump(mode="json")
            told.append(Message("conversation", data, frozenset(concerned), number))
    for event in found:
        kind = _CALLS.get(event.kind)
        if kind and (view := views.get(event.facts["conversation"])):
            whom = event.facts.get("to") or event.facts["agent"]
            told.append(Message(kind, view.model_dump(mode="json"), frozenset({whom})))
    if any(event.kind.startswith("presence.") for event in found):
        touched = {_number(event.subject, "staff") for event in found if event.kind.startswith("presence.")}
        local = at.astimezone(use.settings.zone)
        for seat, person in await presence.overview(db):
            if person.id in touched:
                told.append(Message("presence", agent_view(seat, person, local).model_dump(mode="json")))
    return told


_CALLS: Final = {
    "queue.offer": "offer", "queue.transfer": "offer",
    "queue.claim": "handed", "queue.accept": "handed", "queue.take_over": "handed",
}  # fmt: skip


async def _fate(db: AsyncSession, event: Event, fate: str) -> list[Message]:
    """What became of a message, for whoever answers in its conversation."""
    query = select(RecordLine.id, Conversation.id, Conversation.agent_id)
    query = query.join(Delivery, col(Delivery.line_id) == col(RecordLine.id))
    query = query.join(Conversation, col(Conversation.id) == col(RecordLine.conversation_id))
    query = query.where(col(Delivery.id) == _number(event.subject, "delivery"), col(Conversation.agent_id).is_not(None))
    found = (await db.exec(query)).first()
    if found is None:
        return []
    line, number, agent = found
    data = {"conversation": number, "line": line, "fate": fate, "cause": event.facts.get("cause")}
    return [Message("delivery", data, frozenset({agent or 0}), number)]


def _number(subject: str, kind: str) -> int:
    """The number in `kind:17`, or 0."""
    before, _, number = subject.partition(":")
    return int(number) if before == kind and number.isdecimal() else 0


def _concerned(event: Event) -> frozenset[int]:
    names = ("agent", "former", "to", "invited", "staff")
    return frozenset(who for name in names if isinstance(who := event.facts.get(name), int))


# -- one console ------------------------------------------------------------------------------------------------------


def _feed(request: Request) -> Feed:
    found: Feed = request.app.state.feed
    return found


def _resumed(last_event_id: Annotated[str | None, Header()] = None, after: str | None = None) -> Seen | None:
    # before the stream begins, for afterwards its status has been sent
    given = last_event_id or after
    return events.cursor(given) if given else None


@router.get("/events", response_class=EventSourceResponse)
async def stream(
    caller: Server, use: Use, since: Annotated[Seen | None, Depends(_resumed)],
    feed: Annotated[Feed, Depends(_feed)], beat: Annotated[str, Query(pattern="^(open|answered)$")] = "open",
) -> AsyncIterator[ServerSentEvent]:  # fmt: skip
    """What concerns the caller, as it happens; resumes behind Last-Event-ID (or `after`) without loss.

    An open stream is a sign of life; with `beat=answered` only an answered `beat` is one. Ends when the sign-in does.
    """
    at = use.clock.now()
    async with use.store.transaction() as db:
        me = (await member(db, caller, at=at)).id or 0
        await presence.beat(db, me, at=at)
    async with feed.listening(me) as listener:
        async with use.store.transaction() as db:
            found, seen = await events.fresh(db, since or await events.now(db), KINDS)
            missed = await messages_of(db, use, found)
            line = await picture(db, at=at)
        for message in missed:
            if _for(message, me, listener.watched):
                yield ServerSentEvent(event=message.event, raw_data=message.text)
        yield ServerSentEvent(id=seen.text, event=line.event, raw_data=line.text)
        last, clock, caught_up = seen, asyncio.get_running_loop().time, False
        next_beat = clock() + BEAT
        while True:
            batch: Batch | None
            try:
                async with asyncio.timeout_at(next_beat):
                    batch = await listener.batches.get()
            except TimeoutError:
                next_beat = clock() + BEAT
                if not await _alive(use, caller, me, beat):
                    return
                if feed.seen and listener.batches.empty():
                    last = feed.seen  # nothing of it concerned this console
                yield ServerSentEvent(id=last.text, event="beat", data={"at": use.clock.now().isoformat()})
                continue
            if batch is None:
                return
            messages = batch.messages
            if not caught_up and batch.events:
                # what was read from the database at the beginning is not told again
                known = {event.xid for event in batch.events if seen.includes(event.xid or 0)}
                if known.issuperset(event.xid for event in batch.events):
                    continue
                messages, caught_up = [message for message in messages if message.xid not in known], True
            if caught_up and batch.seen.text:
                last = batch.seen
            chosen = [message for message in messages if _for(message, me, listener.watched)]
            for number, message in enumerate(chosen, 1):
                # the last one moves the cursor: who is cut off before it hears the whole batch again
                cursor = last.text if number == len(chosen) else None
                yield ServerSentEvent(id=cursor, event=message.event, raw_data=message.text)


def _for(message: Message, me: int, watched: set[int]) -> bool:
    return message.to is None or me in message.to or message.conversation in watched


async def _alive(use: Services, caller: Caller, me: int, beat: str) -> bool:
    at = use.clock.now()
    async with use.store.transaction() as db:
        if not await staff.still_in(db, session_id=caller.session_id, token_id=caller.token_id, at=at):
            return False
        if beat == "open":
            await presence.beat(db, me, at=at)
    return True


@router.put("/watch", status_code=204)
async def watch(caller: Server, use: Use, conversation: Annotated[int | None, Query(ge=1, lt=2**62)] = None) -> None:
    """Hear what happens in this conversation too, as long as the stream is open; without one, in no other."""
    async with use.store.transaction() as db:
        me = await member(db, caller, at=use.clock.now())
        await notify(db, "watch", f"{me.id}:{conversation or ''}")
