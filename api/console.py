"""The staff area: signing in and out, and home, which shows what waits for whom."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlmodel import col, select

from api import (
    console_areas,
    console_canned,
    console_customers,
    console_desk,
    console_imports,
    console_learning,
    console_own,
    console_policy,
    console_staff,
    console_tiers,
)
from api.callers import STORABLE, forget, here, remember
from api.console_imports import UNDER_WAY
from api.frame import back, complaint, render, speak, written
from api.services import Tx, Use
from api.staff import Anybody, Codes, Hashes, Person, enter
from desk import access, archive_runs, areas, classification, staff
from desk.classification import Stage
from desk.customers import Account, TierChange
from desk.errors import CodeNeeded, DeskError, NotSignedIn, SignInLocked, UnknownSignIn
from desk.passwords import Vault
from desk.permissions import Level, Permission, Role
from desk.settings import secret_key
from desk.staff import Staff

pages = APIRouter(include_in_schema=False)
for part in (
    console_desk,
    console_canned,
    console_customers,
    console_areas,
    console_imports,
    console_tiers,
    console_learning,
    console_policy,
    console_staff,
    console_own,
):
    pages.include_router(part.pages)
PATIENCE: Final = timedelta(minutes=10)  # how long a right password waits for its code
RECENT: Final = timedelta(days=30)
SHORT: Final = 8  # lines of a list on the home page
Next = Annotated[str | None, Query(max_length=2000, pattern=STORABLE)]


# -- signing in and out -----------------------------------------------------------------------------------------------


@pages.get("/signin")
async def sign_in_page(request: Request, use: Use, next: Next = None) -> Response:
    """Name and password, or the sign-in service."""
    return render(request, use, None, "signin", name="", next=here(next), kept="", service=_service(use))


@pages.post("/signin")
async def sign_in(request: Request, use: Use, hashing: Hashes, codes: Codes) -> Response:
    """Sign in and go where one wanted to go; a code is asked for in a second step."""
    form = await written(request)
    vault = Vault(secret_key(use.settings), "signin")
    # between the two steps the password travels encrypted, because nobody should have to type it twice
    kept = form.get("kept", "")
    name, password = form.get("name", ""), (vault.unlock(kept, within=PATIENCE) if kept else form.get("password")) or ""
    try:
        cookie, member = await enter(
            request, use, hashing, codes, name=name, password=password, code=form.get("code", "")
        )
    except CodeNeeded:
        errors: dict[str, str] = {}
        kept = vault.lock(password)
    except DeskError as error:
        errors = {"code" if kept and not isinstance(error, SignInLocked) else "password": complaint(request, error)}
        kept = kept if "code" in errors else ""
    else:
        entered = RedirectResponse(here(form.get("next")), status_code=303)
        remember(entered, request, use, cookie)
        speak(entered, request, use, member.language)
        return entered
    facts = {"name": name, "next": here(form.get("next")), "kept": kept, "service": _service(use), "errors": errors}
    return render(request, use, None, "signin", status=422 if errors else 200, **facts)


def _service(use: Use) -> bool:
    return use.settings.oidc_issuer is not None


@pages.post("/desk/signout")
async def sign_out(request: Request, use: Use, caller: Person) -> Response:
    """Sign out in this browser."""
    async with use.store.transaction() as db:
        try:
            await staff.sign_out(
                db, caller.session_id or 0, owner=caller.staff_id or 0, by=caller.name, at=use.clock.now()
            )
        except UnknownSignIn:
            raise NotSignedIn() from None
    left = back("/signin")
    forget(left, request, use)
    return left


# -- home -------------------------------------------------------------------------------------------------------------


@pages.get("/desk/home")
async def home(request: Request, use: Use, caller: Anybody, db: Tx) -> Response:
    """What waits, as far as it is this caller's business."""
    at = use.clock.now()
    today = at.astimezone(use.settings.zone).date()
    facts: dict[str, Any] = {
        "today": today,
        "run": None,
        "moves": [],
        "near": [],
        "mine": [],
        "territories": [],
        "changed": {},
        "lacking": {},
        "refused": [],
        "imports": [],
    }
    if caller.may(Permission.TIERS_CHANGE):
        latest = (await classification.runs(db))[:1]
        if latest and latest[0].stage == Stage.PROPOSED:
            facts["run"] = latest[0]
    if caller.may(Permission.CUSTOMERS_IMPORT):
        runs = await archive_runs.runs(db, limit=SHORT)
        facts["imports"] = [run for run in runs if run.stage in UNDER_WAY]
    if caller.may(Permission.CUSTOMERS_READ):
        visible = areas.visible(caller.role, caller.staff_id)
        if caller.role == Role.MANAGER:
            held = await areas.overview(db)
            member = await db.get(Staff, caller.staff_id) if caller.staff_id else None
            wide = member is not None and member.level == Level.COMPANY
            mine = [each.area for each in held if wide or (each.manager and each.manager.id == caller.staff_id)]
            if wide:
                facts["territories"] = held
                facts["changed"] = await areas.changed_since(db, at - RECENT)
                facts["lacking"] = await classification.near_by_area(db)
            facts["mine"] = mine
            if not wide:
                visible = col(Account.area_id).in_([area.id for area in mine])
        changes = select(TierChange, Account).join(Account, col(Account.id) == col(TierChange.account_id))
        changes = changes.where(visible, col(TierChange.at) > at - RECENT)
        facts["moves"] = list((await db.exec(changes.order_by(col(TierChange.id).desc()).limit(SHORT))).all())
        facts["near"] = await classification.near_next(db, limit=SHORT, visible=visible)
    if caller.may(Permission.ACCESS_READ):
        lines = await access.read(db, limit=200)
        facts["refused"] = [line for line in lines if line.reason == access.REFUSED and line.at > at - RECENT][:SHORT]
    return render(request, use, caller, "home", **facts)
