"""Staff pages about areas: who answers for each, what follows when one changes hands, and village proxies."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.areas import Key
from api.callers import Caller, requires
from api.frame import back, complaint, render, written
from api.services import Services, Tx, Use
from desk import areas, staff
from desk.areas import Area
from desk.errors import DeskError, UnknownStaff, WrongRole
from desk.permissions import Permission
from desk.staff import Staff

pages = APIRouter(include_in_schema=False)
Reader = Annotated[Caller, requires(Permission.CUSTOMERS_READ)]
Chief = Annotated[Caller, requires(Permission.AREAS_HAND_OVER)]
NOTES: Final = 4000


@pages.get("/desk/areas")
async def listed(request: Request, use: Use, caller: Reader, db: Tx) -> Response:
    """All areas, those without a manager first seen to, and the transformer areas with their proxies."""
    return await _listed(request, use, caller, db)


async def _listed(
    request: Request, use: Services, caller: Caller, db: Tx, *, errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    held = await areas.overview(db)
    alone = sum(each.accounts for each in held if each.manager is None or each.manager.disabled_at)
    return render(
        request, use, caller, "areas", area=None, rows=held, alone=alone + await areas.unassigned(db),
        served=await areas.transformer_areas(db), proxies=await areas.proxies(db), errors=errors or {},
        typed=typed or {}, status=422 if errors else 200,
    )  # fmt: skip


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
async def give(request: Request, use: Use, caller: Annotated[Caller, requires(Permission.CUSTOMERS_EDIT)]) -> Response:
    """Give all accounts of a transformer area to a village electrician, or to nobody."""
    form = await written(request)
    async with use.store.transaction() as db:
        held = await areas.of_transformer_area(db, form.get("transformer_area", ""), lock=True)
        try:
            proxy = await staff.by_name(db, form["proxy"]) if form.get("proxy") else None
            await areas.give_to_proxy(db, held, proxy, by=caller.name, at=use.clock.now())
        except DeskError as error:
            return await _listed(request, use, caller, db, errors={"proxy": complaint(request, error)}, typed=form)
    return back("/desk/areas", "given")
