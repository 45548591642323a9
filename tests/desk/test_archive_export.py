"""What goes out of the archive comes in again unchanged; size costs time and not memory."""

import csv
import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import xlsxwriter  # type: ignore[import-untyped]
from sqlalchemy import text

from desk import archive_columns, customers
from desk.archive_export import export_file
from desk.store import Store
from tests.conftest import ROOT, SetClock
from tests.desk.test_archive import FULL, NO, fates, load, table, written

__all__ = ["table"]  # a fixture

# -- what goes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
@pytest.mark.parametrize("reveal", [True, False])
async def test_what_goes_out_comes_in_unchanged(
    suffix: str, reveal: bool, store: Store, clock: SetClock, table: Any, tmp_path: Path
) -> None:
    rows = [
        FULL | {"户名": '-重庆,"银行"'},
        FULL,
        {"户名": "张伟", "煤矿": "是"},
        {"户名": "@厂", "同意接收": "2025-03-01", "联系人": "李四"},
    ]
    await load(store, clock, table(*rows))
    path = tmp_path / f"out.{suffix}"
    assert await export_file(store, path, reveal=reveal) == 4
    report = await load(store, clock, path)
    assert fates(report) == (0, 0, 4, 0) and not report.unknown, report.problems
    assert bool(report.notes["masked"]) != reveal


async def test_an_export_fills_an_empty_archive_again(
    store: Store, clock: SetClock, table: Any, tmp_path: Path
) -> None:
    await load(store, clock, table(FULL, FULL, {"户名": "张伟"}, {"户名": "张伟"}))
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    await export_file(store, first, reveal=True)
    async with store.transaction() as db:
        await db.execute(text("TRUNCATE account, customer, area, contact CASCADE"))
    assert fates(await load(store, clock, first)) == (4, 0, 0, 0)
    await export_file(store, second, reveal=True)
    assert second.read_bytes() == first.read_bytes()


async def test_an_export_masks_persons_and_runs_no_formula(
    store: Store, clock: SetClock, table: Any, tmp_path: Path
) -> None:
    await load(store, clock, table(FULL | {"户名": "+cmd|' /C calc'!A0"}))
    path = tmp_path / "out.csv"
    await export_file(store, path)
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    row = next(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    assert (row["联系人"], row["联系电话"], row["户名"]) == ("张*", "199****0001", "'+cmd|' /C calc'!A0")
    assert (row["客户类别"], row["电源"], row["2025年购电金额(元)"]) == ("医院", "双电源", "123456.78")


async def test_holders_who_are_persons_are_masked_as_in_the_list_and_come_in_as_who_they_were(
    store: Store, clock: SetClock, table: Any, tmp_path: Path
) -> None:
    await load(store, clock, table({"户名": "张伟"}, {"户名": "阿里山", "客户名称": "李小明"}, {"户名": "恒丰纺织"}))
    path = tmp_path / "out.csv"
    await export_file(store, path)
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
    assert [(row["户名"], row["客户名称"]) for row in rows] == [("张*", ""), ("阿**", "李**"), ("恒丰纺织", "")]
    report = await load(store, clock, path)
    assert fates(report) == (0, 0, 3, 0) and report.notes["masked"] == 3
    async with store.transaction() as db:
        assert (await customers.account(db, NO)).name == "张伟"
        await db.execute(text("TRUNCATE account, customer CASCADE"))
    assert fates(await load(store, clock, path)) == (3, 0, 0, 0)
    async with store.transaction() as db:
        assert (await customers.account(db, NO)).name == "张*", "nothing better is known of it"


async def test_an_export_may_be_a_selection(store: Store, clock: SetClock, table: Any, tmp_path: Path) -> None:
    await load(store, clock, table({"煤矿": "是"}, {"煤矿": "否"}, {"户名": "长安"}))
    assert await export_file(store, tmp_path / "a.csv", flag="coal_mine") == 1
    assert await export_file(store, tmp_path / "b.xlsx", wanted="ca") == 1
    assert await export_file(store, tmp_path / "c.csv", proxy=0) == 0


async def test_a_word_of_every_code_is_understood_again() -> None:
    for field, known in archive_columns.words()["words"].items():
        for code in known:
            assert archive_columns.meanings(field)[archive_columns.bare(archive_columns.word(field, code))] == code
    for field in archive_columns.words()["headers"]:
        column = archive_columns.understand(archive_columns.header(field))
        assert column and column.field == field


# -- size -------------------------------------------------------------------------------------------------------------


MEASURE: Final = """
import asyncio, json, resource, sys, time
from pathlib import Path
from desk.archive import import_file
from desk.clock import SystemClock
from desk.store import Store

async def main():
    store = Store(sys.argv[1])
    said = []
    for file in sys.argv[2:]:
        began = time.monotonic()
        report = await import_file(store, Path(file), by="x", clock=SystemClock())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        said.append([report.new, report.unchanged, report.bad, time.monotonic() - began, peak])
    await store.close()
    print(json.dumps(said))

asyncio.run(main())
"""


def many(path: Path, rows: int) -> Path:
    """A file of so many accounts, none like another."""
    dice = random.Random(7)
    titles = [
        "户号",
        "户名",
        "客户名称",
        "用电地址",
        "合同容量(kVA)",
        "线路",
        "台区",
        "客户类别",
        "片区",
        "联系人",
        "联系电话",
    ]
    titles += [f"{year}年{what}" for year in (2024, 2025) for what in ("购电金额", "用电量", "用电月数")]

    def row(number: int) -> list[Any]:
        bought = [f"{dice.random() * 1e6:.2f}" for _ in range(4)]
        names = [f"金属制品厂{number}", f"金属集团{number // 3}", f"长安路{number}号", dice.randrange(50, 5000)]
        place = [f"线路{number % 400}", f"台区{number % 9000}", "工业", f"片区{number % 60}"]
        person = [f"张{number}", f"199{number:08}"]
        return [int(NO) + number, *names, *place, *person, *bought[:2], 12, *bought[2:], 12]

    if path.suffix == ".csv":
        return written(path, titles, *map(row, range(rows)))
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, titles)
        for number in range(rows):
            sheet.write_row(number + 1, 0, map(str, row(number)))
    return path


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_size_costs_time_and_not_memory(suffix: str, url: str, tmp_path: Path) -> None:
    small, large = many(tmp_path / f"small.{suffix}", 2_000), many(tmp_path / f"large.{suffix}", 20_000)
    finished = subprocess.run(
        [sys.executable, "-c", MEASURE, url, str(small), str(large)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = json.loads(finished.stdout)
    assert first[:3] == [2_000, 0, 0] and second[:3] == [18_000, 2_000, 0]
    assert second[3] < 60  # 100,000 must fit into a minute; this is a fifth on a busy machine
    assert second[4] - first[4] < 25, (first, second)  # MB
