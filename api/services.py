"""What requests may use, handed over once by the composition root."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from bot.assistant import Assistant
from bot.mind import Mind
from bot.telegram.service import TelegramService
from desk.attachments import Storage
from desk.clock import Clock
from desk.settings import Settings
from desk.store import Bell, Store


@dataclass(frozen=True)
class Services:
    """Everything behind the web edge."""

    settings: Settings
    store: Store
    bell: Bell
    clock: Clock
    mind: Mind
    assistant: Assistant
    storage: Storage
    telegram: TelegramService | None


def services(request: Request) -> Services:
    """The services of this application."""
    found: Services = request.app.state.services
    return found


Use = Annotated[Services, Depends(services)]


async def transaction(use: Use):  # type: ignore[no-untyped-def]
    """One transaction per request, committed before the answer is sent."""
    async with use.store.transaction() as db:
        yield db


# without the scope, a commit that fails after the answer has begun would still say 200
Tx = Annotated[AsyncSession, Depends(transaction, scope="function")]
