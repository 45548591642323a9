"""The job that tells one person of the on-call list about an alarm: by text message, and on Telegram."""

import logging
from dataclasses import dataclass
from typing import Final

from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from bot.speech import speak
from desk import claims, conversations
from desk.alarms import Alarm
from desk.clock import Clock
from desk.conversations import Address, Channel, Contact, Conversation, RecordLine
from desk.sms import Sms, SmsFailed
from desk.store import Store

SAID: Final = 60  # characters of what the customer wrote
log = logging.getLogger("greenline.on_call")


@dataclass(frozen=True)
class OnCall:
    """What the job needs."""

    store: Store
    clock: Clock
    sms: Sms
    language: str

    async def tell(self, alarm: int, number: int, phone: str, telegram: str) -> None:
        """Tell one person, the `number`-th that was told, unless somebody has acknowledged the alarm since.

        On Telegram only whoever has written to the bot before can be reached. Raises SmsFailed when trying again helps.
        """
        async with self.store.transaction() as db:
            words = await self._words(db, alarm)
            if words and telegram:
                await self._write(db, telegram, words, f"alarm:{alarm}:{number}")
        if not words:
            return
        try:
            await self.sms.send(phone, words)
        except SmsFailed as error:
            if error.passing:
                raise
            log.error("the gateway refuses the alarm, look at the SMS settings: %s", error)

    async def _words(self, db: AsyncSession, number: int) -> str | None:
        alarm = await db.get_one(Alarm, number)
        if alarm.acknowledged_at is not None:
            return None
        line = await db.get_one(RecordLine, alarm.line_id)
        conversation = await db.get_one(Conversation, alarm.conversation_id)
        contact = await db.get_one(Contact, conversation.contact_id)
        facts = {"name": contact.name or f"#{conversation.id}", "words": line.text[:SAID]}
        return templates.render_text("_sms_alarm", self.language, **facts)

    async def _write(self, db: AsyncSession, chat: str, words: str, name: str) -> None:
        """Into the chat of the person on call, once."""
        found = await conversations.find(db, Channel.TELEGRAM, chat)
        if found is None or found.id is None:
            return
        talk = await claims.held(db, found.id)
        if any(line.body.get("name") == name for line in await conversations.latest(db, found.id, limit=20)):
            return  # the job is done again because the text message failed
        address = await db.get_one(Address, talk.address_id)
        await speak(db, talk, address, words, {"name": name}, by="system", at=self.clock.now())
