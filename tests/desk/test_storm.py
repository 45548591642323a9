"""Storm mode: one at a time, begun by hand or by a surge, ended by quiet, and a report that adds up."""

import asyncio
from datetime import timedelta

import pytest

from desk import claims, promises, storm
from desk.conversations import Conversation
from desk.errors import Stormy
from desk.policy import Storm as Rules
from desk.ranks import Rank
from desk.store import Store
from desk.storm import Storm
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import ZONE, after

RULES = Rules(surge_entries=3, surge_minutes=10, automatic=True, quiet_minutes=30)


async def watch(store: Store, seconds: float, rules: Rules = RULES) -> Storm | None:
    async with store.transaction() as db:
        return await storm.watch(db, rules, at=after(seconds))


async def current(store: Store) -> Storm | None:
    async with store.transaction() as db:
        return await storm.current(db)


async def test_a_storm_begins_and_ends_by_hand(store: Store) -> None:
    async with store.transaction() as db:
        begun = await storm.begin(db, "feeder F7 is out", by="supervisor", at=MONDAY)
    with pytest.raises(Stormy):
        async with store.transaction() as db:
            await storm.begin(db, "again", by="supervisor", at=MONDAY)
    found = await current(store)
    assert found is not None and (found.id, found.message) == (begun.id, "feeder F7 is out")
    async with store.transaction() as db:
        ended = await storm.end(db, by="supervisor", at=after(60))
        assert ended is not None and ended.ended_at == after(60)
    async with store.transaction() as db:
        assert await storm.end(db, by="supervisor", at=after(61)) is None
    assert await current(store) is None


async def test_of_two_who_begin_at_once_one_does(store: Store) -> None:
    async def begin() -> bool:
        try:
            async with store.transaction() as db:
                await storm.begin(db, "m", by="x", at=MONDAY)
        except Exception as error:
            assert isinstance(error, Stormy) or "storm_open" in str(error)
            return False
        return True

    assert sum(await asyncio.gather(*(begin() for _ in range(4)))) == 1


async def test_a_surge_begins_a_storm_and_quiet_ends_it(store: Store) -> None:
    for n in range(3):
        await floor.join(store, at=after(n))
    assert await watch(store, 10) is None  # as many as allowed
    await floor.join(store, at=after(11))
    assert await watch(store, 12, Rules(surge_entries=3)) is None  # nobody wants it automatic
    begun = await watch(store, 12)
    assert begun is not None and begun.began_by == "greenline" and await watch(store, 13) is None
    assert await watch(store, 29 * 60) is None
    ended = await watch(store, 12 + 30 * 60)
    assert ended is not None and ended.ended_at == after(12 + 30 * 60) and await current(store) is None


async def test_whoever_joins_long_ago_makes_no_surge(store: Store) -> None:
    for n in range(4):
        await floor.join(store, at=after(n * 210))  # never four within ten minutes
    assert await watch(store, 640) is None


async def test_a_storm_begun_by_hand_is_not_ended_by_quiet(store: Store) -> None:
    async with store.transaction() as db:
        await storm.begin(db, "m", by="supervisor", at=MONDAY)
    assert await watch(store, 86_400) is None and await current(store) is not None


async def test_the_report_says_what_became_of_everybody(store: Store) -> None:
    before = await floor.join(store, Rank.C, at=after(-10))
    async with store.transaction() as db:
        on = await storm.begin(db, "m", by="supervisor", at=MONDAY)
    agent = await floor.agent(store, capacity=9)
    vip = await floor.join(store, Rank.A, at=after(10))
    talks = [await floor.customer(store, Rank.C) for _ in range(3)]
    c = [await floor.join_as(store, talk, account, at=after(20)) for talk, account in talks]
    assert (await floor.claim(store, agent, at=after(40))).entry.id == vip  # type: ignore[union-attr]
    async with store.transaction() as db:
        await claims.claim_next(db, floor.RULES, agent, by="x", at=after(60), wanted=c[0])
    await floor.leave(store, talks[1][0], at=after(120))
    async with store.transaction() as db:
        left = await db.get_one(Conversation, talks[1][0])
        await promises.make(
            db, promises.Kind.CALLBACK, f"queue:{c[1]}", conversation_id=left.id or 0, contact_id=left.contact_id,
            account_id=None, data={}, by="greenline", at=after(120), zone=ZONE,
        )  # fmt: skip
    async with store.transaction() as db:
        rows = await storm.report(db, on, at=after(220))
    assert rows == [
        {"rank": "A", "joined": 1, "served": 1, "left": 0, "expired": 0, "waiting": 0, "median_s": 30.0, "p95_s": 30.0,
         "promised": 0},
        {"rank": "C", "joined": 3, "served": 1, "left": 1, "expired": 0, "waiting": 1, "median_s": 100.0,
         "p95_s": pytest.approx(190.0), "promised": 1},
    ]  # fmt: skip
    assert before not in (vip, *c)
    async with store.transaction() as db:
        await storm.end(db, by="supervisor", at=after(15))
    async with store.transaction() as db:
        again = await db.get_one(Storm, on.id)
        assert [row["rank"] for row in await storm.report(db, again, at=after(220))] == ["A"]
        assert await storm.joined(db, since=MONDAY - timedelta(minutes=1)) == 5
