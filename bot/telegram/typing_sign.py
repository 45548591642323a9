"""Showing the customer that an agent is typing. It is a courtesy: it delays nothing, and nobody misses it."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from telegram import Bot
from telegram.constants import ChatAction
from telegram.error import RetryAfter, TelegramError

from bot.telegram.carrier import seconds
from desk.clock import Clock
from desk.conversations import Channel
from desk.store import Bell

log = logging.getLogger("greenline.telegram")
EVERY: Final = timedelta(seconds=4)  # Telegram shows the sign for five
PATIENCE: Final = 3600.0  # seconds without a ring until we look up; there is nothing to catch up with


class Typing:
    """Passes on who is typing, at most once in four seconds to each chat and never to a group."""

    def __init__(self, bot: Bot, bell: Bell, clock: Clock, allowed: Callable[[], bool]) -> None:
        self._bot, self._bell, self._clock, self._allowed = bot, bell, clock, allowed
        self._quiet: dict[str, datetime] = {}  # by chat: until when nothing is shown

    async def run(self) -> None:
        """Show it until cancelled."""
        async for heard in self._bell.rings("typing", patience=PATIENCE):
            for said in heard:
                channel, _, chat = said.partition("|")[2].partition(":")
                if channel == Channel.TELEGRAM and chat.isdecimal():
                    await self._show(chat)

    async def _show(self, chat: str) -> None:
        at = self._clock.now()
        self._quiet = {chat: until for chat, until in self._quiet.items() if until > at}
        if chat in self._quiet or not self._allowed():
            return
        self._quiet[chat] = at + EVERY
        try:
            await self._bot.send_chat_action(int(chat), ChatAction.TYPING)
        except RetryAfter as error:
            self._quiet[chat] = at + timedelta(seconds=seconds(error))
        except TelegramError as error:
            log.info("typing not shown: %s", error)
