"""The event table: every change of state once, for other systems, pages and replay."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, DateTime, Identity, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.errors import BadCursor
from desk.store import notify

_CURSOR: Final = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")


class Event(SQLModel, table=True):
    """One line: who did what to which subject, when, with which facts. Append-only."""

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    # written by the database: orders events by transaction, so a reader never passes one that commits late
    xid: int | None = Field(
        default=None,
        sa_column=Column(BigInteger, server_default=text("(pg_current_xact_id()::text)::bigint"), index=True),
    )
    kind: str = Field(sa_column=Column(Text, nullable=False))
    subject: str = Field(sa_column=Column(Text, nullable=False, index=True))
    by: str = Field(sa_column=Column(Text, nullable=False))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    facts: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'"))
    )

    @property
    def cursor(self) -> str:
        """What a reader sends as `after` to get everything behind this event."""
        return f"{self.xid}-{self.id}"


async def record(db: AsyncSession, kind: str, subject: str, *, by: str, at: datetime, **facts: Any) -> None:
    """Write one event in the caller's transaction and wake readers when it commits."""
    db.add(Event(kind=kind, subject=subject, by=by, at=at, facts=facts))
    await notify(db, "events")


async def read(db: AsyncSession, *, after: str | None = None, limit: int = 200) -> list[Event]:
    """Events behind the cursor, oldest first, without gaps. Raises BadCursor."""
    query = (
        select(Event)
        .where(text("event.xid < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint"))
        .order_by(text("event.xid"), text("event.id"))
        .limit(limit)
    )
    if after:
        if not _CURSOR.fullmatch(after):
            raise BadCursor(after=after)
        xid, number = (int(part) for part in after.split("-"))
        query = query.where(text("(event.xid, event.id) > (:xid, :number)").bindparams(xid=xid, number=number))
    return list((await db.exec(query)).all())


@dataclass(frozen=True)
class Seen:
    """A snapshot of the database: which transactions a reader has seen, as PostgreSQL writes it (`xmin:xmax:xip,…`)."""

    text: str

    @property
    def oldest(self) -> int:
        """Every transaction before this one has been seen."""
        return int(self.text.split(":")[0])

    def includes(self, xid: int) -> bool:
        """Whether what this transaction wrote has been seen."""
        oldest, newest, *running = self.text.replace(",", ":").split(":")
        return xid < int(oldest) or (xid < int(newest) and str(xid) not in running)


async def now(db: AsyncSession) -> Seen:
    """Everything that is committed now has been seen."""
    return Seen((await db.execute(text("SELECT pg_current_snapshot()::text"))).scalar_one())


def cursor(said: str) -> Seen:
    """A snapshot that a reader brings back. Raises BadCursor."""
    if not _SNAPSHOT.fullmatch(said):
        raise BadCursor(after=said)
    return Seen(said)


async def fresh(db: AsyncSession, seen: Seen, kinds: Sequence[str]) -> tuple[list[Event], Seen]:
    """Events of these kinds (or kinds that begin so, with a dot at the end) committed since, and what is seen now.

    Unlike `read` it waits for no transaction that is still running, so that it reaches a screen at once; what commits
    later is fresh the next time.
    """
    if not _SNAPSHOT.fullmatch(seen.text):
        raise BadCursor(after=seen.text)
    rows = (
        await db.execute(_FRESH, {"oldest": seen.oldest, "seen": seen.text, "kinds": [f"{k}%" for k in kinds]})
    ).all()
    found = [Event(**{name: getattr(row, name) for name in _COLUMNS}) for row in rows if row.id is not None]
    return found, Seen(rows[0].snapshot)


_SNAPSHOT: Final = re.compile(r"[0-9]{1,18}:[0-9]{1,18}:([0-9]{1,18}(,[0-9]{1,18})*)?")
_COLUMNS: Final = ("id", "xid", "kind", "subject", "by", "at", "facts")
# one statement, so that the rows and the snapshot belong together
_FRESH: Final = text(
    """
    SELECT e.id, e.xid, e.kind, e.subject, e.by, e.at, e.facts, pg_current_snapshot()::text AS snapshot
    FROM (SELECT 1) one LEFT JOIN event e ON e.xid >= :oldest AND e.kind LIKE ANY(:kinds)
      AND NOT pg_visible_in_snapshot(e.xid::text::xid8, CAST(:seen AS pg_snapshot))
    ORDER BY e.id
    """
)


async def about(db: AsyncSession, subject: str, kind: str) -> list[Event]:
    """The events of one kind on one subject, oldest first."""
    query = select(Event).where(col(Event.subject) == subject, col(Event.kind) == kind).order_by(col(Event.id))
    return list((await db.exec(query)).all())
