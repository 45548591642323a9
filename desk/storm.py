"""Storm mode: more customers at once than people can answer. What is known is said to everybody at once.

The order of service does not change in a storm. Whoever is not in the green channel hears what is known first and is
asked whether they still need a person, so that critical customers reach one.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events
from desk.columns import key, moment, words
from desk.errors import Stormy
from desk.policy import Storm as Rules
from desk.queue import QueueEntry
from desk.ranks import Rank
from desk.store import notify


class Storm(SQLModel, table=True):
    """One storm, from its beginning to its end; at most one at a time."""

    __table_args__ = (
        Index("storm_open", text("(ended_at IS NULL)"), unique=True, postgresql_where=text("ended_at IS NULL")),
    )

    id: int | None = Field(default=None, sa_column=key())
    message: str = Field(sa_column=words())  # what everybody is told about the event
    began_by: str = Field(sa_column=words())
    began_at: datetime = Field(sa_column=moment())
    ended_by: str | None = Field(default=None, sa_column=words(nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


async def current(db: AsyncSession) -> Storm | None:
    """The storm that is on."""
    return (await db.exec(select(Storm).where(col(Storm.ended_at).is_(None)))).first()


async def begin(db: AsyncSession, message: str, *, by: str, at: datetime) -> Storm:
    """Begin a storm. Raises Stormy when one is on."""
    values = {"message": message, "began_by": by, "began_at": at}
    # of two who begin one at the same time the second waits here and finds it on
    row = insert(Storm).values(**values).on_conflict_do_nothing().returning(col(Storm.id))
    number = (await db.execute(row)).scalar()
    if number is None:
        raise Stormy()
    storm = await db.get_one(Storm, number)
    await events.record(db, "storm.began", f"storm:{storm.id}", by=by, at=at, message=message)
    await notify(db, "queue")
    return storm


async def end(db: AsyncSession, *, by: str, at: datetime) -> Storm | None:
    """End the storm, if one is on."""
    storm = await current(db)
    if storm is None:
        return None
    storm.ended_by, storm.ended_at = by, at
    db.add(storm)
    await events.record(db, "storm.ended", f"storm:{storm.id}", by=by, at=at)
    await notify(db, "queue")
    return storm


async def joined(db: AsyncSession, *, since: datetime) -> int:
    """How many customers have joined the queue since then."""
    query = select(func.count()).select_from(QueueEntry).where(col(QueueEntry.joined_at) > since)
    return (await db.exec(query)).one()


async def watch(db: AsyncSession, rules: Rules, *, at: datetime) -> Storm | None:
    """Begin and end storms by the number of customers who join, where the policy wants that. The storm that changed."""
    storm = await current(db)
    many = await joined(db, since=at - timedelta(minutes=rules.surge_minutes)) > rules.surge_entries
    if storm is None:
        return await begin(db, "", by="greenline", at=at) if rules.automatic and many else None
    if storm.began_by != "greenline" or many or at < storm.began_at + timedelta(minutes=rules.quiet_minutes):
        return None
    quiet = await joined(db, since=at - timedelta(minutes=rules.quiet_minutes)) <= rules.surge_entries
    return await end(db, by="greenline", at=at) if quiet else None


async def storms(db: AsyncSession, *, limit: int = 50) -> list[Storm]:
    """All storms, the latest first."""
    return list((await db.exec(select(Storm).order_by(col(Storm.id).desc()).limit(limit))).all())


async def report(db: AsyncSession, storm: Storm, *, at: datetime) -> list[dict[str, Any]]:
    """What became of everybody who joined during a storm, by rank: joined, served, left, timed out, still waiting, the
    median and 95th percentile of the wait in seconds, and callbacks that were promised."""
    rows = await db.execute(_REPORT, {"began": storm.began_at, "ended": storm.ended_at or at, "at": at})
    return [{**row._mapping, "rank": Rank(row.rank).key} for row in rows]


_REPORT: Final = text(
    """
    SELECT q.rank, count(*) AS joined,
      count(*) FILTER (WHERE q.claimed_at IS NOT NULL) AS served,
      count(*) FILTER (WHERE q.status = 'left') AS "left",
      count(*) FILTER (WHERE q.status = 'expired') AS expired,
      count(*) FILTER (WHERE q.status IN ('waiting', 'offered')) AS waiting,
      percentile_cont(0.5) WITHIN GROUP (ORDER BY w.seconds) AS median_s,
      percentile_cont(0.95) WITHIN GROUP (ORDER BY w.seconds) AS p95_s,
      count(p.id) AS promised
    FROM queue_entry q
    CROSS JOIN LATERAL (
      SELECT extract(epoch FROM coalesce(q.claimed_at, q.ended_at, :at) - q.joined_at)::float AS seconds
    ) w
    LEFT JOIN promise p ON p.subject = 'queue:' || q.id
    WHERE q.joined_at BETWEEN :began AND :ended
    GROUP BY q.rank ORDER BY q.rank
    """
)
