"""Export of the archive with the headers that an import understands: what goes out can come in again, unchanged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import xlsxwriter  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import customers, masks, sheets
from desk.archive import ZONE
from desk.archive_columns import header, word
from desk.customers import Account
from desk.store import Store
from desk.tiers import Tier

Value = str | int | Decimal | None
BATCH: Final = 2_000
_FIELDS: Final = (
    "no", "old_no", "name", "customer", "address", "voltage", "contract_kva", "running_kva", "sources", "feeder",
    "transformer_area", "substation", "industry", "category", "importance", "sector", "credit", "area", "office",
    "manager", "proxy", "terrain", "coal_mine", "standing", "contact", "phone", "role", "consent",
)  # fmt: skip
_YEARLY: Final = ("amount", "kwh", "months")
_CODED: Final = frozenset(("sources", "category", "importance", "terrain", "standing", "coal_mine"))
_AROUND: Final = text("""
SELECT a.id, c.name AS customer, c.sector, c.credit, r.name AS area, r.office, m.name AS manager, p.name AS proxy,
  NOT EXISTS (SELECT FROM account o WHERE o.customer_id = a.customer_id AND o.id <> a.id) AS alone,
  k.contact, k.phone, k.role, k.consent_at
FROM account a JOIN customer c ON c.id = a.customer_id
LEFT JOIN area r ON r.id = a.area_id LEFT JOIN staff m ON m.id = r.manager_id LEFT JOIN staff p ON p.id = a.proxy_id
LEFT JOIN LATERAL (
  SELECT p.name AS contact, p.phone, l.role, l.consent_at
  FROM account_contact l JOIN contact p ON p.id = l.contact_id
  WHERE l.account_id = a.id AND l.how = 'archive' AND l.ended_at IS NULL ORDER BY l.id LIMIT 1
) k ON true
WHERE a.id = ANY(:accounts)
""")
_YEARS: Final = text("SELECT DISTINCT year FROM account_year ORDER BY year")
_BOUGHT: Final = text(
    "SELECT account_id, year, amount, kwh, months FROM account_year WHERE account_id = ANY(:accounts)"
)


async def export_rows(
    db: AsyncSession, *, reveal: bool = False, zone: ZoneInfo = ZONE, wanted: str = "",
    areas: list[int] | None = None, proxy: int | None = None, tier: Tier | None = None, flag: str | None = None,
    order: str = "",
) -> AsyncIterator[list[Value]]:  # fmt: skip
    """The header, then the accounts that `customers.find` finds, a batch at a time.

    Names of persons, holders too, phones and addresses are masked unless `reveal`; an import takes masked values for
    blank ones.
    """
    years = list((await db.execute(_YEARS)).scalars())
    yield [*map(header, _FIELDS), *(header(part, year) for year in years for part in _YEARLY)]
    after = ""
    while True:
        found = await customers.find(
            db, wanted, after=after or 0, limit=BATCH, areas=areas, proxy=proxy, tier=tier, flag=flag, order=order
        )
        if not found:
            return
        keys = {"accounts": [account.id for account in found]}
        around = {row["id"]: row for row in (await db.execute(_AROUND, keys)).mappings()}
        bought = {(account, year): rest for account, year, *rest in await db.execute(_BOUGHT, keys)}
        for account in found:
            row: list[Value] = _row(account, around[account.id], reveal=reveal, zone=zone)
            for year in years:
                row.extend(bought.get((account.id, year), (None, None, None)))
            yield row
        after = customers.cursor(found[-1], order)
        db.expunge_all()


def _row(account: Account, around: Any, *, reveal: bool, zone: ZoneInfo) -> list[Value]:
    values: dict[str, Any] = {**vars(account), **around}
    # an account that is a customer of its own needs no customer: by name it would be taken for another's of that name
    if around["alone"] and around["customer"] == account.name:
        values["customer"] = None
    consent: datetime | None = around["consent_at"]
    values["consent"] = consent.astimezone(zone).date().isoformat() if consent else None
    values["coal_mine"] = "yes" if account.coal_mine else "no"
    if not reveal:
        values["name"], values["customer"] = masks.holder(values["name"]), masks.holder(values["customer"] or "")
        values["contact"] = masks.person(values["contact"] or "")
        values["phone"] = masks.phone(values["phone"] or "")
        values["address"] = masks.address(values["address"])
    return [
        word(field, str(values[field])) if field in _CODED and values[field] else values[field] for field in _FIELDS
    ]


async def csv_pieces(rows: AsyncIterator[Sequence[Value]]) -> AsyncIterator[bytes]:
    """A CSV file in pieces."""
    text = sheets.CsvText()
    async for row in rows:
        if text.row(row) >= sheets.PIECE:
            yield text.taken()
            await asyncio.sleep(0)  # others want to be served meanwhile
    yield text.taken()


async def write_workbook(rows: AsyncIterator[Sequence[Value]], path: Path) -> int:
    """An Excel workbook, row by row; how many accounts it holds."""
    workbook = xlsxwriter.Workbook(
        str(path), {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    try:
        sheet = workbook.add_worksheet()
        bold = workbook.add_format({"bold": True})
        sheet.freeze_panes(1, 1)
        sheet.set_column(0, 3, 22)
        line = -1
        async for row in rows:
            line += 1
            for column, value in enumerate(row):
                if value is None or value == "":
                    continue
                if isinstance(value, str):
                    sheet.write_string(line, column, sheets.harmless(value), None if line else bold)
                else:
                    sheet.write_number(line, column, float(value))
            if line % BATCH == 0:
                await asyncio.sleep(0)
        return max(line, 0)
    finally:
        await asyncio.to_thread(workbook.close)


async def export_file(store: Store, path: Path, *, reveal: bool = False, zone: ZoneInfo = ZONE, **filters: Any) -> int:
    """Write the archive to an .xlsx or .csv file; how many accounts."""
    async with store.transaction() as db:
        rows = export_rows(db, reveal=reveal, zone=zone, **filters)
        if path.suffix.lower() == ".xlsx":
            return await write_workbook(rows, path)
        count = -1

        async def counted() -> AsyncIterator[list[Value]]:
            nonlocal count
            async for row in rows:
                count += 1
                yield row

        with path.open("wb") as file:
            async for piece in csv_pieces(counted()):
                file.write(piece)
        return max(count, 0)
