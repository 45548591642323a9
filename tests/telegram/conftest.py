"""The bot against the Bot API double over real HTTP, in this process."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from telegram import Bot

import greenline
from api.app import create_app
from api.services import Services
from bot.assistant import Assistant
from bot.mind import Mind
from bot.telegram.service import TelegramService
from desk.attachments import Folder
from desk.settings import Settings
from desk.store import Bell, Store
from tests.conftest import SetClock
from tests.telegram.botapi import BotApi
from tests.telegram.world import SECRET, TOKEN, World


@pytest.fixture
async def api(clock: SetClock) -> AsyncIterator[BotApi]:
    """The double, served on a port; its address is `api.url`."""
    api = BotApi(TOKEN, clock, webhook_backoff=0.02)
    async with api.serve() as url:
        api.url = url  # type: ignore[attr-defined]
        yield api


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


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """After trouble the bot tries again soon."""
    monkeypatch.setattr("bot.telegram.service.PAUSE", 0.05)
    monkeypatch.setattr("bot.telegram.service.RIVAL", 0.05)
    monkeypatch.setattr("desk.leader.RETRY", 0.1)


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


def a_bot(api: BotApi) -> Bot:
    """Another program with the same token."""
    url = api.url  # type: ignore[attr-defined]
    return Bot(TOKEN, f"{url}/bot", f"{url}/file/bot")
