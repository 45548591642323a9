"""Importing again: nothing changes by itself, one cell changes one account, a failure leaves nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select

from desk import archive, classification, customers, events
from desk.archive import ImportReport
from desk.areas import Area
from desk.customers import Account, Customer
from desk.permissions import Role
from desk.staff import Staff
from desk.store import Store
from tests.conftest import SetClock
from tests.desk.test_archive import FULL, NO, account, contacts, counted, fates, load, table, written

__all__ = ["table"]  # a fixture


async def test_the_same_file_twice_changes_nothing(store: Store, clock: SetClock, table: Any) -> None:
    path = table(FULL, FULL | {"户名": "长安支行"}, {"联系人": "李四"})
    assert fates(await load(store, clock, path)) == (3, 0, 0, 0)
    before = await everything(store)
    clock.forward(days=1)
    assert fates(await load(store, clock, path)) == (0, 0, 3, 0)
    assert await everything(store) == before
    async with store.transaction() as db:
        told = await events.about(db, "archive", "archive.imported")
    assert [event.facts["new"] for event in told] == [3]


async def everything(store: Store) -> list[Any]:
    tables = ("account", "customer", "area", "contact", "account_contact", "account_year")
    async with store.transaction() as db:
        return [(await db.execute(text(f"SELECT * FROM {table} ORDER BY id"))).all() for table in tables]


async def test_a_dry_run_reports_the_same_and_writes_nothing(store: Store, clock: SetClock, table: Any) -> None:
    path = table(FULL, {"户名": "长安支行", "片区": "新片区"}, {"运行容量": "?"})
    before = await everything(store)
    report = await load(store, clock, path, dry_run=True)
    assert fates(report) == (2, 0, 0, 1) and await everything(store) == before
    await load(store, clock, path)
    assert fates(await load(store, clock, path, dry_run=True)) == (0, 0, 2, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"用电地址": "长安路2号"}, {"客户名称": "长安集团"}, {"行业部门": "教育"}, {"片区": "城北片区"}, {"片区管理所": "城北所"},
        {"联系电话": "19900000002"}, {"联系人职务": "厂长"}, {"同意接收": "否"}, {"2025年用电量(kWh)": "1"}, {"客户类别": "商业"},
    ],
)  # fmt: skip
async def test_one_changed_cell_changes_one_account(
    change: dict[str, object], store: Store, clock: SetClock, table: Any
) -> None:
    await load(store, clock, table(FULL, {}))
    path = table(FULL | change, {})
    assert fates(await load(store, clock, path)) == (0, 1, 1, 0)
    assert fates(await load(store, clock, path)) == (0, 0, 2, 0)


async def test_a_blank_cell_leaves_what_is_known(store: Store, clock: SetClock, table: Any) -> None:
    await load(store, clock, table(FULL))
    before = await everything(store)
    report = await load(store, clock, table(dict.fromkeys(FULL, "") | {"户名": "金属制品厂0"}))
    assert fates(report) == (0, 0, 1, 0) and await everything(store) == before


async def test_a_new_phone_ends_the_former_contact_and_its_consent(store: Store, clock: SetClock, table: Any) -> None:
    await load(store, clock, table(FULL))
    await load(store, clock, table({"联系电话": "19900000002"}))
    assert await contacts(store) == [
        ("张三", "19900000001", "电工", True, True),
        ("张三", "19900000002", "电工", False, False),
    ]


async def test_accounts_of_one_customer_name_belong_together_and_others_do_not(
    store: Store, clock: SetClock, table: Any
) -> None:
    rows = [{"客户名称": "甲集团"}, {"客户名称": "甲集团"}, {"户名": "张伟"}, {"户名": "张伟"}]
    await load(store, clock, table(*rows))
    owners = [(await account(store, str(int(NO) + number))).customer_id for number in range(4)]
    assert owners[0] == owners[1] and len(set(owners)) == 3


async def test_a_customer_of_its_own_is_renamed_with_its_account(store: Store, clock: SetClock, table: Any) -> None:
    await load(store, clock, table({"户名": "旧厂"}))
    assert fates(await load(store, clock, table({"户名": "新厂"}))) == (0, 1, 0, 0)
    async with store.transaction() as db:
        assert (await db.exec(select(Customer.name))).all() == ["新厂"]
        assert [found.no for found in await customers.find(db, "xc")] == [NO]


async def test_rows_that_contradict_each_other_about_their_customer_settle_at_once(
    store: Store, clock: SetClock, table: Any
) -> None:
    path = table({"客户名称": "甲集团", "信用": "A"}, {"客户名称": "甲集团", "信用": "B"})
    report = await load(store, clock, path)
    assert fates(report) == (2, 0, 0, 0) and report.notes == {"contradiction": 1}
    assert fates(await load(store, clock, path)) == (0, 0, 2, 0)


async def test_unknown_managers_and_a_change_of_manager_are_left_to_people(
    store: Store, clock: SetClock, table: Any
) -> None:
    async with store.transaction() as db:
        db.add_all([Staff(name=name, role=Role.MANAGER, created_at=clock.now()) for name in ("甲", "乙")])
    await load(store, clock, table({"片区": "城南", "客户经理": "甲"}))
    report = await load(store, clock, table({"片区": "城南", "客户经理": "乙", "村电工": "无名"}))
    assert report.notes == {"other_manager": 1, "unknown_proxy": 1} and report.unchanged == 1


async def test_a_designated_account_stays_important_whatever_its_category(
    store: Store, clock: SetClock, table: Any
) -> None:
    await load(store, clock, table({"客户类别": "工业"}))
    async with store.transaction() as db:
        found = await customers.account(db, NO, lock=True)
        await customers.designate(db, found, reason="Festival", by="Lin", at=clock.now())
    await load(store, clock, table({"客户类别": "商业"}))
    assert (await account(store)).important


async def test_a_failure_in_the_middle_leaves_nothing(
    store: Store, clock: SetClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH", 10)
    path = written(tmp_path / "f.csv", ["户号", "户名"], *[[int(NO) + n, f"厂{n}"] for n in range(50)])

    async def die(report: ImportReport) -> None:
        if report.done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await load(store, clock, path, progress=die)
    assert await counted(store, Account) == await counted(store, Customer) == 0
    assert fates(await load(store, clock, path)) == (50, 0, 0, 0)


async def test_batches_are_one_file_and_progress_is_told(
    store: Store, clock: SetClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH", 10)
    rows = [[int(NO) + n, f"厂{n}", f"集团{n % 15}", f"片区{n % 7}"] for n in range(25)]
    path = written(tmp_path / "f.csv", ["户号", "户名", "客户名称", "片区"], *rows)
    told: list[tuple[int, int | None]] = []

    async def tell(report: ImportReport) -> None:
        told.append((report.done, report.total))

    assert fates(await load(store, clock, path, progress=tell)) == (25, 0, 0, 0)
    assert told == [(0, 25), (10, 25), (20, 25), (25, 25)]
    assert await counted(store, Customer) == 15 and await counted(store, Area) == 7
    assert fates(await load(store, clock, path)) == (0, 0, 25, 0)


async def test_two_imports_at_once_wait_for_each_other(
    store: Store, clock: SetClock, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH", 1)
    path = table(FULL, {"客户名称": "甲集团"}, {"客户名称": "甲集团"})
    first, second = await asyncio.gather(load(store, clock, path), load(store, clock, path))
    assert sorted([fates(first), fates(second)]) == [(0, 0, 3, 0), (3, 0, 0, 0)]
    assert await counted(store, Customer) == 2


async def test_an_import_and_the_confirmation_of_a_classification_wait_for_each_other(
    store: Store, clock: SetClock, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH", 20)  # many batches, and the file is sorted the other way round

    def rows(year: int, voltage: str) -> list[dict[str, object]]:
        bought = [
            {"年份": year, "购电金额": (n * 7 + year * 53) % 211, "用电量": 1, "供电电压": voltage} for n in range(200)
        ]
        return [{"户号": str(int(NO) + n)} | row for n, row in enumerate(bought)][::-1]

    await load(store, clock, table(*rows(2020, "0 kV")[::-1]))
    for year in range(2021, 2026):
        path = table(*rows(year, f"{year} V"))
        async with store.transaction() as db:
            await classification.propose(db, year, by="Lin", at=clock.now())

        async def confirm(year: int = year) -> None:
            async with store.transaction() as db:
                await classification.confirm(db, year, by="Lin", at=clock.now())

        confirming: list[asyncio.Task[None]] = []

        async def meet(report: ImportReport, confirm: Any = confirm, confirming: Any = confirming) -> None:
            """When the import holds its first accounts, somebody confirms, and has to wait for it."""
            if report.done and not confirming:
                confirming.append(asyncio.create_task(confirm()))
                async with store.transaction() as db:
                    while not await db.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")):
                        assert not confirming[0].done()

        report = await load(store, clock, path, progress=meet)
        await confirming[0]
        assert (report.changed, report.bad) == (200, 0)
        async with store.transaction() as db:
            run = await classification.of(db, year)
            lines = await classification.lines(db, run, limit=300)
        assert run.stage == classification.Stage.CONFIRMED
        assert all(held.tier == line.tier and held.voltage == f"{year} V" for line, held in lines)
