"""A person's Telegram client: what the bot's messages look like in it, and what the person does there."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tests.telegram.botapi_text import Json, commands

if TYPE_CHECKING:
    from tests.telegram.botapi import BotApi

T = TypeVar("T")
# an animation is a document too, for clients that know no better
KINDS = ("text", "photo", "video", "animation", "audio", "voice", "document", "location", "chat")


@dataclass(eq=False)
class ChatMessage:
    """A message in a chat: its Bot API form, and the keyboard that came with it (inline or not)."""

    data: Json
    reply_markup: Json | None = None

    @property
    def message_id(self) -> int:
        """Its number."""
        return int(self.data["message_id"])

    @property
    def text(self) -> str:
        """The text or caption as displayed."""
        return str(self.data.get("text") or self.data.get("caption") or "")

    @property
    def entities(self) -> list[Json]:
        """The formatting of the text or caption."""
        return list(self.data.get("entities") or self.data.get("caption_entities") or [])

    @property
    def edited(self) -> bool:
        """Whether it was changed after sending."""
        return "edit_date" in self.data

    @property
    def kind(self) -> str:
        """What it carries: text, photo, document, location and so on."""
        return next(kind for kind in KINDS if kind in self.data)

    @property
    def file_id(self) -> str:
        """The file it carries; of a photo the largest."""
        carried = self.data[self.kind]
        return str((carried[-1] if self.kind == "photo" else carried)["file_id"])

    @property
    def buttons(self) -> list[Json]:
        """The inline buttons, row after row."""
        return [button for row in (self.reply_markup or {}).get("inline_keyboard", []) for button in row]

    def to_json(self) -> Json:
        """For tests in another process."""
        return {**self.data, "reply_markup": self.reply_markup, "edited": self.edited, "shown": self.text}


@dataclass(eq=False)
class Chat:
    """A private chat or a group with everything said in it."""

    data: Json
    messages: dict[int, ChatMessage] = field(default_factory=dict)
    blocked: bool = False
    moved_to: int | None = None

    @property
    def inbox(self) -> list[ChatMessage]:
        """What the bot has sent, oldest first; deleted messages are gone."""
        return [shown for shown in self.messages.values() if shown.data.get("from", {}).get("is_bot")]


class Person:
    """A person in a private chat with the bot. Every action returns the number of the update it caused."""

    def __init__(self, api: BotApi, id: int, first_name: str, language_code: str) -> None:
        self._api = api
        self.user: Json = {"id": id, "is_bot": False, "first_name": first_name, "language_code": language_code}
        self.chat = Chat({"id": id, "type": "private", "first_name": first_name})
        self.notices: list[str] = []  # the texts that popped up after taps

    @property
    def inbox(self) -> list[ChatMessage]:
        """What the bot has sent in the private chat."""
        return self.chat.inbox

    async def say(self, text: str, chat: Chat | None = None) -> int:
        """Write a text, in the private chat unless a group is given."""
        found = commands(text)
        return self._send({"text": text} | ({"entities": found} if found else {}), chat)

    async def send_photo(self, content: bytes, caption: str = "") -> int:
        """Send a photo."""
        return self._send({"photo": self._api.store_photo(content)} | _captioned(caption))

    async def send_document(
        self, content: bytes, caption: str = "", name: str = "document.pdf", file_size: int | None = None
    ) -> int:
        """Send a file; `file_size` pretends another size than the content has."""
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return self._send({"document": self._api.store_document(content, name, mime, file_size)} | _captioned(caption))

    async def send_content(self, content: Json, chat: Chat | None = None) -> int:
        """Send whatever a message can carry, in its Bot API form."""
        return self._send(content, chat)

    async def edit(self, update_id: int, **content: Any) -> int:
        """Change a message that was sent with this update."""
        message = self._api.updates.history[update_id]["message"]
        shown = self.chat.messages[message["message_id"]]
        shown.data |= {**content, "edit_date": self._api.now()}
        return self._api.emit("edited_message", shown.data)

    async def send_location(self, latitude: float, longitude: float) -> int:
        """Send a place."""
        return self._send({"location": {"latitude": latitude, "longitude": longitude}})

    async def send_album(self, photos: Sequence[bytes], caption: str = "") -> list[int]:
        """Send several photos as one album: one update each, the caption on the first only."""
        group = self._api.number("group")
        return [
            self._send(
                {"photo": self._api.store_photo(photo), "media_group_id": str(group)}
                | _captioned(caption if index == 0 else "")
            )
            for index, photo in enumerate(photos)
        ]

    async def tap(self, label: str, message: ChatMessage | None = None) -> int:
        """Tap a button by its label or callback data: of the message, or of the newest that has it."""
        shown = [message] if message else self.inbox[::-1]
        for candidate in shown:
            for button in candidate.buttons:
                if "callback_data" in button and label in (button["text"], button["callback_data"]):
                    return self._api.tapped(self, candidate, button["callback_data"])
        if message is None and label in self._reply_keyboard():
            return await self.say(label)
        there = [button["text"] for candidate in shown for button in candidate.buttons]
        raise LookupError(f"no button {label!r}; there are {there + self._reply_keyboard()}")

    def _reply_keyboard(self) -> list[str]:
        for shown in self.inbox[::-1]:
            markup = shown.reply_markup or {}
            if "keyboard" in markup or "remove_keyboard" in markup:
                buttons = [button for row in markup.get("keyboard", []) for button in row]
                return [button if isinstance(button, str) else button["text"] for button in buttons]
        return []

    async def block(self) -> int:
        """Block the bot."""
        return self._membership("member", "kicked")

    async def unblock(self) -> int:
        """Unblock the bot."""
        return self._membership("kicked", "member")

    def _membership(self, old: str, new: str) -> int:
        self.chat.blocked = new == "kicked"
        member: dict[str, Json] = {"member": {"status": "member"}, "kicked": {"status": "kicked", "until_date": 0}}
        return self._api.emit(
            "my_chat_member",
            {
                "chat": self.chat.data,
                "from": self.user,
                "date": self._api.now(),
                "old_chat_member": {**member[old], "user": self._api.me},
                "new_chat_member": {**member[new], "user": self._api.me},
            },
        )

    def _send(self, content: Json, chat: Chat | None = None) -> int:
        if self.chat.blocked and chat is None:
            raise RuntimeError("the person has blocked the bot and cannot write to it")
        return self._api.emit("message", self._api.add_message(chat or self.chat, self.user, content).data)

    async def wait(self, condition: Callable[[list[ChatMessage]], T | None], timeout: float = 10) -> T:
        """Wait until the condition holds for the inbox; returns what it gave."""
        try:
            async with asyncio.timeout(timeout):
                while not (found := condition(self.inbox)):
                    await self._api.changed()
                return found
        except TimeoutError:
            texts = [shown.text for shown in self.inbox]
            raise AssertionError(f"not within {timeout} s; the inbox is {texts}") from None


def _captioned(caption: str) -> Json:
    return {"caption": caption} if caption else {}
