"""The order of service: the same in Python and SQL, strict, explained and replayable."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from desk.policy import RANKS
from desk.ranks import RANK_SQL, Rank, choose, estimate_s, rank_of, service_order
from desk.store import Store
from tests.conftest import MONDAY

TIERS = ("A", "B", "C", "D", None)


@pytest.mark.parametrize(
    ("tier", "important", "rank"),
    [
        ("A", False, Rank.A), ("A", True, Rank.A), ("B", True, Rank.IMPORTANT), ("C", True, Rank.IMPORTANT),
        ("D", True, Rank.IMPORTANT), ("B", False, Rank.B), ("C", False, Rank.C), ("D", False, Rank.D),
        (None, False, Rank.D),
    ],
)  # fmt: skip
def test_the_rank_of_an_account(tier: str | None, important: bool, rank: Rank) -> None:
    assert rank_of(tier, important) is rank


async def test_the_rank_in_the_database_is_the_rank_in_python(store: Store) -> None:
    async with store.transaction() as db:
        for tier, important in itertools.product(TIERS, (True, False)):
            if tier is None and important:
                continue  # nobody knows who is writing, so nobody is important
            row = "(SELECT CAST(:tier AS text) AS tier, CAST(:important AS boolean) AS important)"
            source = f"(SELECT 1) q LEFT JOIN {row} a ON a.tier IS NOT NULL"
            found = await db.execute(text(f"SELECT {RANK_SQL} FROM {source}"), {"tier": tier, "important": important})
            assert found.scalar_one() == rank_of(tier, important), (tier, important)


def test_ranks_have_the_names_of_the_policy_in_the_order_of_service() -> None:
    assert tuple(rank.key for rank in sorted(Rank)) == RANKS


def test_green_channel_and_promises_by_rank() -> None:
    assert [rank.key for rank in Rank if rank.green] == ["A", "important"]
    assert [rank.key for rank in Rank if rank.promised] == ["A", "important", "B", "C"]


def waiting(entry: int, rank: int, seconds: int, cause: str = "") -> dict[str, Any]:
    return {"entry": entry, "rank": rank, "joined_at": MONDAY + timedelta(seconds=seconds), "cause": cause}


lines = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 10), st.sampled_from(["", "skill", "taken"])), max_size=12
).map(lambda rows: [waiting(number, *row) for number, row in enumerate(rows, 1)])


@given(lines)
def test_nobody_who_fits_stands_before_the_chosen_one(line: list[dict[str, Any]]) -> None:
    chosen = choose(line)
    fitting = [each for each in line if not each["cause"]]
    if chosen is None:
        assert not fitting
        return
    [mine] = [each for each in line if each["entry"] == chosen]
    assert not mine["cause"]
    for each in fitting:
        assert each["rank"] >= mine["rank"]
        if each["rank"] == mine["rank"]:
            assert each["joined_at"] >= mine["joined_at"]
    assert choose(line[::-1]) == chosen


def test_service_order_is_rank_then_time_then_number() -> None:
    line = [waiting(4, 2, 5), waiting(3, 2, 5), waiting(2, 2, 1), waiting(1, 5, 0), waiting(9, 1, 9)]
    assert [each["entry"] for each in sorted(line, key=service_order)] == [9, 2, 3, 4, 1]


@pytest.mark.parametrize(
    ("ahead", "handling_s", "agents", "seconds"),
    [(0, 480, 3, 0), (1, 480, 1, 480), (5, 100, 3, 167), (2, 90.9, 1, 180), (3, 60, 0, 180)],
)
def test_an_estimate_is_people_times_handling_by_agents_rounded_up(
    ahead: int, handling_s: float, agents: int, seconds: int
) -> None:
    assert estimate_s(ahead, handling_s, agents) == seconds
