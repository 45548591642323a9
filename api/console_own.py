"""Staff pages about oneself: password, second factor, sessions, language; and the access log for the auditor."""

from typing import Annotated, Any, Final

import segno
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from api import staff as over_http
from api.callers import STORABLE, Caller, here, requires
from api.frame import back, complaint, render, speak, written
from api.services import Services, Tx, Use
from api.staff import Codes, Hashes, Key, Person
from desk import access, passwords, staff
from desk.errors import DeskError, WeakPassword
from desk.permissions import Permission

pages = APIRouter(include_in_schema=False)
PAGE: Final = 100
Words = Annotated[str, Query(max_length=200, pattern=STORABLE)]


@pages.get("/desk/me")
async def me(request: Request, use: Use, caller: Person, codes: Codes) -> Response:
    """What a member of staff settles for themselves."""
    return await _me(request, use, caller, codes)


async def _me(
    request: Request, use: Services, caller: Caller, codes: Codes, *, errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:  # fmt: skip
    async with use.store.transaction() as db:
        member = await staff.member(db, caller.staff_id or 0)
        sessions = await staff.sessions(db, caller.staff_id, at=use.clock.now())
    secret = codes.unlock(member.totp) if member.totp and member.totp_step is None else None
    picture = ""
    if secret:
        made = segno.make(passwords.invitation(secret, member.name), micro=False)
        # drawn in the page: nothing about the secret leaves it
        picture = made.svg_inline(border=4, omitsize=True, light="#fff", svgclass="qr", lineclass=None)
    return render(
        request, use, caller, "me", member=member, sessions=[each for each, _ in sessions], secret=secret or "",
        picture=picture, errors=errors or {}, status=status,
    )  # fmt: skip


@pages.post("/desk/me/password")
async def password(request: Request, use: Use, caller: Person, hashing: Hashes, codes: Codes) -> Response:
    """Change the own password; every other session ends."""
    form = await written(request)
    wanted = over_http.OwnPassword.model_validate(
        {"current": form.get("current", "")[:1000], "password": form.get("password", "")[:1000]}
    )
    try:
        await over_http.change_password(wanted, request, caller, use, hashing)
    except WeakPassword as error:
        return await _me(request, use, caller, codes, errors={"password": complaint(request, error)}, status=422)
    except DeskError as error:
        return await _me(request, use, caller, codes, errors={"current": complaint(request, error)}, status=422)
    return back("/desk/me", "password")


@pages.post("/desk/me/totp")
async def enrol(request: Request, use: Use, caller: Person, codes: Codes) -> Response:
    """Begin a second factor."""
    async with use.store.transaction() as db:
        await over_http.enrol(caller, use, db, codes)
    return back("/desk/me", "", step="totp")


@pages.post("/desk/me/totp/confirm")
async def confirm(request: Request, use: Use, caller: Person, codes: Codes) -> Response:
    """From now on a code is asked for."""
    return await _code(over_http.confirm, "totp_on", request, use, caller, codes)


@pages.post("/desk/me/totp/drop")
async def drop(request: Request, use: Use, caller: Person, codes: Codes) -> Response:
    """Sign in without a code again, or break off the beginning."""
    return await _code(over_http.drop_code, "totp_off", request, use, caller, codes)


async def _code(verb: Any, said: str, request: Request, use: Services, caller: Caller, codes: Codes) -> Response:
    code = over_http.Code(code=(await written(request)).get("code", "")[:20])
    try:
        await verb(code, request, caller, use, codes)
    except DeskError as error:
        return await _me(request, use, caller, codes, errors={"code": complaint(request, error)}, status=422)
    return back("/desk/me", said)


@pages.post("/desk/me/sessions/{session_id}/end")
async def end(session_id: Key, use: Use, caller: Person, db: Tx) -> Response:
    """End a session of one's own."""
    await staff.sign_out(db, session_id, owner=caller.staff_id or 0, by=caller.name, at=use.clock.now())
    return back("/desk/me", "ended")


@pages.post("/desk/language")
async def language(request: Request, use: Use, caller: Person, db: Tx) -> Response:
    """Read the staff area in another language, in this browser and at the next sign-in."""
    form = await written(request)
    wanted = "en" if form.get("language") == "en" else "zh_CN"
    member = await staff.member(db, caller.staff_id or 0)
    member.language = wanted
    db.add(member)
    answer = RedirectResponse(here(form.get("next")), status_code=303)
    speak(answer, request, use, wanted)
    return answer


@pages.get("/desk/access")
async def log(
    request: Request, use: Use, caller: Annotated[Caller, requires(Permission.ACCESS_READ)], db: Tx, by: Words = "",
    subject: Words = "", after: Annotated[str, Query(max_length=20, pattern="^[0-9]*$")] = "",
) -> Response:  # fmt: skip
    """Who looked at personal data, at whose, and why; latest first."""
    # a bare number means an account
    sought = f"account:{subject.strip()}" if subject.strip().isdecimal() else subject.strip()
    before = int(after) if after and len(after) < 18 else None
    found = await access.read(db, before=before, by=by.strip() or None, subject=sought or None, limit=PAGE + 1)
    lines = found[:PAGE]
    return render(
        request, use, caller, "access", lines=lines, by=by, subject=subject, after=after, refused=access.REFUSED,
        next=str(lines[-1].id) if len(found) > PAGE else "",
    )  # fmt: skip
