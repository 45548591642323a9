"""Who is calling: a member of staff by session cookie or a program by token, and what the call needs to be allowed."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote, urlsplit

from fastapi import Depends, Header, Request
from fastapi.responses import RedirectResponse, Response

from api.services import Services, Use
from desk import access, staff
from desk.errors import ForeignOrigin, NotPermitted, NotSignedIn
from desk.permissions import Permission, Role, may

COOKIE: Final = "greenline_staff"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
STORABLE: Final = r"^[^\x00]*$"  # PostgreSQL keeps no NUL characters
# begins with exactly one slash; browsers read a backslash as a slash and drop control characters
_HERE: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")


@dataclass(frozen=True)
class Caller:
    """Who calls and what they are. `name` is what events and logs show; a program's begins with `token:`."""

    name: str
    role: Role
    staff_id: int | None
    session_id: int | None = None
    token_id: int | None = None
    language: str | None = None

    def may(self, permission: Permission) -> bool:
        """Whether the table allows it to this caller."""
        return may(self.role, permission)


class Gate:
    """A dependency that lets a caller pass or raises NotSignedIn, NotPermitted, ForeignOrigin."""

    def __init__(self, permission: Permission | None, *, in_person: bool = False) -> None:
        self.permission = permission
        self.in_person = in_person

    async def __call__(
        self, request: Request, use: Use, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
    ) -> Caller:
        """The caller, if the role has the permission; a refused try for personal data is logged."""
        caller = await _known(request, use, authorization)
        if self.permission and not caller.may(self.permission):
            if self.permission in access.WATCHED:
                await _log_refusal(request, use, caller, self.permission)
            raise NotPermitted(permission=self.permission)
        if self.in_person and caller.staff_id is None:
            raise NotPermitted(permission="")
        return caller


def requires(permission: Permission) -> Any:
    """`caller: Annotated[Caller, requires(Permission.CUSTOMERS_READ)]`: only roles that the table allows."""
    return Depends(Gate(permission))


signed_in: Final = Depends(Gate(None))  # any role: `caller: Annotated[Caller, signed_in]`
in_person: Final = Depends(Gate(None, in_person=True))  # any member of staff, but no program


async def _known(request: Request, use: Services, authorization: str | None) -> Caller:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        async with use.store.transaction() as db:
            program = await staff.of_token(db, token.strip(), at=use.clock.now())
        return Caller(f"token:{program.name}", Role(program.role), None, token_id=program.id)
    cookie = request.cookies.get(COOKIE, "")
    if not cookie:
        raise NotSignedIn()
    if request.method not in SAFE:
        same_origin(request, use)
    async with use.store.transaction() as db:
        member, session = await staff.of_session(db, cookie, at=use.clock.now())
    return Caller(member.name, Role(member.role), member.id, session_id=session.id, language=member.language)


async def _log_refusal(request: Request, use: Services, caller: Caller, permission: Permission) -> None:
    number = request.path_params.get("no")
    subject = f"account:{number}" if number else request.url.path
    async with use.store.transaction() as db:
        await access.refused(
            db, by=caller.name, role=caller.role, action=permission, subject=subject, at=use.clock.now()
        )


def same_origin(request: Request, use: Services, *, silent: bool = False) -> None:
    """Only our own pages may send this: the browser says so itself, or its Origin, or else its Referer is ours.

    A caller that names no origin at all passes only if `silent` may. Raises ForeignOrigin.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise ForeignOrigin()
        return
    origin = request.headers.get("origin") or request.headers.get("referer")
    if origin is None:
        if not silent:
            raise ForeignOrigin()
        return
    # without a host ("null") it is nobody's page; the scheme is left out, because a proxy may end TLS for us
    host = _host(origin)
    if not host or host not in {request.headers.get("host", "").lower(), _host(use.settings.public_url or "")}:
        raise ForeignOrigin()


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def remember(response: Response, request: Request, use: Services, token: str) -> None:
    """Keep a sign-in in the browser, out of reach of scripts and other sites."""
    response.set_cookie(
        COOKIE, token, max_age=int(staff.LONGEST.total_seconds()), path="/",
        httponly=True, secure=encrypted(request, use), samesite="lax",
    )  # fmt: skip


def forget(response: Response, request: Request, use: Services) -> None:
    """Take a sign-in out of the browser."""
    response.delete_cookie(COOKIE, path="/", httponly=True, secure=encrypted(request, use), samesite="lax")


def encrypted(request: Request, use: Services) -> bool:
    """Whether the browser reaches us by https, also through a proxy that ends TLS."""
    public = use.settings.public_url or ""
    behind_proxy = public.startswith("https://") and _host(public) == request.headers.get("host", "").lower()
    return request.url.scheme == "https" or behind_proxy


def here(path: str | None) -> str:
    """A path on this site to go to after signing in; anything else becomes the front door of the staff area."""
    return path if path and _HERE.fullmatch(path) else "/desk"


def to_sign_in(request: Request) -> Response:
    """Ask a person's browser to sign in and come back to the page it wanted."""
    current = request.headers.get("hx-current-url")
    url = urlsplit(current) if current else request.url
    target = "/signin?next=" + quote(here(url.path + (f"?{url.query}" if url.query else "")), safe="")
    if "hx-request" in request.headers:
        # a part of a page is asked for: the whole page must go
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, status_code=303)


def address_of(request: Request) -> str:
    """Where the request comes from, as far as the server can tell."""
    return request.client.host if request.client else ""
