"""The invented city: always the same, with what an examination looks for, loaded once."""

import re
import time
from collections import Counter
from decimal import Decimal
from typing import Any, Final

from sqlmodel import col, select

from desk import customers, demo, tiers
from desk.areas import Area, manager_of
from desk.customers import CATEGORIES, Account, AccountYear
from desk.permissions import Role
from desk.staff import Staff
from desk.store import Store
from desk.tiers import Tier
from tests.conftest import SetClock

ACCOUNTS: Final = 1_037


async def loaded(store: Store) -> tuple[dict[int, Account], dict[int, AccountYear]]:
    async with store.transaction() as db:
        accounts = {found.id or 0: found for found in (await db.exec(select(Account))).all()}
        bought = (await db.exec(select(AccountYear).where(col(AccountYear.year) == 2025))).all()
    return accounts, {year.account_id: year for year in bought}


async def test_the_city_is_loaded_once_and_quickly(store: Store, clock: SetClock) -> None:
    began = time.monotonic()
    report = await demo.load(store, clock=clock)
    assert report and (report.new, report.bad, report.unknown, report.problems) == (ACCOUNTS, 0, (), [])
    assert not report.notes and time.monotonic() - began < 15  # 2 s alone
    before = await loaded(store)
    began = time.monotonic()
    assert await demo.load(store, clock=clock) is None
    assert await loaded(store) == before and time.monotonic() - began < 3


async def test_the_city_has_feeders_areas_managers_and_proxies(store: Store, clock: SetClock) -> None:
    await demo.load(store, clock=clock)
    accounts, _ = await loaded(store)
    assert len(accounts) == ACCOUNTS and len({found.feeder for found in accounts.values()}) == 12
    async with store.transaction() as db:
        areas = (await db.exec(select(Area))).all()
        staff = (await db.exec(select(Staff))).all()
        assert all([await manager_of(db, found) for found in list(accounts.values())[::100]])
    assert len(areas) == 6 and all(area.manager_id and area.office for area in areas)
    assert Counter(member.role for member in staff) == {Role.MANAGER: 6, Role.PROXY: 4}
    assert all(member.password is None for member in staff)
    served = [found for found in accounts.values() if found.proxy_id]
    assert len(served) > 300 and {found.terrain for found in served} == {"rural", "remote"}


async def test_the_city_has_what_an_examination_looks_for(store: Store, clock: SetClock) -> None:
    await demo.load(store, clock=clock)
    accounts, bought = await loaded(store)
    kinds = Counter(found.category for found in accounts.values())
    assert all(kinds[category] for category in CATEGORIES)
    assert all(found.important == (found.category in CATEGORIES) for found in accounts.values())
    assert sum(found.coal_mine for found in accounts.values()) == 1
    assert 30 < sum(found.sources == 2 for found in accounts.values()) < 150
    assert [found.category for found in accounts.values() if bought.get(found.id or 0, None) and bought[found.id or 0].kwh == 3600] == ["hospital"]  # fmt: skip
    exactly = [year for year in bought.values() if year.kwh == Decimal(4000) * year.months and year.kwh]
    assert [(year.kwh, year.months, tiers.is_large(year.kwh, year.months)) for year in exactly] == [(48000, 12, True)]


async def test_purchases_have_a_long_tail_and_a_tie_at_the_first_cut(store: Store, clock: SetClock) -> None:
    await demo.load(store, clock=clock)
    accounts, bought = await loaded(store)
    placings = tiers.place((key, bought[key].amount if key in bought else Decimal(0)) for key in accounts)
    counts = Counter(placing.tier for placing in placings)
    assert tiers.cuts(ACCOUNTS) == {Tier.A: 11, Tier.B: 52, Tier.C: 208}
    assert counts == {Tier.A: 12, Tier.B: 40, Tier.C: 156, Tier.D: 829}
    assert [placing.tied for placing in placings[:13]] == [0] * 10 + [1, 1, 0]
    amounts = [placing.amount for placing in placings]
    assert sum(amounts[:208]) > 4 * sum(amounts[208:]) and amounts.count(Decimal(0)) == demo.IDLE


def test_the_city_is_the_same_everywhere_and_invented() -> None:
    rows: list[list[Any]] = list(demo.rows())
    assert demo.table() == demo.table() and len(rows) == ACCOUNTS + 1
    title = {name: position for position, name in enumerate(rows[0])}
    assert len({row[title["户名"]] for row in rows[1:]}) == ACCOUNTS
    assert all(re.fullmatch(r"1990000\d{4}", row[title["联系电话"]]) for row in rows[1:])
    assert all(re.fullmatch(r"33099\d{8}", row[title["户号"]]) for row in rows[1:])


async def test_the_city_is_searched_by_initials(store: Store, clock: SetClock) -> None:
    await demo.load(store, clock=clock)
    async with store.transaction() as db:
        assert [found.coal_mine for found in await customers.find(db, "qsamk")] == [True]
