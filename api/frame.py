"""What staff pages share: the frame and its navigation, addresses that carry a page's state, forms."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

import templates
from api.callers import Caller, encrypted
from api.pages import language_of, static
from api.services import Services
from desk import masks
from desk.errors import DeskError

LONGEST: Final = 2_000  # characters of a field
SECRETS: Final = ("password", "current")  # fields in which a blank is a character like any other


def render(
    request: Request, use: Services, caller: Caller | None, page: str, /, *, status: int = 200, **facts: Any
) -> HTMLResponse:
    """A page of the staff area in the reader's language, which is remembered when it was asked for."""
    language = language_of(request)
    shared: dict[str, Any] = {
        "static": static,
        "me": caller,
        "may": caller.may if caller else None,
        "path": request.url.path,
        "link": linker(request),
        "moment": moments(use),
        "mask": masks.holder,
        "said": request.query_params.get("said", ""),
        "errors": {},
    }
    answer = HTMLResponse(templates.page(f"staff/{page}", language, **{**shared, **facts}), status_code=status)
    if request.query_params.get("lang") == language:
        speak(answer, request, use, language)
    return answer


def speak(answer: HTMLResponse | RedirectResponse, request: Request, use: Services, language: str) -> None:
    """Remember the language in this browser."""
    answer.set_cookie("lang", language, max_age=365 * 86400, secure=encrypted(request, use), samesite="lax")


def moments(use: Services) -> Callable[[datetime | date], str]:
    """How staff pages write an instant or a day: sortable, the same in every language, in the service area's time."""

    def moment(at: datetime | date) -> str:
        if isinstance(at, datetime):
            return at.astimezone(use.settings.zone).strftime("%Y-%m-%d %H:%M")
        return at.isoformat()

    return moment


def linker(request: Request) -> Callable[..., str]:
    """The address of this page with other parameters: `link(tier="A")`; empty ones leave, and so does the cursor."""
    current = {name: value for name, value in request.query_params.items() if name not in ("lang", "said", "after")}

    def link(base: str | None = None, /, **changes: Any) -> str:
        wanted = {name: str(value) for name, value in {**current, **changes}.items() if value not in (None, "", False)}
        return (base or request.url.path) + (f"?{urlencode(wanted)}" if wanted else "")

    return link


async def written(request: Request) -> dict[str, str]:
    """The fields of a submitted form without edges, passwords as typed; nothing that PostgreSQL cannot keep."""
    form = await request.form()
    said = {name: value.replace("\x00", "")[:LONGEST] for name, value in form.items() if isinstance(value, str)}
    return {name: value if name in SECRETS else value.strip() for name, value in said.items()}


def complaint(request: Request, error: DeskError) -> str:
    """What an error says beside a field."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return templates.error_words(names, language_of(request), **error.facts)[1]


def back(path: str, said: str = "", **more: Any) -> RedirectResponse:
    """After something was done: show the page again, which says so."""
    wanted = {name: value for name, value in {"said": said, **more}.items() if value}
    return RedirectResponse(path + (f"?{urlencode(wanted)}" if wanted else ""), status_code=303)
