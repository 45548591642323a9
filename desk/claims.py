"""Claims: one agent's exclusive hold on one customer, from the head of the line to the end of the conversation.

`claim_next` is one statement. It picks the head, counts the agent's capacity and takes both, so two agents never get
one customer and nobody takes more than they can. Why this one is stored with the claim and can be replayed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events, presence, queue
from desk.conversations import Conversation, Handler
from desk.customers import Account
from desk.errors import EntryTaken, NoCapacity, NotAtDesk, NotYours, OutOfTurn
from desk.policy import Queue as QueueRules
from desk.presence import Presence, Seat
from desk.queue import Act, QueueEntry, Reason, Status, move
from desk.ranks import RANK_SQL, Rank, rank_of
from desk.staff import Staff

LINE_KEPT: Final = 50  # entries of the line that a claim stores as its reason


@dataclass(frozen=True)
class Claim:
    """A customer that an agent holds now, with the reason and what the conversation was before."""

    entry: QueueEntry
    conversation: Conversation
    why: dict[str, Any]


# A language that nobody at work speaks is anybody's, and so is a skill that none of those has who could talk.
# `who` is the seat of an agent, `q` the entry, `live` the seats of all who are at work.
_SPEAKS: Final = """(jsonb_exists({who}.languages, q.language) OR NOT EXISTS (
  SELECT FROM live WHERE jsonb_exists(live.languages, q.language)))"""
_KNOWS: Final = """(q.skill = '' OR {who}.skills = '[]' OR jsonb_exists({who}.skills, q.skill) OR NOT EXISTS (
  SELECT FROM live WHERE (live.skills = '[]' OR jsonb_exists(live.skills, q.skill))
    AND (jsonb_exists(live.languages, q.language) OR NOT jsonb_exists({who}.languages, q.language))))"""
_LIVE: Final = "live AS (SELECT * FROM seat WHERE status = 'online' AND heartbeat_at > :alive)"

# A locked head is skipped, for it is just leaving the line: claims lock none that they cannot take (the seat is theirs
# before), and who locks without taking holds `LINE`.
_CLAIM: Final = text(
    f"""
    WITH {_LIVE}, me AS (
        SELECT * FROM live WHERE staff_id = :me
    ), line AS (
        SELECT q.id, {RANK_SQL} AS rank, q.joined_at, q.skill, q.language, q.status, q.offered_to,
          CASE
            WHEN q.status = 'offered' AND q.offered_to <> :me THEN 'offered'
            WHEN NOT {_SPEAKS.format(who="me")} THEN 'language'
            WHEN NOT {_KNOWS.format(who="me")} THEN 'skill'
            ELSE ''
          END AS cause
        FROM queue_entry q CROSS JOIN me LEFT JOIN account a ON a.id = q.account_id
        WHERE q.status IN ('waiting', 'offered')
    ), head AS (
        SELECT q.id, line.rank, q.status AS was FROM queue_entry q JOIN line ON line.id = q.id CROSS JOIN me
        WHERE q.status IN ('waiting', 'offered') AND (q.status = 'waiting' OR q.offered_to = :me)
          AND (me.load < me.capacity OR q.status = 'offered')
          AND CASE WHEN CAST(:wanted AS bigint) IS NULL THEN line.cause = '' ELSE q.id = :wanted AND NOT EXISTS (
            SELECT FROM line ahead WHERE ahead.cause = '' AND ahead.rank <= 2
              AND (ahead.rank, ahead.joined_at, ahead.id) < (line.rank, line.joined_at, line.id)) END
        ORDER BY line.rank, q.joined_at, q.id LIMIT 1 FOR UPDATE OF q SKIP LOCKED
    ), place AS (
        UPDATE seat SET load = load + CASE WHEN head.was = 'offered' THEN 0 ELSE 1 END FROM head
        WHERE staff_id = :me AND status = 'online' AND heartbeat_at > :alive
          AND (load < capacity OR head.was = 'offered')
        RETURNING staff_id, load, capacity, skills, languages
    ), taken AS (
        UPDATE queue_entry q SET status = 'claimed', agent_id = :me, claimed_at = :at, rank = head.rank,
          offered_to = NULL, offer_until = NULL
        FROM head, place WHERE q.id = head.id
        RETURNING q.id, head.was
    )
    SELECT taken.id, taken.was, place.load, place.capacity, place.skills, place.languages,
      (SELECT count(*) FROM line) AS waiting,
      (SELECT jsonb_agg(jsonb_build_object('entry', l.id, 'rank', l.rank, 'joined_at', l.joined_at, 'cause', l.cause)
         ORDER BY l.rank, l.joined_at, l.id)
       FROM (SELECT * FROM (SELECT *, row_number() OVER (ORDER BY rank, joined_at, id) AS n FROM line) numbered
         WHERE n <= :kept OR id = taken.id) l) AS line
    FROM taken, place
    """
)

_SHARE: Final = text("SELECT pg_advisory_xact_lock_shared(:line)")


async def claim_next(
    db: AsyncSession, rules: QueueRules, staff_id: int, *, by: str, at: datetime, wanted: int | None = None
) -> Claim | None:
    """Take the head of the line, or the entry that is wanted; None when nobody waits whom this agent can take.

    Raises NotAtDesk, NoCapacity; for a wanted one also EntryTaken, and OutOfTurn when the green channel is ahead.
    """
    await presence.beat(db, staff_id, at=at)
    await db.execute(_SHARE, {"line": queue.LINE})
    alive = at - timedelta(seconds=rules.lease_s)
    facts = {"me": staff_id, "at": at, "alive": alive, "wanted": wanted, "kept": LINE_KEPT}
    row = (await db.execute(_CLAIM, facts)).first()
    if row is None:
        await _explain(db, staff_id, wanted, alive=alive)
        return None
    entry = await queue.entry(db, row.id)
    line = _settled(row.line, entry.id or 0, picked=wanted is not None)
    entry.why = _why(entry, line, row, at=at, picked=wanted is not None)
    db.add(entry)
    conversation = await _hand(db, entry, staff_id)
    told = {"agent": staff_id, "why": entry.why, "line": line}
    await queue.log(db, entry, Act.CLAIM, before=Status(row.was), by=by, at=at, **told)
    return Claim(entry, conversation, entry.why)


def _settled(line: Sequence[dict[str, Any]], entry: int, *, picked: bool) -> list[dict[str, Any]]:
    """The stored line: whoever stood ahead without a cause was just being taken, or passed by hand."""
    told = [dict(each) for each in line]
    for each in told:
        if each["entry"] == entry:
            each["cause"] = ""
            break
        each["cause"] = each["cause"] or ("picked" if picked else "taken")
    return told


def _why(entry: QueueEntry, line: list[dict[str, Any]], row: Any, *, at: datetime, picked: bool) -> dict[str, Any]:
    ahead = [each for each in line if _before(each, entry)]
    return {
        "rank": Rank(entry.rank).key,
        "waited_s": max(0, int((at - entry.joined_at).total_seconds())),
        "waiting": row.waiting,
        "picked": picked,
        "passed_over": [{**each, "rank": Rank(each["rank"]).key} for each in ahead],
        "agent": {"load": row.load, "capacity": row.capacity, "skills": row.skills, "languages": row.languages},
    }


def _before(each: dict[str, Any], entry: QueueEntry) -> bool:
    return (each["rank"], datetime.fromisoformat(each["joined_at"]), each["entry"]) < (
        entry.rank, entry.joined_at, entry.id or 0,
    )  # fmt: skip


async def _explain(db: AsyncSession, staff_id: int, wanted: int | None, *, alive: datetime) -> None:
    """Say why nothing was claimed, if it was not that nobody waits."""
    mine = (await db.exec(select(Seat).where(col(Seat.staff_id) == staff_id))).first()
    if mine is None or mine.status != Presence.ONLINE or mine.heartbeat_at <= alive:
        raise NotAtDesk()
    if wanted is not None:
        entry = await queue.entry(db, wanted)
        if entry.status not in (Status.WAITING, Status.OFFERED) or entry.offered_to not in (None, staff_id):
            raise EntryTaken(by=await _name(db, entry.agent_id or entry.offered_to))
    line = await queue.line(db)
    if line and mine.load >= mine.capacity:
        raise NoCapacity(load=mine.load, capacity=mine.capacity)
    if wanted is not None:
        if line and line[0].entry != wanted and line[0].rank.green:
            raise OutOfTurn(rank=line[0].rank.key)
        raise EntryTaken(by="")  # it was being taken at this very moment


async def _name(db: AsyncSession, staff_id: int | None) -> str:
    member = await db.get(Staff, staff_id) if staff_id else None
    return member.name if member else ""


async def _hand(db: AsyncSession, entry: QueueEntry, staff_id: int | None) -> Conversation:
    """Let an agent, or the queue, answer in the conversation of an entry."""
    conversation = await held(db, entry.conversation_id)
    conversation.handler = Handler.QUEUE if staff_id is None else Handler.AGENT
    conversation.agent_id = staff_id
    db.add(conversation)
    return conversation


async def held(db: AsyncSession, conversation_id: int) -> Conversation:
    """A conversation, its row locked."""
    query = select(Conversation).where(col(Conversation.id) == conversation_id).with_for_update()
    return (await db.exec(query.execution_options(populate_existing=True))).one()


# -- offers -----------------------------------------------------------------------------------------------------------

# the manager of the customer's area first, then whoever has been free the longest; a seat is reserved at once
_OFFER: Final = text(
    f"""
    WITH {_LIVE}, candidate AS (
        SELECT s.staff_id FROM seat s JOIN staff m ON m.id = s.staff_id AND m.disabled_at IS NULL
          JOIN queue_entry q ON q.id = :number LEFT JOIN account a ON a.id = q.account_id
          LEFT JOIN area r ON r.id = a.area_id
        WHERE s.status = 'online' AND s.heartbeat_at > :alive AND s.load < s.capacity AND NOT s.staff_id = ANY(:but)
          AND {_SPEAKS.format(who="s")} AND {_KNOWS.format(who="s")}
        ORDER BY (s.staff_id = r.manager_id) DESC NULLS LAST, s.load::float / s.capacity,
          (SELECT max(claimed_at) FROM queue_entry q WHERE q.agent_id = s.staff_id) NULLS FIRST, s.staff_id
        LIMIT 1 FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE seat SET load = load + 1 FROM candidate
    WHERE seat.staff_id = candidate.staff_id AND seat.load < seat.capacity RETURNING seat.staff_id
    """
)


async def offer(db: AsyncSession, rules: QueueRules, number: int, *, at: datetime) -> int | None:
    """Offer a waiting customer to the agent who should have them; whose, or None when nobody is free."""
    declined = (await queue.entry(db, number)).declined
    alive = at - timedelta(seconds=rules.lease_s)
    for but in ([*declined], []) if declined else ([],):
        facts = {"alive": alive, "but": but, "number": number}
        chosen = (await db.execute(_OFFER, facts)).scalar()
        if chosen is not None:
            break
    else:
        return None  # before the customer was locked: a claim would pass them
    query = select(QueueEntry).where(col(QueueEntry.id) == number, col(QueueEntry.status) == Status.WAITING)
    found = (await db.exec(query.with_for_update(skip_locked=True).execution_options(populate_existing=True))).first()
    if found is None:
        await presence.carry(db, {chosen: -1})
        return None
    found.offered_to, found.offer_until = chosen, at + timedelta(seconds=rules.offer_s)
    told = {"agent": chosen, "until": found.offer_until.isoformat(), "passed_over": found.declined}
    await move(db, found, Act.OFFER, by="greenline", at=at, **told)
    return int(chosen)


async def decline(db: AsyncSession, number: int, staff_id: int | None, *, by: str, at: datetime) -> bool:
    """An offer was declined, or ran out (`staff_id` None): the customer keeps their place. False when it is over."""
    found = await queue.entry(db, number, lock=True)
    if found.status != Status.OFFERED or (staff_id is not None and found.offered_to != staff_id):
        return False
    if staff_id is None and found.offer_until is not None and found.offer_until > at:
        return False
    agent = found.offered_to or 0
    found.declined = [*[each for each in found.declined if each != agent], agent]
    found.offered_to = found.offer_until = None
    await move(db, found, Act.DECLINE, by=by, at=at, agent=agent, lapsed=staff_id is None)
    await presence.carry(db, {agent: -1})
    return True


# -- while a conversation is held -------------------------------------------------------------------------------------


async def _mine(db: AsyncSession, conversation_id: int, staff_id: int) -> QueueEntry:
    found = await queue.open_entry(db, conversation_id, lock=True)
    if found is None or found.agent_id != staff_id or found.status not in queue.HELD:
        raise NotYours()
    return found


async def open_by(
    db: AsyncSession, conversation_id: int, account: Account | None, staff_id: int, *, by: str, at: datetime
) -> QueueEntry:
    """A person's reply takes over from the bot. Raises NotYours if somebody answers there already."""
    conversation = await held(db, conversation_id)
    if conversation.handler != Handler.BOT:
        raise NotYours()
    await presence.seat(db, staff_id, at=at)
    rank = rank_of(account.tier, account.important) if account else Rank.D
    entry = QueueEntry(
        conversation_id=conversation_id, account_id=account.id if account else None, language=conversation.language,
        reason=Reason.AGENT, rank=rank, joined_at=at, status=Status.CLAIMED, agent_id=staff_id, claimed_at=at,
    )  # fmt: skip
    db.add(entry)
    conversation.handler, conversation.agent_id = Handler.AGENT, staff_id
    db.add(conversation)
    await db.flush()
    await presence.carry(db, {staff_id: 1})
    await queue.log(db, entry, Act.CLAIM, before=None, by=by, at=at, agent=staff_id, reason=Reason.AGENT)
    return entry


async def end(
    db: AsyncSession, conversation_id: int, staff_id: int, act: Act, *, by: str, at: datetime,
    outcome: str = "", category: str = "",
) -> Claim:  # fmt: skip
    """Close the conversation, or return it to the bot; the bot answers again. Raises NotYours."""
    entry = await _mine(db, conversation_id, staff_id)
    entry.outcome, entry.category = outcome, category
    invited = entry.offered_to
    entry.offered_to = entry.offer_until = None
    await move(db, entry, act, by=by, at=at, agent=staff_id, outcome=outcome, category=category)
    await presence.carry(db, {staff_id: -1, **({invited: -1} if invited else {})})
    conversation = await held(db, conversation_id)
    conversation.handler, conversation.agent_id = Handler.BOT, None
    db.add(conversation)
    return Claim(entry, conversation, entry.why)


async def transfer(
    db: AsyncSession, rules: QueueRules, conversation_id: int, staff_id: int, to: int | None, *,
    by: str, at: datetime, skill: str | None = None,
) -> Claim:  # fmt: skip
    """Offer the conversation to a colleague; it stays here until it is accepted.

    With `to` None it goes back to the queue, to its old place. Raises NotYours, NotAtDesk, NoCapacity.
    """
    entry = await _mine(db, conversation_id, staff_id)
    await _lock_seats(db, staff_id, to, entry.offered_to)
    if entry.status == Status.TRANSFERRING:
        await _withdraw(db, entry, by=by, at=at)
    if to is None:
        entry.skill = entry.skill if skill is None else skill
        await presence.carry(db, await _back(db, entry, Act.RELEASE, by=by, at=at))
        return Claim(entry, await _hand(db, entry, None), entry.why)
    alive = at - timedelta(seconds=rules.lease_s)
    taken = update(Seat).where(col(Seat.staff_id) == to, col(Seat.status) == Presence.ONLINE)
    taken = taken.where(col(Seat.heartbeat_at) > alive, col(Seat.load) < col(Seat.capacity))
    taken = taken.values(load=col(Seat.load) + 1).execution_options(synchronize_session=False)
    if to == staff_id or not (await db.exec(taken)).rowcount:
        theirs = await presence.seat(db, to, at=at)
        if theirs.load >= theirs.capacity and to != staff_id:
            raise NoCapacity(load=theirs.load, capacity=theirs.capacity)
        raise NotAtDesk()
    entry.offered_to, entry.offer_until = to, at + timedelta(seconds=rules.transfer_s)
    await move(db, entry, Act.TRANSFER, by=by, at=at, agent=staff_id, to=to)
    return Claim(entry, await held(db, conversation_id), entry.why)


async def accept_transfer(db: AsyncSession, conversation_id: int, staff_id: int, *, by: str, at: datetime) -> Claim:
    """Take a conversation that a colleague hands over. Raises NotYours when it is not offered (any more)."""
    entry = await queue.open_entry(db, conversation_id, lock=True)
    if entry is None or entry.status != Status.TRANSFERRING or entry.offered_to != staff_id:
        raise NotYours()
    former, entry.agent_id = entry.agent_id or 0, staff_id
    entry.offered_to = entry.offer_until = None
    await move(db, entry, Act.ACCEPT, by=by, at=at, agent=staff_id, former=former)
    await presence.carry(db, {former: -1})
    return Claim(entry, await _hand(db, entry, staff_id), entry.why)


async def keep(db: AsyncSession, conversation_id: int, *, by: str, at: datetime, staff_id: int | None = None) -> bool:
    """A transfer was declined, or not accepted in time (`staff_id` None): the conversation stays where it is."""
    entry = await queue.open_entry(db, conversation_id, lock=True)
    if entry is None or entry.status != Status.TRANSFERRING:
        return False
    if staff_id is not None and entry.offered_to != staff_id:
        raise NotYours()
    if staff_id is None and entry.offer_until is not None and entry.offer_until > at:
        return False
    await _withdraw(db, entry, by=by, at=at)
    return True


async def _withdraw(db: AsyncSession, entry: QueueEntry, *, by: str, at: datetime) -> None:
    invited = entry.offered_to or 0
    entry.offered_to = entry.offer_until = None
    await move(db, entry, Act.KEEP, by=by, at=at, agent=entry.agent_id, invited=invited)
    await presence.carry(db, {invited: -1})


async def _lock_seats(db: AsyncSession, *staff: int | None) -> None:
    """Have several seats before changing the first of them, in the order in which everybody takes them."""
    theirs = select(Seat.staff_id).where(col(Seat.staff_id).in_([each for each in staff if each is not None]))
    await db.exec(theirs.order_by(col(Seat.staff_id)).with_for_update())


async def take_over(
    db: AsyncSession, conversation_id: int, staff_id: int, *, reason: str, by: str, at: datetime
) -> Claim:
    """A supervisor takes a conversation from an agent. Raises NotYours when nobody holds it."""
    entry = await queue.open_entry(db, conversation_id, lock=True)
    if entry is None or entry.status not in queue.HELD or entry.agent_id == staff_id:
        raise NotYours()
    await presence.seat(db, staff_id, at=at)
    await _lock_seats(db, staff_id, entry.agent_id, entry.offered_to)
    if entry.status == Status.TRANSFERRING:
        await _withdraw(db, entry, by=by, at=at)
    former, entry.agent_id = entry.agent_id or 0, staff_id
    await move(db, entry, Act.TAKE_OVER, by=by, at=at, agent=staff_id, former=former, reason=reason)
    await presence.carry(db, {former: -1, staff_id: 1})
    return Claim(entry, await _hand(db, entry, staff_id), entry.why)


# -- agents who go ----------------------------------------------------------------------------------------------------


async def _back(
    db: AsyncSession, entry: QueueEntry, act: Act, *, by: str, at: datetime, **told: Any
) -> dict[int, int]:  # fmt: skip
    """Back to the line, at the old place; how many customers that takes from whom."""
    agent, invited = entry.agent_id or 0, entry.offered_to
    entry.agent_id = entry.claimed_at = entry.offered_to = entry.offer_until = None
    entry.declined = []
    await move(db, entry, act, by=by, at=at, agent=agent, **told)
    return {agent: -1, **({invited: -1} if invited else {})}


async def give_back_all(db: AsyncSession, staff_id: int, act: Act, *, by: str, at: datetime) -> list[Claim]:
    """Everything an agent holds goes back to the line, at its old place; what they were offered stays in it."""
    query = select(QueueEntry).where(col(QueueEntry.agent_id) == staff_id, col(QueueEntry.status).in_(queue.HELD))
    query = query.order_by(col(QueueEntry.id)).with_for_update().execution_options(populate_existing=True)
    return await _give_back(db, (await db.exec(query)).all(), act, by=by, at=at)


async def _give_back(
    db: AsyncSession, entries: Sequence[QueueEntry], act: Act, *, by: str, at: datetime
) -> list[Claim]:
    """Several customers at once, so that all seats are changed in one order."""
    changes: Counter[int] = Counter()
    for entry in entries:
        changes.update(await _back(db, entry, act, by=by, at=at))
    await presence.carry(db, changes)
    return [Claim(entry, await _hand(db, entry, None), entry.why) for entry in entries]


async def vanished(db: AsyncSession, rules: QueueRules, *, at: datetime) -> list[int]:
    """Agents who say that they are at work and were not heard of for the length of the lease."""
    query = select(Seat.staff_id).where(col(Seat.heartbeat_at) <= at - timedelta(seconds=rules.lease_s))
    busy = (col(Seat.status) == Presence.ONLINE) | (col(Seat.load) > 0)
    return list((await db.exec(query.where(busy).order_by(col(Seat.staff_id)))).all())


async def lapse(db: AsyncSession, rules: QueueRules, staff_id: int, *, at: datetime) -> list[Claim]:
    """An agent has vanished: what they hold goes back to the line. Nothing happens if they were heard of meanwhile.

    What somebody is just changing is left for the next time.
    """
    query = select(QueueEntry).where(col(QueueEntry.agent_id) == staff_id, col(QueueEntry.status).in_(queue.HELD))
    query = query.order_by(col(QueueEntry.id)).execution_options(populate_existing=True)
    # entries before seats, as everywhere
    entries = (await db.exec(query.with_for_update(skip_locked=True))).all()
    await _lock_seats(db, staff_id, *(each.offered_to for each in entries))
    seat = await presence.seat(db, staff_id, at=at)
    if seat.heartbeat_at > at - timedelta(seconds=rules.lease_s):
        return []
    given = await _give_back(db, entries, Act.LAPSE, by="greenline", at=at)
    await db.refresh(seat)
    if seat.status == Presence.ONLINE:
        seat.status, seat.lapsed_at, seat.changed_at = Presence.AWAY, at, at
        db.add(seat)
        facts = {"before": Presence.ONLINE, "status": Presence.AWAY, "vanished": True}
        await events.record(db, "presence.changed", f"staff:{staff_id}", by="greenline", at=at, **facts)
    return given
