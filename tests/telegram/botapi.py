"""The Telegram Bot API over real HTTP, for tests: one bot, any number of people, faults on demand.

Parse modes other than HTML are refused. Two people never share a chat unless a group is made.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, get_args

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from desk.clock import Clock, SystemClock
from tests.telegram import botapi_media
from tests.telegram.botapi_faults import Bucket, Dropped, Fault, Mode, Server
from tests.telegram.botapi_person import Chat, ChatMessage, Person
from tests.telegram.botapi_requests import (
    Refusal,
    Upload,
    bad,
    decoded,
    flood,
    formatted,
    keyboard,
    parameters,
    refused,
)
from tests.telegram.botapi_text import Json, utf16
from tests.telegram.botapi_updates import Updates

QUERY_LIFE = timedelta(seconds=150)
TOO_OLD = "query is too old and response timeout expired or query ID is invalid"
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)


class Call(NamedTuple):
    """One request of the bot."""

    at: float  # monotonic seconds
    method: str
    params: Json


@dataclass
class StoredFile:
    """A file on the server."""

    file_id: str
    path: str
    content: bytes
    size: int
    facts: Json

    def described(self) -> Json:
        """Its Bot API form."""
        known = {"file_id": self.file_id, "file_unique_id": f"u{self.file_id}", "file_size": self.size}
        return known | self.facts


@dataclass
class Tap:
    """A callback query waiting for its answer."""

    person: Person
    at: datetime
    answered: bool = False


class BotApi:
    """One bot's Bot API server. `limits` makes it refuse floods as the real one does."""

    def __init__(
        self, token: str, clock: Clock | None = None, *, limits: bool = False, webhook_backoff: float = 0.05
    ) -> None:
        self.token, self.limits = token, limits
        self.me: Json = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": "Bot",
            "username": "test_bot",
        }
        self.people: dict[int, Person] = {}
        self.chats: dict[int, Chat] = {}
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.taps: dict[str, Tap] = {}
        self.commands: dict[tuple[str, str], list[Json]] = {}  # by scope and language
        self.descriptions: dict[tuple[str, str], str] = {}  # by method and language
        self.files: dict[str, StoredFile] = {}
        self.server: Server | None = None
        self.updates = Updates(webhook_backoff, self.now, self.notify)
        self._clock: Clock = clock or SystemClock()
        self._numbers = Counter[str]()
        self._change = asyncio.Event()
        self._whole, self._each = Bucket(30, 30), defaultdict[int, Bucket](lambda: Bucket(3, 1))
        self.app = Starlette(
            routes=[
                Route("/bot{token}/{method}", self._answer, methods=["GET", "POST"]),
                Route("/file/bot{token}/{path:path}", self._download),
                Route("/_control/{action}", self._control, methods=["GET", "POST"]),
            ]
        )

    # -- the test's side ----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Run on a loopback port in this event loop; gives the address (append /bot or /file/bot)."""
        # named as TCP, so that asyncio switches Nagle's algorithm off
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, ws="none", lifespan="off",
            timeout_keep_alive=75, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.server = server = Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        self.updates.wake()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.closing.set()
            await self.updates.stop()
            await running
            self.server = None

    def person(self, id: int, first_name: str = "Person", language_code: str = "zh-hans") -> Person:
        """The person with this number, who has started the bot."""
        if id not in self.people:
            self.people[id] = Person(self, id, first_name, language_code)
            self.chats[id] = self.people[id].chat
        return self.people[id]

    def group(self, id: int, title: str = "Group") -> Chat:
        """A group the bot is in."""
        kind = "supergroup" if id < -(10**12) else "group"
        return self.chats.setdefault(id, Chat({"id": id, "type": kind, "title": title}))

    def migrate(self, old: int, new: int) -> Chat:
        """Turn a group into a supergroup with another number."""
        group = self.group(new, self.chats[old].data["title"])
        anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
        self.emit("message", self.add_message(self.chats[old], anonymous, {"migrate_to_chat_id": new}).data)
        self.emit("message", self.add_message(group, anonymous, {"migrate_from_chat_id": old}).data)
        self.chats[old].moved_to = new
        return group

    def fail(
        self, method: str, mode: Mode, times: int = 1, *, chat_id: int | None = None, code: int = 500,
        description: str = "Internal Server Error", seconds: float = 1, retry_after: float = 1, hang: bool = False,
    ) -> None:  # fmt: skip
        """Let the next calls of a method (a pattern such as `send*`) go wrong; `chat_id` limits it to one chat.

        before: answers `code`, nothing happens. after: happens, then the connection drops (`hang`: no answer at all).
        delay: happens after `seconds`. flood: 429 with `retry_after`. reset: the connection drops, nothing happens.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"no such fault: {mode}")
        self.faults.append(Fault(method, mode, times, chat_id, code, description, seconds, retry_after, hang))

    def redeliver(self, update_id: int) -> None:
        """Deliver an update once more, acknowledged or not."""
        self.updates.repeat(update_id)

    async def changed(self) -> None:
        """Return at the next change of any chat."""
        await self._change.wait()

    # -- for the person's client --------------------------------------------------------------------------------------

    def now(self) -> int:
        """Seconds, as in a message's date."""
        return int(self._clock.now().timestamp())

    def number(self, kind: str) -> int:
        """The next number of a series."""
        self._numbers[kind] += 1
        return 1000 + self._numbers[kind]

    def emit(self, kind: str, content: Json) -> int:
        """Make an update; returns its number."""
        return self.updates.add(kind, content)

    def add_message(self, chat: Chat, sender: Json, content: Json) -> ChatMessage:
        """Put a message into a chat."""
        number = self.number("message")
        base = {"message_id": number, "date": self.now(), "chat": chat.data, "from": sender}
        chat.messages[number] = ChatMessage(base | content)
        self.notify()
        return chat.messages[number]

    def tapped(self, person: Person, message: ChatMessage, data: str) -> int:
        """A person has tapped a button."""
        if message.message_id not in self.chats[message.data["chat"]["id"]].messages:
            raise LookupError("the message is deleted")
        number = str(self.number("tap"))
        self.taps[number] = Tap(person, self._clock.now())
        query = {"id": number, "from": person.user, "message": message.data, "chat_instance": "1", "data": data}
        return self.emit("callback_query", query)

    def store_photo(self, content: bytes) -> list[Json]:
        """Keep a photo; gives its sizes, the largest last."""
        sizes = [{"width": 90, "height": 67}, {"width": 1280, "height": 960}]
        return [self._store("photos", ".jpg", content, len(content), size).described() for size in sizes]

    def store_document(self, content: bytes, name: str, mime: str, size: int | None = None) -> Json:
        """Keep a file."""
        suffix = name[name.rfind(".") :] if "." in name else ""
        actual = len(content) if size is None else size
        return self._store("documents", suffix, content, actual, {"file_name": name, "mime_type": mime}).described()

    def store_media(self, kind: str, content: bytes, name: str, mime: str) -> Json:
        """Keep a film, a sound or a file with what the server finds out about it."""
        suffix = name[name.rfind(".") :] if "." in name else ""
        named = {} if kind == "voice" else {"file_name": name}
        facts = {**botapi_media.FACTS[kind], "mime_type": mime, **named}
        return self._store(f"{kind}s", suffix, content, len(content), facts).described()

    def _store(self, folder: str, suffix: str, content: bytes, size: int, facts: Json) -> StoredFile:
        number = self.number("file")
        stored = StoredFile(f"{folder[:3]}-{number}", f"{folder}/file_{number}{suffix}", content, size, facts)
        self.files[stored.file_id] = stored
        return stored

    def notify(self) -> None:
        """Something has changed."""
        change, self._change = self._change, asyncio.Event()
        change.set()

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        name = request.path_params["method"]
        if request.path_params["token"] != self.token:
            return refused(Refusal(401, "Unauthorized"))
        params = await parameters(request)
        self.calls.append(Call(time.monotonic(), name, params))
        fault = self._next_fault(name, params)
        if fault and fault.mode == "reset":
            return Dropped(self.server)
        try:
            if fault:
                await fault.strike(self.server.closing if self.server else asyncio.Event())
            handler = getattr(self, f"do_{name.lower()}", None) or getattr(self.updates, f"do_{name.lower()}", None)
            if handler is None:
                raise Refusal(404, "Not Found: method not found")
            response: Response = JSONResponse({"ok": True, "result": await handler(params)})
        except Refusal as refusal:
            response = refused(refusal)
        return Dropped(self.server, fault.hang) if fault and fault.mode == "after" else response

    def _next_fault(self, method: str, params: Json) -> Fault | None:
        fault = next((fault for fault in self.faults if fault.meets(method, params)), None)
        if fault:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
        return fault

    async def _download(self, request: Request) -> Response:
        path, token = request.path_params["path"], request.path_params["token"]
        if token != self.token:
            return refused(Refusal(401, "Unauthorized"))
        stored = next((stored for stored in self.files.values() if stored.path == path), None)
        if stored is None:
            return refused(Refusal(404, "Not Found"))
        return Response(stored.content, media_type="application/octet-stream")

    async def _control(self, request: Request) -> Response:
        asked: Json = await request.json() if request.method == "POST" else dict(request.query_params)
        known = {name: asked[name] for name in ("first_name", "language_code") if name in asked}
        match request.path_params["action"]:
            case "say":
                return JSONResponse({"update_id": await self.person(int(asked["person"]), **known).say(asked["text"])})
            case "tap":
                person = self.person(int(asked["person"]), **known)
                try:
                    message = person.chat.messages[int(asked["message_id"])] if "message_id" in asked else None
                    return JSONResponse({"update_id": await person.tap(asked["button"], message)})
                except LookupError as error:
                    return JSONResponse({"error": str(error)}, 404)
            case "inbox":
                person = self.person(int(asked["person"]), **known)
                return JSONResponse([shown.to_json() for shown in person.inbox])
            case "faults":
                self.fail(**asked)
                return JSONResponse({"faults": len(self.faults)})
            case "updates":
                if "redeliver" in asked:
                    self.redeliver(int(asked["redeliver"]))
                return JSONResponse({"pending": self.updates.pending, "all": list(self.updates.history.values())})
        return Response(status_code=404)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _chat(self, params: Json, sending: int = 0) -> Chat:
        wanted = str(params.get("chat_id", ""))
        if not wanted:
            bad("chat_id is empty")
        chat = self.chats.get(int(wanted)) if re.fullmatch(r"-?\d+", wanted) else None
        if chat is None:
            bad("chat not found")
        if chat.moved_to:
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refusal(400, description, migrate_to_chat_id=chat.moved_to)
        if sending and chat.blocked:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        if sending and self.limits:
            buckets = [self._whole] + ([self._each[chat.data["id"]]] if chat.data["type"] == "private" else [])
            if wait := max(bucket.missing() for bucket in buckets):
                raise flood(wait)
            for bucket in buckets:
                bucket.take(sending)
        return chat

    def _say(self, params: Json, *contents: Json) -> list[Json]:
        """Deliver one message of the bot, or an album, to its chat."""
        chat, markup = self._chat(params, sending=len(contents)), keyboard(params)
        reply = decoded(params, "reply_parameters") or {}
        if reply and reply["message_id"] in chat.messages:
            answered = chat.messages[reply["message_id"]].data
            contents[0]["reply_to_message"] = {key: answered[key] for key in answered if key != "reply_to_message"}
        elif reply and not reply.get("allow_sending_without_reply"):
            bad("message to be replied not found")
        sent = [self.add_message(chat, self.me, content) for content in contents]
        for shown in sent:
            self._mark(shown, markup)
        return [shown.data for shown in sent]

    def _mark(self, shown: ChatMessage, markup: Json | None) -> None:
        shown.reply_markup = markup
        shown.data.pop("reply_markup", None)
        if markup and "inline_keyboard" in markup:
            shown.data["reply_markup"] = markup
        self.notify()

    def _upload(self, kind: str, value: Any, params: Json) -> Upload | StoredFile:
        if isinstance(value, str) and value.startswith("attach://"):
            value = params.get(value.removeprefix("attach://"))
        if isinstance(value, str) and value in self.files:
            return self.files[value]
        if not isinstance(value, Upload):
            bad("wrong file identifier/HTTP URL specified")
        return botapi_media.checked(kind, value)

    def _media(self, kind: str, value: Any, params: Json) -> Json:
        given = self._upload(kind, value, params)
        if isinstance(given, StoredFile):
            return {kind: [given.described()] if kind == "photo" else given.described()}
        if kind == "photo":
            return {kind: self.store_photo(given.content)}
        described = self.store_media(kind, given.content, given.name, given.mime)
        # as in the real server, who knows no animations sees a document
        return {kind: described} | ({"document": described} if kind == "animation" else {})

    def _one(self, kind: str, params: Json) -> Json:
        self._chat(params)
        caption = formatted(params, "caption", "caption_entities")
        return self._say(params, self._media(kind, params.get(kind), params) | caption)[0]

    async def do_sendmessage(self, params: Json) -> Json:
        """A text."""
        self._chat(params)
        content = formatted(params, "text", "entities")
        if not content:
            bad("message text is empty")
        return self._say(params, content)[0]

    async def do_sendphoto(self, params: Json) -> Json:
        """A photo."""
        return self._one("photo", params)

    async def do_senddocument(self, params: Json) -> Json:
        """A file."""
        return self._one("document", params)

    async def do_sendvideo(self, params: Json) -> Json:
        """A film."""
        return self._one("video", params)

    async def do_sendanimation(self, params: Json) -> Json:
        """A film without sound."""
        return self._one("animation", params)

    async def do_sendaudio(self, params: Json) -> Json:
        """Music."""
        return self._one("audio", params)

    async def do_sendvoice(self, params: Json) -> Json:
        """A voice message."""
        return self._one("voice", params)

    async def do_sendlocation(self, params: Json) -> Json:
        """A place."""
        for field in ("latitude", "longitude"):
            if not params.get(field):
                bad(f"{field} is empty")
        place = {"latitude": float(params["latitude"]), "longitude": float(params["longitude"])}
        return self._say(params, {"location": place})[0]

    async def do_sendmediagroup(self, params: Json) -> list[Json]:
        """An album."""
        self._chat(params)
        items = decoded(params, "media") or []
        if not 1 <= len(items) <= 10:
            bad("too many messages to send as an album" if items else "there are no messages to send")
        botapi_media.mixable([item["type"] for item in items])
        group = {"media_group_id": str(self.number("group"))}
        contents = [
            self._media(item["type"], item.get("media"), params)
            | formatted(item, "caption", "caption_entities")
            | group
            for item in items
        ]
        return self._say(params, *contents)

    async def do_sendchataction(self, params: Json) -> bool:
        """Typing and the like: nothing to see afterwards."""
        if params.get("action") not in ("typing", "upload_photo", "upload_document", "upload_video", "record_voice"):
            bad("wrong parameter action in request")
        self._chat(params, sending=1)
        return True

    # -- what was sent ------------------------------------------------------------------------------------------------

    def _own(self, params: Json) -> ChatMessage:
        shown = self._chat(params).messages.get(int(params.get("message_id", 0)))
        if shown is None:
            bad("message to edit not found")
        if shown.data["from"] != self.me:
            bad("message can't be edited")
        return shown

    async def do_editmessagetext(self, params: Json) -> Json:
        """Change a text and its buttons."""
        shown, content = self._own(params), formatted(params, "text", "entities")
        if not content:
            bad("message text is empty")
        if "text" not in shown.data:
            bad("there is no text in the message to edit")
        return self._edit(shown, content, keyboard(params))

    async def do_editmessagereplymarkup(self, params: Json) -> Json:
        """Change the buttons only."""
        shown = self._own(params)
        return self._edit(shown, {}, keyboard(params))

    def _edit(self, shown: ChatMessage, content: Json, markup: Json | None) -> Json:
        fields = ("text", "entities") if content else ()
        same = all(shown.data.get(field) == content.get(field) for field in fields)
        if same and (markup or None) == (shown.data.get("reply_markup") or None):
            bad(NOT_MODIFIED)
        for field in fields:
            shown.data.pop(field, None)
        shown.data |= content | {"edit_date": self.now()}
        self._mark(shown, markup)
        return shown.data

    async def do_deletemessage(self, params: Json) -> bool:
        """Take a message out of its chat."""
        if self._chat(params).messages.pop(int(params.get("message_id", 0)), None) is None:
            bad("message to delete not found")
        self.notify()
        return True

    async def do_answercallbackquery(self, params: Json) -> bool:
        """Answer a tap, once and in time."""
        tap = self.taps.get(str(params.get("callback_query_id")))
        if tap is None or tap.answered or self._clock.now() - tap.at > QUERY_LIFE:
            bad(TOO_OLD)
        text = str(params.get("text", ""))
        if utf16(text) > 200:
            bad("MESSAGE_TOO_LONG")
        tap.answered = True
        if text:
            tap.person.notices.append(text)
        self.notify()
        return True

    # -- the rest -----------------------------------------------------------------------------------------------------

    async def do_getme(self, params: Json) -> Json:
        """The bot."""
        rights = ("can_join_groups", "can_read_all_group_messages", "supports_inline_queries")
        return self.me | dict.fromkeys(rights, False)

    async def do_getfile(self, params: Json) -> Json:
        """Where a file can be had."""
        stored = self.files.get(str(params.get("file_id", "")))
        if stored is None:
            bad("wrong file_id or the file is temporarily unavailable")
        if stored.size > 20 * 2**20:
            bad("file is too big")
        return stored.described() | {"file_path": stored.path}

    async def do_getchat(self, params: Json) -> Json:
        """What is known of a chat."""
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
        required = {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": dict.fromkeys(gifts, True)}
        return self._chat(params).data | required

    async def do_setmycommands(self, params: Json) -> bool:
        """Commands of one scope and language."""
        commands = decoded(params, "commands") or []
        for command in commands:
            if not re.fullmatch("[a-z0-9_]{1,32}", command["command"]):
                bad("BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                bad("BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[_scope(params), _language(params)] = commands
        return True

    async def do_getmycommands(self, params: Json) -> list[Json]:
        """Commands of one scope and language."""
        return self.commands.get((_scope(params), _language(params)), [])

    async def do_deletemycommands(self, params: Json) -> bool:
        """Forget the commands of one scope and language."""
        self.commands.pop((_scope(params), _language(params)), None)
        return True

    async def do_setmydescription(self, params: Json) -> bool:
        """The text in an empty chat."""
        self.descriptions["description", _language(params)] = str(params.get("description", ""))
        return True

    async def do_setmyshortdescription(self, params: Json) -> bool:
        """The text on the bot's page."""
        self.descriptions["short_description", _language(params)] = str(params.get("short_description", ""))
        return True


def _scope(params: Json) -> str:
    return json.dumps(decoded(params, "scope") or {"type": "default"}, sort_keys=True)


def _language(params: Json) -> str:
    language = str(params.get("language_code", ""))
    if not re.fullmatch("([a-z]{2})?", language):
        bad("invalid language code specified")
    return language


async def _main() -> None:
    """Serve until the process is told to stop; the first line of output is the address."""
    parser = argparse.ArgumentParser(description=_main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", required=True)
    options = parser.parse_args()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with BotApi(options.token).serve(options.port) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_main())
