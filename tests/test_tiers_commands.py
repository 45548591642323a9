"""`greenline tiers` as the hall's operator meets it: real processes on this test's database."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from desk import customers
from desk.store import Store
from tests.desk.purchases import Buyer, buy, no, stock
from tests.test_commands import greenline, refused

Tiers = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tiers(url: str, tmp_path: Path) -> Tiers:
    def run(*arguments: str, locale: str = "en") -> subprocess.CompletedProcess[str]:
        return greenline("tiers", *arguments, database_url=url, data_dir=str(tmp_path / "data"), locale=locale)

    return run


async def tier(store: Store, number: int) -> str:
    async with store.transaction() as db:
        return str((await customers.account(db, no(number))).tier)


def cells(output: str) -> list[list[str]]:
    """The rows of the tables, without their frames."""
    lines = [line[1:-1] for line in output.splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in line.replace("┃", "│").split("│")] for line in lines]


async def test_a_dry_run_prints_and_changes_nothing_and_the_real_one_is_done_once(store: Store, tiers: Tiers) -> None:
    buyers = [Buyer(1000 * number, kwh=48000) for number in range(200, 0, -1)]
    buyers[2] = buyers[1]  # ties over the cut of A
    buyers[199] = Buyer(0, 0, 0, category="hospital")
    await stock(store, buyers)

    dry = tiers("classify", "--year", "2027", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    found = cells(dry.stdout)
    for row in (
        ["A", "3", "2", "2"], ["B", "7", "8", "10"], ["C", "30", "30", "40"], ["D", "160", "160", ""],
        ["Large", "199"], ["Important", "1"], ["No purchase in the year", "1"],
        ["D", "A", "3"], ["D", "B", "7"], ["D", "C", "30"],
    ):  # fmt: skip
        assert row in found, dry.stdout
    assert "Tier A ends at rank 2; from rank 2 on, 2 accounts bought for ¥199,000.00 each" in dry.stdout
    assert f"{no(2)}, {no(3)}" in dry.stdout
    assert "Nothing was changed" in dry.stdout
    assert await tier(store, 1) == "D"

    done = tiers("classify", "--year", "2027")
    assert done.returncode == 0, done.stderr
    assert cells(done.stdout) == found
    assert "200 accounts, 40 moved up, 0 moved down" in done.stdout
    assert [await tier(store, number) for number in (1, 3, 4, 11, 41)] == ["A", "A", "B", "C", "D"]

    again = tiers("classify", "--year", "2027", locale="zh_CN")
    assert again.returncode == 0, again.stderr
    assert "2027 年的年度分类早已由" in again.stdout and "没有改动" in again.stdout

    near = tiers("near")
    assert near.returncode == 0
    listed = cells(near.stdout)
    assert listed[0] == ["Account no.", "Tier", "Rank", "Purchase (¥)", "Missing (¥)"]
    assert listed[1] == [no(4), "B", "4", "197,000.00", "2,000.00"]


def test_without_purchases_it_says_what_to_do(tiers: Tiers) -> None:
    refused(tiers("classify", "--year", "2027"), "2026")
    near = tiers("near")
    assert near.returncode == 0 and "nothing has been classified yet" in near.stdout


async def test_a_year_that_a_later_one_has_overtaken_is_refused(store: Store, tiers: Tiers) -> None:
    await stock(store, [Buyer(2), Buyer(1)])
    await buy(store, 2, 9, year=2025)
    assert tiers("classify", "--year", "2027").returncode == 0
    refused(tiers("classify", "--year", "2026"), "2027")
    dry = tiers("classify", "--year", "2026", "--dry-run")
    assert dry.returncode == 0 and ["D", "A", "1"] in cells(dry.stdout)
    assert [await tier(store, number) for number in (1, 2)] == ["A", "D"]
