"""The line: joining, leaving, re-sorting, places and estimates."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from desk import claims, customers, queue
from desk.conversations import Conversation
from desk.customers import Account
from desk.errors import MoveNotAllowed, UnknownWait
from desk.queue import ENTRY, OPEN, Act, QueueEntry, Reason, Status
from desk.ranks import Rank
from desk.store import Store
from desk.tiers import Tier
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import RULES, after


async def numbers(store: Store) -> list[int]:
    async with store.transaction() as db:
        return [each.entry for each in await queue.line(db)]


async def change_tier(store: Store, account: int | None, tier: Tier, *, seconds: float = 60) -> None:
    async with store.transaction() as db:
        known = await db.get_one(Account, account)
        await customers.set_tier(db, known, tier, reason="purchases", by="supervisor", at=after(seconds))


async def note_ranks(store: Store, *, seconds: float = 61) -> int:
    async with store.transaction() as db:
        return await queue.note_ranks(db, at=after(seconds))


# -- the table of moves -----------------------------------------------------------------------------------------------


def test_open_waits_are_those_from_which_something_leads_on() -> None:
    assert {status for status in Status if not ENTRY.final(status)} == set(OPEN)


@given(st.lists(st.sampled_from(list(Act)), max_size=12))
def test_whatever_is_done_the_table_never_leaves_the_known_ways(acts: list[Act]) -> None:
    status = Status.WAITING
    for act in acts:
        if act in ENTRY.actions(status):
            status = ENTRY.move(status, act)
        else:
            with pytest.raises(MoveNotAllowed):
                ENTRY.move(status, act)


# -- joining ----------------------------------------------------------------------------------------------------------


async def test_joining_makes_the_queue_answer_and_is_logged(store: Store) -> None:
    number = await floor.join(store, Rank.B, skill="billing")
    entry = await floor.entry(store, number)
    assert (entry.status, entry.rank, entry.joined_at, entry.skill) == ("waiting", Rank.B, MONDAY, "billing")
    async with store.transaction() as db:
        talk = await db.get_one(Conversation, entry.conversation_id)
        assert (talk.handler, talk.agent_id) == ("queue", None)
    [joined] = await floor.happened(store, number)
    assert joined.kind == "queue.joined" and joined.by == "customer" and joined.at == MONDAY
    assert joined.facts == {
        "conversation": entry.conversation_id, "rank": "B", "reason": "button", "status": "waiting",
    }  # fmt: skip


async def test_who_waits_already_keeps_their_place(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.C)
    first = await floor.join_as(store, talk, account)
    assert await floor.join_as(store, talk, account, at=after(300)) == first
    assert (await floor.entry(store, first)).joined_at == MONDAY
    assert [event.kind for event in await floor.happened(store, first)] == ["queue.joined"]


async def test_somebody_who_left_joins_again_behind(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.C)
    first = await floor.join_as(store, talk, account)
    other = await floor.join(store, Rank.C, at=after(1))
    await floor.leave(store, talk, at=after(2))
    second = await floor.join_as(store, talk, account, at=after(3))
    assert second != first and await numbers(store) == [other, second]


async def test_an_unidentified_customer_waits_in_the_last_rank(store: Store) -> None:
    unknown = await floor.join(store, None)
    async with store.transaction() as db:
        [waiting] = await queue.line(db)
    assert (waiting.entry, waiting.rank, waiting.tier, waiting.account) == (unknown, Rank.D, None, None)
    assert waiting.name.startswith("Visitor") and waiting.channel == "web" and waiting.position == 1


# -- order ------------------------------------------------------------------------------------------------------------


async def test_the_line_is_by_rank_then_by_time(store: Store) -> None:
    made: dict[tuple[int, int], int] = {}
    for seconds, rank in enumerate(list(Rank)[::-1] * 3):
        made[rank, seconds] = await floor.join(store, rank, at=after(seconds))
    expected = [made[at] for at in sorted(made)]
    assert await numbers(store) == expected
    agent = await floor.agent(store)
    assert await floor.served(store, agent) == expected


async def test_two_who_joined_at_the_same_moment_are_served_in_the_order_of_their_numbers(store: Store) -> None:
    joined = [await floor.join(store, Rank.B) for _ in range(3)]
    assert await floor.served(store, await floor.agent(store)) == joined


async def test_ten_wait_and_an_a_customer_who_comes_last_is_served_first(store: Store) -> None:
    """Scenario 4: and what the others are told about their place stays true."""
    ranks = [Rank.C, Rank.D] * 5
    others = [await floor.join(store, rank, at=after(n)) for n, rank in enumerate(ranks)]
    first_c = await floor.entry(store, others[0])
    async with store.transaction() as db:
        before = await queue.places(db, RULES, agents=1, at=after(20))
    vip = await floor.join(store, Rank.A, at=after(30))
    async with store.transaction() as db:
        then = await queue.places(db, RULES, agents=1, at=after(31))
    assert (before[first_c.conversation_id].position, then[first_c.conversation_id].position) == (1, 2)
    agent = await floor.agent(store)
    assert await floor.served(store, agent) == [vip, *others[::2], *others[1::2]]
    async with store.transaction() as db:
        query = select(QueueEntry).order_by(col(QueueEntry.id))
        ledger = [(e.id, (await floor.happened(store, e.id or 0))[1]) for e in (await db.exec(query)).all()]
    claimed = [number for number, _ in sorted(ledger, key=lambda each: each[1].id or 0)]
    assert claimed == [vip, *others[::2], *others[1::2]]
    assert all(event.kind == "queue.claim" for _, event in ledger)


# -- leaving ----------------------------------------------------------------------------------------------------------


async def test_leaving_gives_the_conversation_back_to_the_bot(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.B)
    number = await floor.join_as(store, talk, account)
    left = await floor.leave(store, talk, at=after(90))
    assert left is not None and (left.status, left.ended_at) == ("left", after(90))
    assert await numbers(store) == []
    async with store.transaction() as db:
        assert (await db.get_one(Conversation, talk)).handler == "bot"
        await floor.assert_consistent(db)
    assert [e.kind for e in await floor.happened(store, number)] == ["queue.joined", "queue.leave"]
    assert (await floor.happened(store, number))[-1].facts["rank"] == "B"


async def test_nobody_leaves_who_does_not_wait(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.B)
    assert await floor.leave(store, talk) is None
    await floor.join_as(store, talk, account)
    agent = await floor.agent(store)
    await floor.claim(store, agent)
    assert await floor.leave(store, talk) is None
    async with store.transaction() as db:
        await floor.assert_consistent(db)


async def test_whoever_leaves_while_being_offered_frees_the_seat(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.B)
    number = await floor.join_as(store, talk, account)
    agent = await floor.agent(store, capacity=1)
    async with store.transaction() as db:
        assert await claims.offer(db, RULES, number, at=MONDAY) == agent
    assert await floor.load(store, agent) == 1
    left = await floor.leave(store, talk)
    assert left is not None and left.offered_to is None and left.offer_until is None
    assert await floor.load(store, agent) == 0
    async with store.transaction() as db:
        await floor.assert_consistent(db)


async def test_a_wait_that_is_just_being_taken_cannot_be_left(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.B)
    number = await floor.join_as(store, talk, account)
    async with store.transaction() as taking:
        await queue.entry(taking, number, lock=True)
        assert await floor.leave(store, talk) is None
    assert (await floor.entry(store, number)).status == "waiting"


async def test_an_unknown_wait_is_said_to_be_unknown(store: Store) -> None:
    async with store.transaction() as db:
        with pytest.raises(UnknownWait):
            await queue.entry(db, 4711)


# -- a changed archive ------------------------------------------------------------------------------------------------


async def test_a_customer_who_becomes_a_while_waiting_is_first_with_the_old_time(store: Store) -> None:
    """Scenario 8, B to A: behind an A who joined earlier, before one who joined later; logged once."""
    early = await floor.join(store, Rank.A, at=after(0))
    talk, account = await floor.customer(store, Rank.B)
    number = await floor.join_as(store, talk, account, at=after(10))
    late = await floor.join(store, Rank.A, at=after(20))
    assert await numbers(store) == [early, late, number]
    await change_tier(store, account, Tier.A)
    assert await numbers(store) == [early, number, late]
    assert await note_ranks(store) == 1
    assert await note_ranks(store) == 0
    entry = await floor.entry(store, number)
    assert (entry.rank, entry.joined_at) == (Rank.A, after(10))
    told = await floor.happened(store, number)
    assert [event.kind for event in told] == ["queue.joined", "queue.resorted"]
    assert told[1].facts == {"conversation": talk, "before": "B", "rank": "A"}
    assert await floor.served(store, await floor.agent(store)) == [early, number, late]


async def test_a_customer_who_is_no_longer_a_waits_in_the_new_rank_with_the_old_time(store: Store) -> None:
    """Scenario 8, A to B: behind the A, but before a B who joined later; no jump twice."""
    talk, account = await floor.customer(store, Rank.A)
    number = await floor.join_as(store, talk, account, at=after(0))
    other = await floor.join(store, Rank.A, at=after(10))
    later = await floor.join(store, Rank.B, at=after(20))
    await change_tier(store, account, Tier.B)
    assert await numbers(store) == [other, number, later]
    assert (await note_ranks(store), await note_ranks(store)) == (1, 0)
    await change_tier(store, account, Tier.A, seconds=90)
    assert await numbers(store) == [number, other, later]
    assert await note_ranks(store, seconds=91) == 1
    kinds = [event.kind for event in await floor.happened(store, number)]
    assert kinds == ["queue.joined", "queue.resorted", "queue.resorted"]


async def test_a_designation_moves_a_waiting_customer_up(store: Store) -> None:
    b = await floor.join(store, Rank.B, at=after(0))
    talk, account = await floor.customer(store, Rank.D)
    number = await floor.join_as(store, talk, account, at=after(9))
    async with store.transaction() as db:
        known = await db.get_one(Account, account)
        await customers.designate(db, known, reason="supplies the water works", by="supervisor", at=after(10))
    assert await numbers(store) == [number, b]


async def test_a_claim_follows_a_tier_that_nobody_has_noted_yet(store: Store) -> None:
    first = await floor.join(store, Rank.B, at=after(0))
    talk, account = await floor.customer(store, Rank.D)
    number = await floor.join_as(store, talk, account, at=after(5))
    await change_tier(store, account, Tier.A)
    taken = await floor.claim(store, await floor.agent(store), at=after(70))
    assert taken is not None and taken.entry.id == number and taken.why["rank"] == "A"
    assert (await floor.entry(store, number)).rank == Rank.A
    assert await numbers(store) == [first]


async def test_whoever_proves_their_account_while_waiting_counts_for_it(store: Store) -> None:
    first = await floor.join(store, Rank.B, at=after(0))
    talk, _ = await floor.customer(store, None)
    number = await floor.join_as(store, talk, None, at=after(1))
    _, account = await floor.customer(store, Rank.A)
    async with store.transaction() as db:
        known = await db.get_one(Account, account)
        held = await claims.held(db, talk)
        await queue.identify(db, held, known, by="customer", at=after(60))
        await queue.identify(db, held, known, by="customer", at=after(61))
    assert await numbers(store) == [number, first]
    assert (await floor.entry(store, number)).joined_at == after(1)
    assert [e.kind for e in await floor.happened(store, number)] == ["queue.joined", "queue.resorted"]


async def test_identifying_somebody_who_does_not_wait_changes_nothing(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.A)
    async with store.transaction() as db:
        known = await db.get_one(Account, account)
        await queue.identify(db, await claims.held(db, talk), known, by="customer", at=MONDAY)
    assert await numbers(store) == []


# -- places -----------------------------------------------------------------------------------------------------------


async def test_places_count_who_is_ahead_in_service_order(store: Store) -> None:
    joined = [await floor.join(store, rank, at=after(n)) for n, rank in enumerate((Rank.D, Rank.A, Rank.C))]
    talks = [(await floor.entry(store, number)).conversation_id for number in joined]
    async with store.transaction() as db:
        places = await queue.places(db, RULES, agents=2, at=after(10))
    assert [(places[t].position, places[t].ahead, places[t].estimate_s) for t in talks] == [
        (3, 2, 480), (1, 0, 0), (2, 1, 240),
    ]  # fmt: skip


async def test_the_pace_is_measured_when_enough_conversations_ended_lately(store: Store) -> None:
    agent = await floor.agent(store)
    for n in range(queue.ENOUGH - 1):
        number = await floor.join(store, at=after(n))
        await floor.claim(store, agent, at=after(100))
        await floor.end(store, (await floor.entry(store, number)).conversation_id, agent, at=after(160))
    async with store.transaction() as db:
        assert await queue.pace(db, RULES, at=after(200)) == RULES.handling_s
    number = await floor.join(store, at=after(150))
    await floor.claim(store, agent, at=after(200))
    await floor.end(store, (await floor.entry(store, number)).conversation_id, agent, at=after(290))
    async with store.transaction() as db:
        assert await queue.pace(db, RULES, at=after(300)) == pytest.approx((4 * 60 + 90) / 5)
        day_after = after(300) + queue.RECENT * 2
        assert await queue.pace(db, RULES, at=day_after) == RULES.handling_s


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_is_kept(store: Store, reason: Reason) -> None:
    talk, _ = await floor.customer(store, None)
    async with store.transaction() as db:
        made = await queue.join(db, await claims.held(db, talk), None, reason=reason, by="customer", at=MONDAY)
    told: Any = (await floor.happened(store, made.id or 0))[0].facts
    assert told["reason"] == reason


async def test_one_conversation_has_one_open_wait_at_most(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.B)
    await floor.join_as(store, talk, account)
    for status in OPEN:
        with pytest.raises(IntegrityError, match="queue_entry_open"):
            async with store.transaction() as db:
                db.add(
                    QueueEntry(
                        conversation_id=talk,
                        language="zh_CN",
                        reason=Reason.BUTTON,
                        rank=5,
                        joined_at=MONDAY,
                        status=status,
                    )
                )
