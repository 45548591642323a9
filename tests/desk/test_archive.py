"""The archive: files of any make go in, what is wrong in them is named, twice changes nothing, what goes out comes in."""

import csv
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import xlsxwriter  # type: ignore[import-untyped]
from sqlmodel import col, select

from desk import archive, customers, retention
from desk.archive import ImportReport
from desk.archive_rows import REASONS, Problem
from desk.areas import Area
from desk.attachments import Folder
from desk.conversations import Contact
from desk.customers import Account, AccountContact, AccountYear, Customer
from desk.erasures import ErasedMark
from desk.errors import MissingColumns, RepeatedColumns, UnreadableSheet
from desk.permissions import Role
from desk.staff import Staff
from desk.store import Store
from tests.conftest import ROOT, SetClock

FILES: Final = ROOT / "tests" / "data" / "archive"
NO: Final = "3300000000001"


async def load(store: Store, clock: SetClock, path: Path, **options: Any) -> ImportReport:
    return await archive.import_file(store, path, by="Lin", clock=clock, **options)


def written(path: Path, *rows: Iterable[object], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """A file with the columns 户号, 户名 and those named: `table({"联系电话": "…"}, …)`, one row each."""

    def make(*rows: dict[str, object], encoding: str = "utf-8") -> Path:
        titles = list(dict.fromkeys(["户号", "户名", *(title for row in rows for title in row)]))
        numbered = [
            {"户号": str(int(NO) + number), "户名": f"金属制品厂{number}"} | row for number, row in enumerate(rows)
        ]
        lines = [[row.get(title, "") for title in titles] for row in numbered]
        return written(tmp_path / "table.csv", titles, *lines, encoding=encoding)

    return make


async def account(store: Store, no: str = NO) -> Account:
    async with store.transaction() as db:
        return await customers.account(db, no)


async def years(store: Store) -> list[tuple[int, Decimal, Decimal, int]]:
    async with store.transaction() as db:
        found = await db.exec(select(AccountYear).order_by(col(AccountYear.account_id), col(AccountYear.year)))
        return [(year.year, year.amount, year.kwh, year.months) for year in found.all()]


async def contacts(store: Store) -> list[tuple[str, str, str, bool, bool]]:
    """Name, phone, role, whether they consented, whether they have ended."""
    async with store.transaction() as db:
        query = select(Contact, AccountContact).join(AccountContact, col(AccountContact.contact_id) == col(Contact.id))
        found = (await db.exec(query.order_by(col(AccountContact.id)))).all()
        return [
            (who.name, who.phone, link.role, link.consent_at is not None, link.ended_at is not None)
            for who, link in found
        ]


async def counted(store: Store, table: type[Any]) -> int:
    async with store.transaction() as db:
        return len((await db.exec(select(table))).all())


def fates(report: ImportReport) -> tuple[int, int, int, int]:
    return report.new, report.changed, report.unchanged, report.bad


def reasons(report: ImportReport) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.column, problem.reason) for problem in report.problems]


# -- what goes in -----------------------------------------------------------------------------------------------------


FULL: Final[dict[str, object]] = {
    "原户号": "1234567890", "客户名称": "重庆银行集团", "用电地址": "长安路1号", "供电电压": "10kV",
    "合同容量（kVA）": "1,250.5", "运行容量": "1000", "电源(单/双电源)": "双电源", "线路": "城南Ⅰ线", "台区": "T-7",
    "变电站": "城南变", "行业": "金融", "客户类别": "医院", "重要性等级": "一级", "行业部门": "卫生", "信用": "A",
    "片区": "城南片区", "片区管理所": "城南所", "客户经理": "陈晓", "村电工": "老赵", "城乡": "特殊边远", "煤矿": "否",
    "联系人": "张三", "联系电话": "+86 199-0000-0001", "联系人职务": "电工", "同意接收": "是",
    "2025年购电金额(万元)": "12.345678", "2025年用电量(kWh)": "48000", "2025年用电月数": "12",
    "2024-01电量": "10.1", "2024年2月电量": "20.25", "2024-03电量": "", "2024-01电费": "0.1", "2024-02电费": "0.2",
}  # fmt: skip


async def test_every_column_arrives_where_it_belongs(store: Store, clock: SetClock, table: Any) -> None:
    async with store.transaction() as db:
        db.add_all(
            [
                Staff(name="陈晓", role=Role.MANAGER, created_at=clock.now()),
                Staff(name="老赵", role=Role.PROXY, created_at=clock.now()),
            ]
        )
    report = await load(store, clock, table(FULL | {"户名": "重庆银行 长安支行", "负荷性质": "一类"}))
    assert fates(report) == (1, 0, 0, 0) and report.unknown == ("负荷性质",) and not report.notes
    found = await account(store)
    assert (found.old_no, found.name, found.address, found.voltage) == (
        "1234567890", "重庆银行 长安支行", "长安路1号", "10kV",
    )  # fmt: skip
    assert (found.contract_kva, found.running_kva, found.sources) == (Decimal("1250.5"), Decimal(1000), 2)
    assert (found.feeder, found.transformer_area, found.substation) == ("城南Ⅰ线", "T-7", "城南变")
    assert (found.industry, found.category, found.importance, found.terrain) == ("金融", "hospital", "first", "remote")
    assert (found.coal_mine, found.important, found.standing, found.tier) == (False, True, "active", "D")
    async with store.transaction() as db:
        customer, area = await db.get(Customer, found.customer_id), await db.get(Area, found.area_id)
        assert customer and area
        manager, proxy = await db.get(Staff, area.manager_id), await db.get(Staff, found.proxy_id)
    assert (customer.name, customer.initials, customer.sector, customer.credit) == (
        "重庆银行集团",
        "cqyhjt",
        "卫生",
        "A",
    )
    assert (area.name, area.office) == ("城南片区", "城南所")
    assert manager and manager.name == "陈晓" and proxy and proxy.name == "老赵"
    assert await contacts(store) == [("张三", "19900000001", "电工", True, False)]
    assert await years(store) == [
        (2024, Decimal("0.30"), Decimal("30.35"), 2),
        (2025, Decimal("123456.78"), Decimal(48000), 12),
    ]


@pytest.mark.parametrize(
    "wanted", [NO, "0000001", "1234567890", "重庆银行", "CQYH", "cqyhcazh", "长安路", "199000", "zs", "t－7 重庆"]
)
async def test_an_account_is_found_by_number_name_initials_and_phone(
    wanted: str, store: Store, clock: SetClock, table: Any
) -> None:
    await load(store, clock, table(FULL | {"户名": "重庆银行长安支行", "用电地址": "长安路1号 T-7"}, {"户名": "别家"}))
    async with store.transaction() as db:
        assert [found.no for found in await customers.find(db, wanted)] == [NO]


async def test_headers_are_understood_in_english_and_below_a_title(
    store: Store, clock: SetClock, tmp_path: Path
) -> None:
    path = written(
        tmp_path / "english.csv",
        ["Large customers 2025"],
        [],
        [
            "ACCOUNT  No.",
            "Account name",
            "Contract capacity (MVA)",
            "Supply Sources",
            "Category",
            "Coal mine",
            "Consent",
        ],
        [NO, "Hill Mine", "1.6", "dual", "Industrial", "yes", "2025-02-28"],
    )
    assert fates(await load(store, clock, path)) == (1, 0, 0, 0)
    found = await account(store)
    assert (found.contract_kva, found.sources, found.coal_mine, found.important) == (1600, 2, True, False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
async def test_the_encoding_is_recognised(encoding: str, store: Store, clock: SetClock, table: Any) -> None:
    report = await load(store, clock, table({"户名": "重庆第一医院"}, encoding=encoding))
    assert fates(report) == (1, 0, 0, 0)
    assert (await account(store)).name == "重庆第一医院"


@pytest.mark.parametrize("delimiter", [";", "\t"])
async def test_other_delimiters_are_recognised(delimiter: str, store: Store, clock: SetClock, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(delimiter.join(["户号", "户名"]) + "\n" + delimiter.join([NO, "甲,乙"]) + "\n", encoding="utf-8")
    await load(store, clock, path)
    assert (await account(store)).name == "甲,乙"


def workbook(path: Path, *rows: Iterable[Any]) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        for line, row in enumerate(rows):
            for column, value in enumerate(row):
                if isinstance(value, tuple):
                    sheet.write_formula(line, column, value[0], None, value[1])
                else:
                    sheet.write(line, column, value)
    return path


async def test_a_workbook_is_read_with_numbers_dates_and_computed_formulas(
    store: Store, clock: SetClock, tmp_path: Path
) -> None:
    path = workbook(
        tmp_path / "book.xlsx",
        ["户号", "户名", "合同容量", "2025年购电金额", "2025年用电量", "联系电话", "联系人", "同意日期", "变电站"],
        [3300000000001, "  金属 \n 制品厂 ", 315.0, ("=1+2", 3.3), 0.1 + 0.2, 19900000001, "张三", 45716, 12],
        [],
        ["3300000000002", "乙厂", "", "", "", "", "", "", "12.50"],
    )
    assert fates(await load(store, clock, path)) == (2, 0, 0, 0)
    found = await account(store)
    assert (found.name, found.contract_kva, found.substation) == ("金属 制品厂", 315, "12")
    assert await years(store) == [(2025, Decimal("3.30"), Decimal("0.30"), 12)]
    async with store.transaction() as db:
        link = (await db.exec(select(AccountContact))).one()
    assert link.consent_at == datetime(2025, 2, 27, 16, tzinfo=UTC)  # midnight in the service area


async def test_months_are_summed_exactly_and_cut_not_rounded(store: Store, clock: SetClock, table: Any) -> None:
    months = {f"2025-{month:02}电量": "0.1" for month in range(1, 13)} | {f"2025-{m:02}电费": "3.335" for m in (1, 2)}
    await load(store, clock, table(months, {"2025-01电量": "47999.999", "2025-02电量": "0"}))
    assert await years(store) == [
        (2025, Decimal("6.67"), Decimal("1.20"), 12),
        (2025, Decimal(0), Decimal("47999.99"), 2),
    ]


# -- what stays out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "value", "reason"),
    [
        ("户号", "", "missing"), ("户号", "123456789", "account_no"), ("户号", "12345678901234567", "account_no"),
        ("户号", "33000000000A1", "account_no"), ("户号", "1.234E+12", "notation"), ("户号", "１２３", "account_no"),
        ("户名", " ", "missing"), ("户名", "=HYPERLINK(1)", "formula"), ("户名", "#REF!", "error_value"),
        ("户名", "x" * 501, "too_long"), ("户名", "x" * 1_000_000, "too_long"), ("户名", "a\x00b", "control"),
        ("户名", "甲\n" * 300, "open_quote"), ("合同容量", "-1", "negative"), ("合同容量", "约100", "number"),
        ("合同容量", "NaN", "number"), ("合同容量", "1e12", "too_large"), ("合同容量", "1e999", "too_large"),
        ("2025年购电金额", "-0.01", "negative"), ("2025年用电月数", "13", "months"), ("2025年用电月数", "1.5", "months"),
        ("年份", "25", "year"), ("同意日期", "2025-02-30", "date"), ("同意日期", "31/12/2025", "date"),
        ("联系电话", "12345", "phone"), ("联系电话", "1990000000", "phone"), ("客户类别", "外星", "word"),
        ("电源", "5", "word"), ("城乡", "海上", "word"), ("煤矿", "也许", "word"), ("重要性等级", "九级", "word"),
        ("用电状态", "丢失", "word"),
    ],
)  # fmt: skip
async def test_a_bad_cell_keeps_its_row_out_and_is_named(
    title: str, value: str, reason: str, store: Store, clock: SetClock, table: Any
) -> None:
    report = await load(store, clock, table({title: value}, {"户名": "好厂"}))
    assert fates(report) == (1, 0, 0, 1)
    assert reasons(report) == [(2, title, reason)]
    assert len(report.problems[0].value) <= 60
    assert await counted(store, Account) == 1


@pytest.mark.parametrize(
    ("title", "value"),
    [
        ("户号", f"{NO}.0"), ("户号", "３３００００００００００１"), ("户号", f"'{NO}"), ("户号", " 3300 0000 0000 1"),
        ("合同容量", "￥1,250.00"), ("合同容量", "１２５０ kVA"), ("合同容量", "0"), ("联系电话", "021-5555 0001"),
        ("联系电话", "(0571)55550001"), ("联系电话", "400-000-0001"), ("联系电话", "55550001"), ("联系电话", "008619900000001"),
        ("同意日期", "2025年3月1日"), ("同意日期", "2025/3/1 0:00:00"), ("年份", "2025年"), ("煤矿", "√"), ("电源", "２"),
    ],
)  # fmt: skip
async def test_what_people_write_is_taken_as_they_mean_it(
    title: str, value: str, store: Store, clock: SetClock, table: Any
) -> None:
    report = await load(store, clock, table({title: value}))
    assert fates(report) == (1, 0, 0, 0), report.problems


async def test_the_second_row_of_an_account_is_bad_and_names_the_first(
    store: Store, clock: SetClock, table: Any
) -> None:
    report = await load(store, clock, table({"户名": "甲"}, {"户号": NO, "户名": "乙"}, {"户号": f"{NO}.0"}))
    assert [(p.line, p.reason, p.other) for p in report.problems] == [(3, "duplicate", 2), (4, "duplicate", 2)]
    assert (await account(store)).name == "甲"


async def test_every_problem_of_a_row_is_named(store: Store, clock: SetClock, table: Any) -> None:
    told: list[Problem] = []
    path = table({"合同容量": "?", "联系电话": "?", "煤矿": "?"})
    report = await load(store, clock, path, on_bad=told.append)
    assert report.bad == 1 and [p.reason for p in told] == ["number", "phone", "word"] == [
        p.reason for p in report.problems
    ]
    assert {p.reason for p in told} <= set(REASONS)


async def test_errors_uncomputed_formulas_and_lost_digits_in_a_workbook_are_refused(
    store: Store, clock: SetClock, tmp_path: Path
) -> None:
    path = workbook(
        tmp_path / "book.xlsx",
        ["户号", "户名", "合同容量"],
        ["3300000000001", "甲", ("=X!A1", "#REF!")],
        ["3300000000002", "乙", ("=A1", "")],
        [1234567890123456, "丙", 1],
        [1.5, "丁", 1],
        ["3300000000005", "x" * 30_000, 1],
        ["3300000000006", "戊", 1, "behind"],
    )
    report = await load(store, clock, path)
    assert [(p.line, p.reason) for p in report.problems] == [
        (2, "error_value"), (3, "formula"), (4, "precision"), (5, "account_no"), (6, "too_long"), (7, "extra_cells"),
    ]  # fmt: skip


async def test_purchases_need_their_year(store: Store, clock: SetClock, table: Any) -> None:
    report = await load(store, clock, table({"年份": "2025", "年电费": "7"}, {"年份": "", "年电费": "8"}))
    assert fates(report) == (1, 0, 0, 1) and reasons(report) == [(3, "年份", "missing")]
    with pytest.raises(MissingColumns) as refused:
        await load(store, clock, table({"年电费": "7"}))
    assert refused.value.facts["columns"] == ["年份"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnreadableSheet), (b"\n\n", MissingColumns), ("户号,地址\n1,2\n".encode(), MissingColumns),
        (b"a,b\n1,2\n", MissingColumns), (b"\xff\xff\x81\x20\xff,\n", UnreadableSheet),
        (b"PK\x03\x04 not really", UnreadableSheet), (b"\xd0\xcf\x11\xe0 not really", UnreadableSheet),
        ("户号,用户编号,户名\n".encode(), RepeatedColumns), ("户号,户名,2025-01电量,2025年1月电量\n".encode(), RepeatedColumns),
    ],
)  # fmt: skip
async def test_a_file_that_is_no_archive_is_refused(
    content: bytes, error: type[Exception], store: Store, clock: SetClock, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(error):
        await load(store, clock, path)


async def test_a_workbook_that_would_unpack_to_a_bomb_is_refused(store: Store, clock: SetClock, tmp_path: Path) -> None:
    entities = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    path = workbook(tmp_path / "book.xlsx", ["户号", "户名"], [NO, "甲"])
    spoiled = tmp_path / "spoiled.xlsx"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(spoiled, "w") as target:
        for name in source.namelist():
            content = source.read(name).decode()
            target.writestr(name, entities + content.split("?>", 1)[1] if "sheet1" in name else content)
    with pytest.raises(UnreadableSheet) as refused:
        await load(store, clock, spoiled)
    assert refused.value.facts["problem"] == "damaged"


async def test_a_unit_that_is_not_ours_is_reported_not_guessed(store: Store, clock: SetClock, table: Any) -> None:
    report = await load(store, clock, table({"合同容量(kW)": "100", "2025年购电金额(美元)": "5"}))
    assert report.unknown == ("合同容量(kW)", "2025年购电金额(美元)")
    assert (await account(store)).contract_kva is None and await years(store) == []


async def test_a_spoiled_file_gives_its_good_rows(store: Store, clock: SetClock) -> None:
    report = await load(store, clock, FILES / "spoiled.csv")
    assert report.encoding == "gb18030" and fates(report) == (3, 0, 0, 7)
    assert [(p.line, p.column, p.reason) for p in report.problems] == [
        (3, "同意日期", "date"), (4, "户号", "duplicate"), (5, "户名", "formula"), (6, "用电地址", "too_long"),
        (7, "年份", "year"), (8, "户号", "notation"), (10, "合同容量(kVA)", "negative"), (10, "联系电话", "phone"),
    ]  # fmt: skip


# -- after an erasure -------------------------------------------------------------------------------------------------


async def erase(store: Store, clock: SetClock, folder: Path) -> None:
    async with store.transaction() as db:
        await retention.erase_account(db, Folder(folder), NO, reason="asked", by="boss", at=clock.now())


async def test_an_old_file_does_not_bring_an_erased_person_back(
    store: Store, clock: SetClock, table: Any, tmp_path: Path
) -> None:
    person = {
        "户名": "张三丰",
        "联系人": "张三丰",
        "联系电话": "13900001111",
        "用电地址": "滨江路 8 号",
        "线路": "城东线",
    }
    path = table(person, {"联系人": "李四", "联系电话": "13900001111"})
    await load(store, clock, path)
    await erase(store, clock, tmp_path)
    for dry_run in (True, False, False):
        report = await load(store, clock, path, dry_run=dry_run)
        assert (report.unchanged, report.notes["erased_before"]) == (2, 1)
    held = await account(store)
    assert (held.name, held.address, held.initials, held.feeder) == (retention.ERASED, "", "", "城东线")
    assert "张三丰" not in held.haystack and "13900001111" not in held.haystack
    async with store.transaction() as db:
        people = {contact.name for contact in (await db.exec(select(Contact))).all()}
        marks = (await db.exec(select(ErasedMark))).all()
    assert people == {"", "李四"}, "who has the same number at another account is somebody else"
    assert sorted(mark.part for mark in marks) == ["contact", "holder", "phone"]
    assert not any("张三丰" in str(mark) or "13900001111" in str(mark) for mark in marks)


async def test_whoever_takes_over_an_erased_account_is_taken_in(
    store: Store, clock: SetClock, table: Any, tmp_path: Path
) -> None:
    await load(store, clock, table({"户名": "张三丰", "联系人": "张三丰", "联系电话": "13900001111"}))
    await erase(store, clock, tmp_path)
    report = await load(store, clock, table({"户名": "王小二", "联系人": "王小二", "联系电话": "13900002222"}))
    assert (report.changed, report.notes["erased_before"]) == (1, 0)
    assert (await account(store)).name == "王小二"


async def test_an_account_remembers_what_it_bought_in_the_latest_year(
    store: Store, clock: SetClock, table: Any
) -> None:
    for year, amount, latest in (
        ("2024", "70", "70"),
        ("2025", "50", "50"),
        ("2023", "90", "50"),
        ("2025", "60", "60"),
    ):
        await load(store, clock, table({"年份": year, "购电金额": amount, "用电量": "1"}))
        assert (await account(store)).bought == Decimal(latest)
    assert (await account(store)).initials == "jszpc0"
