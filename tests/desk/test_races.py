"""Races: several connections at once, thousands of times. One owner each, no lost customer, no deadlock."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from desk import claims, presence, queue
from desk.conversations import Conversation, Handler
from desk.customers import Account
from desk.errors import DeskError
from desk.events import Event
from desk.queue import Act, QueueEntry, Reason
from desk.ranks import Rank, choose
from desk.store import Store
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import RULES, after

ITERATIONS: Final = 1000
RACED: Final = 3_000  # make bench races ten thousand
HANDS: Final = 8  # connections that claim at once
LINE: Final = 100  # customers in the line at a time, while 10,000 are claimed


async def reset(store: Store) -> None:
    """Nobody waits, nobody is held."""
    async with store.transaction() as db:
        await db.execute(text("DELETE FROM queue_entry"))
        await db.execute(text("DELETE FROM event"))
        await db.execute(text("UPDATE conversation SET handler = 'bot', agent_id = NULL"))
        await db.execute(
            text("UPDATE seat SET load = 0, status = 'online', lapsed_at = NULL, heartbeat_at = :at"), {"at": MONDAY}
        )


async def line_up(store: Store, talks: list[tuple[int, int | None]], at: datetime) -> list[int]:
    """These customers join, one second apart; their waits."""
    rows = {"talks": [t for t, _ in talks], "accounts": [a for _, a in talks], "at": at}
    async with store.transaction() as db:
        made = await db.execute(_LINE_UP, rows)
        numbers = [row.id for row in made]
        await db.execute(text("UPDATE conversation SET handler = 'queue' WHERE id = ANY(:talks)"), rows)
    return sorted(numbers)


_LINE_UP: Final = text(
    "INSERT INTO queue_entry (conversation_id, account_id, language, reason, rank, joined_at)"
    " SELECT t.talk, t.account, 'zh_CN', 'button', 5, CAST(:at AS timestamptz) + t.n * interval '1 second'"
    " FROM unnest(CAST(:talks AS bigint[]), CAST(:accounts AS bigint[])) WITH ORDINALITY AS t (talk, account, n)"
    " ORDER BY t.n RETURNING id"
)


async def quietly(work: Awaitable[Any]) -> Any:
    """What an agent gets, or the refusal they are shown."""
    try:
        return await work
    except DeskError as refusal:
        return refusal


async def settled(store: Store) -> None:
    """Everybody is somewhere, once, and all agree where."""
    async with store.transaction() as db:
        await floor.assert_consistent(db)


async def test_three_agents_and_two_a_customers_a_thousand_times(store: Store) -> None:
    """Scenario 5: exactly one owner each; the loser gets nobody, and nothing is locked for ever."""
    agents = [await floor.agent(store) for _ in range(3)]
    talks = [await floor.customer(store, Rank.A) for _ in range(2)]
    won: Counter[int] = Counter()
    for _ in range(ITERATIONS):
        await reset(store)
        numbers = await line_up(store, talks, MONDAY)
        taken = await asyncio.gather(*(floor.claim(store, each, at=after(5)) for each in agents))
        owners = {each.entry.id: each.entry.agent_id for each in taken if each is not None}
        assert sorted(owners) == numbers and len(set(owners.values())) == 2
        assert sum(each is None for each in taken) == 1
        won.update(agent for agent in owners.values() if agent)
        async with store.transaction() as db:
            query = select(Event).where(col(Event.kind) == "queue.claim")
            told = (await db.exec(query)).all()
            assert {event.subject for event in told} == {f"queue:{number}" for number in numbers}
            assert all(f"queue:{choose(event.facts['line'])}" == event.subject for event in told)
            await floor.assert_consistent(db)
    assert set(won) == set(agents)  # it was a race


async def test_thousands_of_raced_claims_have_one_owner_each(store: Store) -> None:
    agents = [await floor.agent(store, capacity=30_000) for _ in range(HANDS)]
    talks = [await floor.customer(store, None) for _ in range(LINE)]
    owners: Counter[int] = Counter()
    for turn in range(RACED // LINE):
        numbers = await line_up(store, talks, after(turn * LINE))

        async def work(agent: int) -> list[int]:
            got = []
            while (taken := await floor.claim(store, agent, at=after(50_000))) is not None:
                got.append(taken.entry.id or 0)
            return got

        got = await asyncio.gather(*map(work, agents))
        owners.update(number for each in got for number in each)
        assert sorted(number for each in got for number in each) == numbers
        for mine in got:
            assert mine == sorted(mine)  # nobody was served before somebody who came earlier
        async with store.transaction() as db:
            await db.execute(
                text("UPDATE queue_entry SET status = 'closed', ended_at = joined_at WHERE ended_at IS NULL")
            )
            await db.execute(text("UPDATE conversation SET handler = 'bot', agent_id = NULL"))
    assert len(owners) == RACED and set(owners.values()) == {1}
    async with store.transaction() as db:
        claimed = (await db.execute(text("SELECT count(*) FROM event WHERE kind = 'queue.claim'"))).scalar_one()
        load = (await db.execute(text("SELECT sum(load) FROM seat"))).scalar_one()
    assert (claimed, load) == (RACED, RACED)


@pytest.mark.parametrize("capacity", [1, 3])
async def test_an_agent_with_many_tabs_never_takes_more_than_they_can(store: Store, capacity: int) -> None:
    agent = await floor.agent(store, capacity=capacity)
    talks = [await floor.customer(store, Rank.B) for _ in range(6)]
    for _ in range(50):
        await reset(store)
        await line_up(store, talks, MONDAY)
        got = await asyncio.gather(*(quietly(floor.claim(store, agent, at=after(9))) for _ in range(6)))
        assert sum(isinstance(each, claims.Claim) for each in got) == capacity
        await settled(store)


async def test_an_agent_who_cannot_take_the_head_does_not_make_others_pass_it(store: Store) -> None:
    """A full agent's other tab must not hold the A customer while a colleague takes the next one."""
    full, free = await floor.agent(store, capacity=1), await floor.agent(store)
    talks = [await floor.customer(store, rank) for rank in (Rank.C, Rank.A, Rank.C)]
    for _ in range(100):
        await reset(store)
        numbers = await line_up(store, talks, MONDAY)
        async with store.transaction() as db:
            await presence.carry(db, {full: 1})
        _, taken = await asyncio.gather(
            quietly(floor.claim(store, full, at=after(9))), floor.claim(store, free, at=after(9))
        )
        assert taken is not None and taken.entry.id == numbers[1] and taken.why["passed_over"] == []


async def test_noting_a_changed_tier_makes_nobody_pass_the_customer(store: Store) -> None:
    agent = await floor.agent(store)
    talks = [await floor.customer(store, Rank.C), await floor.customer(store, Rank.A)]
    for _ in range(100):
        await reset(store)
        numbers = await line_up(store, talks, MONDAY)  # the log still knows both as unidentified

        async def note() -> None:
            async with store.transaction() as db:
                await queue.note_ranks(db, at=after(8))

        _, taken = await asyncio.gather(note(), floor.claim(store, agent, at=after(9)))
        assert taken is not None and taken.entry.id == numbers[1] and taken.why["passed_over"] == []


async def test_claim_against_leave_has_one_winner(store: Store) -> None:
    agent = await floor.agent(store)
    talk, account = await floor.customer(store, Rank.A)
    outcomes: Counter[str] = Counter()
    chance = random.Random(1)
    for _ in range(200):
        await reset(store)
        [number] = await line_up(store, [(talk, account)], MONDAY)
        work: list[Callable[[], Awaitable[Any]]] = [
            lambda: floor.claim(store, agent, at=after(5)), lambda: floor.leave(store, talk, at=after(5)),
        ]  # fmt: skip
        chance.shuffle(work)
        await asyncio.gather(*(each() for each in work))
        status = (await floor.entry(store, number)).status
        assert status in ("claimed", "left", "waiting")  # waiting: each saw the other just at it
        outcomes[status] += 1
        await settled(store)
    assert set(outcomes) >= {"claimed", "left"}


async def test_claim_against_lapse_loses_nobody(store: Store) -> None:
    agent = await floor.agent(store)
    talks = [await floor.customer(store, Rank.A) for _ in range(2)]

    async def lapse() -> None:
        async with store.transaction() as db:
            await claims.lapse(db, RULES, agent, at=after(60))

    for _ in range(200):
        await reset(store)
        numbers = await line_up(store, talks, MONDAY)
        await floor.claim(store, agent, at=after(1))
        await asyncio.gather(lapse(), quietly(floor.claim(store, agent, at=after(60))), lapse())
        await settled(store)
        async with store.transaction() as db:
            found = (await db.exec(select(QueueEntry).where(col(QueueEntry.status).in_(queue.OPEN)))).all()
            assert sorted(e.id or 0 for e in found) == numbers
            assert (await presence.seat(db, agent, at=after(60))).status == "online"


async def test_agents_who_vanish_together_with_transfers_between_them_lock_nobody(store: Store) -> None:
    one, other = await floor.agent(store, capacity=9), await floor.agent(store, capacity=9)
    talks = [await floor.customer(store, Rank.B) for _ in range(6)]

    async def lapse(staff_id: int) -> None:
        async with store.transaction() as db:
            await claims.lapse(db, RULES, staff_id, at=after(60))

    for _ in range(60):
        await reset(store)
        numbers = await line_up(store, talks, MONDAY)
        for n in range(6):
            await floor.claim(store, (one, other)[n % 2], at=after(10))
        for n, (talk, _) in enumerate(talks):
            if n > 1:  # some are offered to the colleague, both ways
                await transfer(store, talk, (one, other)[n % 2], (other, one)[n % 2])
        await asyncio.gather(lapse(one), lapse(other))
        await settled(store)
        async with store.transaction() as db:
            assert [each.entry for each in await queue.line(db)] == numbers
    assert (await floor.load(store, one), await floor.load(store, other)) == (0, 0)


async def transfer(store: Store, talk: int, staff_id: int, to: int | None) -> Any:
    async with store.transaction() as db:
        return await claims.transfer(db, RULES, talk, staff_id, to, by="x", at=after(12))


async def test_transfers_both_ways_at_once_lock_nobody(store: Store) -> None:
    one, other, third = [await floor.agent(store, capacity=9) for _ in range(3)]
    talks = [await floor.customer(store, Rank.B) for _ in range(2)]
    for turn in range(150):
        await reset(store)
        await line_up(store, talks, MONDAY)
        mine, theirs = talks[0][0], talks[1][0]
        await floor.claim(store, one, at=after(10))
        await floor.claim(store, other, at=after(10))
        if turn % 2:  # both are offered elsewhere already, and each goes to the other's
            await transfer(store, mine, one, third)
            await transfer(store, theirs, other, one)
        work = [
            quietly(transfer(store, mine, one, other)), quietly(transfer(store, theirs, other, third)),
            quietly(transfer(store, mine, one, None) if turn % 3 == 0 else keep(store, mine, other)),
        ]  # fmt: skip
        await asyncio.gather(*work)
        await settled(store)


async def keep(store: Store, talk: int, staff_id: int) -> bool:
    async with store.transaction() as db:
        return await claims.keep(db, talk, by="x", at=after(12), staff_id=staff_id)


async def test_joining_twice_at_once_is_one_wait(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.B)
    for _ in range(100):
        await reset(store)
        numbers = await asyncio.gather(*(floor.join_as(store, talk, account) for _ in range(4)))
        assert len(set(numbers)) == 1
        await settled(store)


async def test_a_busy_floor_loses_nobody_and_never_deadlocks(store: Store) -> None:
    """Everything at once: whoever joined ends somewhere, and all ledgers agree."""
    agents = [await floor.agent(store, capacity=2) for _ in range(4)]
    talks = [await floor.customer(store, rank) for rank in [*Rank, *Rank, *Rank]]
    names = {number: f"staff:{number}" for number in agents}

    async def held(agent: int) -> list[int]:
        async with store.transaction() as db:
            query = select(QueueEntry.conversation_id).where(col(QueueEntry.agent_id) == agent)
            return list((await db.exec(query.where(col(QueueEntry.status).in_(queue.HELD)))).all())

    async def work(agent: int, chance: random.Random) -> None:
        for turn in range(60):
            at = after(turn)
            await quietly(floor.claim(store, agent, at=at))
            mine = await held(agent)
            if not mine:
                continue
            talk, dice = chance.choice(mine), chance.random()
            if dice < 0.5:
                await quietly(floor.end(store, talk, agent, chance.choice([Act.CLOSE, Act.RETURN]), at=at))
            elif dice < 0.8:
                await quietly(transfer(store, talk, agent, chance.choice([None, *agents])))
            elif dice < 0.9:
                await quietly(_in(store, claims.accept_transfer, talk, agent, by="x", at=at))
            else:
                await quietly(_in(store, claims.take_over, talk, chance.choice(agents), reason="r", by="x", at=at))

    async def come_and_go(chance: random.Random) -> None:
        for turn in range(120):
            talk, account = chance.choice(talks)
            async with store.transaction() as db:
                conversation = await claims.held(db, talk)
                if conversation.handler == Handler.BOT:
                    known = await db.get(Account, account)
                    await queue.join(db, conversation, known, reason=Reason.WORDS, by="customer", at=after(turn))
            if chance.random() < 0.3:
                await floor.leave(store, chance.choice(talks)[0], at=after(turn))

    async def go(chance: random.Random) -> None:
        for turn in range(30):
            agent = chance.choice(agents)
            if turn % 2:
                await _in(store, claims.give_back_all, agent, Act.RELEASE, by=names[agent], at=after(turn))
            else:
                await _in(store, claims.lapse, RULES, agent, at=after(turn + RULES.lease_s))
            await _in(store, queue.note_ranks, at=after(turn))

    await asyncio.gather(
        *(work(agent, random.Random(agent)) for agent in agents), *(come_and_go(random.Random(n)) for n in (1, 2)),
        go(random.Random(3)),
    )  # fmt: skip
    async with store.transaction() as db:
        await floor.assert_consistent(db)
        for entry in (await db.exec(select(QueueEntry))).all():
            assert floor.replayed(await floor.happened(store, entry.id or 0)) == entry.status
        waits = (await db.exec(select(QueueEntry.conversation_id).where(col(QueueEntry.status).in_(queue.OPEN)))).all()
        busy = select(Conversation.id).where(col(Conversation.handler) != Handler.BOT)
        assert sorted(waits) == sorted((await db.exec(busy)).all())


async def _in(store: Store, work: Callable[..., Awaitable[Any]], *arguments: Any, **more: Any) -> Any:
    async with store.transaction() as db:
        return await work(db, *arguments, **more)
