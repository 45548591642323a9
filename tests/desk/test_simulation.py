"""The simulator plays the real verbs: the same order, overload becomes callbacks, a seed gives the same day again."""

from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from desk import arrivals, simulation
from desk.arrivals import ALL_DAY, Arrival, Staffing
from desk.errors import BadCell, MissingColumns, UnreadableSheet
from desk.promises import Promise
from desk.queue import QueueEntry
from desk.ranks import Rank, choose, rank_of
from desk.simulation import Played
from desk.store import Store
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import RULES, after

ZONE = floor.ZONE
EIGHT_TO_SIX = Staffing(time(8), time(18), 2)


def mixed(many: int, *, every_s: int = 30, **more: Any) -> list[Arrival]:
    """Customers of all ranks, one after the other."""
    kinds = [("D", False), ("C", False), (None, False), ("B", False), ("D", True), ("A", False)]
    return [Arrival(after(n * every_s), *kinds[n % 6], **more) for n in range(many)]


async def play(
    store: Store, arriving: list[Arrival], *crews: Staffing, seed: int = 1, capacity: int = 1, handling_s: float = 120
) -> Played:
    return await simulation.play(
        store, arriving, crews, RULES, handling_s=handling_s, capacity=capacity, seed=seed, zone=ZONE
    )


async def test_the_simulated_order_is_that_of_the_real_verbs(store: Store) -> None:
    """Everybody waits when the only agent comes: the run serves in the order in which the desk would."""
    played = await play(store, mixed(18, every_s=1, handling_s=20), Staffing(time(9, 5), time(0), 1))
    told = [await floor.happened(store, number) for number in played.order]
    for number, events in zip(played.order, told, strict=True):
        [claim] = [event for event in events if event.kind == "queue.claim"]
        assert choose(claim.facts["line"]) == number
    fates = {fate.entry: fate for fate in played.fates}
    ranks = [(fates[n].rank, fates[n].arrival.at) for n in played.order]
    assert ranks == sorted(ranks) and len(ranks) == 18
    # and a real desk, asked by hand, gives the same
    agent = await floor.agent(store, at=after(86_400))
    again = [
        await floor.join(store, None if f.arrival.tier is None else f.rank, at=f.arrival.at + timedelta(days=1))
        for f in played.fates
    ]
    by_hand = await floor.served(store, agent, at=after(90_000))
    assert [again.index(n) for n in by_hand] == [[f.entry for f in played.fates].index(n) for n in played.order]


async def test_an_a_customer_waits_for_one_conversation_at_most_however_long_the_line(store: Store) -> None:
    arriving = [*mixed(30, every_s=5, handling_s=60), Arrival(after(400), "A", handling_s=60)]
    played = await play(store, arriving, Staffing(*ALL_DAY, 1))
    assert played.fates[-1].end == "served" and played.fates[-1].wait_s <= 60
    assert max(fate.wait_s for fate in played.fates if fate.rank is Rank.D) > 600


async def test_overload_becomes_promised_callbacks_and_never_an_advantage(store: Store) -> None:
    played = await play(store, mixed(120, every_s=10, handling_s=300), Staffing(*ALL_DAY, 1))
    figures = {row["rank"]: row for row in played.by_rank(RULES.targets_s)}
    assert figures["D"]["expired"] > 0 and figures["D"]["promised"] == 0
    for rank in ("important", "B", "C"):
        assert figures[rank]["promised"] == figures[rank]["expired"] + figures[rank]["left"]
    assert sum(row["expired"] for row in figures.values()) > 60
    async with store.transaction() as db:
        promised = {p.subject for p in (await db.exec(select(Promise))).all()}
        assert promised == {f"queue:{fate.entry}" for fate in played.fates if fate.promised}
        assert all(p.due_at == p.made_at + timedelta(hours=24) for p in (await db.exec(select(Promise))).all())
        # nobody was served while somebody of a better rank waited
        entries = (await db.exec(select(QueueEntry).where(col(QueueEntry.claimed_at).is_not(None)))).all()
        everybody = (await db.exec(select(QueueEntry))).all()
    for entry in entries:
        assert entry.claimed_at is not None
        for other in everybody:
            gone = other.claimed_at or other.ended_at
            waited = other.joined_at < entry.claimed_at and (gone is None or gone > entry.claimed_at)
            assert not (waited and (other.rank, other.joined_at) < (entry.rank, entry.joined_at))


async def test_whoever_has_no_patience_leaves_and_is_promised_by_rank(store: Store) -> None:
    arriving = [Arrival(after(n), tier, patience_s=100) for n, tier in enumerate(("A", "B", "C", "D", None))]
    played = await play(store, arriving)
    assert [(fate.end, fate.wait_s) for fate in played.fates] == [("left", 100)] * 5
    assert [fate.promised for fate in played.fates] == [True, True, True, False, False]
    assert played.utilisation == 0


async def test_nobody_at_the_desk_lets_everybody_run_out_of_time(store: Store) -> None:
    played = await play(store, mixed(6))
    longest = [RULES.longest_wait_s[fate.rank.key] + 1 for fate in played.fates]
    assert [fate.wait_s for fate in played.fates] == longest and played.order == []


async def test_a_seed_gives_the_same_day_again_and_another_seed_another(store: Store) -> None:
    first = await play(store, mixed(40), EIGHT_TO_SIX, seed=3)
    waits = [fate.wait_s for fate in first.fates]
    await floor.emptied(store)
    second = await play(store, mixed(40), EIGHT_TO_SIX, seed=3)
    assert [fate.wait_s for fate in second.fates] == waits and second.busy_s == first.busy_s
    await floor.emptied(store)
    other = await play(store, mixed(40), EIGHT_TO_SIX, seed=4)
    assert other.busy_s != first.busy_s


async def test_shifts_begin_and_end(store: Store) -> None:
    """09:00 in Shanghai is the beginning; the crew works from 09:10 to 09:20, then a second one."""
    arriving = [Arrival(after(60 * minute), "A", handling_s=300) for minute in (0, 15, 25)]
    crews = (Staffing(time(9, 10), time(9, 20), 1), Staffing(time(9, 30), time(0), 1))
    played = await play(store, arriving, *crews)
    assert [fate.wait_s for fate in played.fates] == [600, 0, 300]


async def test_capacity_lets_one_agent_hold_several(store: Store) -> None:
    arriving = [Arrival(after(n), "C", handling_s=600) for n in range(4)]
    played = await play(store, arriving, Staffing(*ALL_DAY, 1), capacity=3)
    assert [fate.wait_s for fate in played.fates] == [0, 0, 0, 597]


async def test_an_empty_day_is_no_error(store: Store) -> None:
    played = await play(store, [], EIGHT_TO_SIX)
    assert played.fates == [] and played.by_rank(RULES.targets_s) == []


async def test_figures_of_a_rank(store: Store) -> None:
    fates = [
        simulation.Fate(Arrival(MONDAY, "B"), n, Rank.B, wait, end, promised=end != "served")
        for n, (wait, end) in enumerate([(0, "served"), (10, "served"), (121, "left"), (900, "expired")])
    ]
    [row] = Played(fates).by_rank(RULES.targets_s)
    assert row == {
        "rank": "B", "arrivals": 4, "served": 2, "left": 1, "expired": 1, "mean_s": 257.75, "median_s": 65.5,
        "p95_s": 900, "max_s": 900, "breaches": 2, "promised": 2,
    }  # fmt: skip
    [hundred] = Played([simulation.Fate(Arrival(MONDAY), n, Rank.D, n) for n in range(1, 101)]).by_rank(RULES.targets_s)
    assert (hundred["p95_s"], hundred["median_s"]) == (95, 50.5)


async def test_yesterday_s_real_waits_are_arrivals_again(store: Store) -> None:
    agent = await floor.agent(store)
    served = await floor.join(store, Rank.IMPORTANT, at=after(10), skill="fault")
    await floor.claim(store, agent, at=after(20))
    await floor.end(store, (await floor.entry(store, served)).conversation_id, agent, at=after(320))
    left, account = await floor.customer(store, Rank.B)
    await floor.join_as(store, left, account, at=after(30))
    await floor.leave(store, left, at=after(90))
    await floor.join(store, None, at=after(40))
    await floor.join(store, Rank.A, at=after(86_400))
    async with store.transaction() as db:
        found = await arrivals.of_day(db, after(0).astimezone(ZONE).date(), ZONE)
    assert found == [
        Arrival(after(10), "D", True, skill="fault", handling_s=300), Arrival(after(30), "B", patience_s=60),
        Arrival(after(40)),
    ]  # fmt: skip
    assert [rank_of(each.tier, each.important) for each in found] == [Rank.IMPORTANT, Rank.B, Rank.D]


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_of_arrivals(tmp_path: Path) -> None:
    path = tmp_path / "arrivals.csv"
    path.write_text(
        "AT,Tier,important,skill,patience_s,comment\n2026-03-02 09:00:30,a,yes,fault,90.5,x\n09:00,,,,,\n"
        "2026-03-02T01:00:00Z,C\n\n", encoding="utf-8",
    )  # fmt: skip
    assert arrivals.read(path, ZONE) == [
        Arrival(MONDAY.replace(month=1, day=5)), Arrival(MONDAY, "C"),
        Arrival(after(30), "A", True, skill="fault", patience_s=90.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        ("never,A,,,,,", "at", "never"), ("25:00,A,,,,,", "at", "25:00"), ("09:61,A,,,,,", "at", "09:61"),
        (",A,,,,,", "at", ""), ("09:00,E,,,,,", "tier", "E"), ("09:00,A,maybe,,,,", "important", "maybe"),
        ("09:00,A,,,cooking,,", "skill", "cooking"), ("09:00,A,,,,0,", "handling_s", "0"),
        ("09:00,A,,,,,-4", "patience_s", "-4"), ("09:00,A,,,,nan,", "handling_s", "nan"),
        ("09:00,A,,,,99999,", "handling_s", "99999"), ("1,A,,,,,", "at", "1"), ("9:0:0:0,A,,,,,", "at", "9:0:0:0"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_named_with_line_and_column(tmp_path: Path, row: str, column: str, value: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "at,tier,important,language,skill,handling_s,patience_s\n08:00,A,,,,,\n" + row + "\n", encoding="utf-8"
    )
    with pytest.raises(BadCell) as error:
        arrivals.read(path, ZONE)
    assert error.value.facts == {"name": "a.csv", "line": 3, "column": column, "value": value}


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, error in (("", UnreadableSheet), ("time,tier\n", MissingColumns), ("\n\n", MissingColumns)):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(error):
            arrivals.read(path, ZONE)


def test_a_file_of_staffing(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("from,to,agents\n08:00,12:00,2\n11:00,24:00,3\n", encoding="utf-8")
    crews = arrivals.staffing(path)
    assert crews == [Staffing(time(8), time(12), 2), Staffing(time(11), time(0), 3)]
    assert arrivals.most_at_once(crews) == 5 and arrivals.most_at_once([]) == 0
    for row, column in (
        ("12:00,12:00,1", "to"),
        ("08:00,09:00,-1", "agents"),
        ("x,09:00,1", "from"),
        ("8:00,9:00,9999", "agents"),
    ):
        path.write_text(f"from,to,agents\n{row}\n", encoding="utf-8")
        with pytest.raises(BadCell) as error:
            arrivals.staffing(path)
        assert error.value.facts["column"] == column
