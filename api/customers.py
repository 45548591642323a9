"""The archive over HTTP: search, one account, import with progress, export. Persons and phones are masked."""

import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel
from sqlmodel import col, select
from starlette.background import BackgroundTask

import templates
from api.access import No
from api.archive_commands import BadRows, reason
from api.callers import STORABLE, Caller, requires
from api.pages import language_of
from api.services import Services, Tx, Use
from desk import access, archive_export, archive_runs, areas, customers, masks
from desk.archive_rows import Problem
from desk.archive_runs import ArchiveRun, Stage
from desk.areas import Area
from desk.attachments import LARGEST
from desk.conversations import Contact
from desk.customers import Account, AccountContact, AccountYear, Customer
from desk.permissions import Permission, Role
from desk.sheets import PIECE
from desk.tiers import Tier

router = APIRouter(prefix="/api/v1", tags=["customers"])
Reader = Annotated[Caller, requires(Permission.CUSTOMERS_READ)]
Importer = Annotated[Caller, requires(Permission.CUSTOMERS_IMPORT)]
Exporter = Annotated[Caller, requires(Permission.CUSTOMERS_EXPORT)]
Words = Annotated[str, Query(max_length=200, pattern=STORABLE)]
Number = Annotated[str, Path(pattern=r"^[0-9a-f]{1,32}$")]
WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class Flag(StrEnum):
    """What an account can be besides its tier."""

    LARGE = "large"
    IMPORTANT = "important"
    COAL_MINE = "coal_mine"


class Kind(StrEnum):
    """Kinds of files that an export can be."""

    CSV = "csv"
    XLSX = "xlsx"


class AccountLine(BaseModel):
    """One account in a list."""

    no: str
    name: str
    customer: str
    address: str
    tier: Tier
    large: bool
    important: bool
    coal_mine: bool
    category: str
    area: str | None
    feeder: str
    standing: str


class AccountPage(BaseModel):
    """Accounts in the order in which they came in; `next` goes into `after`."""

    accounts: list[AccountLine]
    next: str | None


class ContactView(BaseModel):
    """Who may speak for an account, masked."""

    name: str
    phone: str
    role: str
    how: str
    consent_at: datetime | None
    since: datetime


class YearView(BaseModel):
    """What an account bought in one year: yuan, kWh, months in service."""

    year: int
    amount: Decimal
    kwh: Decimal
    months: int


class AccountView(AccountLine):
    """One account, its persons masked."""

    old_no: str | None
    voltage: str
    contract_kva: Decimal | None
    running_kva: Decimal | None
    sources: int
    transformer_area: str
    substation: str
    industry: str
    sector: str
    credit: str
    importance: str
    terrain: str
    office: str | None
    manager: str | None
    proxy: str | None
    contacts: list[ContactView]
    years: list[YearView]
    updated_at: datetime


class ProblemView(BaseModel):
    """Why a row stayed out: a stable code and its words."""

    line: int
    column: str
    code: str
    reason: str
    value: str


class Refusal(BaseModel):
    """Why a whole file cannot be used."""

    code: str
    title: str
    detail: str


class ImportView(BaseModel):
    """One import. `done` of about `total` rows; the others count what became of them."""

    id: str
    name: str
    dry_run: bool
    stage: Stage
    by: str
    created_at: datetime
    finished_at: datetime | None
    total: int | None
    done: int
    new: int
    changed: int
    unchanged: int
    bad: int
    unknown: list[str]
    notes: dict[str, int]
    problems: list[ProblemView]
    refusal: Refusal | None


def _sees(caller: Caller) -> dict[str, Any]:
    """What `customers.find` may give: a village electrician sees the accounts they serve, everybody else all."""
    return {"proxy": caller.staff_id or 0} if caller.role == Role.PROXY else {}


@router.get("/customers")
async def search(
    db: Tx,
    caller: Reader,
    q: Words = "",
    tier: Tier | None = None,
    flag: Flag | None = None,
    area: Annotated[int | None, Query(ge=1, lt=2**62)] = None,
    sort: Annotated[str, Query(pattern="^-?(no|name|tier|bought|running)$|^$")] = "",
    after: Annotated[str | None, Query(max_length=600, pattern=STORABLE)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> AccountPage:
    """Accounts whose number, name, pinyin initials or phone contain every word of `q`; `-` before `sort`: reversed."""
    found = await customers.find(
        db, q, after=after or 0, limit=limit, tier=tier, flag=flag, areas=[area] if area else None, order=sort,
        **_sees(caller),
    )  # fmt: skip
    query = select(Account.id, Customer.name, Area.name).join(Customer, col(Customer.id) == col(Account.customer_id))
    query = query.outerjoin(Area, col(Area.id) == col(Account.area_id))
    around = await db.exec(query.where(col(Account.id).in_([account.id for account in found])))
    names = {number: (customer, area_name) for number, customer, area_name in around.all()}
    lines = [AccountLine(**_line(account, *names[account.id])) for account in found]
    return AccountPage(accounts=lines, next=customers.cursor(found[-1], sort) if len(found) == limit else None)


def _line(account: Account, customer: str, area: str | None) -> dict[str, Any]:
    return {
        "no": account.no, "name": masks.holder(account.name), "customer": masks.holder(customer), "area": area,
        "address": masks.address(account.address), "tier": account.tier, "large": account.large,
        "important": account.important, "coal_mine": account.coal_mine, "category": account.category,
        "feeder": account.feeder, "standing": account.standing,
    }  # fmt: skip


@router.get("/customers/export")
async def export(
    request: Request,
    use: Use,
    caller: Exporter,
    kind: Kind = Kind.XLSX,
    q: Words = "",
    tier: Tier | None = None,
    flag: Flag | None = None,
) -> Response:
    """The archive as a file that an import understands; persons, phones and addresses are masked."""
    filters = {"wanted": q, "tier": tier, "flag": flag, "zone": use.settings.zone, **_sees(caller)}
    async with use.store.transaction() as db:
        told = " ".join(filter(None, (q, tier, flag))) or access.ALL
        await access.exported(db, by=caller.name, role=caller.role, reason=told, at=use.clock.now())
    named = {"Content-Disposition": f'attachment; filename="customers.{kind}"'}
    if kind == Kind.CSV:
        return StreamingResponse(_csv(use, filters), media_type="text/csv; charset=utf-8", headers=named)
    folder = tempfile.TemporaryDirectory(prefix="greenline-")
    path = File(folder.name) / "customers.xlsx"
    try:
        await archive_export.export_file(use.store, path, **filters)
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(path, media_type=WORKBOOK, headers=named, background=BackgroundTask(folder.cleanup))


async def _csv(use: Services, filters: dict[str, Any]) -> AsyncIterator[bytes]:
    async with use.store.transaction() as db:
        async for piece in archive_export.csv_pieces(archive_export.export_rows(db, **filters)):
            yield piece


@router.post("/customers/imports", status_code=202)
async def begin_import(
    request: Request,
    response: Response,
    use: Use,
    caller: Importer,
    file: UploadFile,
    dry_run: Annotated[bool, Form()] = False,
) -> ImportView:
    """Take a file of at most 20 MB into the archive, behind this request; its row says how far it is."""
    content = await file.read(LARGEST + 1)
    name = " ".join((file.filename or "file").replace("\x00", "").split())[-120:]
    async with use.store.transaction() as db:
        run = await archive_runs.begin(
            db, use.storage, name=name, content=content, dry_run=dry_run, by=caller.name, at=use.clock.now()
        )
    response.headers["Location"] = f"/api/v1/customers/imports/{run.id}"
    return shown(run, language_of(request))


@router.get("/customers/imports/{number}")
async def progress(number: Number, request: Request, db: Tx, caller: Importer) -> ImportView:
    """How far an import is, and what became of its rows."""
    return shown(await archive_runs.find(db, number), language_of(request))


@router.get("/customers/imports/{number}/bad.csv")
async def bad(number: Number, request: Request, use: Use, db: Tx, caller: Importer) -> Response:
    """Everything that is wrong with the file, as a file."""
    run = await archive_runs.find(db, number)
    problems = await archive_runs.bad_rows(use.storage, run)

    async def pieces() -> AsyncIterator[bytes]:
        rows = BadRows(language_of(request))
        for problem in problems:
            if rows.add(problem) > PIECE:
                yield rows.taken()
        yield rows.taken()

    named = {"Content-Disposition": f'attachment; filename="bad-{run.id[:8]}.csv"'}
    return StreamingResponse(pieces(), media_type="text/csv; charset=utf-8", headers=named)


def shown(run: ArchiveRun, language: str) -> ImportView:
    """An import in words."""
    report, counts = run.report, ("done", "new", "changed", "unchanged", "bad")
    problems = [Problem(**each) for each in report.get("problems", [])]
    refusal = None
    if run.error:
        title, detail = templates.error_words(run.error["names"], language, **run.error["facts"])
        code = "".join(f"_{c.lower()}" if c.isupper() else c for c in run.error["names"][0]).lstrip("_")
        refusal = Refusal(code=code, title=title, detail=detail)
    return ImportView(
        id=run.id, name=run.name, dry_run=run.dry_run, stage=Stage(run.stage), by=run.by, created_at=run.created_at,
        finished_at=run.finished_at, total=report.get("total"), unknown=report.get("unknown", []),
        notes=report.get("notes", {}), refusal=refusal,
        problems=[
            ProblemView(line=p.line, column=p.column, code=p.reason, reason=reason(p, language), value=p.value)
            for p in problems
        ],
        **{count: report.get(count, 0) for count in counts},
    )  # fmt: skip


@router.get("/accounts/{no}")
async def account(no: No, db: Tx, caller: Reader) -> AccountView:
    """One account: flags, tier, who answers for it, purchases, contacts masked."""
    found = await areas.account_for(db, no, role=caller.role, staff_id=caller.staff_id)
    customer = await db.get(Customer, found.customer_id)
    area = await db.get(Area, found.area_id) if found.area_id is not None else None
    manager, proxy = await areas.named_manager(db, found), await areas.proxy_of(db, found)
    assert customer is not None
    people = select(Contact, AccountContact).join(AccountContact, col(AccountContact.contact_id) == col(Contact.id))
    people = people.where(col(AccountContact.account_id) == found.id, col(AccountContact.ended_at).is_(None))
    years = select(AccountYear).where(col(AccountYear.account_id) == found.id).order_by(col(AccountYear.year).desc())
    return AccountView(
        **_line(found, customer.name, area.name if area else None),
        old_no=found.old_no, voltage=found.voltage, contract_kva=found.contract_kva, running_kva=found.running_kva,
        sources=found.sources, transformer_area=found.transformer_area, substation=found.substation,
        industry=found.industry, sector=customer.sector, credit=customer.credit, importance=found.importance,
        terrain=found.terrain, office=area.office if area else None, manager=manager.name if manager else None,
        proxy=proxy.name if proxy else None, updated_at=found.updated_at,
        contacts=[
            ContactView(
                name=masks.person(who.name), phone=masks.phone(who.phone), role=link.role, how=link.how,
                consent_at=link.consent_at, since=link.since,
            )
            for who, link in (await db.exec(people.order_by(col(AccountContact.id)))).all()
        ],
        years=[
            YearView(year=year.year, amount=year.amount, kwh=year.kwh, months=year.months)
            for year in (await db.exec(years)).all()
        ],
    )  # fmt: skip
