"""One-time links and QR codes with which staff bind a customer's chat to an account."""

from datetime import datetime
from typing import Annotated, Literal

import segno
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from telegram.error import TelegramError

from api.access import No
from api.callers import Caller, requires
from api.services import Services, Use
from desk import binding, customers
from desk.permissions import Permission

router = APIRouter(prefix="/api/v1", tags=["customers"])


class LinkRequest(BaseModel):
    """How long the link works, and where its QR code leads."""

    hours: int = Field(default=binding.HOURS, ge=1, le=24 * 30)
    qr: Literal["web", "telegram"] = "web"


class LinkView(BaseModel):
    """A link that works once, shown once. `url_telegram` is null without a bot; the QR code then leads to the web."""

    url_telegram: str | None
    url_web: str
    expires_at: datetime
    qr_svg: str


@router.post("/accounts/{no}/links", status_code=201)
async def make(
    no: No,
    request: Request,
    use: Use,
    caller: Annotated[Caller, requires(Permission.LINKS_MAKE)],
    wanted: LinkRequest | None = None,
) -> LinkView:
    """Make a link that binds the chat of whoever opens it first to this account."""
    wanted = wanted or LinkRequest()
    bot = await _bot(use)  # asks Telegram, so before the transaction
    async with use.store.transaction() as db:
        account = await customers.account(db, no)
        link, token = await binding.make_link(db, account, by=caller.name, at=use.clock.now(), hours=wanted.hours)
    base = use.settings.public_url or str(request.base_url).rstrip("/")
    web = f"{base}/chat?bind={token}"
    telegram = f"https://t.me/{bot}?start=bind-{token}" if bot else None
    code = segno.make(telegram if telegram and wanted.qr == "telegram" else web, micro=False, error="m")
    drawn = code.svg_inline(light="#fff", omitsize=True, svgclass=None, lineclass=None)
    return LinkView(url_telegram=telegram, url_web=web, expires_at=link.expires_at, qr_svg=drawn)


async def _bot(use: Services) -> str | None:
    """The bot's name on Telegram; None when there is no bot, or it cannot be asked just now."""
    if use.telegram is None:
        return None
    bot = use.telegram.bot
    try:
        return bot.username
    except RuntimeError:  # never asked in this process
        try:
            return (await bot.get_me()).username
        except TelegramError:
            return None
