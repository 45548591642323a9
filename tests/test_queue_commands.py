"""`greenline queue simulate` as a planner meets it: a real process, also while a server runs on the same database."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sqlmodel import func, select

from desk import queue
from desk.clock import SystemClock
from desk.queue import QueueEntry
from desk.ranks import Rank
from desk.store import Store
from tests.conftest import Process
from tests.desk import floor
from tests.test_commands import greenline, refused

Simulate = Callable[..., subprocess.CompletedProcess[str]]
ARRIVALS = "at,tier,important,handling_s,patience_s\n" + "".join(
    f"09:{n:02}:00,{'DCBA'[n % 4]},{'yes' if n % 7 == 0 else ''},300,{60 if n % 5 == 0 else ''}\n" for n in range(40)
)


@pytest.fixture
def simulate(url: str, tmp_path: Path) -> Simulate:
    (tmp_path / "arrivals.csv").write_text(ARRIVALS, encoding="utf-8")

    def run(*arguments: str, locale: str = "en") -> subprocess.CompletedProcess[str]:
        return greenline(
            "queue", "simulate", *arguments, database_url=url, data_dir=str(tmp_path / "data"), locale=locale
        )

    return run


async def test_it_plays_a_day_while_a_server_runs_and_leaves_no_trace(
    simulate: Simulate, store: Store, tmp_path: Path, start: Callable[..., Process]
) -> None:
    server = start("run").ready()
    waiting = await floor.join(store, Rank.B, at=SystemClock().now())
    plot = tmp_path / "waits.svg"
    done = simulate(str(tmp_path / "arrivals.csv"), "--agents", "1", "--capacity", "2", "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["Rank", "Arrived", "Served", "Mean", "Median", "P95", "Max", "Late", "Calls", "Left", "Expired"]
    figures = {
        line[-11] if len(line) == 11 else " ".join(line[:-10]): list(map(str, line[-10:])) for line in lines[1:6]
    }
    assert next(iter(figures)) == "Tier A" and list(figures)[-1] == "Tier D, unidentified"
    assert sum(int(row[0]) for row in figures.values()) == 40
    assert "40 customers were simulated with at most 1 agents at a time" in done.stdout
    picture = ElementTree.fromstring(plot.read_text(encoding="utf-8"))
    words = {each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Wait (minutes)", "Time of arrival", "Tier A", "09:00"} <= words
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) == 40 + len(figures)
    async with store.transaction() as db:
        assert (await db.exec(select(func.count()).select_from(QueueEntry))).one() == 1
        assert [each.entry for each in await queue.line(db)] == [waiting]
    assert server.process.poll() is None
    again = simulate(str(tmp_path / "arrivals.csv"), "--agents", "1", "--capacity", "2")
    assert again.stdout.splitlines()[:6] == done.stdout.splitlines()[:6]


def test_staffing_from_a_file_in_chinese(simulate: Simulate, tmp_path: Path) -> None:
    staffing = tmp_path / "staffing.csv"
    staffing.write_text("from,to,agents\n08:00,12:00,3\n09:10,10:00,2\n", encoding="utf-8")
    done = simulate(str(tmp_path / "arrivals.csv"), "--staffing", str(staffing), "--handling-s", "60", locale="zh_CN")
    assert done.returncode == 0, done.stderr
    assert "模拟了 40 位客户，同时在岗的坐席最多 5 人" in done.stdout


def test_yesterday_without_anybody_is_an_empty_day(simulate: Simulate) -> None:
    done = simulate("--yesterday")
    assert done.returncode == 0, done.stderr
    assert "0 customers were simulated" in done.stdout


def test_what_cannot_be_played_is_said_in_one_sentence(simulate: Simulate, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("at,tier\n09:00,A\n09:01,Z\n", encoding="utf-8")
    refused(simulate(str(bad)), "tier in line 3", "第 3 行的 tier", "Z")
    bad.write_text("time,tier\n09:00,A\n", encoding="utf-8")
    refused(simulate(str(bad)), "at")
    for wrong in ((), (str(bad), "--yesterday"), (str(bad), "--plot", "waits.png"), (str(bad), "--agents", "-1")):
        found = simulate(*wrong)
        assert found.returncode == 2 and "Traceback" not in found.stderr
