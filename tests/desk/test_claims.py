"""Claims: one agent, one customer, in order, explained; offers, transfers and agents who go."""

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from desk import claims, presence, queue
from desk.areas import Area
from desk.conversations import Conversation
from desk.customers import Account
from desk.errors import EntryTaken, NoCapacity, NotAtDesk, NotYours, OutOfTurn, UnknownStaff, UnknownWait
from desk.events import Event
from desk.presence import Presence
from desk.queue import Act
from desk.ranks import Rank, choose
from desk.store import Store
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import RULES, after


async def told(store: Store, number: int) -> dict[str, Any]:
    """The facts of the last claim of a wait."""
    return [event for event in await floor.happened(store, number) if event.kind == "queue.claim"][-1].facts


async def talk_of(store: Store, number: int) -> int:
    return (await floor.entry(store, number)).conversation_id


async def status(store: Store, number: int) -> str:
    return str((await floor.entry(store, number)).status)


async def consistent(store: Store, *numbers: int) -> None:
    async with store.transaction() as db:
        await floor.assert_consistent(db)
    for number in numbers:
        assert floor.replayed(await floor.happened(store, number)) == await status(store, number)


# -- claiming ---------------------------------------------------------------------------------------------------------


async def test_a_claim_takes_the_head_the_seat_and_the_conversation(store: Store) -> None:
    behind, number = await floor.join(store, Rank.D), await floor.join(store, Rank.B, at=after(5))
    agent = await floor.agent(store, capacity=2, skills=["fault"])
    taken = await floor.claim(store, agent, at=after(65))
    assert taken is not None and taken.entry.id == number
    assert (taken.entry.status, taken.entry.agent_id, taken.entry.claimed_at) == ("claimed", agent, after(65))
    assert (taken.conversation.handler, taken.conversation.agent_id) == ("agent", agent)
    assert await floor.load(store, agent) == 1
    assert taken.why == {
        "rank": "B", "waited_s": 60, "waiting": 2, "picked": False, "passed_over": [],
        "agent": {"load": 1, "capacity": 2, "skills": ["fault"], "languages": ["zh_CN"]},
    }  # fmt: skip
    facts = await told(store, number)
    assert facts["why"] == taken.why == (await floor.entry(store, number)).why
    assert [each["entry"] for each in facts["line"]] == [number, behind]
    await consistent(store, number, behind)


async def test_nobody_waiting_is_no_error(store: Store) -> None:
    assert await floor.claim(store, await floor.agent(store)) is None


async def test_a_full_agent_is_told_so_only_when_somebody_waits(store: Store) -> None:
    agent = await floor.agent(store, capacity=1)
    await floor.join(store)
    await floor.claim(store, agent)
    assert await floor.claim(store, agent) is None
    await floor.join(store, Rank.A)
    with pytest.raises(NoCapacity) as error:
        await floor.claim(store, agent)
    assert error.value.facts == {"load": 1, "capacity": 1}


@pytest.mark.parametrize("status", [Presence.BREAK, Presence.AWAY, Presence.OFFLINE])
async def test_whoever_is_not_online_takes_nobody(store: Store, status: Presence) -> None:
    number = await floor.join(store, Rank.A)
    with pytest.raises(NotAtDesk):
        await floor.claim(store, await floor.agent(store, status=status))
    assert (await floor.entry(store, number)).status == "waiting"


async def test_whoever_never_sat_down_takes_nobody(store: Store) -> None:
    await floor.join(store)
    with pytest.raises(NotAtDesk):
        await floor.claim(store, 4711)


async def test_a_claim_is_a_sign_of_life(store: Store) -> None:
    agent = await floor.agent(store)
    await floor.join(store)
    later = after(RULES.lease_s * 10)
    assert await floor.claim(store, agent, at=later) is not None
    async with store.transaction() as db:
        assert (await presence.seat(db, agent, at=later)).heartbeat_at == later


# -- who fits ---------------------------------------------------------------------------------------------------------


async def test_somebody_else_s_skill_is_passed_over_and_the_reason_says_so(store: Store) -> None:
    fault = await floor.join(store, Rank.A, skill="fault")
    plain = await floor.join(store, Rank.D, at=after(1))
    generalist, expert = await floor.agent(store, skills=["billing"]), await floor.agent(store, skills=["fault"])
    taken = await floor.claim(store, generalist, at=after(2))
    assert taken is not None and taken.entry.id == plain
    [passed] = taken.why["passed_over"]
    assert (passed["entry"], passed["rank"], passed["cause"]) == (fault, "A", "skill")
    assert choose((await told(store, plain))["line"]) == plain
    theirs = await floor.claim(store, expert, at=after(3))
    assert theirs is not None and theirs.entry.id == fault and theirs.why["passed_over"] == []


async def test_an_agent_without_listed_skills_can_do_everything(store: Store) -> None:
    fault = await floor.join(store, Rank.A, skill="fault")
    await floor.agent(store, skills=["fault"])
    taken = await floor.claim(store, await floor.agent(store))
    assert taken is not None and taken.entry.id == fault


async def test_a_skill_that_nobody_at_work_has_keeps_nobody_waiting(store: Store) -> None:
    fault = await floor.join(store, Rank.A, skill="fault")
    expert = await floor.agent(store, skills=["fault"])
    generalist = await floor.agent(store, skills=["billing"])
    assert await floor.claim(store, generalist) is None
    async with store.transaction() as db:
        await presence.set_status(db, expert, Presence.BREAK, at=after(1), by="test")
    taken = await floor.claim(store, generalist, at=after(2))
    assert taken is not None and taken.entry.id == fault


async def test_an_expert_who_vanished_keeps_nobody_waiting(store: Store) -> None:
    english = await floor.join(store, Rank.A, language="en")
    await floor.agent(store, languages=["en"])
    agent = await floor.agent(store, at=after(0))
    assert await floor.claim(store, agent, at=after(RULES.lease_s - 1)) is None
    taken = await floor.claim(store, agent, at=after(RULES.lease_s))
    assert taken is not None and taken.entry.id == english


async def test_a_language_that_a_colleague_speaks_is_left_to_them(store: Store) -> None:
    english = await floor.join(store, Rank.IMPORTANT, language="en")
    chinese = await floor.join(store, Rank.C)
    both, one = await floor.agent(store, languages=["zh_CN", "en"]), await floor.agent(store)
    taken = await floor.claim(store, one)
    assert taken is not None and taken.entry.id == chinese
    assert [(p["entry"], p["cause"]) for p in taken.why["passed_over"]] == [(english, "language")]
    assert choose((await told(store, chinese))["line"]) == chinese
    theirs = await floor.claim(store, both)
    assert theirs is not None and theirs.entry.id == english


async def test_a_skill_and_a_language_that_no_single_agent_has_keep_nobody_waiting(store: Store) -> None:
    number = await floor.join(store, Rank.A, skill="fault", language="en")
    expert = await floor.agent(store, skills=["fault"])
    assert (await floor.agent(store)) and await floor.claim(store, expert) is not None  # nobody speaks it
    second = await floor.join(store, Rank.A, skill="fault", language="en")
    speaker = await floor.agent(store, skills=["billing"], languages=["en"])
    assert await floor.claim(store, expert) is None
    taken = await floor.claim(store, speaker)
    assert taken is not None and taken.entry.id == second != number


async def test_whoever_is_just_being_taken_is_passed_over_as_taken(store: Store) -> None:
    first, second = await floor.join(store, Rank.A), await floor.join(store, Rank.A, at=after(0.5))
    one, other = await floor.agent(store), await floor.agent(store)
    async with store.transaction() as db:
        mine = await claims.claim_next(db, RULES, one, by="one", at=after(1))
        assert mine is not None and mine.entry.id == first
        theirs = await floor.claim(store, other, at=after(1))
        assert theirs is not None and theirs.entry.id == second
    assert [(p["entry"], p["cause"]) for p in theirs.why["passed_over"]] == [(first, "taken")]
    assert choose((await told(store, second))["line"]) == second
    assert choose((await told(store, first))["line"]) == first


# -- picking ----------------------------------------------------------------------------------------------------------


async def test_an_agent_may_pick_below_the_green_channel_and_the_reason_says_so(store: Store) -> None:
    b, c, d = [await floor.join(store, rank, at=after(n)) for n, rank in enumerate((Rank.B, Rank.C, Rank.D))]
    agent = await floor.agent(store)
    taken = await floor.claim(store, agent, at=after(9), wanted=d)
    assert taken is not None and taken.entry.id == d and taken.why["picked"]
    assert [(p["entry"], p["cause"]) for p in taken.why["passed_over"]] == [(b, "picked"), (c, "picked")]
    assert choose((await told(store, d))["line"]) == d
    await consistent(store, b, c, d)


@pytest.mark.parametrize("green", [Rank.A, Rank.IMPORTANT])
@pytest.mark.parametrize("wanted", [Rank.IMPORTANT, Rank.B, Rank.D])
async def test_nobody_is_picked_past_the_green_channel(store: Store, green: Rank, wanted: Rank) -> None:
    picked = await floor.join(store, wanted, at=after(5))
    await floor.join(store, green, at=after(1))
    agent = await floor.agent(store)
    with pytest.raises(OutOfTurn) as error:
        await floor.claim(store, agent, at=after(6), wanted=picked)
    assert error.value.facts == {"rank": green.key}
    assert await floor.load(store, agent) == 0


async def test_an_a_customer_is_not_picked_past_one_who_came_earlier(store: Store) -> None:
    first, second = await floor.join(store, Rank.A), await floor.join(store, Rank.A, at=after(1))
    agent = await floor.agent(store)
    with pytest.raises(OutOfTurn):
        await floor.claim(store, agent, at=after(2), wanted=second)
    taken = await floor.claim(store, agent, at=after(2), wanted=first)
    assert taken is not None and taken.entry.id == first
    assert (await floor.claim(store, agent, at=after(2), wanted=second)) is not None


async def test_a_green_customer_whom_this_agent_cannot_serve_is_no_reason_against_picking(store: Store) -> None:
    await floor.join(store, Rank.A, language="en")
    b = await floor.join(store, Rank.B, at=after(1))
    await floor.agent(store, languages=["en"])
    taken = await floor.claim(store, await floor.agent(store), wanted=b)
    assert taken is not None and taken.entry.id == b


async def test_a_picked_customer_need_not_fit(store: Store) -> None:
    fault = await floor.join(store, Rank.C, skill="fault")
    await floor.agent(store, skills=["fault"])
    taken = await floor.claim(store, await floor.agent(store, skills=["billing"]), wanted=fault)
    assert taken is not None and taken.entry.id == fault
    assert choose((await told(store, fault))["line"]) == fault


async def test_whoever_wants_somebody_taken_learns_by_whom(store: Store) -> None:
    number = await floor.join(store, Rank.B)
    one, other = await floor.agent(store), await floor.agent(store)
    await floor.claim(store, one)
    with pytest.raises(EntryTaken) as error:
        await floor.claim(store, other, wanted=number)
    assert error.value.facts["by"].startswith("Agent ")
    with pytest.raises(UnknownWait):
        await floor.claim(store, other, wanted=4711)


async def test_whoever_wants_somebody_who_is_being_taken_learns_that(store: Store) -> None:
    number = await floor.join(store, Rank.B)
    one, other = await floor.agent(store), await floor.agent(store)
    async with store.transaction() as db:
        assert await claims.claim_next(db, RULES, one, by="one", at=MONDAY)
        with pytest.raises(EntryTaken) as error:
            await floor.claim(store, other, wanted=number)
    assert error.value.facts == {"by": ""}


async def test_somebody_deep_in_a_long_line_is_in_the_stored_reason_too(store: Store) -> None:
    joined = [await floor.join(store, Rank.D, at=after(n)) for n in range(claims.LINE_KEPT + 10)]
    taken = await floor.claim(store, await floor.agent(store), at=after(99), wanted=joined[-1])
    assert taken is not None and taken.why["waiting"] == len(joined)
    line = (await told(store, joined[-1]))["line"]
    assert len(line) == claims.LINE_KEPT + 1 and choose(line) == joined[-1]


async def test_every_stored_line_replays_to_the_customer_who_was_claimed(store: Store) -> None:
    skills, languages = ("", "fault", "billing"), ("zh_CN", "en")
    ranks = [None, *Rank]
    for n in range(36):
        await floor.join(store, ranks[n % 6], at=after(n * 0.37), skill=skills[n % 3], language=languages[n % 2])
    agents = [
        await floor.agent(store, capacity=50, skills=["fault"]),
        await floor.agent(store, capacity=50, skills=["billing"], languages=["zh_CN", "en"]),
        await floor.agent(store, capacity=50),
    ]
    for n in range(60):
        await floor.claim(store, agents[n % 3], at=after(15))
    async with store.transaction() as db:
        query = select(Event).where(col(Event.kind) == "queue.claim").order_by(col(Event.id))
        found = (await db.exec(query)).all()
    assert len(found) == 36
    for event in found:
        assert f"queue:{choose(event.facts['line'])}" == event.subject
        passed = {each["entry"]: each["cause"] for each in event.facts["why"]["passed_over"]}
        chosen = int(event.subject.removeprefix("queue:"))
        position = [each["entry"] for each in event.facts["line"]].index(chosen)
        assert list(passed) == [each["entry"] for each in event.facts["line"][:position]]
        assert set(passed.values()) <= {"skill", "language"}


# -- offers -----------------------------------------------------------------------------------------------------------


async def offer(store: Store, number: int, *, at: float = 0) -> int | None:
    async with store.transaction() as db:
        return await claims.offer(db, RULES, number, at=after(at))


async def managed(store: Store, number: int, manager: int) -> None:
    """Let an agent be the manager of the area in which a waiting customer lies."""
    async with store.transaction() as db:
        area = Area(name=f"area {number}", manager_id=manager)
        db.add(area)
        await db.flush()
        entry = await queue.entry(db, number)
        account = await db.get_one(Account, entry.account_id)
        account.area_id = area.id
        db.add(account)


async def decline(store: Store, number: int, staff_id: int | None, *, at: float = 0) -> bool:
    async with store.transaction() as db:
        return await claims.decline(db, number, staff_id, by="x", at=after(at))


async def test_an_offer_reserves_the_seat_and_is_accepted_without_counting_twice(store: Store) -> None:
    number = await floor.join(store, Rank.B)
    agent = await floor.agent(store, capacity=1)
    assert await offer(store, number) == agent
    entry = await floor.entry(store, number)
    assert (entry.status, entry.offered_to, entry.offer_until) == ("offered", agent, after(RULES.offer_s))
    assert await floor.load(store, agent) == 1
    taken = await floor.claim(store, agent, at=after(3), wanted=number)
    assert taken is not None and await floor.load(store, agent) == 1
    assert choose((await told(store, number))["line"]) == number
    await consistent(store, number)


async def test_a_full_agent_still_accepts_their_offer_by_pressing_next(store: Store) -> None:
    number = await floor.join(store, Rank.B)
    agent = await floor.agent(store, capacity=1)
    await offer(store, number)
    await floor.join(store, Rank.A, at=after(1))
    taken = await floor.claim(store, agent, at=after(2))
    assert taken is not None and taken.entry.id == number
    assert [p["cause"] for p in taken.why["passed_over"]] == ["taken"]


async def test_what_is_offered_to_a_colleague_is_passed_over(store: Store) -> None:
    number = await floor.join(store, Rank.B)
    one, other = await floor.agent(store), await floor.agent(store)
    assert await offer(store, number) == one
    assert await floor.claim(store, other) is None
    behind = await floor.join(store, Rank.B, at=after(1))
    taken = await floor.claim(store, other, at=after(2))
    assert taken is not None and taken.entry.id == behind
    assert [(p["entry"], p["cause"]) for p in taken.why["passed_over"]] == [(number, "offered")]
    with pytest.raises(EntryTaken):
        await floor.claim(store, other, wanted=number)


async def test_a_declined_offer_goes_to_the_next_and_keeps_its_place(store: Store) -> None:
    number = await floor.join(store, Rank.B)
    one, other = await floor.agent(store), await floor.agent(store)
    assert await offer(store, number) == one
    assert not await decline(store, number, other)
    assert await decline(store, number, one)
    entry = await floor.entry(store, number)
    assert (entry.status, entry.joined_at, entry.declined, entry.offered_to) == ("waiting", MONDAY, [one], None)
    assert await offer(store, number) == other
    assert not await decline(store, number, None, at=RULES.offer_s - 1)
    assert await decline(store, number, None, at=RULES.offer_s)
    assert not await decline(store, number, None, at=RULES.offer_s)
    # when everybody has declined it begins again
    assert await offer(store, number) == one
    assert (await floor.load(store, one), await floor.load(store, other)) == (1, 0)
    await consistent(store, number)


async def test_the_manager_of_the_area_comes_first_but_keeps_nobody_waiting(store: Store) -> None:
    number, second = await floor.join(store, Rank.A), await floor.join(store, Rank.A)
    other, manager = await floor.agent(store), await floor.agent(store, capacity=1)
    for each in (number, second):
        await managed(store, each, manager)
    assert await offer(store, number) == manager
    assert await offer(store, second) == other


async def test_offers_go_to_whoever_holds_the_least_and_has_been_free_the_longest(store: Store) -> None:
    one, other = await floor.agent(store), await floor.agent(store)
    numbers = [await floor.join(store, Rank.B, at=after(n)) for n in range(4)]
    await floor.claim(store, one, at=after(10))
    assert await offer(store, numbers[1], at=11) == other
    await floor.claim(store, other, at=after(12), wanted=numbers[1])
    assert await offer(store, numbers[2], at=13) == one


async def test_offers_go_only_to_who_could_claim_or_to_anybody_where_nobody_could(store: Store) -> None:
    other = await floor.agent(store, skills=["billing"])
    number = await floor.join(store, Rank.B, skill="fault")
    assert await offer(store, number) == other, "a skill that nobody at work has is anybody's"
    fitter = await floor.agent(store, skills=["fault"], capacity=1)
    second, third = [await floor.join(store, Rank.B, skill="fault", at=after(n)) for n in (1, 2)]
    assert await offer(store, second, at=3) == fitter
    assert await offer(store, third, at=3) is None, "whoever has the skill is at work and will be free"


async def test_nobody_free_is_no_offer_and_locks_nobody(store: Store) -> None:
    number = await floor.join(store, Rank.A)
    full = await floor.agent(store, capacity=1)
    await floor.agent(store, status=Presence.BREAK)
    async with store.transaction() as db:
        await presence.carry(db, {full: 1})
        assert await claims.offer(db, RULES, number, at=MONDAY) is None
        taken = await floor.claim(store, await floor.agent(store))
        assert taken is not None and taken.entry.id == number


async def test_what_is_gone_is_not_offered_and_no_seat_is_kept(store: Store) -> None:
    number = await floor.join(store, Rank.A)
    agent = await floor.agent(store)
    async with store.transaction() as db:
        await queue.entry(db, number, lock=True)
        assert await offer(store, number) is None
    await floor.claim(store, agent)
    assert await offer(store, number) is None
    assert await floor.load(store, agent) == 1


# -- ending -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("act", "final"), [(Act.CLOSE, "closed"), (Act.RETURN, "returned")])
async def test_an_end_frees_the_seat_and_lets_the_bot_answer(store: Store, act: Act, final: str) -> None:
    number = await floor.join(store)
    agent, other = await floor.agent(store), await floor.agent(store)
    await floor.claim(store, agent)
    talk = await talk_of(store, number)
    with pytest.raises(NotYours):
        await floor.end(store, talk, other, act)
    async with store.transaction() as db:
        await claims.end(db, talk, agent, act, by="x", at=after(60), outcome="answered", category="billing")
    entry = await floor.entry(store, number)
    assert (entry.status, entry.ended_at, entry.outcome, entry.category) == (final, after(60), "answered", "billing")
    with pytest.raises(NotYours):
        await floor.end(store, talk, agent, act)
    assert await floor.load(store, agent) == 0
    facts = (await floor.happened(store, number))[-1].facts
    assert (facts["outcome"], facts["category"]) == ("answered", "billing")
    await consistent(store, number)


async def test_an_end_during_a_transfer_frees_both_seats(store: Store) -> None:
    number = await floor.join(store)
    one, other = await floor.agent(store), await floor.agent(store)
    await floor.claim(store, one)
    await transfer(store, await talk_of(store, number), one, other)
    await floor.end(store, await talk_of(store, number), one)
    assert (await floor.load(store, one), await floor.load(store, other)) == (0, 0)
    await consistent(store, number)


async def test_a_person_s_reply_takes_over_from_the_bot(store: Store) -> None:
    talk, account = await floor.customer(store, Rank.B)
    agent, other = await floor.agent(store), await floor.agent(store)
    async with store.transaction() as db:
        known = await db.get(Account, account)
        opened = await claims.open_by(db, talk, known, agent, by="x", at=after(5))
    assert (opened.status, opened.rank, opened.reason, opened.agent_id) == ("claimed", Rank.B, "agent", agent)
    for staff_id in (agent, other):
        with pytest.raises(NotYours):
            async with store.transaction() as db:
                await claims.open_by(db, talk, None, staff_id, by="x", at=after(6))
    await consistent(store, opened.id or 0)
    unknown, _ = await floor.customer(store, None)
    with pytest.raises(UnknownStaff):
        async with store.transaction() as db:
            await claims.open_by(db, unknown, None, 4711, by="x", at=after(6))


# -- transfers --------------------------------------------------------------------------------------------------------


async def transfer(
    store: Store, talk: int, staff_id: int, to: int | None, *, at: float = 0, skill: str | None = None
) -> claims.Claim:
    async with store.transaction() as db:
        return await claims.transfer(db, RULES, talk, staff_id, to, by="x", at=after(at), skill=skill)


async def accept(store: Store, talk: int, staff_id: int) -> claims.Claim:
    async with store.transaction() as db:
        return await claims.accept_transfer(db, talk, staff_id, by="x", at=after(5))


async def keep(store: Store, talk: int, staff_id: int | None, *, at: float) -> bool:
    async with store.transaction() as db:
        return await claims.keep(db, talk, by="x", at=after(at), staff_id=staff_id)


async def in_talk(store: Store, **able: Any) -> tuple[int, int, int, int]:
    """A wait, its conversation, the agent who holds it, and a colleague."""
    number = await floor.join(store, Rank.B)
    one, other = await floor.agent(store), await floor.agent(store, **able)
    await floor.claim(store, one)
    return number, await talk_of(store, number), one, other


async def test_a_transfer_stays_until_it_is_accepted(store: Store) -> None:
    number, talk, one, other = await in_talk(store)
    given = await transfer(store, talk, one, other)
    assert (given.entry.status, given.entry.agent_id, given.entry.offered_to) == ("transferring", one, other)
    assert given.conversation.agent_id == one
    assert (await floor.load(store, one), await floor.load(store, other)) == (1, 1)
    with pytest.raises(NotYours):
        await accept(store, talk, one)
    taken = await accept(store, talk, other)
    assert (taken.entry.agent_id, taken.conversation.agent_id) == (other, other)
    assert (await floor.load(store, one), await floor.load(store, other)) == (0, 1)
    facts = [e.facts for e in await floor.happened(store, number) if e.kind == "queue.transfer"]
    assert facts[0]["to"] == other
    with pytest.raises(NotYours):
        await accept(store, talk, other)
    await consistent(store, number)


async def test_a_transfer_that_nobody_accepts_comes_back(store: Store) -> None:
    number, talk, one, other = await in_talk(store)
    await transfer(store, talk, one, other)
    assert not await keep(store, talk, None, at=RULES.transfer_s - 1)
    with pytest.raises(NotYours):
        await keep(store, talk, one, at=1)
    assert await keep(store, talk, None, at=RULES.transfer_s)
    assert not await keep(store, talk, None, at=RULES.transfer_s)
    entry = await floor.entry(store, number)
    assert (entry.status, entry.agent_id, entry.offered_to) == ("claimed", one, None)
    await transfer(store, talk, one, other)
    assert await keep(store, talk, other, at=1)  # declined
    await consistent(store, number)


async def test_a_transfer_can_go_to_somebody_else_before_it_is_accepted(store: Store) -> None:
    number, talk, one, other = await in_talk(store)
    third = await floor.agent(store)
    await transfer(store, talk, one, other)
    await transfer(store, talk, one, third)
    assert (await floor.load(store, other), await floor.load(store, third)) == (0, 1)
    with pytest.raises(NotYours):
        await accept(store, talk, other)
    await accept(store, talk, third)
    await consistent(store, number)


async def test_a_transfer_needs_a_colleague_with_room_at_the_desk(store: Store) -> None:
    number, talk, one, full = await in_talk(store, capacity=1)
    resting = await floor.agent(store, status=Presence.BREAK)
    async with store.transaction() as db:
        await presence.carry(db, {full: 1})
    with pytest.raises(NoCapacity) as error:
        await transfer(store, talk, one, full)
    assert error.value.facts == {"load": 1, "capacity": 1}
    for to in (resting, one):
        with pytest.raises(NotAtDesk):
            await transfer(store, talk, one, to)
    with pytest.raises(NotAtDesk):
        await transfer(store, talk, one, await floor.agent(store), at=RULES.lease_s)  # not heard of since
    with pytest.raises(UnknownStaff):
        await transfer(store, talk, one, 4711)
    with pytest.raises(NotYours):
        await transfer(store, talk, full, one)
    assert await status(store, number) == "claimed"


async def test_back_to_the_line_is_back_to_the_old_place(store: Store) -> None:
    number, talk, one, other = await in_talk(store, skills=["fault"])
    later = await floor.join(store, Rank.B, at=after(10))
    given = await transfer(store, talk, one, None, at=20, skill="fault")
    assert (given.entry.status, given.entry.skill, given.entry.joined_at) == ("waiting", "fault", MONDAY)
    assert given.entry.agent_id is None and given.entry.claimed_at is None
    async with store.transaction() as db:
        assert [each.entry for each in await queue.line(db)] == [number, later]
    taken = await floor.claim(store, other, at=after(21))
    assert taken is not None and taken.entry.id == number
    await consistent(store, number, later)


async def test_a_supervisor_takes_over_even_beyond_capacity(store: Store) -> None:
    number, talk, one, supervisor = await in_talk(store, capacity=1)
    other = await floor.agent(store)
    async with store.transaction() as db:
        await presence.carry(db, {supervisor: 1})
    await transfer(store, talk, one, other)

    async def take_over(staff_id: int) -> claims.Claim:
        async with store.transaction() as db:
            return await claims.take_over(db, talk, staff_id, reason="help", by="x", at=after(9))

    taken = await take_over(supervisor)
    assert (taken.entry.status, taken.conversation.agent_id) == ("claimed", supervisor)
    assert [await floor.load(store, each) for each in (one, other, supervisor)] == [0, 0, 2]
    with pytest.raises(NotYours):
        await take_over(supervisor)
    with pytest.raises(NotYours):
        await floor.end(store, talk, one)
    await floor.end(store, talk, supervisor)
    with pytest.raises(NotYours):
        await take_over(one)
    assert floor.replayed(await floor.happened(store, number)) == "closed"


# -- agents who go ----------------------------------------------------------------------------------------------------


async def test_an_agent_who_goes_gives_everybody_back_to_their_old_place(store: Store) -> None:
    joined = [await floor.join(store, Rank.C, at=after(n)) for n in range(4)]
    agent, other = await floor.agent(store), await floor.agent(store)
    for _ in range(3):
        await floor.claim(store, agent, at=after(5))
    await transfer(store, await talk_of(store, joined[1]), agent, other)
    async with store.transaction() as db:
        given = await claims.give_back_all(db, agent, Act.RELEASE, by="x", at=after(9))
        assert [each.entry.id for each in given] == joined[:3]
        assert {str(each.conversation.handler) for each in given} == {"queue"}
    async with store.transaction() as db:
        assert [each.entry for each in await queue.line(db)] == joined
    assert (await floor.load(store, agent), await floor.load(store, other)) == (0, 0)
    await consistent(store, *joined)


async def lapse(store: Store, staff_id: int, *, at: float) -> list[claims.Claim]:
    async with store.transaction() as db:
        gone = await claims.vanished(db, RULES, at=after(at))
        return await claims.lapse(db, RULES, staff_id, at=after(at)) if staff_id in gone else []


async def test_an_agent_who_vanishes_loses_the_customer_to_the_old_place(store: Store) -> None:
    """Scenario 6, the desk's part."""
    number = await floor.join(store, Rank.A, at=after(0))
    agent = await floor.agent(store)
    await floor.claim(store, agent, at=after(1))
    later = await floor.join(store, Rank.A, at=after(2))
    assert await lapse(store, agent, at=RULES.lease_s) == []
    [given] = await lapse(store, agent, at=RULES.lease_s + 1)
    assert (given.entry.status, given.entry.joined_at, given.conversation.handler) == ("waiting", MONDAY, "queue")
    async with store.transaction() as db:
        seat = await presence.seat(db, agent, at=after(30))
        assert (seat.status, seat.load, seat.lapsed_at) == ("away", 0, after(RULES.lease_s + 1))
        assert [each.entry for each in await queue.line(db)] == [number, later]
    assert await lapse(store, agent, at=RULES.lease_s + 2) == []
    assert [e.kind for e in await floor.happened(store, number)][-1] == "queue.lapse"
    await consistent(store, number, later)
    other = await floor.agent(store, at=after(30))
    taken = await floor.claim(store, other, at=after(31))
    assert taken is not None and taken.entry.id == number


async def test_whoever_was_heard_of_meanwhile_loses_nobody(store: Store) -> None:
    number = await floor.join(store, Rank.A)
    agent = await floor.agent(store)
    await floor.claim(store, agent)
    async with store.transaction() as db:
        assert await claims.vanished(db, RULES, at=after(60)) == [agent]
        async with store.transaction() as alive:
            await presence.beat(alive, agent, at=after(59))
        assert await claims.lapse(db, RULES, agent, at=after(60)) == []
    assert await status(store, number) == "claimed"


async def test_what_a_colleague_is_just_changing_is_left_for_the_next_look(store: Store) -> None:
    number = await floor.join(store, Rank.A)
    agent = await floor.agent(store)
    await floor.claim(store, agent)
    async with store.transaction() as db:
        await queue.entry(db, number, lock=True)
        assert await lapse(store, agent, at=60) == []
    async with store.transaction() as db:
        assert (await presence.seat(db, agent, at=after(60))).status == "away"
    [given] = await lapse(store, agent, at=61)
    assert given.entry.id == number
    await consistent(store, number)


async def test_a_conversation_is_an_agent_s_exactly_while_one_answers(store: Store) -> None:
    talk, _ = await floor.customer(store, None)
    with pytest.raises(IntegrityError, match="agent_answers"):
        async with store.transaction() as db:
            conversation = await db.get_one(Conversation, talk)
            conversation.agent_id = await floor.agent(store)
            db.add(conversation)
