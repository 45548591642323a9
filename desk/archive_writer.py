"""Writing the archive: a batch of entries is compared with what is known, only new and different rows are written."""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import count, islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import erasures
from desk.archive_rows import Entry, Purchase
from desk.customers import CATEGORIES, haystack
from desk.erasures import Part
from desk.initials import initials
from desk.store import raw_connection

_PLAIN: Final = (  # account fields that a file gives as they are
    "old_no", "name", "address", "voltage", "contract_kva", "running_kva", "sources", "feeder", "transformer_area",
    "substation", "industry", "category", "importance", "terrain", "coal_mine", "standing",
)  # fmt: skip
_COMPARED: Final = (*_PLAIN, "bought", "customer_id", "area_id", "proxy_id", "important")
_AREA: Final = ("id", "name", "office", "manager_id")
_COLUMNS: Final = {  # in the order in which they refer to each other
    "customer": ("id", "name", "initials", "sector", "credit", "created_at"),
    "contact": ("id", "name", "phone", "created_at"),
    "account": ("id", "no", *_COMPARED, "initials", "haystack", "updated_at"),
    "account_contact": ("id", "account_id", "contact_id", "role", "how", "consent_at", "since", "ended_at"),
    "account_year": ("id", "account_id", "year", "amount", "kwh", "months"),
}
_FRESH: Final[dict[str, Any]] = {
    "old_no": None, "address": "", "voltage": "", "contract_kva": None, "running_kva": None, "sources": 1,
    "feeder": "", "transformer_area": "", "substation": "", "industry": "", "category": "", "importance": "",
    "terrain": "urban", "coal_mine": False, "standing": "active", "area_id": None, "proxy_id": None,
    "bought": Decimal(0),
}  # fmt: skip
_KNOWN: Final = text("""
SELECT a.*, c.name AS customer, c.sector, c.credit, c.created_at,
  NOT EXISTS (SELECT FROM account o WHERE o.customer_id = a.customer_id AND o.id <> a.id) AS alone,
  EXISTS (SELECT FROM designation d WHERE d.account_id = a.id AND d.ended_at IS NULL) AS designated,
  k.link_id, k.contact_id, k.contact, k.phone, k.role, k.consent_at, k.since
FROM account a JOIN customer c ON c.id = a.customer_id
LEFT JOIN LATERAL (
  SELECT l.id AS link_id, l.contact_id, p.name AS contact, p.phone, l.role, l.consent_at, l.since
  FROM account_contact l JOIN contact p ON p.id = l.contact_id
  WHERE l.account_id = a.id AND l.how = 'archive' AND l.ended_at IS NULL ORDER BY l.id LIMIT 1
) k ON true
WHERE a.no = ANY(:numbers)
""")
_HOLD: Final = text("SELECT id FROM account WHERE id = ANY(:accounts) ORDER BY id FOR NO KEY UPDATE")
_BOUGHT: Final = text(
    "SELECT account_id, year, id, amount, kwh, months FROM account_year WHERE account_id = ANY(:accounts)"
)
_LINKED: Final = text(
    "SELECT account_id, contact_id FROM account_contact WHERE account_id = ANY(:accounts) AND ended_at IS NULL"
)
_NAMED: Final = text(
    "SELECT DISTINCT ON (name) id, name, sector, credit, created_at FROM customer WHERE name = ANY(:names) "
    "ORDER BY name, id"
)
# only people known from the archive: a chat's contact is joined to an account by binding
_PEOPLE: Final = text("""
SELECT DISTINCT ON (c.name, c.phone) c.name, c.phone, c.id FROM contact c
JOIN unnest(CAST(:phones AS text[]), CAST(:names AS text[])) w (phone, name) ON c.phone = w.phone AND c.name = w.name
WHERE NOT EXISTS (SELECT FROM address a WHERE a.contact_id = c.id)
  AND EXISTS (SELECT FROM account_contact l WHERE l.contact_id = c.id AND l.how = 'archive')
ORDER BY c.name, c.phone, c.id
""")
_KEYS: Final = text("SELECT nextval(:sequence) FROM generate_series(1, :wanted)")


@dataclass
class Fates:
    """What became of the entries. `notes` counts what was left aside: unknown managers, contradictions and the like."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    notes: Counter[str] = field(default_factory=Counter)


@dataclass
class _Batch:
    """What the archive knows about one batch, and the rows that will be written, by table and key."""

    known: dict[str, dict[str, Any]]  # accounts by number, with customer and archive contact
    bought: dict[tuple[int, int], Any]  # account, year → id, amount, kwh, months
    customers: dict[str, dict[str, Any]]  # by name
    people: dict[tuple[str, str], int]  # name and phone of archive contacts
    linked: set[tuple[int, int]]  # account and contact
    erased: erasures.Marks
    rows: dict[str, dict[int, tuple[Any, ...]]] = field(default_factory=lambda: {table: {} for table in _COLUMNS})
    notes: Counter[str] = field(default_factory=Counter)
    new: int = 0
    changed: list[int] = field(default_factory=list)

    def amount(self, account: int, year: int, said: Purchase) -> Decimal:
        """Yuan of a year, after a row has said something about it."""
        had: Decimal = self.bought.get((account, year), (None, Decimal(0)))[1]
        return had if said.amount is None else said.amount

    def put(self, table: str, *row: Any) -> None:
        self.rows[table][row[0]] = row


class Writer:
    """Compares entries with the archive and writes what is new or different."""

    def __init__(self, db: AsyncSession, fates: Fates, *, at: datetime, zone: ZoneInfo, dry_run: bool) -> None:
        self._db, self._fates, self._at, self._zone, self._dry_run = db, fates, at, zone, dry_run
        self._areas: dict[str, dict[str, Any]] = {}
        self._staff: dict[tuple[str, str], int] = {}
        self._told: dict[tuple[str, Any, str], tuple[int, Any]] = {}  # what this file said first, and in which line
        self._ids: dict[str, deque[int]] = {table: deque() for table in (*_COLUMNS, "area")}
        self._invented = count(-1, -1)
        self._staged: set[str] = set()

    async def begin(self) -> None:
        """Load areas and staff, which are few."""
        found = await self._db.execute(text("SELECT id, name, office, manager_id FROM area"))
        self._areas = {row["name"]: dict(row) for row in found.mappings()}
        staff = await self._db.execute(text("SELECT name, role, id FROM staff WHERE disabled_at IS NULL"))
        self._staff = {(name, role): number for name, role, number in staff}

    async def write(self, entries: list[Entry]) -> None:
        """Take one batch into the archive and count its fates."""
        areas = await self._settle_areas(entries)
        batch = await self._compared(entries, areas)
        if not self._dry_run:
            if batch.changed:
                # somebody may be changing one of these right now: hold them and look again
                await self._db.execute(_HOLD, {"accounts": batch.changed})
                batch = await self._compared(entries, areas)
            for table, rows in batch.rows.items():
                await self._merge(table, _COLUMNS[table], list(rows.values()))
        self._fates.new += batch.new
        self._fates.changed += len(batch.changed)
        self._fates.unchanged += len(entries) - batch.new - len(batch.changed)
        self._fates.notes.update(batch.notes)

    async def _compared(self, entries: list[Entry], areas: set[int]) -> _Batch:
        batch = await self._look(entries)
        years = sum(len(entry.years) for entry in entries)
        for table in _COLUMNS:
            await self._reserve(table, years if table == "account_year" else len(entries))
        await asyncio.to_thread(self._compare, entries, areas, batch)
        return batch

    async def _look(self, entries: list[Entry]) -> _Batch:
        found = await self._db.execute(_KNOWN, {"numbers": [entry.no for entry in entries]})
        known = {row["no"]: dict(row) for row in found.mappings()}
        accounts = {"accounts": [row["id"] for row in known.values()]}
        years = await self._db.execute(_BOUGHT, accounts)
        links = await self._db.execute(_LINKED, accounts)
        # customers and people are looked up only where the archive does not have them at this account already
        names = {entry.facts.get("customer") for entry in entries} - {
            None,
            *(row["customer"] for row in known.values()),
        }
        customers = await self._db.execute(_NAMED, {"names": list(names)})
        said = {(entry.facts.get("phone", ""), entry.facts.get("contact", "")) for entry in entries}
        pairs = sorted(said - {(row["phone"], row["contact"]) for row in known.values()})
        people = await self._db.execute(_PEOPLE, {"phones": [p for p, _ in pairs], "names": [n for _, n in pairs]})
        return _Batch(
            known,
            {(account, year): rest for account, year, *rest in years},
            {row["customer"]: _customer_of(row) for row in known.values()}
            | {row["name"]: dict(row) for row in customers.mappings()},
            {(name, phone): number for name, phone, number in people},
            {(account, contact) for account, contact in links},
            await erasures.marks(self._db, accounts["accounts"]),
        )

    async def _reserve(self, table: str, wanted: int) -> None:
        """Have enough new keys at hand; a dry run makes do with invented ones."""
        ids = self._ids[table]
        if len(ids) >= wanted:
            return
        if self._dry_run:
            ids.extend(islice(self._invented, wanted - len(ids)))
        else:
            sequence = {"sequence": f"{table}_id_seq", "wanted": wanted - len(ids)}
            ids.extend((await self._db.execute(_KEYS, sequence)).scalars())

    async def _settle_areas(self, entries: list[Entry]) -> set[int]:
        """Make the areas that are new, complete the known ones; the lines that said something new about one."""
        lines: set[int] = set()
        rows: dict[int, tuple[Any, ...]] = {}
        for entry in entries:
            name = entry.facts.get("area")
            if name is None:
                continue
            area = self._areas.get(name)
            if area is None:
                await self._reserve("area", 1)
                area = self._areas[name] = {"id": self._ids["area"].popleft(), "office": "", "manager_id": None}
                rows[area["id"]] = (area["id"], name, "", None)
            before = dict(area)
            if office := self._first(entry, "area", name, "office"):
                area["office"] = office
            if manager := self._first(entry, "area", name, "manager"):
                number = self._staff.get((manager, "manager"))
                if number is None:
                    self._fates.notes["unknown_manager"] += 1
                elif area["manager_id"] is None:
                    area["manager_id"] = number
                elif area["manager_id"] != number:
                    self._fates.notes["other_manager"] += 1  # an area changes hands with notes, not by a file
            if area != before or area["id"] in rows:
                rows[area["id"]] = (area["id"], name, area["office"], area["manager_id"])
                lines.add(entry.line)
        if not self._dry_run:
            await self._merge("area", _AREA, list(rows.values()))
        return lines

    def _first(self, entry: Entry, kind: str, key: Any, part: str, notes: Counter[str] | None = None) -> Any:
        """What this file said first about a part of a customer or area: its rows cannot contradict each other."""
        said = entry.facts.get(part)
        if said is None:
            return None
        line, first = self._told.setdefault((kind, key, part), (entry.line, said))
        if first != said and line != entry.line and notes is not None:
            notes["contradiction"] += 1
        return first

    # -- one entry --

    def _compare(self, entries: list[Entry], areas: set[int], batch: _Batch) -> None:
        latest = {account: (year, had[1]) for (account, year), had in sorted(batch.bought.items())}
        for row_of_file in entries:
            entry, known = row_of_file, batch.known.get(row_of_file.no)
            if known and (passed := _erased(entry, batch.erased.get(known["id"], []))):
                batch.notes["erased_before"] += 1
                entry = replace(entry, facts={part: v for part, v in entry.facts.items() if part not in passed})
            account = known["id"] if known else self._ids["account"].popleft()
            row: dict[str, Any] = {
                # a new account keeps what is left of its name, a known one all of it
                **(known or _FRESH | {"name": entry.blotted}),
                **{part: entry.facts[part] for part in _PLAIN if part in entry.facts},
            }
            row["old_no"] = None if row["old_no"] == entry.no else row["old_no"]
            if area := entry.facts.get("area"):
                row["area_id"] = self._areas[area]["id"]
            if proxy := entry.facts.get("proxy"):
                number = self._staff.get((proxy, "proxy"))
                if number is None:
                    batch.notes["unknown_proxy"] += 1
                else:
                    row["proxy_id"] = number
            row["important"] = row["category"] in CATEGORIES or bool(known and known["designated"])
            other = entry.line in areas
            customer, renewed = self._customer(entry, known, row["name"], batch)
            row["customer_id"] = customer["id"]
            other |= renewed
            contact, renewed = self._contact(entry, known, account, batch)
            other |= renewed
            other |= self._years(entry, account, batch)
            said = [(year, batch.amount(account, year, bought)) for year, bought in entry.years.items()]
            # of one year the file counts, not what was known
            row["bought"] = max([*said, latest.get(account, (0, Decimal(0)))], key=lambda each: each[0])[1]
            if known is None:
                batch.new += 1
            elif other or any(row[part] != known[part] for part in _COMPARED):
                batch.changed.append(account)
            else:
                continue
            hay = haystack(entry.no, row["old_no"], row["name"], customer["name"], row["address"], *contact)
            batch.put(
                "account", account, entry.no, *(row[part] for part in _COMPARED), initials(row["name"]), hay, self._at
            )

    def _customer(
        self, entry: Entry, known: dict[str, Any] | None, account_name: str, batch: _Batch
    ) -> tuple[dict[str, Any], bool]:
        """The customer of an account, and whether it is new or renewed."""
        name, new = entry.facts.get("customer"), False
        customer: dict[str, Any] | None = None
        if known and name in (None, known["customer"]):
            customer = _customer_of(known)
            if name is None and known["alone"] and known["customer"] == known["name"]:
                customer["name"] = account_name
                new = account_name != known["name"]
        elif name is not None:
            customer = batch.customers.get(name)
        if customer is None:
            customer = {"id": self._ids["customer"].popleft(), "name": name or account_name, "created_at": self._at}
            customer |= {"sector": "", "credit": ""}
            new = True
        if name is not None:
            batch.customers[name] = customer
        for part in ("sector", "credit"):
            said = self._first(
                entry, "customer", name or (entry.no if not known else customer["id"]), part, batch.notes
            )
            if said is not None and customer[part] != said:
                customer[part], new = said, True
        if new:
            letters = initials(customer["name"])
            values = (customer[part] for part in ("sector", "credit", "created_at"))
            batch.put("customer", customer["id"], customer["name"], letters, *values)
        return customer, new

    def _contact(
        self, entry: Entry, known: dict[str, Any] | None, account: int, batch: _Batch
    ) -> tuple[tuple[str, str], bool]:
        """Name and phone of the archive's contact, and whether the row says something new about them."""
        had = known if known and known["link_id"] is not None else None
        before = (had["contact"], had["phone"]) if had else ("", "")
        name, phone = entry.facts.get("contact", before[0]), entry.facts.get("phone", before[1])
        if not name and not phone:
            return before, False
        role = entry.facts.get("role", had["role"] if had else "")
        consent = self._consent(entry, had["consent_at"] if had and phone == before[1] else None)
        if had and (name, phone) == before:
            if (role, consent) == (had["role"], had["consent_at"]):
                return before, False
            batch.put(
                "account_contact",
                had["link_id"],
                account,
                had["contact_id"],
                role,
                "archive",
                consent,
                had["since"],
                None,
            )
            return before, True
        if had:
            batch.put(
                "account_contact", had["link_id"], account, had["contact_id"], had["role"], "archive",
                had["consent_at"], had["since"], self._at,
            )  # fmt: skip
        person = batch.people.get((name, phone))
        if person is None:
            person = batch.people[(name, phone)] = self._ids["contact"].popleft()
            batch.put("contact", person, name, phone, self._at)
        if (account, person) not in batch.linked:
            link = self._ids["account_contact"].popleft()
            batch.put("account_contact", link, account, person, role, "archive", consent, self._at, None)
        return (name, phone), True

    def _consent(self, entry: Entry, before: datetime | None) -> datetime | None:
        said: bool | date | None = entry.facts.get("consent")
        if said is None or (said is True and before):
            return before
        if isinstance(said, bool):
            return self._at if said else None
        if before and before.astimezone(self._zone).date() == said:
            return before
        return datetime(said.year, said.month, said.day, tzinfo=self._zone)

    def _years(self, entry: Entry, account: int, batch: _Batch) -> bool:
        """Whether the row says something new about a year's purchase."""
        new = False
        for year, said in entry.years.items():
            had = batch.bought.get((account, year))
            key, amount, kwh, months = had or (None, Decimal(0), Decimal(0), 12)
            values = tuple(b if a is None else a for a, b in zip(_parts(said), (amount, kwh, months), strict=True))
            if key is None or values != (amount, kwh, months):
                batch.put("account_year", key or self._ids["account_year"].popleft(), account, year, *values)
                new = True
        return new

    async def _merge(self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        """Write rows by key in one statement."""
        if not rows:
            return
        listed = ", ".join(columns)
        connection = await raw_connection(self._db)
        async with connection.cursor() as cursor:
            if table not in self._staged:
                self._staged.add(table)
                await cursor.execute(
                    f"CREATE TEMP TABLE staged_{table} ON COMMIT DROP AS SELECT {listed} FROM {table} WITH NO DATA"
                )
            async with cursor.copy(f"COPY staged_{table} ({listed}) FROM STDIN") as copy:
                for row in rows:
                    await copy.write_row(row)
            renewed = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
            await cursor.execute(
                f"INSERT INTO {table} ({listed}) SELECT {listed} FROM staged_{table} "
                f"ON CONFLICT (id) DO UPDATE SET {renewed}"
            )
            await cursor.execute(f"TRUNCATE staged_{table}")


def _customer_of(known: dict[str, Any]) -> dict[str, Any]:
    """The customer within a known account."""
    return {"id": known["customer_id"], "name": known["customer"]} | {
        part: known[part] for part in ("sector", "credit", "created_at")
    }


def _erased(entry: Entry, marks: list[tuple[str, str, str]]) -> set[str]:
    """What an entry says about persons who were erased at its account."""
    if not marks:
        return set()
    name, contact, phone = (entry.facts.get(part, "") for part in ("name", "contact", "phone"))
    passed: set[str] = set()
    if erasures.erased(marks, *((Part.PHONE, phone) if phone else (Part.CONTACT, contact))):
        passed.update(("contact", "phone", "role", "consent"))
    if erasures.erased(marks, Part.HOLDER, name):
        passed.update(("name", "customer", "address"))
    return passed


def _parts(purchase: Purchase) -> tuple[Decimal | None, Decimal | None, int | None]:
    return purchase.amount, purchase.kwh, purchase.months
