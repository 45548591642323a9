"""Requests to the Bot API and its error answers: decoding, and the checks the real server makes."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple, NoReturn

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.telegram.botapi_text import Json, render, trimmed, utf16


class Refusal(Exception):
    """An error answer of the Bot API."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


def bad(description: str) -> NoReturn:
    """Refuse the request as invalid."""
    raise Refusal(400, f"Bad Request: {description}")


def flood(seconds: float) -> Refusal:
    """The answer to too many requests."""
    wait = max(1, math.ceil(seconds))
    return Refusal(429, f"Too Many Requests: retry after {wait}", retry_after=wait)


class Upload(NamedTuple):
    """A file as it came in a request."""

    name: str
    mime: str
    content: bytes


def refused(refusal: Refusal) -> Response:
    """An error answer: the HTTP status is the error code."""
    body: Json = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    return JSONResponse(body | ({"parameters": refusal.parameters} if refusal.parameters else {}), refusal.code)


async def parameters(request: Request) -> Json:
    """What was asked, from the query and the body: urlencoded, multipart or JSON."""
    params: Json = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        params.update(await request.json())
        return params
    async with request.form() as form:
        for name, value in form.items():
            if isinstance(value, UploadFile):
                mime = value.content_type or "application/octet-stream"
                params[name] = Upload(value.filename or name, mime, await value.read())
            else:
                params[name] = value
    return params


def decoded(params: Json, name: str) -> Any:
    """A structured parameter, whether it came as JSON text or inside a JSON body."""
    value = params.get(name)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value else None
    except ValueError:
        bad(f"can't parse {name.replace('_', ' ')} JSON object")


def flag(params: Json, name: str) -> bool:
    """A yes or no."""
    return str(params.get(name, "")).lower() in ("true", "1", "yes")


def formatted(params: Json, field: str, entities_field: str) -> Json:
    """A text or caption after entity parsing, within its limit; empty if there is none."""
    text, mode = str(params.get(field) or ""), str(params.get("parse_mode") or "none").lower()
    if len(text.encode()) > 2**15:
        bad("text is too long")
    if mode not in ("html", "none"):
        bad("unsupported parse_mode")
    try:
        text, entities = render(text) if mode == "html" else (text, decoded(params, entities_field) or [])
    except ValueError as error:
        bad(f"can't parse entities: {error}")
    text, entities = trimmed(text, entities)
    if utf16(text) > (4096 if field == "text" else 1024):
        bad("message is too long" if field == "text" else "message caption is too long")
    return ({field: text} if text else {}) | ({entities_field: entities} if entities else {})


def keyboard(params: Json) -> Json | None:
    """The reply markup, checked; None if there is none."""
    markup: Json | None = decoded(params, "reply_markup")
    for row in (markup or {}).get("inline_keyboard", []):
        for button in row:
            if not isinstance(button.get("text"), str):
                bad("can't parse inline keyboard button: Can't find field \"text\"")
            if len(button) < 2:
                bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
            if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
                bad("BUTTON_DATA_INVALID")
    return None if markup == {"inline_keyboard": []} else markup
