"""Who may call: with a cookie only our own pages, nobody too often, and nobody with too much at once."""

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.callers import SAFE, same_origin
from api.services import Use
from desk.errors import BodyTooLarge, TooManyRequests

WEBHOOK: Final = "/telegram/webhook"

MANY: Final = 10_000  # callers remembered before those who have been quiet are forgotten


@dataclass(frozen=True)
class Allowance:
    """So many at once, then so many a second."""

    burst: int
    per_second: float


MESSAGES: Final = Allowance(60, 1.0)  # per conversation
BEGINNINGS: Final = Allowance(60, 0.5)  # per client address, as below; an office shares one
TALK: Final = Allowance(600, 10.0)
QUESTIONS: Final = Allowance(300, 5.0)


class Limits:
    """Token buckets in the memory of this process: of several web processes each grants the allowance on its own.

    A client address is the peer's, or what a proxy on this machine says (uvicorn reads FORWARDED_ALLOW_IPS for others).
    Callers on this machine itself are the operator's: they, and a proxy that names no client, are not limited by
    address.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._spent: dict[tuple[str, str], tuple[float, float]] = {}  # tokens used, and when that was so

    def take(self, what: str, who: str, allowance: Allowance) -> None:
        """Count one call. Raises TooManyRequests with the seconds to wait."""
        now, key = self._now(), (what, who)
        spent, at = self._spent.get(key, (0.0, now))
        spent = max(0.0, spent - (now - at) * allowance.per_second)
        if spent + 1 > allowance.burst:
            raise TooManyRequests(retry_after=max(1, math.ceil((spent + 1 - allowance.burst) / allowance.per_second)))
        if len(self._spent) >= MANY:
            self._forget(now)
        self._spent[key] = (spent + 1, now)

    def take_from(self, what: str, request: Request, allowance: Allowance) -> None:
        """Count one call of this client address. Raises TooManyRequests."""
        if who := _client(request):
            self.take(what, who, allowance)

    def _forget(self, now: float) -> None:
        recent = sorted(self._spent.items(), key=lambda item: item[1][1])[MANY // 2 :]
        self._spent = dict(recent)


def _client(request: Request) -> str | None:
    """The client's address, of IPv6 its network; None on this machine."""
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return None
    if address.is_loopback:
        return None
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def limits(request: Request) -> Limits:
    """The limits of this application."""
    found: Limits = request.app.state.limits
    return found


Limited = Annotated[Limits, Depends(limits)]


def own_pages(request: Request, use: Use) -> None:
    """A browser sends our cookie from any page: what changes something must come from one of ours.

    A bearer token is no cookie, so it needs no check. Raises ForeignOrigin.
    """
    bearer = request.headers.get("authorization", "").lower().startswith("bearer ")
    if request.method not in SAFE and not bearer:
        same_origin(request, use, silent=True)


OwnPages: Final = Depends(own_pages)


class Sized:
    """Refuses a body that is too large: at once where its length is announced, else when it has come that far.

    Nothing is collected meanwhile; the server reads and drops the rest, so that the client hears the answer. The
    webhook counts for itself, because Telegram would repeat what is refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request of bearable size on."""
        if scope["type"] != "http" or scope["path"] == WEBHOOK:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = problems.largest(headers.get("content-type", ""))
        allowed = limit + (problems.BODY if limit > problems.BODY else 0)  # the wrapping of a file
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > allowed:
            await problems.problem(Request(scope), BodyTooLarge(limit=limit))(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > allowed:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)
