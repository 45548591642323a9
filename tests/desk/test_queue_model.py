"""The line against a plain model: whatever people do in whatever order, both say the same after every step."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text
from sqlmodel import col, select

from desk import claims, customers, presence, queue
from desk.customers import Account
from desk.errors import EntryTaken, NoCapacity, NotAtDesk, NotYours, OutOfTurn
from desk.events import Event
from desk.presence import Presence
from desk.queue import Act, QueueEntry
from desk.ranks import Rank, choose, rank_of
from desk.store import Store
from desk.tiers import Tier
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import RULES

SKILLS: Final = (("fault",), ("billing",), ())
CAPACITY: Final = 2
CUSTOMERS: Final = 6
AGENTS: Final = len(SKILLS)
agents = st.integers(0, AGENTS - 1)
people = st.integers(0, CUSTOMERS - 1)


@dataclass
class Wait:
    """What the model knows of one open wait."""

    joined: datetime
    skill: str
    status: str = "waiting"
    agent: int | None = None
    to: int | None = None


@dataclass
class Stage:
    """One database for all runs: its people stay, everything that happened is wiped."""

    store: Store
    loop: asyncio.Runner
    staff: list[int] = field(default_factory=list)
    talks: list[tuple[int, int]] = field(default_factory=list)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(work)

    async def build(self) -> None:
        self.staff = [await floor.agent(self.store, capacity=CAPACITY, skills=skills) for skills in SKILLS]
        for _ in range(CUSTOMERS):
            talk, account = await floor.customer(self.store, Rank.D)
            assert account is not None
            self.talks.append((talk, account))

    async def wipe(self) -> None:
        async with self.store.transaction() as db:
            for statement in (
                "DELETE FROM queue_entry", "DELETE FROM event", "DELETE FROM tier_change",
                "UPDATE conversation SET handler = 'bot', agent_id = NULL",
                "UPDATE account SET tier = 'D', important = false",
            ):  # fmt: skip
                await db.execute(text(statement))
            await db.execute(
                text("UPDATE seat SET status = 'online', load = 0, lapsed_at = NULL, heartbeat_at = :at"),
                {"at": MONDAY},
            )


class Line(RuleBasedStateMachine):
    """The rules of the floor, each one transaction, with what must follow."""

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        self.now = MONDAY
        self.waits: dict[int, Wait] = {}
        self.numbers: dict[int, int] = {}  # customer to entry
        self.joined: dict[int, datetime] = {}  # entry to the time at which it began
        self.tiers: list[tuple[str, bool]] = [("D", False)] * CUSTOMERS
        self.away: set[int] = set()
        self.stage.do(self.stage.wipe())

    # -- the model ----------------------------------------------------------------------------------------------------

    def rank(self, customer: int) -> Rank:
        tier, important = self.tiers[customer]
        return rank_of(tier, important)

    def order(self, customer: int) -> tuple[int, datetime, int]:
        return self.rank(customer), self.waits[customer].joined, self.numbers[customer]

    def load(self, agent: int) -> int:
        return sum((w.agent == agent) + (w.to == agent) for w in self.waits.values())

    def fits(self, agent: int, customer: int) -> bool:
        wait = self.waits[customer]
        if wait.status == "offered":
            return wait.to == agent
        able = [n for n in range(AGENTS) if n not in self.away and (not SKILLS[n] or wait.skill in SKILLS[n])]
        return wait.status == "waiting" and (not wait.skill or agent in able or not able)

    def line(self) -> list[int]:
        return sorted((c for c, w in self.waits.items() if w.status in ("waiting", "offered")), key=self.order)

    def held(self, agent: int) -> list[int]:
        return [c for c, w in self.waits.items() if w.agent == agent]

    # -- what people do -----------------------------------------------------------------------------------------------

    def do(self, work: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **more: Any) -> Any:
        async def done() -> Any:
            async with self.stage.store.transaction() as db:
                return await work(db, *arguments, at=self.now, **more)

        self.now += timedelta(milliseconds=10)
        return self.stage.do(done())

    def staff(self, agent: int) -> int:
        return self.stage.staff[agent]

    def talk(self, customer: int) -> int:
        return self.stage.talks[customer][0]

    @rule(customer=people, skill=st.sampled_from(["", "", "fault"]))
    def join(self, customer: int, skill: str) -> None:
        async def joins(db: Any, *, at: datetime) -> QueueEntry:
            talk, account = self.stage.talks[customer]
            held, known = await claims.held(db, talk), await db.get(Account, account)
            return await queue.join(db, held, known, reason=queue.Reason.BUTTON, by="customer", at=at, skill=skill)

        entry = self.do(joins)
        if customer in self.waits:
            assert entry.id == self.numbers[customer]
        else:
            self.waits[customer] = Wait(self.now, skill)
            self.numbers[customer], self.joined[entry.id] = entry.id, self.now

    @rule(agent=agents)
    def claim_next(self, agent: int) -> None:
        self.away.discard(agent)
        line = self.line()
        full = self.load(agent) >= CAPACITY
        able = [c for c in line if self.fits(agent, c) and (not full or self.waits[c].status == "offered")]
        try:
            taken = self.do(claims.claim_next, RULES, self.staff(agent), by="x")
        except NoCapacity:
            assert full and line and not able
            self.away_again(agent)
            return
        if taken is None:
            assert not able
            return
        assert taken.entry.id == self.numbers[able[0]]
        self.taken(agent, able[0])

    def away_again(self, agent: int) -> None:
        """A refused claim was rolled back, with its sign of life."""
        if self.do(_status, self.staff(agent)) == Presence.AWAY:
            self.away.add(agent)

    def taken(self, agent: int, customer: int) -> None:
        wait = self.waits[customer]
        wait.status, wait.agent, wait.to = "claimed", agent, None

    @precondition(lambda self: self.line())
    @rule(agent=agents, data=st.data())
    def pick(self, agent: int, data: st.DataObject) -> None:
        self.away.discard(agent)
        line = self.line()
        wanted = data.draw(st.sampled_from(line))
        wait = self.waits[wanted]
        full = self.load(agent) >= CAPACITY
        ahead = [c for c in line if self.order(c) < self.order(wanted)]
        green = [c for c in ahead if self.fits(agent, c) and self.rank(c).green]
        try:
            taken = self.do(claims.claim_next, RULES, self.staff(agent), by="x", wanted=self.numbers[wanted])
        except (EntryTaken, NoCapacity, OutOfTurn) as error:
            elsewhere = wait.status == "offered" and wait.to != agent
            assert elsewhere or green or (full and wait.status == "waiting"), error
            self.away_again(agent)
            return
        assert not green and (not full or wait.to == agent) and taken.entry.id == self.numbers[wanted]
        self.taken(agent, wanted)

    @rule(customer=people)
    def leave(self, customer: int) -> None:
        async def leaves(db: Any, *, at: datetime) -> Any:
            return await queue.leave(db, await claims.held(db, self.talk(customer)), by="customer", at=at)

        left = self.do(leaves)
        assert (left is not None) == (customer in self.line())
        if left is not None:
            del self.waits[customer]

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def offer(self, data: st.DataObject) -> None:
        customer = data.draw(st.sampled_from(sorted(self.waits)))
        chosen = self.do(claims.offer, RULES, self.numbers[customer])
        free = [n for n in range(AGENTS) if n not in self.away and self.load(n) < CAPACITY]
        if self.waits[customer].status != "waiting" or not free:
            assert chosen is None
            return
        agent = self.stage.staff.index(chosen)
        assert agent in free
        self.waits[customer].status, self.waits[customer].to = "offered", agent

    @precondition(lambda self: any(w.status == "offered" for w in self.waits.values()))
    @rule(data=st.data(), agent=agents)
    def decline(self, data: st.DataObject, agent: int) -> None:
        customer = data.draw(st.sampled_from([c for c, w in self.waits.items() if w.status == "offered"]))
        mine = self.waits[customer].to == agent
        assert self.do(claims.decline, self.numbers[customer], self.staff(agent), by="x") == mine
        if mine:
            self.waits[customer].status, self.waits[customer].to = "waiting", None

    @precondition(lambda self: any(w.agent is not None for w in self.waits.values()))
    @rule(data=st.data(), agent=agents, act=st.sampled_from([Act.CLOSE, Act.RETURN]))
    def end(self, data: st.DataObject, agent: int, act: Act) -> None:
        customer = data.draw(st.sampled_from([c for c, w in self.waits.items() if w.agent is not None]))
        if self.waits[customer].agent != agent:
            with pytest.raises(NotYours):
                self.do(claims.end, self.talk(customer), self.staff(agent), act, by="x")
            return
        self.do(claims.end, self.talk(customer), self.staff(agent), act, by="x")
        del self.waits[customer]

    @precondition(lambda self: any(w.agent is not None for w in self.waits.values()))
    @rule(data=st.data(), to=st.none() | agents)
    def transfer(self, data: st.DataObject, to: int | None) -> None:
        customer = data.draw(st.sampled_from([c for c, w in self.waits.items() if w.agent is not None]))
        wait = self.waits[customer]
        assert wait.agent is not None
        arguments = (RULES, self.talk(customer), self.staff(wait.agent), None if to is None else self.staff(to))
        # an invitation that is withdrawn makes room before the next one takes it
        room = to is not None and self.load(to) - (wait.to == to) < CAPACITY
        if to is not None and (to == wait.agent or to in self.away or not room):
            with pytest.raises((NotAtDesk, NoCapacity)):
                self.do(claims.transfer, *arguments, by="x")
            return
        self.do(claims.transfer, *arguments, by="x")
        if to is None:
            wait.status, wait.agent, wait.to = "waiting", None, None
        else:
            wait.status, wait.to = "transferring", to

    @precondition(lambda self: any(w.status == "transferring" for w in self.waits.values()))
    @rule(data=st.data(), accepted=st.booleans())
    def answer_a_transfer(self, data: st.DataObject, accepted: bool) -> None:
        customer = data.draw(st.sampled_from([c for c, w in self.waits.items() if w.status == "transferring"]))
        wait = self.waits[customer]
        assert wait.to is not None
        if accepted:
            self.do(claims.accept_transfer, self.talk(customer), self.staff(wait.to), by="x")
            wait.agent = wait.to
        else:
            assert self.do(claims.keep, self.talk(customer), by="x", staff_id=self.staff(wait.to))
        wait.status, wait.to = "claimed", None

    @precondition(lambda self: any(w.agent is not None for w in self.waits.values()))
    @rule(data=st.data(), agent=agents)
    def take_over(self, data: st.DataObject, agent: int) -> None:
        customer = data.draw(st.sampled_from([c for c, w in self.waits.items() if w.agent is not None]))
        wait = self.waits[customer]
        arguments = (self.talk(customer), self.staff(agent))
        if wait.agent == agent:
            with pytest.raises(NotYours):
                self.do(claims.take_over, *arguments, reason="r", by="x")
            return
        self.do(claims.take_over, *arguments, reason="r", by="x")
        self.taken(agent, customer)

    @rule(agent=agents)
    def vanish(self, agent: int) -> None:
        """Everybody else is heard of, this one is not: offers keep their own time, holds lapse."""
        self.now += timedelta(seconds=RULES.lease_s + 1)
        for other in set(range(AGENTS)) - {agent}:
            self.do(presence.beat, self.staff(other))
            self.away.discard(other)
        given = self.do(claims.lapse, RULES, self.staff(agent))
        assert {each.entry.id for each in given} == {self.numbers[c] for c in self.held(agent)}
        for customer in self.held(agent):
            wait = self.waits[customer]
            wait.status, wait.agent, wait.to = "waiting", None, None
        self.away.add(agent)

    @rule(agent=agents)
    def go(self, agent: int) -> None:
        self.do(claims.give_back_all, self.staff(agent), Act.RELEASE, by="x")
        for customer in self.held(agent):
            wait = self.waits[customer]
            wait.status, wait.agent, wait.to = "waiting", None, None

    @rule(customer=people, tier=st.sampled_from(list(Tier)), important=st.booleans())
    def change_the_archive(self, customer: int, tier: Tier, important: bool) -> None:
        async def changes(db: Any, *, at: datetime) -> None:
            account = await db.get_one(Account, self.stage.talks[customer][1])
            await customers.set_tier(db, account, tier, reason="purchases", by="x", at=at)
            account.important = important
            db.add(account)

        self.do(changes)
        self.tiers[customer] = (tier, important)

    @rule()
    def note_ranks(self) -> None:
        changed = self.do(queue.note_ranks)
        assert changed <= len(self.line())
        assert self.do(queue.note_ranks) == 0

    # -- what must be true --------------------------------------------------------------------------------------------

    @invariant()
    def both_say_the_same(self) -> None:
        self.do(self.compare)

    async def compare(self, db: Any, *, at: datetime) -> None:
        await floor.assert_consistent(db)
        assert [each.entry for each in await queue.line(db)] == [self.numbers[c] for c in self.line()]
        found = {e.id: e for e in (await db.exec(select(QueueEntry))).all()}
        assert {e.id: e.joined_at for e in found.values()} == self.joined
        opened = {e.conversation_id: e for e in found.values() if e.status in queue.OPEN}
        assert set(opened) == {self.talk(c) for c in self.waits}
        for customer, wait in self.waits.items():
            entry = opened[self.talk(customer)]
            staff = [None if n is None else self.staff(n) for n in (wait.agent, wait.to)]
            assert (entry.status, entry.agent_id, entry.offered_to) == (wait.status, *staff)
        for n, staff_id in enumerate(self.stage.staff):
            seat = await presence.seat(db, staff_id, at=at)
            assert seat.load == self.load(n)
            assert (seat.status == Presence.AWAY) == (n in self.away)

    def teardown(self) -> None:
        self.do(self.replay)

    async def replay(self, db: Any, *, at: datetime) -> None:
        told: dict[str, list[Event]] = {}
        for event in (await db.exec(select(Event).order_by(col(Event.id)))).all():
            if event.kind.startswith("queue."):
                told.setdefault(event.subject, []).append(event)
            if event.kind == "queue.claim":
                assert f"queue:{choose(event.facts['line'])}" == event.subject
        for entry in (await db.exec(select(QueueEntry))).all():
            assert floor.replayed(told[f"queue:{entry.id}"]) == entry.status


async def _status(db: Any, staff_id: int, *, at: datetime) -> str:
    return (await presence.seat(db, staff_id, at=at)).status


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    with asyncio.Runner() as loop:
        built = Stage(Store(url), loop)
        built.do(built.build())
        yield built
        built.do(built.store.close())


def test_the_line_does_what_the_model_does(stage: Stage) -> None:
    machine = type("LineOnStage", (Line,), {"stage": stage})
    chosen = settings(
        max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=chosen)
