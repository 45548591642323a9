"""Sends replies through the Bot API and says what became of each."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import httpx
from telegram import Bot, LinkPreviewOptions, Message
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
from bot.telegram.wording import Part, parts
from desk.conversations import Channel
from desk.deliveries import Parcel

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
            return Doubtful(error.message)
    return Refused(error.message)


class TelegramCarrier:
    """The Telegram end of the outbox."""

    channel = Channel.TELEGRAM

    def __init__(self, bot: Bot, rekey: Callable[[str, str], Awaitable[None]]) -> None:
        self._bot, self._rekey = bot, rekey

    async def send(self, parcel: Parcel, sender: Sender) -> Result:
        """Send all parts that have not arrived yet."""
        messages = parts(parcel.line.text, parcel.line.body, parcel.language)
        sent: Message | None = None
        chat = parcel.recipient
        for number, part in enumerate(messages):
            if number < parcel.parts_sent:
                continue
            try:
                sent = await self._say(chat, part)
            except ChatMigrated as error:
                await self._rekey(chat, str(error.new_chat_id))
                return NotSent("chat migrated")
            except TelegramError as error:
                result = classify(error)
                if not isinstance(result, Sent):
                    return result
            if number + 1 < len(messages):
                await sender.part_sent(parcel, number + 1)
        return Sent(str(sent.message_id) if sent else None)

    async def _say(self, chat: str, part: Part) -> Message:
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
