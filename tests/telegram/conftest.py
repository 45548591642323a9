"""The bot against the Bot API double over real HTTP: in this process, or as real processes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlmodel import col, select
from telegram import Bot

import greenline
from api.app import create_app
from api.services import Services
from bot.assistant import Assistant
from bot.mind import Mind
from bot.telegram.service import TelegramService
from desk import conversations, deliveries
from desk.attachments import Folder
from desk.conversations import Address, Channel, Conversation, Direction, RecordLine
from desk.deliveries import Delivery, Lane
from desk.events import Event
from desk.settings import Settings
from desk.store import Bell, Store
from tests.conftest import SetClock
from tests.telegram.botapi import BotApi
from tests.telegram.botapi_person import Person

TOKEN = "4711:test-token"
SECRET = "a-secret_0"
T = 30.0  # seconds a condition may take; nothing waits that long when all is well


@pytest.fixture
async def api(clock: SetClock) -> AsyncIterator[BotApi]:
    """The double, served on a port; its address is `api.url`."""
    api = BotApi(TOKEN, clock, webhook_backoff=0.02)
    async with api.serve() as url:
        api.url = url  # type: ignore[attr-defined]
        yield api


class World:
    """A running bot, the double, and looks into the database."""

    def __init__(self, api: BotApi, services: Services, clock: SetClock) -> None:
        self.api, self.services, self.clock, self.store = api, services, clock, services.store
        assert services.telegram is not None
        self.service: TelegramService = services.telegram

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

    async def answered(self, person: Person, text: str, count: int = 1) -> str:
        """What the person reads last after saying something."""
        before = len(person.inbox)
        await person.say(text)
        inbox = await person.wait(lambda inbox: inbox if len(inbox) >= before + count else None, T)
        return inbox[-1].text


def settings_of(config: Settings, url: str, **more: Any) -> Settings:
    """The test's settings with Telegram."""
    return config.model_copy(update={"telegram_token": secret_of(TOKEN), "telegram_api_url": url, **more})


def secret_of(value: str) -> SecretStr:
    """A setting nobody prints."""
    return SecretStr(value)


@pytest.fixture
async def equipped(
    api: BotApi, config: Settings, store: Store, bell: Bell, clock: SetClock, mind: Mind, assistant: Assistant
) -> AsyncIterator[Callable[..., Services]]:
    """Everything behind the web edge, with Telegram; settings may be added."""
    made: list[TelegramService] = []

    def make(**more: Any) -> Services:
        settings = settings_of(config, api.url, **more)  # type: ignore[attr-defined]
        storage = Folder(config.data_dir / "attachments")
        service = TelegramService(settings, store, bell, clock, assistant, storage)
        made.append(service)
        return Services(settings, store, bell, clock, mind, assistant, storage, service)

    yield make
    for service in made:
        await service.close()


@pytest.fixture
async def polled(api: BotApi, equipped: Callable[..., Services], clock: SetClock) -> AsyncIterator[World]:
    """The bot, polling."""
    world = World(api, equipped(), clock)
    async with world.service.running():
        yield world


@pytest.fixture
async def hooked(api: BotApi, equipped: Callable[..., Services], clock: SetClock) -> AsyncIterator[World]:
    """The bot, called by webhook; the calls go to the application without a network."""
    services = equipped(telegram_webhook_secret=secret_of(SECRET), public_url="https://greenline.test")
    api.updates.transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    world = World(api, services, clock)
    async with world.service.running():
        await world.until(lambda: api.updates.webhook)
        yield world


@pytest.fixture(params=["polled", "hooked"])
def world(request: pytest.FixtureRequest) -> World:
    """The bot in both ways of receiving."""
    found: World = request.getfixturevalue(request.param)
    return found


@contextlib.asynccontextmanager
async def working(world: World) -> AsyncIterator[None]:
    """Jobs are done, too."""
    async with greenline.working(world.services):
        yield


def update(world: World, number: int) -> dict[str, Any]:
    """An update as Telegram sends it."""
    return json.loads(json.dumps(world.api.updates.history[number]))


def a_bot(api: BotApi) -> Bot:
    """Another program with the same token."""
    url = api.url  # type: ignore[attr-defined]
    return Bot(TOKEN, f"{url}/bot", f"{url}/file/bot")
