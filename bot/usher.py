"""The usher: looks after the line while nobody presses anything.

Sends what agents wrote once it cannot be taken back, notices agents who vanished, makes and withdraws offers, turns
waits that are too long into promises, tells people where they stand, and lets alarms and promises fall due. One usher
works at a time, whichever process it is; whatever it leaves undone the next one finds in the database.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from bot import handling, reception
from bot.reception import Reception
from bot.speech import say
from desk import agent_messages, alarms, claims, policy, presence, promises, queue, storm
from desk.clock import Clock
from desk.conversations import Address, Handler
from desk.leader import leadership
from desk.queue import Status
from desk.store import Bell, Store

TICK: Final = 1.0  # seconds between looks at what falls due by itself
SELDOM: Final = timedelta(seconds=10)  # between looks at what is counted in minutes
log = logging.getLogger("greenline.usher")


class Usher:
    """Attends the line on one database."""

    def __init__(self, store: Store, bell: Bell, clock: Clock, reception: Reception) -> None:
        self._store, self._bell, self._clock, self._reception = store, bell, clock, reception
        self._seldom: datetime | None = None

    async def run(self) -> None:
        """Attend until cancelled, as long as no other usher does."""
        while True:
            async with leadership(self._store.url, "usher") as lost:
                async for _ in self._bell.rings("queue", "held", patience=TICK):
                    if lost.is_set():
                        break
                    for step in self._steps:
                        try:
                            await step()
                        except Exception:
                            # one step that fails holds up no other
                            log.exception("the line could not be attended")
            await asyncio.sleep(TICK)

    async def attend(self) -> None:
        """Look at everything once; each thing is a transaction of its own."""
        for step in self._steps:
            await step()

    @property
    def _steps(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (self._release, self._lapse, self._offers, self._expire, self._tell, self._fall_due)

    async def _fall_due(self) -> None:
        await self._with(alarms.escalate)
        at = self._clock.now()
        if self._seldom is None or not timedelta(0) <= at - self._seldom < SELDOM:
            self._seldom = at
            await self._with(promises.attend)
            await self._with(self._watch_storm)

    async def _with(self, work: Callable[..., Awaitable[Any]]) -> Any:
        async with self._store.transaction() as db:
            return await work(db, at=self._clock.now())

    async def _watch_storm(self, db: AsyncSession, *, at: datetime) -> None:
        await storm.watch(db, (await policy.current(db, at=at)).storm, at=at)

    async def _release(self) -> None:
        async with self._store.transaction() as db:
            due = await agent_messages.due(db, at=self._clock.now())
        failed: Exception | None = None
        for conversation, client_id in due:
            try:
                async with self._store.transaction() as db:
                    await handling.release(db, conversation, client_id, at=self._clock.now())
            except Exception as error:
                failed = error  # the others leave all the same
        if failed:
            raise failed

    async def _lapse(self) -> None:
        async with self._store.transaction() as db:
            at = self._clock.now()
            gone = await claims.vanished(db, (await policy.current(db, at=at)).queue, at=at)
        for staff_id in gone:
            async with self._store.transaction() as db:
                await handling.lapse(db, staff_id, at=self._clock.now())

    async def _offers(self) -> None:
        at = self._clock.now()
        async with self._store.transaction() as db:
            rules = (await policy.current(db, at=at)).queue
            ran_out = [tuple(row) for row in await db.execute(_RAN_OUT, {"at": at})]
        for number, conversation, status in ran_out:
            async with self._store.transaction() as db:
                if status == Status.OFFERED:
                    await claims.decline(db, number, None, by="greenline", at=at)
                else:
                    await claims.keep(db, conversation, by="greenline", at=at)
        if not rules.auto_offer:
            return
        async with self._store.transaction() as db:
            line = [each.entry for each in await queue.line(db) if each.status == Status.WAITING]
        for number in line:
            async with self._store.transaction() as db:
                await claims.offer(db, rules, number, at=at)

    async def _expire(self) -> None:
        at = self._clock.now()
        async with self._store.transaction() as db:
            longest = (await policy.current(db, at=at)).queue.longest_wait_s
            due = [
                each for each in await queue.line(db) if at - each.joined_at > timedelta(seconds=longest[each.rank.key])
            ]
        for each in due:
            async with self._store.transaction() as db:
                conversation = await queue.expire(db, each.entry, by="greenline", at=at)
                if conversation is None:
                    continue
                entry = await queue.entry(db, each.entry)
                reply = await self._reception.unserved(db, conversation, entry, "expired", at=at)
                address = await db.get_one(Address, conversation.address_id)
                await say(db, conversation, address, [reply], None, at, by="system")
                db.add(conversation)

    async def _tell(self) -> None:
        at = self._clock.now()
        async with self._store.transaction() as db:
            await queue.note_ranks(db, at=at)
            rules = (await policy.current(db, at=at)).queue
            agents = await presence.online(db, at=at)
            stormy = await storm.current(db) is not None
            places = await queue.places(db, rules, agents=agents, at=at)
            told = {row.id: row.place for row in await db.execute(_TOLD, {"numbers": list(places)})}
        for number, place in places.items():
            if not reception.is_news(told.get(number), place, at=at, stormy=stormy):
                continue
            async with self._store.transaction() as db:
                conversation = await claims.held(db, number)
                if conversation.handler != Handler.QUEUE:
                    continue
                if reply := reception.worth_telling(conversation, place, at=at, stormy=stormy):
                    address = await db.get_one(Address, conversation.address_id)
                    await say(db, conversation, address, [reply], None, at, by="system")
                    db.add(conversation)


_RAN_OUT: Final = text(
    "SELECT id, conversation_id, status FROM queue_entry"
    " WHERE status IN ('offered', 'transferring') AND offer_until <= :at ORDER BY id"
)
_TOLD: Final = text("SELECT id, state->'place' AS place FROM conversation WHERE id = ANY(:numbers)")
