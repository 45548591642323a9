"""Staff pages about areas: who answers for each, what follows when one changes hands, and village proxies."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.areas import Key
from api.callers import STORABLE, Caller, requires
from api.frame import back, complaint, render, written
from api.services import Services, Tx, Use
from desk import areas, staff
from desk.areas import Area
from desk.errors import DeskError, UnknownStaff, WrongRole
from desk.permissions import Permission, Role
from desk.staff import Staff

pages = APIRouter(include_in_schema=False)
Reader = Annotated[Caller, requires(Permission.CUSTOMERS_READ)]
Chief = Annotated[Caller, requires(Permission.AREAS_HAND_OVER)]
Editor = Annotated[Caller, requires(Permission.CUSTOMERS_EDIT)]
Words = Annotated[str, Query(max_length=200, pattern=STORABLE)]
NOTES: Final = 4000


@pages.get("/desk/areas")
async def listed(
    request: Request, use: Use, caller: Reader, db: Tx, transformer_area: Words = "", proxy: Words = ""
) -> Response:
    """All areas, those without a manager first; what follows when a transformer area is given to a proxy."""
    typed = {"transformer_area": transformer_area, "proxy": proxy}
    return await _listed(request, use, caller, db, typed=typed)


async def _listed(
    request: Request, use: Services, caller: Caller, db: Tx, *, errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    held = await areas.overview(db)
    alone = sum(each.accounts for each in held if not each.answered)
    facts: dict[str, Any] = {"served": [], "proxies": [], "giving": None}
    wrong, given = errors or {}, typed or {}
    if caller.may(Permission.CUSTOMERS_EDIT):
        facts["served"], facts["proxies"] = await areas.transformer_areas(db), await areas.proxies(db)
        if given.get("transformer_area"):
            accounts = await areas.of_transformer_area(db, given["transformer_area"])
            try:
                proxy = await _proxy(db, given)
                facts["giving"] = {"accounts": len(accounts), "moving": await areas.moving(db, accounts, proxy)}
            except DeskError as error:
                wrong = {**wrong, "proxy": complaint(request, error)}
    return render(
        request, use, caller, "areas", area=None, rows=held, alone=alone + await areas.in_no_area(db), errors=wrong,
        typed=given, status=422 if wrong else 200, **facts,
    )  # fmt: skip


async def _proxy(db: Tx, form: dict[str, str]) -> Staff | None:
    """The village electrician that a form names, None for nobody. Raises UnknownStaff, WrongRole."""
    if not form.get("proxy"):
        return None
    named = await staff.by_name(db, form["proxy"])
    areas.fit(named, Role.PROXY)
    return named


@pages.get("/desk/areas/{id}")
async def one(id: Key, request: Request, use: Use, caller: Reader, db: Tx) -> Response:
    """One area: its manager, everybody who had it before, and what follows when it is handed over."""
    return await _one(request, use, caller, db, await areas.area_by_id(db, id))


async def _one(
    request: Request, use: Services, caller: Caller, db: Tx, area: Area, *, errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    async def name(number: int | None) -> str:
        found = await db.get(Staff, number) if number is not None else None
        return found.name if found else ""

    history = [
        {"change": change, "before": await name(change.before_id), "manager": await name(change.manager_id)}
        for change in await areas.handovers(db, area)
    ]
    facts: dict[str, Any] = {"manager": await name(area.manager_id), "history": history, "following": None}
    if caller.may(Permission.AREAS_HAND_OVER):
        facts["following"] = await areas.following(db, area)
        facts["managers"] = await areas.managers(db)
    return render(
        request, use, caller, "areas", area=area, errors=errors or {}, typed=typed or {},
        status=422 if errors else 200, **facts,
    )  # fmt: skip


@pages.post("/desk/areas/{id}/handover")
async def hand_over(id: Key, request: Request, use: Use, caller: Chief) -> Response:
    """Give the area to another manager; whoever does it must have read how many accounts follow."""
    form = await written(request)
    async with use.store.transaction() as db:
        area = await areas.area_by_id(db, id, lock=True)
        following = await areas.following(db, area)
        errors: dict[str, str] = {}
        if form.get("number", "").replace(",", "") != str(following.accounts):
            errors["number"] = "number"
        try:
            manager = await staff.by_name(db, form.get("manager", ""))
            if not errors:
                await areas.hand_over(
                    db, area, manager, notes=form.get("notes", "")[:NOTES], by=caller.name, at=use.clock.now()
                )
        except (UnknownStaff, WrongRole) as error:
            errors["manager"] = complaint(request, error)
        if errors:
            return await _one(request, use, caller, db, area, errors=errors, typed=form)
    return back(f"/desk/areas/{id}", "handed_over")


@pages.post("/desk/areas/proxy")
async def give(request: Request, use: Use, caller: Editor) -> Response:
    """Give all accounts of a transformer area to a village electrician, or to nobody, once their number is typed."""
    form = await written(request)
    async with use.store.transaction() as db:
        held = await areas.of_transformer_area(db, form.get("transformer_area", ""), lock=True)
        try:
            proxy = await _proxy(db, form)
        except DeskError as error:
            return await _listed(request, use, caller, db, errors={"proxy": complaint(request, error)}, typed=form)
        moving = sum((await areas.moving(db, held, proxy)).values())
        if form.get("number", "").replace(",", "") != str(moving):
            return await _listed(request, use, caller, db, errors={"number": "number"}, typed=form)
        await areas.give_to_proxy(db, held, proxy, by=caller.name, at=use.clock.now())
    return back("/desk/areas", "given" if proxy else "taken")
