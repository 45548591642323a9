"""What tests see of the running bot from outside: the people, the contact record, the outbox, the events."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from sqlmodel import col, select

from api.services import Services
from bot.telegram.service import TelegramService
from desk import conversations, deliveries
from desk.conversations import Address, Channel, Conversation, Direction, RecordLine
from desk.deliveries import Delivery, Lane
from desk.events import Event
from desk.store import Store
from tests.conftest import SetClock
from tests.telegram.botapi import BotApi
from tests.telegram.botapi_person import Person

TOKEN = "4711:test-token"
SECRET = "a-secret_0"
QUESTION = "双电源的供电方案多久能出来?"
T = 30.0  # seconds a condition may take; nothing waits that long when all is well


class Outside:
    """The double's people, and looks into the database."""

    def __init__(self, api: BotApi, store: Store) -> None:
        self.api, self.store = api, store

    def person(self, id: int = 7, **known: str) -> Person:
        """Somebody with a Telegram client."""
        return self.api.person(id, **known)

    async def lines(self, direction: Direction | None = None, chat: int | None = None) -> list[RecordLine]:
        """The contact record, oldest first."""
        query = select(RecordLine).order_by(col(RecordLine.id))
        if direction:
            query = query.where(col(RecordLine.direction) == direction)
        if chat is not None:
            query = query.join(Conversation, col(Conversation.id) == col(RecordLine.conversation_id))
            query = query.join(Address, col(Address.id) == col(Conversation.address_id))
            query = query.where(col(Address.external_id) == str(chat))
        async with self.store.transaction() as db:
            return list((await db.exec(query)).all())

    async def deliveries(self) -> list[Delivery]:
        """The outbox with everything that was ever in it."""
        async with self.store.transaction() as db:
            return list((await db.exec(select(Delivery).order_by(col(Delivery.id)))).all())

    async def events(self, kind: str) -> list[Event]:
        """What happened of one kind."""
        async with self.store.transaction() as db:
            return list((await db.exec(select(Event).where(col(Event.kind) == kind).order_by(col(Event.id)))).all())

    async def until(self, condition: Callable[[], Any], seconds: float = T) -> Any:
        """The first true value of a condition, looked at again and again; it may be a coroutine function."""
        async with asyncio.timeout(seconds):
            while True:
                found = condition()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.02)

    async def answered(self, person: Person, text: str, count: int = 1) -> str:
        """What the person reads last after saying something."""
        before = len(person.inbox)
        await person.say(text)
        inbox = await person.wait(lambda inbox: inbox if len(inbox) >= before + count else None, T)
        return inbox[-1].text


class World(Outside):
    """A bot running in this process, on a clock that stands still."""

    def __init__(self, api: BotApi, services: Services, clock: SetClock) -> None:
        super().__init__(api, services.store)
        assert services.telegram is not None
        self.services, self.clock = services, clock
        self.service: TelegramService = services.telegram

    async def forward(self, **amount: float) -> None:
        """Let time pass and the sender look at its outbox."""
        self.clock.forward(**amount)
        self.services.bell.ring("deliveries:telegram")

    async def notices(self, chats: list[int], text: str = "停电通知") -> None:
        """Put one notice to each of the chats into the outbox."""
        at = self.clock.now()
        async with self.store.transaction() as db:
            for chat in chats:
                conversation, address = await conversations.open_at(
                    db, Channel.TELEGRAM, str(chat), name="", language="zh_CN", at=at
                )
                line = RecordLine(
                    conversation_id=conversation.id or 0,
                    channel=Channel.TELEGRAM,
                    direction=Direction.OUT,
                    by="bot",
                    text=f"{text} {chat}",
                    at=at,
                )
                await conversations.write(db, line)
                await deliveries.enqueue(db, line, address, at=at, lane=Lane.NOTICE)


def update(world: Outside, number: int) -> Any:
    """An update as Telegram sends it."""
    return json.loads(json.dumps(world.api.updates.history[number]))
