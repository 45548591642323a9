"""Staff pages about customers: the list that searches as one types, and everything about one account."""

import tempfile
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.background import BackgroundTask

import templates
from api import links
from api.access import No
from api.callers import STORABLE, Caller, requires
from api.frame import back, complaint, render, written
from api.links import LinkView
from api.pages import language_of
from api.services import Services, Tx, Use
from desk import access, archive_export, areas, classification, customers, masks, staff
from desk.areas import Area
from desk.classification import Classification
from desk.conversations import Contact, Conversation, RecordLine
from desk.customers import Account, AccountContact, AccountYear, Customer
from desk.errors import BadInput, DeskError, ReasonMissing, UnknownAccount
from desk.permissions import Permission, Role
from desk.staff import Staff
from desk.tiers import Tier

pages = APIRouter(include_in_schema=False)
Reader = Annotated[Caller, requires(Permission.CUSTOMERS_READ)]
Changer = Annotated[Caller, requires(Permission.TIERS_CHANGE)]
Editor = Annotated[Caller, requires(Permission.CUSTOMERS_EDIT)]
PAGE: Final = 50
RECORD: Final = 20  # lines of the contact record
TIERS: Final = tuple(Tier)
FLAGS: Final = ("large", "important", "coal_mine")
Words = Annotated[str, Query(max_length=200, pattern=STORABLE)]
Choice = Annotated[str, Query(max_length=20, pattern=STORABLE)]


# -- the list ---------------------------------------------------------------------------------------------------------


def _filters(caller: Caller, q: str, tier: str, flag: str, area: str) -> dict[str, Any]:
    """What `customers.find` is asked for: words and chips, and what the caller may know of."""
    return {
        "wanted": q,
        "tier": Tier(tier) if tier in TIERS else None,
        "flag": flag if flag in FLAGS else None,
        "areas": [int(area)] if area.isdecimal() and area.isascii() and len(area) < 18 else None,
        "proxy": (caller.staff_id or 0) if caller.role == Role.PROXY else None,
    }


@pages.get("/desk/customers")
async def listed(
    request: Request, use: Use, caller: Reader, db: Tx, q: Words = "", tier: Choice = "", flag: Choice = "",
    area: Choice = "", sort: Choice = "", after: Words = "",
) -> Response:  # fmt: skip
    """Accounts that match, a page at a time."""
    filters = _filters(caller, q, tier, flag, area)
    sort = sort if customers.ordered(sort) else ""
    found = await customers.find(db, after=after or 0, limit=PAGE + 1, order=sort, **filters)
    rows = await _rows(db, found[:PAGE])
    return render(
        request, use, caller, "customers", rows=rows, count=await customers.count(db, **filters), q=q,
        tier=filters["tier"] or "", flag=filters["flag"] or "", area=area, after=after,
        next=customers.cursor(found[PAGE - 1], sort) if len(found) > PAGE else "", sort=sort,
        areas=[(each.area, each.accounts) for each in await areas.overview(db)], flags=FLAGS, tiers=TIERS,
    )  # fmt: skip


async def _rows(db: Tx, accounts: list[Account]) -> list[dict[str, Any]]:
    """Accounts with their area, its manager, and the purchase of the latest year."""
    keys = [account.id for account in accounts]
    query = select(Area, Staff).outerjoin(Staff, col(Staff.id) == col(Area.manager_id))
    known = {area.id: (area, manager) for area, manager in (await db.exec(query)).all()}
    years = select(AccountYear).where(col(AccountYear.account_id).in_(keys)).order_by(col(AccountYear.year))
    bought = {year.account_id: year for year in (await db.exec(years)).all()}
    nobody: tuple[Area | None, Staff | None] = (None, None)
    return [
        {
            "account": account, "name": masks.holder(account.name), "year": bought.get(account.id or 0),
            "area": known.get(account.area_id, nobody)[0], "manager": known.get(account.area_id, nobody)[1],
        }
        for account in accounts
    ]  # fmt: skip


@pages.get("/desk/customers/export")
async def export(
    use: Use, caller: Annotated[Caller, requires(Permission.CUSTOMERS_EXPORT)], q: Words = "", tier: Choice = "",
    flag: Choice = "", area: Choice = "", sort: Choice = "",
) -> Response:  # fmt: skip
    """Exactly the accounts that the list shows, as a workbook; personal data stay masked."""
    filters = _filters(caller, q, tier, flag, area)
    async with use.store.transaction() as db:
        told = " ".join(filter(None, (q, tier, flag, area))) or access.ALL
        await access.exported(db, by=caller.name, role=caller.role, reason=told, at=use.clock.now())
    folder = tempfile.TemporaryDirectory(prefix="greenline-")
    path = Path(folder.name) / "customers.xlsx"
    try:
        await archive_export.export_file(use.store, path, zone=use.settings.zone, order=sort, **filters)
    except BaseException:
        folder.cleanup()
        raise
    name = f"greenline-{use.clock.now().astimezone(use.settings.zone):%Y%m%d-%H%M}.xlsx"
    return FileResponse(path, filename=name, background=BackgroundTask(folder.cleanup))


# -- one account ------------------------------------------------------------------------------------------------------


@pages.get("/desk/accounts/{no}")
async def account(no: No, request: Request, use: Use, caller: Reader, db: Tx) -> Response:
    """Everything about one account, personal data masked."""
    found = await areas.account_for(db, no, role=caller.role, staff_id=caller.staff_id)
    return await _shown(request, use, caller, db, found)


async def _shown(
    request: Request, use: Services, caller: Caller, db: Tx, found: Account, *, revealed: bool = False,
    errors: dict[str, str] | None = None, typed: dict[str, str] | None = None, opened: str = "",
    made: LinkView | None = None,
) -> Response:  # fmt: skip
    language = language_of(request)
    line = await classification.line_of(db, found)
    run = await db.get(Classification, line.classification_id) if line else None
    years = select(AccountYear).where(col(AccountYear.account_id) == found.id).order_by(col(AccountYear.year).desc())
    area = await db.get(Area, found.area_id) if found.area_id is not None else None
    query = select(Contact, AccountContact).join(AccountContact, col(AccountContact.contact_id) == col(Contact.id))
    query = query.where(col(AccountContact.account_id) == found.id, col(AccountContact.ended_at).is_(None))
    people = [
        {
            "name": contact.name if revealed else masks.person(contact.name),
            "phone": contact.phone if revealed else masks.phone(contact.phone),
            "role": link.role, "how": link.how, "consent_at": link.consent_at,
        }
        for contact, link in (await db.exec(query.order_by(col(AccountContact.id)))).all()
    ]  # fmt: skip
    history = [
        {"change": change, "year": classification.year_of(change.reason)}
        for change in await customers.tier_history(db, found)
    ]
    said = select(RecordLine).join(Conversation, col(Conversation.id) == col(RecordLine.conversation_id))
    said = said.where(col(Conversation.account_id) == found.id).order_by(col(RecordLine.id).desc()).limit(RECORD)
    return render(
        request, use, caller, "account", account=found, customer=await db.get(Customer, found.customer_id),
        status=422 if errors else 200,
        name=found.name if revealed else masks.holder(found.name),
        street=found.address if revealed else masks.address(found.address), revealed=revealed, people=people, area=area,
        manager=await areas.named_manager(db, found), proxy=await areas.proxy_of(db, found), line=line, run=run,
        explained=templates.render_text("tier_explained", language, **classification.explain(line)) if line else "",
        years=list((await db.exec(years)).all())[:6][::-1], history=history, record=list((await db.exec(said)).all()),
        designation=await customers.designation(db, found), tiers=TIERS, errors=errors or {}, typed=typed or {},
        opened=opened, made=made, proxies=await areas.proxies(db) if caller.may(Permission.CUSTOMERS_EDIT) else [],
    )  # fmt: skip


@pages.post("/desk/accounts/{no}/reveal")
async def reveal(
    no: No, request: Request, use: Use, caller: Annotated[Caller, requires(Permission.CUSTOMERS_REVEAL)]
) -> Response:
    """The same page with personal data; the look is in the access log before it leaves."""
    form = await written(request)
    proxy = (caller.staff_id or 0) if caller.role == Role.PROXY else None
    reason = form.get("reason", "")
    if len(reason) >= 4:
        async with use.store.transaction() as db:
            found = await access.reveal(
                db, no, reason=reason, by=caller.name, role=caller.role, at=use.clock.now(), proxy=proxy
            )
        if found is None:
            raise UnknownAccount()
    async with use.store.transaction() as db:
        known = await areas.account_for(db, no, role=caller.role, staff_id=caller.staff_id)
        if len(reason) >= 4:
            return await _shown(request, use, caller, db, known, revealed=True)
        errors = {"reason": complaint(request, ReasonMissing())}
        return await _shown(request, use, caller, db, known, errors=errors, typed=form, opened="reveal")


@pages.post("/desk/accounts/{no}/link")
async def bind(
    no: No, request: Request, use: Use, caller: Annotated[Caller, requires(Permission.LINKS_MAKE)]
) -> Response:
    """A one-time link with its QR code that binds a customer's chat to the account; shown on this page only."""
    made = await links.make(no, request, use, caller)
    async with use.store.transaction() as db:
        found = await areas.account_for(db, no, role=caller.role, staff_id=caller.staff_id)
        return await _shown(request, use, caller, db, found, made=made)


Deed = Callable[[AsyncSession, Account, datetime], Awaitable[object]]


async def _change(
    no: str, request: Request, use: Services, caller: Caller, form: dict[str, str], deed: Deed, *,
    opened: str, said: str, field: str,
) -> Response:  # fmt: skip
    """Do something to an account; what is wrong stands beside `field` of the part that is `opened`."""
    async with use.store.transaction() as db:
        found = await areas.account_for(db, no, role=caller.role, staff_id=caller.staff_id, lock=True)
        try:
            await deed(db, found, use.clock.now())
        except DeskError as error:
            beside = {opened if isinstance(error, BadInput) else field: complaint(request, error)}
            return await _shown(request, use, caller, db, found, errors=beside, typed=form, opened=opened)
    return back(f"/desk/accounts/{found.no}", said)


@pages.post("/desk/accounts/{no}/tier")
async def change_tier(no: No, request: Request, use: Use, caller: Changer) -> Response:
    """Move the account to a tier in mid-year."""
    form = await written(request)

    async def deed(db: AsyncSession, found: Account, at: datetime) -> None:
        if form.get("tier") not in TIERS:
            raise BadInput(problems=[("", "missing", None)])
        await customers.set_tier(db, found, Tier(form["tier"]), reason=form.get("reason", ""), by=caller.name, at=at)

    return await _change(no, request, use, caller, form, deed, opened="tier", said="tier_changed", field="reason-tier")


@pages.post("/desk/accounts/{no}/designation")
async def designate(no: No, request: Request, use: Use, caller: Changer) -> Response:
    """Name the account important, or take that back; both with a reason."""
    form = await written(request)
    ends = form.get("act") == "end"
    verb = customers.end_designation if ends else customers.designate

    async def deed(db: AsyncSession, found: Account, at: datetime) -> None:
        await verb(db, found, reason=form.get("reason", ""), by=caller.name, at=at)

    said = "designation_ended" if ends else "designated"
    return await _change(
        no, request, use, caller, form, deed, opened="designation", said=said, field="reason-designation"
    )


@pages.post("/desk/accounts/{no}/proxy")
async def give_to_proxy(no: No, request: Request, use: Use, caller: Editor) -> Response:
    """Let a village electrician look after the account, or take it back from the one who does."""
    form = await written(request)
    ends = form.get("act") == "end"

    async def deed(db: AsyncSession, found: Account, at: datetime) -> None:
        proxy = None if ends else await staff.by_name(db, form.get("proxy", ""))
        await areas.give_to_proxy(db, [found], proxy, by=caller.name, at=at)

    said = "proxy_taken" if ends else "proxy_given"
    return await _change(no, request, use, caller, form, deed, opened="proxy", said=said, field="proxy")


@pages.post("/desk/accounts/{no}/coal-mine")
async def mark_coal_mine(no: No, request: Request, use: Use, caller: Editor) -> Response:
    """Mark the account as a coal mine, or no longer; both with a reason."""
    form = await written(request)
    coal_mine = form.get("coal_mine") == "yes"

    async def deed(db: AsyncSession, found: Account, at: datetime) -> None:
        await customers.set_coal_mine(db, found, coal_mine, reason=form.get("reason", ""), by=caller.name, at=at)

    said = "coal_mine_set" if coal_mine else "coal_mine_ended"
    return await _change(no, request, use, caller, form, deed, opened="coal_mine", said=said, field="reason-coal_mine")
