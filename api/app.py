"""The web application."""

import logging
import time
from collections.abc import AsyncIterator
from importlib import resources
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, Header, Request
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, Histogram, generate_latest
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import templates
from api import (
    access,
    areas,
    chat,
    console,
    conversations,
    customers,
    feed,
    guide,
    learning,
    links,
    oidc,
    policy,
    problems,
    promises,
    queue,
    staff,
    tiers,
)
from api.guard import Limits, Sized
from api.pages import language_of, static
from api.services import Services, Use
from desk import deliveries
from desk.conversations import Channel
from desk.errors import DatabaseDown

log = logging.getLogger("greenline.api")
root = APIRouter(include_in_schema=False)
LATENCY: Final = Histogram("greenline_http_seconds", "Time to answer a request", ["method", "route", "status"])
OUTBOX: Final = Gauge("greenline_outbox", "Deliveries by channel and fate", ["channel", "fate"])
ENTRIES: Final = Gauge("greenline_guide_entries", "Entries that can be answered from")
PAGE_POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors {ancestors}"
)


def create_app(services: Services) -> FastAPI:
    """The application over ready services."""
    app = FastAPI(
        title="Greenline",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.services = services
    app.state.limits = Limits()
    app.state.feed = feed.Feed(services)
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    encrypted = (services.settings.public_url or "").startswith("https://")
    app.add_middleware(Sized)
    app.add_middleware(Watched, encrypted=encrypted)
    problems.install(app)
    for router in (
        root,
        chat.pages,
        chat.router,
        guide.router,
        learning.router,
        staff.router,
        access.router,
        customers.router,
        oidc.router,
        tiers.router,
        areas.router,
        links.router,
        policy.router,
        queue.router,
        conversations.router,
        promises.router,
        feed.router,
    ):
        app.include_router(router)
    app.include_router(console.pages)
    folder = resources.files("templates") / "static"
    app.mount("/static", StaticFiles(directory=str(folder)), name="static")
    return app


class Watched:
    """Security headers, caching of static files, and the time every request took."""

    def __init__(self, app: ASGIApp, *, encrypted: bool = False) -> None:
        self._app = app
        self._encrypted = encrypted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and add headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        path = scope["path"]
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                _add_headers(headers, path, scope["query_string"])
                if self._encrypted:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "-")
            LATENCY.labels(scope["method"], route, status).observe(time.perf_counter() - began)


def _add_headers(headers: MutableHeaders, path: str, query: bytes) -> None:
    if path.startswith("/static/"):
        # a versioned address never changes its content
        headers["Cache-Control"] = "public, max-age=31536000, immutable" if b"v=" in query else "public, max-age=300"
    else:
        headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), payment=(), usb=(), geolocation=(self)")
    if path != "/chat":
        headers.setdefault("X-Frame-Options", "DENY")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    ancestors = "*" if path == "/chat" else "'none'"
    headers.setdefault("Content-Security-Policy", PAGE_POLICY.format(ancestors=ancestors))


@root.get("/docs")
async def docs(request: Request) -> Response:
    """The description of the API, to read and to try."""
    return HTMLResponse(templates.page("docs", language_of(request), static=static))


@root.get("/healthz")
async def healthz() -> PlainTextResponse:
    """The process is alive."""
    return PlainTextResponse("ok")


@root.get("/readyz")
async def readyz(use: Use) -> JSONResponse:
    """Whether questions can be answered now: 200 or 503, with the reason."""
    try:
        await use.store.ping()
        database = True
    except DatabaseDown:
        database = False
    state = {"database": database, "guide": use.mind.ready}
    return JSONResponse(state, status_code=200 if all(state.values()) else 503)


@root.get("/metrics")
async def metrics(use: Use) -> Response:
    """Prometheus text format."""
    try:
        async with use.store.transaction() as db:
            for channel in Channel:
                for fate, count in (await deliveries.count_by_fate(db, channel=channel)).items():
                    OUTBOX.labels(channel, fate).set(count)
    except DatabaseDown:
        # what this process measures by itself is wanted most while something is wrong
        OUTBOX.clear()
    ENTRIES.set(len(use.mind.guide) if use.mind.ready else 0)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@root.post("/telegram/webhook")
async def telegram(
    request: Request, use: Use, x_telegram_bot_api_secret_token: Annotated[str | None, Header()] = None
) -> Response:
    """Telegram's updates: 200 only after the commit."""
    if use.telegram is None or not use.telegram.by_webhook:
        return PlainTextResponse("", status_code=404)

    async def body() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            yield chunk

    handled = await use.telegram.webhook(x_telegram_bot_api_secret_token, body())
    return PlainTextResponse("", status_code=200 if handled else 500)
