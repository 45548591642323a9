"""Areas over HTTP: who answers for them, handing them over, and village proxies."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.access import No
from api.callers import STORABLE, Caller, requires
from api.services import Tx, Use
from desk import areas, customers, staff
from desk.areas import Area
from desk.permissions import Permission
from desk.staff import Staff

router = APIRouter(prefix="/api/v1", tags=["areas"])
Key = Annotated[int, Path(ge=1, lt=2**62)]
Reader = Annotated[Caller, requires(Permission.CUSTOMERS_READ)]


class AreaView(BaseModel):
    """A territory and the one manager who answers for it; the counts are of accounts that are supplied."""

    id: int
    name: str
    office: str
    manager: str | None
    accounts: int
    tier_a: int
    important: int


class HandoverRequest(BaseModel):
    """To whom an area goes, and what they should know."""

    manager: str = Field(min_length=1, max_length=60, pattern=STORABLE)
    notes: str = Field(default="", max_length=4000, pattern=STORABLE)


class HandoverView(BaseModel):
    """One change of manager."""

    before: str | None
    manager: str
    notes: str
    by: str
    at: datetime


class AreaHistory(BaseModel):
    """An area's manager and every change, the latest first."""

    id: int
    name: str
    manager: str | None
    handovers: list[HandoverView]


class ProxyRequest(BaseModel):
    """The village electrician who looks after an account; null = nobody."""

    proxy: str | None = Field(min_length=1, max_length=60, pattern=STORABLE)


class Responsible(BaseModel):
    """Who answers for an account."""

    no: str
    area: str | None
    manager: str | None
    proxy: str | None


@router.get("/areas")
async def overview(caller: Reader, db: Tx) -> list[AreaView]:
    """All areas, those that nobody answers for first."""
    return [
        AreaView(
            id=each.area.id or 0, name=each.area.name, office=each.area.office,
            manager=each.manager.name if each.manager else None, accounts=each.accounts, tier_a=each.best,
            important=each.important,
        )
        for each in await areas.overview(db)
    ]  # fmt: skip


@router.get("/areas/{id}/handovers")
async def handovers(id: Key, caller: Reader, db: Tx) -> AreaHistory:
    """Every change of an area's manager."""
    return await _history(db, await areas.area_by_id(db, id))


@router.post("/areas/{id}/handover")
async def hand_over(
    id: Key, to: HandoverRequest, caller: Annotated[Caller, requires(Permission.AREAS_HAND_OVER)], db: Tx, use: Use
) -> AreaHistory:
    """Give an area to another manager; its accounts follow. Doing it again changes nothing."""
    area = await areas.area_by_id(db, id, lock=True)
    manager = await staff.by_name(db, to.manager)
    await areas.hand_over(db, area, manager, notes=to.notes, by=caller.name, at=use.clock.now())
    return await _history(db, area)


@router.get("/accounts/{no}/responsible")
async def responsible(no: No, caller: Reader, db: Tx) -> Responsible:
    """The manager and the proxy of an account."""
    account = await areas.account_for(db, no, role=caller.role, staff_id=caller.staff_id)
    area = await db.get(Area, account.area_id) if account.area_id is not None else None
    manager, proxy = await areas.named_manager(db, account), await areas.proxy_of(db, account)
    return Responsible(
        no=account.no,
        area=area.name if area else None,
        manager=manager.name if manager else None,
        proxy=proxy.name if proxy else None,
    )


@router.post("/accounts/{no}/proxy")
async def give_to_proxy(
    no: No, to: ProxyRequest, caller: Annotated[Caller, requires(Permission.CUSTOMERS_EDIT)], db: Tx, use: Use
) -> Responsible:
    """Let a village electrician look after an account, or nobody."""
    account = await customers.account(db, no, lock=True)
    proxy = await staff.by_name(db, to.proxy) if to.proxy else None
    await areas.give_to_proxy(db, [account], proxy, by=caller.name, at=use.clock.now())
    return await responsible(no, caller, db)


async def _history(db: Tx, area: Area) -> AreaHistory:
    async def name(number: int | None) -> str | None:
        found = await db.get(Staff, number) if number is not None else None
        return found.name if found else None

    changes = [
        HandoverView(
            before=await name(h.before_id), manager=await name(h.manager_id) or "", notes=h.notes, by=h.by, at=h.at
        )
        for h in await areas.handovers(db, area)
    ]
    return AreaHistory(id=area.id or 0, name=area.name, manager=await name(area.manager_id), handovers=changes)
