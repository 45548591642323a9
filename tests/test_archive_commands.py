"""`greenline customers` and `demo` as an operator meets them: real processes, also beside a running service."""

import csv
import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
import pytest

from desk import access
from desk.store import Store
from tests.conftest import ROOT, Process
from tests.test_commands import greenline, refused

SPOILED: Final = str(ROOT / "tests" / "data" / "archive" / "spoiled.csv")
NUMBERS: Final = ("new", "changed", "unchanged", "Bad, left out")


def counts(said: str) -> list[int]:
    """New, changed, unchanged and bad, as the summary shows them."""
    lines = [line.strip() for line in said.splitlines()]
    return [int(next(line for line in lines if line.startswith(name)).split()[-1].replace(",", "")) for name in NUMBERS]


@pytest.fixture
def settings(url: str, tmp_path: Path) -> dict[str, str]:
    return {"database_url": url, "data_dir": str(tmp_path / "process"), "locale": "en"}


def test_a_spoiled_file_goes_in_with_its_good_rows_and_a_report(settings: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "bad.csv"
    tried = greenline("customers", "import", SPOILED, "--dry-run", **settings)
    assert tried.returncode == 0 and "Nothing was written" in tried.stdout and counts(tried.stdout) == [3, 0, 0, 7]
    done = greenline("customers", "import", SPOILED, "--report", str(report), **settings)
    assert done.returncode == 0, done.stderr
    assert counts(done.stdout) == [3, 0, 0, 7] and f"every reason is in {report}" in done.stdout
    assert "Same account as in row 2" in done.stdout and "2025-02-30" in done.stdout
    with report.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["Row", "Column", "Reason", "Code", "Content"] and len(rows) == 9
    again = greenline("customers", "import", SPOILED, **settings)
    assert counts(again.stdout) == [0, 0, 3, 7] and "--report" in again.stdout


def test_a_file_that_is_no_archive_is_refused_in_two_languages(settings: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "no.csv"
    path.write_text("a,b\n1,2\n")
    refused(greenline("customers", "import", str(path), **settings), "户号")


def test_what_is_exported_comes_in_again(settings: dict[str, str], tmp_path: Path) -> None:
    greenline("customers", "import", SPOILED, **settings)
    for name in ("out.xlsx", "out.csv"):
        exported = greenline("customers", "export", str(tmp_path / name), "--reveal", **settings)
        assert exported.returncode == 0 and "Exported 3 accounts" in exported.stdout, exported.stderr
        back = greenline("customers", "import", str(tmp_path / name), **settings)
        assert counts(back.stdout) == [0, 0, 3, 0]
    assert greenline("customers", "export", str(tmp_path / "out.pdf"), **settings).returncode == 2


async def test_an_export_is_in_the_access_log_and_one_with_names_is_a_reveal(
    settings: dict[str, str], tmp_path: Path, store: Store
) -> None:
    greenline("customers", "import", SPOILED, **settings)
    for more in ((), ("--search", "3300000000101"), ("--reveal",)):
        assert greenline("customers", "export", str(tmp_path / "out.csv"), *more, **settings).returncode == 0
    async with store.transaction() as db:
        lines = (await access.read(db))[::-1]
    assert [(line.action, line.reason, line.role) for line in lines] == [
        ("customers.export", "*", ""), ("customers.export", "3300000000101", ""), ("customers.reveal", "*", ""),
    ]  # fmt: skip
    assert {(line.by, line.subject) for line in lines} == {(getpass.getuser(), "archive")}


def test_the_sample_city_is_loaded_by_demo_once_and_found_over_http(
    settings: dict[str, str], start: Callable[..., Process]
) -> None:
    service = start("run", "--demo", locale="en").ready()
    again = greenline("demo", **settings)
    assert (again.returncode, again.stdout.strip()) == (0, "The sample city is there already; nothing has changed.")
    token = greenline("token", "create", "--role", "agent", "--name", "test", **settings).stdout.split()[-1]
    bearer = {"Authorization": f"Bearer {token}"}
    found = httpx.get(f"{service.base}/api/v1/customers?flag=coal_mine", headers=bearer).json()
    assert [line["customer"] for line in found["accounts"]] == ["西岭青石坳煤矿"]
