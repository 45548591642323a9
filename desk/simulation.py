"""The simulator: plays a day of the line with the real verbs on a throwaway database, under any staffing.

Nothing here decides an order. Customers join, are claimed, leave and run out of time through `desk.queue` and
`desk.claims`, on a clock that jumps from one happening to the next.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import claims, promises, queue
from desk.arrivals import Arrival, Staffing
from desk.conversations import Conversation
from desk.customers import Account
from desk.policy import Queue as QueueRules
from desk.queue import Act, Reason
from desk.ranks import Rank
from desk.store import Store

_EVER: Final = datetime.min.replace(tzinfo=UTC)
_ALWAYS: Final = 1_000_000_000  # seconds: simulated agents are always heard of


@dataclass
class Fate:
    """What became of one arrival; `wait_s` runs until somebody was served or gone."""

    arrival: Arrival
    entry: int = 0
    rank: Rank = Rank.D
    wait_s: float = 0
    end: str = "waiting"  # served, left or expired
    promised: bool = False


@dataclass
class Played:
    """A whole run: fates in the order of arrival, entries in the order of service, seconds worked and staffed."""

    fates: list[Fate]
    order: list[int] = field(default_factory=list)
    busy_s: float = 0
    staffed_s: float = 0

    @property
    def utilisation(self) -> float:
        """The share of the agents' places that was taken while they were there, 0-1 (more if they stayed on)."""
        return self.busy_s / self.staffed_s if self.staffed_s else 0.0

    def by_rank(self, targets_s: dict[str, int]) -> list[dict[str, Any]]:
        """Figures of every rank that occurred, in the order of service; waits in seconds."""
        return [
            _figures(rank, [fate for fate in self.fates if fate.rank is rank], targets_s[rank.key])
            for rank in Rank
            if any(fate.rank is rank for fate in self.fates)
        ]


def _figures(rank: Rank, fates: Sequence[Fate], target_s: int) -> dict[str, Any]:
    waits = sorted(fate.wait_s for fate in fates)
    middle = len(waits) // 2
    return {
        "rank": rank.key,
        "arrivals": len(fates),
        **{end: sum(fate.end == end for fate in fates) for end in ("served", "left", "expired")},
        "mean_s": sum(waits) / len(waits),
        "median_s": waits[middle] if len(waits) % 2 else (waits[middle - 1] + waits[middle]) / 2,
        "p95_s": waits[-(-95 * len(waits) // 100) - 1],
        "max_s": waits[-1],
        "breaches": sum(wait > target_s for wait in waits),
        "promised": sum(fate.promised for fate in fates),
    }


# -- playing ----------------------------------------------------------------------------------------------------------


@dataclass
class _Agent:
    staff_id: int
    works: list[tuple[datetime, datetime]]
    held: int = 0
    free_since: datetime = _EVER


async def play(
    store: Store, arriving: Sequence[Arrival], crews: Sequence[Staffing], rules: QueueRules, *, handling_s: float,
    capacity: int, seed: int, zone: ZoneInfo, advance: Callable[[], None] = lambda: None,
) -> Played:  # fmt: skip
    """Play arrivals on an empty database; `handling_s` is the mean of an exponential draw where a row says nothing."""
    return await _Play(store, arriving, crews, rules, handling_s, capacity, seed, zone, advance).run()


class _Play:
    def __init__(
        self, store: Store, arriving: Sequence[Arrival], crews: Sequence[Staffing], rules: QueueRules,
        handling_s: float, capacity: int, seed: int, zone: ZoneInfo, advance: Callable[[], None],
    ) -> None:  # fmt: skip
        chance = random.Random(seed)
        self.store, self.crews, self.capacity, self.zone, self.advance = store, crews, capacity, zone, advance
        self.rules = rules.model_copy(update={"lease_s": _ALWAYS})
        # drawn for everybody before anything happens, so that another staffing meets the same customers
        drawn = [chance.expovariate(1 / handling_s) for _ in arriving]
        self.handling = [a.handling_s or max(1.0, s) for a, s in zip(arriving, drawn, strict=True)]
        self.played = Played([Fate(arrival) for arrival in arriving])
        self.agents: list[_Agent] = []
        self.waiting: dict[int, int] = {}  # entry to arrival
        self.happenings: list[tuple[datetime, int, Callable[[datetime], Any]]] = []
        self._tick = itertools.count()

    def _later(self, at: datetime, what: Callable[[datetime], Any]) -> None:
        heapq.heappush(self.happenings, (at, next(self._tick), what))

    async def run(self) -> Played:
        if not self.played.fates:
            return self.played
        await self._prepare()
        for number, fate in enumerate(self.played.fates):
            self._later(fate.arrival.at, lambda at, n=number: self._arrive(n, at))  # type: ignore[misc]
        while self.happenings:
            at, _, what = heapq.heappop(self.happenings)
            await what(at)
            # everything of one moment first, then whoever is free looks
            if not self.happenings or self.happenings[0][0] > at:
                await self._look(at)
        return self.played

    async def _prepare(self) -> None:
        first, last = self.played.fates[0].arrival.at, self.played.fates[-1].arrival.at
        days = [first.astimezone(self.zone).date()]
        # one day more: whoever came before midnight may still wait after it
        while days[-1] <= last.astimezone(self.zone).date():
            days.append(days[-1] + timedelta(days=1))
        works = [[self._span(day, crew) for day in days] for crew in self.crews for _ in range(crew.agents)]
        spoken = sorted({fate.arrival.language for fate in self.played.fates})
        people = [fate.arrival for fate in self.played.fates]
        async with self.store.transaction() as db:
            facts = {"at": first, "agents": len(works), "capacity": self.capacity, "spoken": spoken}
            staff = [row.staff_id for row in await db.execute(_SEATS, facts)]
            who = {
                "tiers": [a.tier or ("D" if a.important else None) for a in people],
                "important": [a.important for a in people], "languages": [a.language for a in people], "at": first,
            }  # fmt: skip
            for statement in _PEOPLE:
                await db.execute(statement, who)
        self.agents = [_Agent(*each) for each in zip(sorted(staff), works, strict=True)]
        for begins in {begins for each in works for begins, _ in each if begins > first}:
            self._later(begins, self._nothing)
        # places that were there while anybody could have come
        for begins, ends in itertools.chain.from_iterable(works):
            there = (min(ends, last) - max(begins, first)).total_seconds()
            self.played.staffed_s += self.capacity * max(0.0, there)

    def _span(self, day: date, crew: Staffing) -> tuple[datetime, datetime]:
        begins = datetime.combine(day, crew.begins, self.zone)
        until = day + timedelta(days=1) if crew.ends == time(0) else day
        return begins.astimezone(UTC), datetime.combine(until, crew.ends, self.zone).astimezone(UTC)

    async def _nothing(self, at: datetime) -> None:
        """A shift begins: somebody looks at the line."""

    async def _arrive(self, number: int, at: datetime) -> None:
        fate = self.played.fates[number]
        async with self.store.transaction() as db:
            conversation = await claims.held(db, number + 1)
            account = await db.get(Account, conversation.account_id) if conversation.account_id else None
            entry = await queue.join(
                db, conversation, account, reason=Reason.BUTTON, by="customer", at=at, skill=fate.arrival.skill
            )
        fate.entry, fate.rank = entry.id or 0, Rank(entry.rank)
        self.waiting[fate.entry] = number
        if fate.arrival.patience_s is not None:
            self._later(at + timedelta(seconds=fate.arrival.patience_s), lambda at: self._leave(fate.entry, at))
        longest = timedelta(seconds=self.rules.longest_wait_s[fate.rank.key] + 1)
        self._later(at + longest, lambda at: self._expire(fate.entry, at))

    async def _leave(self, entry: int, at: datetime) -> None:
        if entry not in self.waiting:
            return
        async with self.store.transaction() as db:
            conversation = await claims.held(db, self.waiting[entry] + 1)
            await queue.leave(db, conversation, by="customer", at=at)
            await self._unserved(db, entry, conversation, "left", at)

    async def _expire(self, entry: int, at: datetime) -> None:
        if entry not in self.waiting:
            return
        async with self.store.transaction() as db:
            conversation = await queue.expire(db, entry, by="greenline", at=at)
            assert conversation is not None
            await self._unserved(db, entry, conversation, "expired", at)

    async def _unserved(
        self, db: AsyncSession, entry: int, conversation: Conversation, end: str, at: datetime
    ) -> None:  # fmt: skip
        fate = self._ended(entry, end, at)
        if fate.rank.promised:
            assert conversation.id is not None
            await promises.make(
                db, promises.Kind.CALLBACK, f"queue:{entry}", conversation_id=conversation.id,
                contact_id=conversation.contact_id, account_id=conversation.account_id, data={}, by="greenline",
                at=at, zone=self.zone,
            )  # fmt: skip
            fate.promised = True

    def _ended(self, entry: int, end: str, at: datetime) -> Fate:
        fate = self.played.fates[self.waiting.pop(entry)]
        fate.end, fate.wait_s = end, (at - fate.arrival.at).total_seconds()
        self.advance()
        return fate

    async def _look(self, at: datetime) -> None:
        """Free agents press the button, who holds the least and has been free the longest first."""
        there = [each for each in self.agents if any(begins <= at < ends for begins, ends in each.works)]
        while self.waiting:
            free = [each for each in there if each.held < self.capacity]
            for agent in sorted(free, key=lambda each: (each.held, each.free_since, each.staff_id)):
                if await self._claim(agent, at):
                    break
            else:
                return

    async def _claim(self, agent: _Agent, at: datetime) -> bool:
        async with self.store.transaction() as db:
            taken = await claims.claim_next(db, self.rules, agent.staff_id, by="agent", at=at)
        if taken is None:
            return False
        entry, talk = taken.entry.id or 0, taken.entry.conversation_id
        self._ended(entry, "served", at)
        self.played.order.append(entry)
        seconds = self.handling[talk - 1]
        agent.held += 1
        self.played.busy_s += seconds
        self._later(at + timedelta(seconds=seconds), lambda at: self._close(agent, talk, at))
        return True

    async def _close(self, agent: _Agent, talk: int, at: datetime) -> None:
        async with self.store.transaction() as db:
            await claims.end(db, talk, agent.staff_id, Act.CLOSE, by="agent", at=at)
        agent.held -= 1
        agent.free_since = at


_SEATS: Final = text(
    """
    WITH member AS (
        INSERT INTO staff (name, role, created_at)
        SELECT 'Agent ' || n, 'agent', :at FROM generate_series(1, :agents) n RETURNING id
    )
    INSERT INTO seat (staff_id, status, capacity, languages, heartbeat_at, changed_at)
    SELECT id, 'online', :capacity, to_jsonb(CAST(:spoken AS text[])), :at, :at FROM member RETURNING staff_id
    """
)
# the n-th arrival has contact, address and conversation n, and its account is named after it
_PEOPLE: Final = tuple(
    text(statement)
    for statement in (
        "INSERT INTO contact (name, created_at) SELECT '', :at FROM unnest(CAST(:languages AS text[]))",
        "INSERT INTO address (contact_id, channel, external_id, created_at)"
        " SELECT id, 'web', id::text, :at FROM contact ORDER BY contact.id",
        "INSERT INTO customer (name, created_at) VALUES ('', :at)",
        "INSERT INTO account (no, customer_id, name, tier, important, updated_at)"
        " SELECT (3300000000000 + n)::text, 1, '', p.tier, p.important, :at"
        " FROM unnest(CAST(:tiers AS text[]), CAST(:important AS boolean[]))"
        " WITH ORDINALITY AS p (tier, important, n) WHERE p.tier IS NOT NULL ORDER BY n",
        "INSERT INTO conversation (address_id, contact_id, language, account_id, created_at)"
        " SELECT p.n, p.n, p.language, a.id, :at FROM unnest(CAST(:languages AS text[]))"
        " WITH ORDINALITY AS p (language, n)"
        " LEFT JOIN account a ON a.no = (3300000000000 + p.n)::text ORDER BY p.n",
    )
)
