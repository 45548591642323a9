"""The web chat: sessions, messages, files and the live stream of one visitor."""

import asyncio
import hashlib
import re
import secrets
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Header, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from api import files, guard
from api.callers import encrypted
from api.files import FileView
from api.guard import Limited, Limits, OwnPages
from api.pages import language_of, static
from api.problems import RESPONSES
from api.services import Services, Tx, Use
from bot.handling import number
from bot.inbound import File, Inbound, Location, storable
from desk import attachments, conversations, policy, presence
from desk import queue as waiting
from desk.conversations import Channel, Conversation, Direction, Handler, RecordLine
from desk.errors import BadCursor, EmptyMessage, UnknownSession
from desk.store import notify

router = APIRouter(prefix="/api/v1/chat", tags=["chat"], responses=RESPONSES, dependencies=[OwnPages])
pages = APIRouter(include_in_schema=False, dependencies=[OwnPages])
COOKIE: Final = "greenline_chat"
FILES: Final = "/api/v1/chat/attachments"
KEPT: Final = 90 * 24 * 3600  # seconds a browser remembers its conversation
LONGEST: Final = 20_000  # characters of one message
PAGE: Final = 200  # lines read at a time
CALM: Final = 1.0  # seconds between two looks at one's place in the line


class SessionRequest(BaseModel):
    """A visitor begins or resumes."""

    language: str | None = Field(default=None, pattern="^(zh_CN|en)$")


class PlaceView(BaseModel):
    """Where somebody stands who waits for a person: how many are ahead in service order, and for how long about."""

    position: int
    ahead: int
    estimate_s: int
    agents: int


class ConversationView(BaseModel):
    """The state of a conversation as its customer sees it. `handler` is bot, queue or agent; agents have numbers."""

    id: int
    language: str
    handler: str
    agent: str | None = None
    queue: PlaceView | None = None


class Session(BaseModel):
    """The key to one conversation."""

    token: str
    conversation: ConversationView


class Place(BaseModel):
    """WGS-84 degrees."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class NewMessage(BaseModel):
    """One message from the customer; at least one of text, choice, attachments, location."""

    client_id: str = Field(min_length=1, max_length=64, pattern=r"^[\w.:-]+$")
    text: str = Field(default="", max_length=LONGEST)
    choice: str | None = Field(default=None, min_length=1, max_length=200)
    attachments: list[str] = Field(default=[], max_length=10)
    location: Place | None = None


class ChoiceView(BaseModel):
    """A button: send its id back as `choice`."""

    id: str
    label: str


class SourceView(BaseModel):
    """Where an answer stands in the guide."""

    entry: str
    version: int
    title: str
    document: str
    article: str


class MessageView(BaseModel):
    """One line of the conversation."""

    id: int
    direction: Direction
    client_id: str | None = None
    by: str  # customer, bot, system or agent
    agent: str | None = None  # the agent's number
    name: str = ""  # of a reply
    text: str
    choice: str | None = None
    choices: list[ChoiceView] = []
    sources: list[SourceView] = []
    attachments: list[FileView] = []
    location: Place | None = None
    at: datetime


class Messages(BaseModel):
    """Lines, oldest first."""

    messages: list[MessageView]
    conversation: ConversationView


def digest(token: str) -> str:
    """What is stored of a session token."""
    return hashlib.sha256(token.encode()).hexdigest()


def view(line: RecordLine) -> MessageView:
    """A record line for its customer."""
    body = line.body
    client = line.external_id.partition(":")[2] if line.direction == Direction.IN and line.external_id else None
    return MessageView(
        id=line.id or 0,
        direction=line.direction,
        client_id=client,
        by=line.by if line.by in ("customer", "bot", "system") else "agent",
        agent=number(body["agent"]) if body.get("agent") else None,
        name=body.get("name", ""),
        text=line.text,
        choice=body.get("choice"),
        choices=body.get("choices", []),
        sources=body.get("sources", []),
        attachments=files.shown(body.get("attachments", []), FILES),
        location=body.get("location"),
        at=line.at,
    )


async def shown(db: AsyncSession, conversation: Conversation, *, at: datetime) -> ConversationView:
    """A conversation for its customer."""
    place = None
    if conversation.handler == Handler.QUEUE:
        rules = (await policy.current(db, at=at)).queue
        agents = await presence.online(db, at=at)
        place = (await waiting.places(db, rules, agents=agents, at=at)).get(conversation.id or 0)
    return ConversationView(
        id=conversation.id or 0, language=conversation.language, handler=conversation.handler,
        agent=number(conversation.agent_id) if conversation.agent_id else None,
        queue=PlaceView(**place.model_dump()) if place else None,
    )  # fmt: skip


async def _token(request: Request, authorization: Annotated[str | None, Header()] = None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
    if not token:
        raise UnknownSession()
    return token


Token = Annotated[str, Depends(_token)]


async def _conversation(token: Token, use: Use) -> Conversation:
    async with use.store.transaction() as db:
        found = await conversations.find(db, Channel.WEB, digest(token))
    if found is None:
        raise UnknownSession()
    return found


Current = Annotated[Conversation, Depends(_conversation)]


def _not_too_fast(limits: Limits, request: Request, conversation: Conversation) -> None:
    limits.take("messages", str(conversation.id), guard.MESSAGES)
    limits.take_from("talk", request, guard.TALK)


def _remember(response: Response, request: Request, use: Services, token: str) -> None:
    secure = encrypted(request, use)
    # an embedded chat lives in a foreign page, where browsers send only cookies marked so
    response.set_cookie(COOKIE, token, max_age=KEPT, httponly=True, secure=secure, samesite="none" if secure else "lax")


async def _begin(use: Services, limits: Limits, request: Request, language: str) -> tuple[str, Conversation]:
    token = request.cookies.get(COOKIE, "")
    if token:
        async with use.store.transaction() as db:
            found = await conversations.find(db, Channel.WEB, digest(token))
        if found:
            return token, found
    limits.take_from("beginnings", request, guard.BEGINNINGS)
    token = secrets.token_urlsafe(32)
    return token, await use.assistant.greet(Channel.WEB, digest(token), language=language)


@router.post("/sessions", status_code=201)
async def begin(
    request: Request, response: Response, use: Use, limits: Limited, wanted: SessionRequest | None = None
) -> Session:
    """Begin a conversation, or resume the one whose cookie came with the request."""
    language = (wanted.language if wanted else None) or language_of(request)
    token, conversation = await _begin(use, limits, request, language)
    _remember(response, request, use, token)
    async with use.store.transaction() as db:
        return Session(token=token, conversation=await shown(db, conversation, at=use.clock.now()))


@router.post("/messages")
async def send(
    message: NewMessage, request: Request, token: Token, current: Current, use: Use, limits: Limited
) -> Messages:
    """Send a message and get the replies. Repeating a `client_id` changes nothing and gives the first result."""
    _not_too_fast(limits, request, current)
    sent: list[File] = []
    if message.attachments:
        async with use.store.transaction() as db:
            for number in message.attachments:
                kept = await attachments.of_conversation(db, number, current.id or 0)
                sent.append(File(kept.name, kept.media_type, kept.size, id=kept.id))
    place = message.location
    inbound = Inbound(
        Channel.WEB,
        f"{current.id}:{message.client_id}",
        digest(token),
        text=message.text,
        choice=message.choice,
        files=tuple(sent),
        location=Location(place.latitude, place.longitude) if place else None,
    )
    received = await use.assistant.receive(inbound)
    if received is None:
        raise EmptyMessage()
    async with use.store.transaction() as db:
        state = await shown(db, received.conversation, at=use.clock.now())
    return Messages(messages=[view(line) for line in (received.line, *received.replies)], conversation=state)


@router.get("/messages")
async def history(current: Current, use: Use, db: Tx, after: int = 0, limit: int = 200) -> Messages:
    """The lines behind `after`, at most 200, oldest first."""
    lines = await conversations.lines(db, current.id or 0, after=_behind(str(after)), limit=max(1, min(limit, PAGE)))
    state = await shown(db, current, at=use.clock.now())
    return Messages(messages=[view(line) for line in lines], conversation=state)


def _behind(place: str) -> int:
    """The number of the line behind which to go on. Raises BadCursor."""
    if not re.fullmatch(r"[0-9]{1,18}", place):
        raise BadCursor(after=place)
    return int(place)


def _resumed(last_event_id: Annotated[str | None, Header()] = None, after: str | None = None) -> int:
    # before the stream begins, for afterwards its status has been sent
    return _behind(last_event_id or after or "0")


@router.get("/events", response_class=EventSourceResponse)
async def stream(current: Current, use: Use, last: Annotated[int, Depends(_resumed)]) -> AsyncIterator[ServerSentEvent]:
    """New lines as they are written; resumes behind Last-Event-ID (or `after`) without loss."""
    state: ConversationView | None = None
    topics = (f"conversation:{current.id}", "queue")
    async for rung in use.bell.rings(*topics, patience=15):
        quiet = not rung
        if f"conversation:{current.id}|typing" in rung:
            yield ServerSentEvent(event="typing", data={})
        if state and state.handler != Handler.QUEUE and rung == {"queue"}:
            continue  # somebody else's wait
        if rung == {"queue"}:
            await asyncio.sleep(CALM)  # the line moves all the time, and everybody in it looks
        while True:
            async with use.store.transaction() as db:
                lines = await conversations.lines(db, current.id or 0, after=last, limit=PAGE)
                talk = await db.get_one(Conversation, current.id)
                now = await shown(db, talk, at=use.clock.now())
            for line in lines:
                last = line.id or last
                yield ServerSentEvent(id=str(last), event="message", data=view(line).model_dump(mode="json"))
            quiet = quiet and not lines
            if len(lines) < PAGE:
                break
        if now != state:
            state = now
            yield ServerSentEvent(event="conversation", data=now.model_dump(mode="json"))
        if quiet:
            yield ServerSentEvent(comment="still here")


@router.post("/typing", status_code=204)
async def typing(request: Request, current: Current, db: Tx, limits: Limited) -> None:
    """Tell the agent that the customer is writing."""
    limits.take("typing", str(current.id), guard.MESSAGES)
    if current.agent_id is not None:
        await notify(db, "typing", f"conversation:{current.id}:{current.agent_id}")


@router.post("/attachments", status_code=201)
async def upload(file: UploadFile, request: Request, current: Current, use: Use, db: Tx, limits: Limited) -> FileView:
    """Store a file of at most 20 MB, to be named in a message."""
    _not_too_fast(limits, request, current)
    return await files.taken(db, use, current.id or 0, file, FILES)


@router.get("/attachments/{number}")
async def download(number: str, current: Current, use: Use, db: Tx) -> Response:
    """A file of this conversation."""
    return await files.handed(use, await attachments.of_conversation(db, number, current.id or 0))


# -- the page ---------------------------------------------------------------------------------------------------------


@pages.get("/")
async def home() -> Response:
    """The customer chat is the front door."""
    return RedirectResponse("/chat")


@pages.get("/chat")
async def page(request: Request, use: Use) -> Response:
    """The chat page with the conversation so far; it works before and without its script."""
    wanted = request.query_params.get("lang")
    language = language_of(request)
    if link := re.fullmatch(r"[\w-]{1,59}", request.query_params.get("bind", ""), re.A):
        # used only at a click: programs that preview links open them too, and it works once
        return HTMLResponse(templates.page("bind", language, token=link[0], static=static))
    lines: list[MessageView] = []
    token = request.cookies.get(COOKIE, "")
    if token:
        async with use.store.transaction() as db:
            found = await conversations.find(db, Channel.WEB, digest(token))
            if found:
                lines = [view(line) for line in await conversations.latest(db, found.id or 0, limit=PAGE)]
    facts: dict[str, Any] = {
        "session_lines": [line.model_dump(mode="json") for line in lines],
        "embedded": request.query_params.get("embed") == "1",
        "static": static,
    }
    response = HTMLResponse(templates.page("chat", language, **facts))
    if wanted in templates.LANGUAGES:
        response.set_cookie("lang", language, max_age=KEPT, samesite="lax")
    return response


@pages.post("/chat")
async def post(
    request: Request,
    use: Use,
    limits: Limited,
    text: Annotated[str, Form(max_length=LONGEST)] = "",
    choice: Annotated[str | None, Form(max_length=200)] = None,
) -> Response:
    """The form of the page, for browsers where the script has not arrived."""
    token, conversation = await _begin(use, limits, request, language_of(request))
    text = storable(text)
    if text.strip() or choice:
        _not_too_fast(limits, request, conversation)
        inbound = Inbound(
            Channel.WEB,
            f"{conversation.id}:form-{uuid.uuid4().hex}",
            digest(token),
            text="" if choice else text,
            choice=choice,
        )
        await use.assistant.receive(inbound)
    query = f"?{request.url.query}" if request.url.query else ""
    response = RedirectResponse(f"/chat{query}#end", status_code=303)
    _remember(response, request, use, token)
    if choice and choice.startswith("lang:") and choice[5:] in templates.LANGUAGES:
        response.set_cookie("lang", choice[5:], max_age=KEPT, samesite="lax")
    return response
