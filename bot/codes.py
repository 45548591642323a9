"""Sends a one-time code to the registered phone: a job, so that no message waits for a gateway."""

import logging
from dataclasses import dataclass

import templates
from desk import binding
from desk.clock import Clock
from desk.sms import Sms, SmsFailed
from desk.store import Store

log = logging.getLogger("greenline.codes")


@dataclass(frozen=True)
class Codes:
    """What the job needs."""

    store: Store
    clock: Clock
    sms: Sms
    language: str

    async def send(self, code: int, no: str) -> None:
        """Make a code and send it, if there is a phone to send it to; done again it sends another one.

        Raises SmsFailed when trying again can help. The network is used only after the commit.
        """
        async with self.store.transaction() as db:
            made = await binding.make_code(db, code, no, at=self.clock.now())
        if made is None:
            return
        phone, digits = made
        minutes = int(binding.CODE_LASTS.total_seconds() // 60)
        text = templates.render_text("_sms_code", self.language, code=digits, minutes=minutes)
        try:
            await self.sms.send(phone, text)
        except SmsFailed as error:
            if error.passing:
                raise
            log.error("the gateway refuses the message, look at the SMS settings: %s", error)
