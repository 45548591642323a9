"""Sends replies through the Bot API and says what became of each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import httpx
from telegram import (
    Bot,
    InputFile,
    InputMediaAudio,
    InputMediaDocument,
    InputMediaPhoto,
    InputMediaVideo,
    LinkPreviewOptions,
    Message,
)
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from bot.sender import Doubtful, NotSent, Refused, Result, Sender, Sent, Unreachable
from bot.telegram import media
from bot.telegram.media import Kind, Leg, Media, Place
from bot.telegram.wording import Part, parts
from desk.attachments import Storage
from desk.conversations import Channel
from desk.deliveries import Parcel
from desk.errors import UnknownAttachment

log = logging.getLogger("greenline.telegram")
# the request never left: the connection failed or none was free
_NEVER_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_GONE: Final = (
    "chat not found",
    "user is deactivated",
    "peer_id_invalid",
    "bot was kicked",
    "chat_write_forbidden",
)
_PLAIN: Final = "can't parse entities"
_SAME: Final = "message is not modified"
_TOO_LARGE: Final = "request entity too large"
# in the words of a refusal that is about what a file is sent as, and not about the file itself
_UNSUITABLE: Final = ("photo", "image", "video", "animation", "gif", "audio", "voice", "media", "file type")
_UPLOADS: Final = 3  # files or albums in memory at the same time
_PATIENCE: Final = 60  # seconds Telegram may take for an answer once it has a file
_ALBUM: Final = {
    Kind.PHOTO: InputMediaPhoto,
    Kind.VIDEO: InputMediaVideo,
    Kind.AUDIO: InputMediaAudio,
    Kind.DOCUMENT: InputMediaDocument,
}


def seconds(error: RetryAfter) -> float:
    """How long Telegram wants us to be quiet."""
    after = error.retry_after
    return after.total_seconds() if isinstance(after, timedelta) else float(after)


def classify(error: TelegramError) -> Result:
    """What an error says about the message. The order matters: BadRequest and TimedOut are NetworkErrors too."""
    match error:
        case RetryAfter():
            return NotSent("flood limit", after=seconds(error))
        case Forbidden():
            return Unreachable(error.message)
        case ChatMigrated():
            return NotSent(f"migrated to {error.new_chat_id}")
        case BadRequest():
            text = error.message.lower()
            if _SAME in text:
                return Sent(None)
            return Unreachable(error.message) if any(word in text for word in _GONE) else Refused(error.message)
        case InvalidToken() | Conflict():
            return NotSent(error.message)
        case TimedOut() | NetworkError():
            if isinstance(error.__cause__, _NEVER_LEFT) or "pool timeout" in error.message.lower():
                return NotSent(type(error.__cause__).__name__)
            if _TOO_LARGE in error.message.lower():
                return Refused(error.message)
            return Doubtful(error.message)
    return Refused(error.message)


class TelegramCarrier:
    """The Telegram end of the outbox."""

    channel = Channel.TELEGRAM

    def __init__(self, bot: Bot, storage: Storage, rekey: Callable[[str, str], Awaitable[None]]) -> None:
        self._bot, self._storage, self._rekey = bot, storage, rekey
        self._uploads = asyncio.Semaphore(_UPLOADS)

    async def send(self, parcel: Parcel, sender: Sender) -> Result:
        """Send all parts that have not arrived yet; nothing while one of the files is missing."""
        body = parcel.line.body
        try:
            items = await media.load(body, self._storage)
            words = parts(parcel.line.text, body, parcel.language)
            return await self._send(parcel, sender, media.legs(words, items, body.get("location")))
        except UnknownAttachment:
            return Refused("file missing in storage")

    async def _send(self, parcel: Parcel, sender: Sender, legs: list[Leg]) -> Result:
        sent: Message | None = None
        chat, last = parcel.recipient, len(legs) - 1
        for number, leg in enumerate(legs):
            if number < parcel.parts_sent:
                continue
            if number == parcel.parts_sent:
                await sender.widen(parcel, leg.messages)
            try:
                sent = await self._say(chat, leg)
            except ChatMigrated as error:
                await self._rekey(chat, str(error.new_chat_id))
                return NotSent("chat migrated")
            except TelegramError as error:
                result = classify(error)
                if not isinstance(result, Sent):
                    return result
            if number < last:
                await sender.part_sent(parcel, number + 1, messages=legs[number + 1].messages)
        return Sent(str(sent.message_id) if sent else None)

    async def _say(self, chat: str, leg: Leg) -> Message:
        match leg:
            case Media():
                return await self._show(chat, leg)
            case Place(latitude, longitude):
                return await self._bot.send_location(int(chat), latitude, longitude)
            case Part():
                return await self._write(chat, leg)

    async def _write(self, chat: str, part: Part) -> Message:
        preview = LinkPreviewOptions(is_disabled=True)
        try:
            return await self._bot.send_message(
                int(chat),
                part.html,
                parse_mode="HTML",
                reply_markup=part.buttons,
                link_preview_options=preview,
            )
        except BadRequest as error:
            if _PLAIN not in error.message.lower():
                raise
            log.warning("markup refused, sending plain text")
            return await self._bot.send_message(
                int(chat), part.plain, reply_markup=part.buttons, link_preview_options=preview
            )

    async def _show(self, chat: str, leg: Media) -> Message:
        """Send files; what Telegram does not take as what it looks like goes as a plain document."""
        plain = bare = False
        async with self._uploads:
            attach = len(leg.items) > 1
            files = [InputFile(await self._storage.get(item.id), item.name, attach=attach) for item in leg.items]
            while True:
                try:
                    return await self._upload(chat, leg, files, plain=plain, bare=bare)
                except BadRequest as error:
                    said = error.message.lower()
                    if _PLAIN in said and not plain:
                        plain = True
                    elif not bare and any(word in said for word in _UNSUITABLE):
                        bare = True
                    else:
                        raise
                    log.warning("refused (%s), sending it plainer", error.message)

    async def _upload(self, chat: str, leg: Media, files: list[InputFile], *, plain: bool, bare: bool) -> Message:
        kinds = [Kind.DOCUMENT if bare else item.kind for item in leg.items]
        caption: dict[str, Any] = {}
        if words := leg.caption:
            caption = {"caption": words.plain} if plain else {"caption": words.html, "parse_mode": "HTML"}
        if len(files) == 1:
            send = getattr(self._bot, f"send_{kinds[0]}")
            buttons = words.buttons if words else None
            sent: Message = await send(int(chat), files[0], reply_markup=buttons, read_timeout=_PATIENCE, **caption)
            return sent
        # the words stand under the first
        named = zip(kinds, files, [caption] + [{}] * len(files), strict=False)
        album = [_ALBUM[kind](file, **words) for kind, file, words in named]
        return (await self._bot.send_media_group(int(chat), album, read_timeout=_PATIENCE))[-1]
