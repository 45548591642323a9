"""Errors as application/problem+json for programs and as a page for people."""

import logging
import uuid
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

import templates
from api.callers import SAFE, to_sign_in
from api.pages import language_of, static
from desk import attachments, errors
from desk.errors import DeskError

log = logging.getLogger("greenline.api")
BODY: Final = 1024 * 1024  # bytes of a request without a file
STATUS: Final = {
    errors.UnknownSession: 401,
    errors.WrongMethod: 405,
    errors.WrongSecret: 401,
    errors.NotSignedIn: 401,
    errors.WrongSignIn: 401,
    errors.CodeNeeded: 401,
    errors.SignInLocked: 429,
    errors.BodyTooLarge: 413,
    errors.UnsupportedFile: 415,
    errors.TooManyRequests: 429,
    errors.NotFound: 404,
    errors.NotAllowed: 403,
    errors.Conflict: 409,
    errors.Invalid: 422,
    errors.Unavailable: 503,
    errors.Unexpected: 500,
}


_TEXT: Final = {"type": "string"}
# RFC 9457; `code` is stable, the words follow the language
_SHAPE: Final[dict[str, Any]] = {
    "description": "What went wrong, for programs in `code` and for people in `title` and `detail`",
    "content": {
        "application/problem+json": {
            "schema": {
                "title": "Problem",
                "type": "object",
                "required": ["type", "code", "title", "detail", "status"],
                "properties": {
                    **dict.fromkeys(("type", "code", "title", "detail"), _TEXT),
                    "status": {"type": "integer"},
                    "problems": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["where", "what"],
                            "properties": {"where": _TEXT, "what": _TEXT},
                        },
                    },
                },
            }
        }
    },
}
# what any call may answer instead, for the description of the API
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {"4XX": _SHAPE, "5XX": _SHAPE, 422: _SHAPE}


def _place(found: dict[str, Any]) -> tuple[str, str, Any]:
    """Where a request is wrong, Pydantic's name for how, and the limit it oversteps."""
    limits = (found.get("ctx") or {}).items()
    limit = next(
        (value for name, value in limits if name in ("min_length", "max_length", "ge", "le", "gt", "lt")), None
    )
    return ".".join(str(part) for part in found["loc"]), found["type"], limit


def largest(content_type: str) -> int:
    """Bytes that a request may have: files come as forms of many parts, everything else is small."""
    return attachments.LARGEST if content_type.lower().startswith("multipart/") else BODY


def status(error: DeskError) -> int:
    """HTTP status of an error: its own, or that of the nearest kind."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(request: Request, error: DeskError) -> Response:
    """The answer for an error, as the caller prefers it."""
    language = language_of(request)
    names = [kind.__name__ for kind in type(error).__mro__]
    title, detail = templates.error_words(names, language, **error.facts)
    code = status(error)
    headers = {"Retry-After": str(error.facts["retry_after"])} if "retry_after" in error.facts else {}
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if wants_page and isinstance(error, errors.NotSignedIn) and request.method in SAFE:
        return to_sign_in(request)
    if wants_page:
        home = "/desk" if request.url.path.startswith(("/desk", "/signin")) else "/chat"
        page = templates.page("error", language, status=code, title=title, detail=detail, home=home, static=static)
        return HTMLResponse(page, status_code=code, headers=headers)
    content: dict[str, Any] = {
        "type": f"urn:greenline:{error.code}",
        "code": error.code,
        "title": title,
        "detail": detail,
        "status": code,
    }
    if "problems" in error.facts:
        content["problems"] = [
            {"where": where, "what": templates.error_words(names, language, problems=[("", kind, limit)])[1]}
            for where, kind, limit in error.facts["problems"]
        ]
    return JSONResponse(content, status_code=code, headers=headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every failure of the application in this form."""

    @app.exception_handler(DeskError)
    async def _desk(request: Request, error: DeskError) -> Response:
        return problem(request, error)

    @app.exception_handler(RequestValidationError)
    async def _shape(request: Request, error: RequestValidationError) -> Response:
        return problem(request, errors.BadInput(problems=[_place(found) for found in error.errors()]))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        found: DeskError
        match error.status_code:
            case 404:
                found = errors.UnknownPage()
            case 405:
                found = errors.WrongMethod()
            case 413:
                found = errors.BodyTooLarge(limit=largest(request.headers.get("content-type", "")))
            case code if code < 500:
                found = errors.BadInput(problems=[("request", "unreadable", None)])
            case _:
                found = errors.Unavailable()
        answer = problem(request, found)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        reference = uuid.uuid4().hex[:8]
        log.error("request failed", exc_info=error, extra={"reference": reference, "path": request.url.path})
        return problem(request, errors.Unexpected(reference=reference))
