"""Sample data: an invented city of 1,037 accounts on 12 feeders, always the same, loaded through the import.

Its words are `desk/data/city.toml`. 2025 has what an examination looks for: a tie at the 1 % cut, one account at
exactly 4000.0 kWh a month, a hospital at 300, accounts without any purchase.
"""

import hashlib
import random
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import archive, events
from desk.archive import ImportReport
from desk.archive_columns import header, word
from desk.archive_export import Value
from desk.clock import Clock
from desk.permissions import Role
from desk.sheets import CsvText
from desk.staff import Staff
from desk.store import Store

BY: Final = "demo"
IDLE: Final = 6  # accounts without purchases in the last year
_CENT: Final = Decimal("0.01")
_LARGEST: Final = 48_000_000  # yuan a year
_TAIL: Final = 1.22  # purchases fall with the rank's power
_COLUMNS: Final = (
    "no", "old_no", "name", "customer", "address", "voltage", "contract_kva", "running_kva", "sources", "feeder",
    "transformer_area", "substation", "industry", "category", "importance", "sector", "credit", "area", "office",
    "manager", "proxy", "terrain", "coal_mine", "contact", "phone", "role", "consent",
)  # fmt: skip


@dataclass
class _Made:
    """One account in the making: its cells, and how much it buys beside others."""

    cells: dict[str, Value]
    size: float
    special: bool = False


@cache
def city() -> dict[str, Any]:
    """The words the city is made of."""
    return tomllib.loads((resources.files("desk") / "data" / "city.toml").read_text(encoding="utf-8"))


class _Dice:
    """Chance that falls the same on every machine."""

    def __init__(self, seed: int) -> None:
        self.roll = random.Random(seed).random

    def one(self, words: list[Any]) -> Any:
        return words[int(self.roll() * len(words))]

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.roll()


def rows() -> Iterator[list[Value]]:
    """The city as a table: the header, then its accounts."""
    years = city()["years"]
    yield [*map(header, _COLUMNS), *(header(part, year) for year in years for part in ("amount", "kwh", "months"))]
    made = _accounts()
    for account, bought in zip(made, _purchases(made), strict=True):
        yield [*(account.cells.get(column) for column in _COLUMNS), *bought]


def _accounts() -> list[_Made]:
    words, dice = city()["words"], _Dice(city()["seed"])
    areas = {area["name"]: area for area in city()["areas"]}
    feeders = iter([feeder for area in areas.values() for feeder in area["feeders"]])
    brands = [a + b for a in words["brands_first"] for b in words["brands_second"]]
    made: list[_Made] = []
    taken: set[str] = set()
    for kind in city()["kinds"]:
        for _ in range(kind["count"]):
            number = len(made)
            area = areas[dice.one(kind["areas"])]
            name = _name(kind, words["places"], brands, dice, taken)
            low, high = kind["capacity"]
            share = dice.roll() ** 3  # few are big
            capacity = int((low + (high - low) * share) // 5 * 5)
            feeder = next(feeders, None) or dice.one(area["feeders"])
            area = next(a for a in areas.values() if feeder in a["feeders"])
            dual = dice.roll() < kind["dual"]
            cells: dict[str, Value] = {
                "no": str(city()["first_no"] + number),
                "old_no": str(2_000_000_000 + number * 7) if number % 3 == 0 else None,
                "name": name,
                "address": city()["address"].format(street=dice.one(area["streets"]), number=int(dice.between(1, 400))),
                "customer": dice.one(kind["groups"]) if "groups" in kind and dice.roll() < 0.15 else None,
                "voltage": kind["voltage"], "contract_kva": capacity,
                "running_kva": capacity if dice.roll() < 0.8 else int(capacity * 0.8),
                "sources": word("sources", "2" if dual else "1"), "feeder": feeder,
                "transformer_area": city()["transformer"].format(feeder=feeder, number=1 + number % 23),
                "substation": area["substation"],
                "industry": kind["industry"], "category": kind["category"], "importance": kind.get("importance"),
                "sector": None, "credit": None, "area": area["name"], "office": area["office"],
                "manager": area["manager"], "proxy": None, "terrain": area["terrain"],
                "coal_mine": word("coal_mine", "yes" if kind.get("coal_mine") else "no"),
                "contact": dice.one(words["family"]) + dice.one(words["given"]),
                "phone": str(city()["first_phone"] + number), "role": dice.one(words["positions"]),
                "consent": f"2025-{1 + number % 12:02}-{1 + number % 28:02}" if dice.roll() < 0.85 else None,
            }  # fmt: skip
            if cells["customer"] is None:
                cells |= {"sector": kind["sector"], "credit": dice.one(words["credits"])}
            if kind.get("proxied") and "proxies" in area:
                cells["proxy"] = dice.one(area["proxies"])
            made.append(_Made(cells, kind["weight"] * (0.15 + 6 * share) * dice.between(0.6, 1.6)))
    return _with_clinic(made)


def _name(kind: dict[str, Any], places: list[str], brands: list[str], dice: _Dice, taken: set[str]) -> str:
    """A name that nobody in the city has yet."""
    while True:
        name: str = dice.one(kind["names"]).format(place=dice.one(places), brand=dice.one(brands))
        if name not in taken:
            taken.add(name)
            return name


def _with_clinic(made: list[_Made]) -> list[_Made]:
    clinic = next(each for each in reversed(made) if each.cells["category"] == word("category", "hospital"))
    clinic.cells |= {"name": city()["special"]["hospital"], "contract_kva": 30, "running_kva": 30, "voltage": "380V"}
    clinic.special = True
    return made


def _purchases(made: list[_Made]) -> list[list[Value]]:
    """Amount, kWh and months of both years for every account."""
    special, dice = city()["special"], _Dice(city()["seed"] + 1)
    ranked = sorted((each for each in made if not each.special), key=lambda each: -each.size)
    buying, idle = ranked[:-IDLE], ranked[-IDLE:]
    amounts = [Decimal(round(_LARGEST / rank**_TAIL * 100)) / 100 for rank in range(1, len(buying) + 1)]
    tied = special["tied_rank"]
    amounts[tied] = amounts[tied - 1]
    bought: dict[int, list[Value]] = {}
    limit = min(range(len(amounts)), key=lambda rank: abs(amounts[rank] - special["large_kwh"] * Decimal("0.7")))
    for rank, (each, amount) in enumerate(zip(buying, amounts, strict=True)):
        months = 12 if rank % 97 else 7  # some were connected in the course of the year
        kwh = (amount / Decimal(str(round(dice.between(0.58, 0.82), 4)))).quantize(_CENT)
        if rank == limit:
            months, kwh = 12, Decimal(special["large_kwh"])
        before = [(part * Decimal(str(round(dice.between(0.85, 1.12), 4)))).quantize(_CENT) for part in (amount, kwh)]
        earlier: list[Value] = [None, None, None] if months < 12 else [*before, 12]
        bought[id(each)] = [*earlier, amount, kwh, months]
    for number, each in enumerate(idle):
        bought[id(each)] = [0, 0, 12, 0, 0, 12] if number % 2 else [None] * 6
    for each in made:
        if each.special:
            kwh = Decimal(special["hospital_kwh"])
            bought[id(each)] = [kwh * 2 / 3, kwh, 12, kwh * 2 / 3, kwh, 12]
    return [bought[id(each)] for each in made]


def table() -> bytes:
    """The city as a CSV file."""
    text = CsvText()
    for row in rows():
        text.row(row)
    return text.taken()


async def load(store: Store, *, clock: Clock) -> ImportReport | None:
    """Load the city; None when this very city is loaded already."""
    content = table()
    digest = hashlib.sha256(content).hexdigest()[:16]
    async with store.transaction() as db:
        if any(event.facts["digest"] == digest for event in await events.about(db, "demo", "demo.loaded")):
            return None
        await _staff(db, at=clock.now())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "city.csv"
        path.write_bytes(content)
        report = await archive.import_file(store, path, by=BY, clock=clock)
    async with store.transaction() as db:
        await events.record(db, "demo.loaded", "demo", by=BY, at=clock.now(), digest=digest)
    return report


async def _staff(db: AsyncSession, *, at: datetime) -> None:
    """Managers and proxies of the areas, who cannot sign in until somebody gives them a password."""
    wanted = [(area["manager"], Role.MANAGER) for area in city()["areas"]]
    wanted += [(name, Role.PROXY) for area in city()["areas"] for name in area.get("proxies", [])]
    lowered = [name.lower() for name, _ in wanted]
    known = set((await db.exec(select(func.lower(Staff.name)).where(func.lower(col(Staff.name)).in_(lowered)))).all())
    db.add_all([Staff(name=name, role=role, created_at=at) for name, role in wanted if name.lower() not in known])
