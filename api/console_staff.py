"""Staff pages for administrators: members of staff, their sessions, and the tokens of programs."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.callers import STORABLE, Caller
from api.frame import back, complaint, render, written
from api.services import Services, Tx, Use
from api.staff import Hashes, Key, StaffAdmin, TokenAdmin
from desk import passwords, staff
from desk.errors import BadInput, BadName, DeskError, LastAdmin, NameTaken, WeakPassword, WrongRole
from desk.permissions import Level, Role
from desk.staff import Staff

pages = APIRouter(include_in_schema=False)
ROLES: Final = tuple(Role)
DAYS: Final = ("30", "90", "365", "")  # how long a token may live
PAGE: Final = 100
After = Annotated[int, Query(ge=0, lt=2**62)]
Words = Annotated[str, Query(max_length=200, pattern=STORABLE)]


async def _locked(db: Tx, member: Staff, at: datetime) -> datetime | None:
    return await passwords.locked_until(db, passwords.of_name(member.name), at=at)


@pages.get("/desk/staff")
async def listed(request: Request, use: Use, caller: StaffAdmin, after: After = 0) -> Response:
    """Everybody, disabled members too."""
    return await _listed(request, use, caller, after=after)


async def _listed(
    request: Request, use: Services, caller: Caller, *, after: int = 0, errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    at = use.clock.now()
    async with use.store.transaction() as db:
        found = await staff.members(db, after=after, limit=PAGE + 1)
        rows = [(member, await _locked(db, member, at)) for member in found[:PAGE]]
    return render(
        request, use, caller, "staff", rows=rows, roles=ROLES, errors=errors or {}, typed=typed or {}, after=after,
        next=str(rows[-1][0].id) if len(found) > PAGE else "", service=use.settings.oidc_issuer is not None,
        status=422 if errors else 200,
    )  # fmt: skip


@pages.post("/desk/staff")
async def add(request: Request, use: Use, caller: StaffAdmin, hashing: Hashes) -> Response:
    """Add a member; a generated password is shown once."""
    form = await written(request)
    given, service = form.get("password", ""), bool(form.get("service"))
    made = None if service or given else passwords.generated()
    errors: dict[str, str] = {}
    if form.get("role") not in ROLES:
        errors["role"] = complaint(request, BadInput(problems=[("", "missing", None)]))
    hashed = None
    try:
        hashed = None if service else await hashing.hash(made or given)
    except WeakPassword as error:
        errors["password"] = complaint(request, error)
    if not errors:
        try:
            async with use.store.transaction() as db:
                member = await staff.add(
                    db, form.get("name", ""), Role(form["role"]), hashed=hashed, by=caller.name, at=use.clock.now(),
                    level=Level.COMPANY if form.get("company") else Level.AREA,
                    phone=form.get("phone", "")[:30], language="en" if form.get("language") == "en" else "zh_CN",
                )  # fmt: skip
        except (BadName, NameTaken) as error:
            errors["name"] = complaint(request, error)
        except WrongRole as error:
            errors["role"] = complaint(request, error)
    if errors:
        return await _listed(request, use, caller, errors=errors, typed=form)
    if made:
        return await _member(request, use, caller, member.id or 0, made=made, status=201)
    return back(f"/desk/staff/{member.id}", "added")


@pages.get("/desk/staff/{staff_id}")
async def one(staff_id: Key, request: Request, use: Use, caller: StaffAdmin) -> Response:
    """One member, where they are signed in, and what can be done."""
    return await _member(request, use, caller, staff_id)


async def _member(
    request: Request, use: Services, caller: Caller, staff_id: int, *, made: str = "", status: int = 200,
    errors: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    at = use.clock.now()
    async with use.store.transaction() as db:
        member = await staff.member(db, staff_id)
        facts: dict[str, Any] = {"locked": await _locked(db, member, at)}
        facts["sessions"] = [session for session, _ in await staff.sessions(db, staff_id, at=at)]
    return render(request, use, caller, "member", member=member, made=made, errors=errors or {}, status=status, **facts)


@pages.post("/desk/staff/{staff_id}/{act}")
async def do(staff_id: Key, act: str, request: Request, use: Use, caller: StaffAdmin, hashing: Hashes) -> Response:
    """Disable, enable, unlock, take away a second factor, end a session, or set a new password."""
    form, at = await written(request), use.clock.now()
    made = passwords.generated() if act == "password" else ""
    hashed = await hashing.hash(made) if made else ""
    try:
        async with use.store.transaction() as db:
            member = await staff.member(db, staff_id)
            match act:
                case "disable":
                    await staff.disable(db, member, by=caller.name, at=at)
                case "enable":
                    await staff.enable(db, member, by=caller.name, at=at)
                case "widen":
                    await staff.set_level(db, member, Level.COMPANY, by=caller.name, at=at)
                case "narrow":
                    await staff.set_level(db, member, Level.AREA, by=caller.name, at=at)
                case "unlock":
                    await staff.unlock(db, member, by=caller.name, at=at)
                case "password":
                    await staff.set_password(db, member, hashed, by=caller.name, at=at)
                case "recover":
                    await staff.drop_code(db, member, by=caller.name, at=at)
                    await staff.end_sessions(db, member, at=at)
                case "signout" if form.get("session", "").isdecimal() and len(form["session"]) < 18:
                    await staff.sign_out(db, int(form["session"]), owner=staff_id, by=caller.name, at=at)
                case _:
                    raise BadInput(problems=[("", "enum", None)])
    except LastAdmin as error:
        return await _member(request, use, caller, staff_id, status=409, errors={"disable": complaint(request, error)})
    if made:
        return await _member(request, use, caller, staff_id, made=made)
    return back(f"/desk/staff/{staff_id}", act)


# -- tokens of programs -----------------------------------------------------------------------------------------------


@pages.get("/desk/tokens")
async def tokens(request: Request, use: Use, caller: TokenAdmin) -> Response:
    """The tokens of programs."""
    return await _tokens(request, use, caller)


async def _tokens(
    request: Request, use: Services, caller: Caller, *, made: str = "", status: int = 200,
    errors: dict[str, str] | None = None, typed: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    async with use.store.transaction() as db:
        found = await staff.tokens(db)
    return render(
        request, use, caller, "tokens", tokens=found, made=made, roles=ROLES, days=DAYS, errors=errors or {},
        typed=typed or {}, now=use.clock.now(), status=status,
    )  # fmt: skip


@pages.post("/desk/tokens")
async def create(request: Request, use: Use, caller: TokenAdmin) -> Response:
    """Make a token; its text is on this page and nowhere else."""
    form = await written(request)
    days = form.get("days", "")
    errors = {}
    if form.get("role") not in ROLES:
        errors["role"] = complaint(request, BadInput(problems=[("", "missing", None)]))
    if not errors:
        try:
            async with use.store.transaction() as db:
                _, plain = await staff.create_token(
                    db, form.get("name", ""), Role(form["role"]), by=caller.name, at=use.clock.now(),
                    days=int(days) if days in DAYS and days else None,
                )  # fmt: skip
            return await _tokens(request, use, caller, made=plain, status=201)
        except DeskError as error:
            errors["name"] = complaint(request, error)
    return await _tokens(request, use, caller, errors=errors, typed=form, status=422)


@pages.post("/desk/tokens/{token_id}/revoke")
async def revoke(token_id: Key, use: Use, caller: TokenAdmin, db: Tx) -> Response:
    """A token stops working at once."""
    await staff.revoke_token(db, token_id, by=caller.name, at=use.clock.now())
    return back("/desk/tokens", "revoked")
