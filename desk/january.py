"""The January timer of the annual classification: propose, remind, call it overdue.

供电所大客户维护与管理方法 第三条: the business hall completes the classification every January.
"""

import contextlib
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import classification, events
from desk.classification import Classification, Stage
from desk.errors import Frozen, NoPurchases

REMINDERS: Final = (15, 25, 31)  # days of January on which an unconfirmed classification is brought to mind
BY: Final = "system"


async def attend(db: AsyncSession, *, at: datetime, zone: ZoneInfo) -> None:
    """What the calendar of the service area asks for now: propose from 1 January, remind, overdue from 1 February.

    May run as often as it likes, late or twice at once: everything is said once. Without purchases there is nothing to
    propose, but as long as there are accounts the hall is reminded all the same.
    """
    await db.execute(_ALONE)
    today = at.astimezone(zone).date()
    with contextlib.suppress(NoPurchases, Frozen):
        await classification.propose(db, today.year, by=BY, at=at)
    known = {run.year: run for run in await classification.runs(db)}
    frozen = max((year for year, run in known.items() if run.stage == Stage.CONFIRMED), default=0)
    open_years = {year for year, run in known.items() if year > frozen}
    if today.year > frozen and await db.scalar(_ANY_ACCOUNT):
        open_years.add(today.year)
        last = await _said(db, "reminded", today.year)
        day = reminder_due(today, last.astimezone(zone).date() if last else None)
        if day is not None:
            await _say(db, "reminded", today.year, known.get(today.year), at=at, day=day)
    for year in sorted(open_years):
        if today > classification.due_on(year) and not await _said(db, "overdue", year):
            await _say(db, "overdue", year, known.get(year), at=at)


def reminder_due(today: date, last: date | None) -> int | None:
    """The day of January whose reminder is to be said today; after a standstill only the latest one."""
    days = [day for day in REMINDERS if today.month == 1 and day <= today.day]
    if not days or (last is not None and last >= today.replace(day=days[-1])):
        return None
    return days[-1]


async def _said(db: AsyncSession, kind: str, year: int) -> datetime | None:
    said = await events.about(db, classification.subject(year), f"classification.{kind}")
    return said[-1].at if said else None


async def _say(
    db: AsyncSession, kind: str, year: int, run: Classification | None, *, at: datetime, **more: int
) -> None:
    if run is not None:
        setattr(run, f"{kind}_at", at)
        db.add(run)
    told = {"year": year, "due_on": classification.due_on(year).isoformat(), "proposed": run is not None, **more}
    await events.record(db, f"classification.{kind}", classification.subject(year), by=BY, at=at, **told)


# two runs at once would both find that nothing has been said yet
_ALONE: Final = text("SELECT pg_advisory_xact_lock(hashtext('classification'))")
_ANY_ACCOUNT: Final = text("SELECT EXISTS (SELECT FROM account WHERE standing = 'active')")
