"""The job that tells one person of the on-call list about an alarm, by text message."""

from typing import Final

from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from desk.alarms import Alarm
from desk.conversations import Contact, Conversation, RecordLine
from desk.sms import Sms
from desk.store import Store

SAID: Final = 60  # characters of what the customer wrote


class OnCall:
    """Tells people on call."""

    def __init__(self, store: Store, gateway: Sms, language: str) -> None:
        self._store, self._gateway, self._language = store, gateway, language

    async def tell(self, alarm: int, number: int, phone: str) -> None:
        """Send one text message, unless somebody has acknowledged the alarm since. `number` = the how many-th."""
        async with self._store.transaction() as db:
            words = await self._words(db, alarm)
        if words:
            await self._gateway.send(phone, words)

    async def _words(self, db: AsyncSession, number: int) -> str | None:
        alarm = await db.get_one(Alarm, number)
        if alarm.acknowledged_at is not None:
            return None
        line = await db.get_one(RecordLine, alarm.line_id)
        conversation = await db.get_one(Conversation, alarm.conversation_id)
        contact = await db.get_one(Contact, conversation.contact_id)
        facts = {"name": contact.name or f"#{conversation.id}", "words": line.text[:SAID]}
        return templates.render_text("_sms_alarm", self._language, **facts)
