"""When people answer, when customers are not called, and which days are working days (放假调休).

The rules are pure: they are given the policy's part, the moment, the zone and a calendar. Moments come back in UTC.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import chinese_calendar
from sqlalchemy import Column, Date
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import columns, events
from desk.errors import ReasonMissing
from desk.policy import TOPIC, Night, Service
from desk.store import notify

_AHEAD: Final = 400  # days in which an opening is looked for


class DayOverride(SQLModel, table=True):
    """A day that is working or free whatever the calendar says."""

    __tablename__ = "day_override"

    day: date = Field(sa_column=Column(Date, primary_key=True))
    working: bool
    note: str = Field(sa_column=columns.words())
    by: str = Field(sa_column=columns.words())
    at: datetime = Field(sa_column=columns.moment())


@dataclass(frozen=True)
class Calendar:
    """The published calendar of holidays and make-up working days, and what this company does differently."""

    overrides: Mapping[date, bool] = field(default_factory=dict)  # day -> working

    def working(self, day: date) -> bool:
        """Whether it is a working day; in a year that nobody has published, Monday to Friday."""
        if day in self.overrides:
            return self.overrides[day]
        published = _published(day)
        return day.isoweekday() <= 5 if published is None else not published[0]

    def holiday(self, day: date) -> bool:
        """Whether it is a legal holiday or a day off beside one; an ordinary weekend is none."""
        if day in self.overrides:
            return not self.overrides[day]
        published = _published(day)
        return published is not None and published[0] and published[1] is not None

    def guessed(self, day: date) -> bool:
        """Whether holidays of that year are not published yet, so that only weekends are known."""
        return day not in self.overrides and _published(day) is None


def _published(day: date) -> tuple[bool, str | None] | None:
    """Whether the day is free, and the holiday's name; None when the year is not known."""
    try:
        free, name = chinese_calendar.get_holiday_detail(day)
    except NotImplementedError:
        return None
    return free, name


# -- opening hours ----------------------------------------------------------------------------------------------------


def is_open(service: Service, at: datetime, zone: ZoneInfo, calendar: Calendar = Calendar()) -> bool:
    """Whether people answer at `at`; an interval ends just before `closes` (电力客服管理制度 第六条)."""
    local = at.astimezone(zone)
    now = local.time()
    return any(
        opens <= now and (closes == time(0) or now < closes)
        for opens, closes in _intervals(service, local.date(), calendar)
    )


def next_open(
    service: Service, at: datetime, zone: ZoneInfo, calendar: Calendar = Calendar()
) -> datetime | None:  # fmt: skip
    """The first moment from `at` on at which people answer, `at` itself if they do; None = not within a year."""
    if is_open(service, at, zone, calendar):
        return at
    today = at.astimezone(zone).date()
    for ahead in range(_AHEAD):
        day = today + timedelta(days=ahead)
        for opens, _ in _intervals(service, day, calendar):
            opening = datetime.combine(day, opens, zone).astimezone(UTC)
            if opening > at:
                return opening
    return None


def _intervals(service: Service, day: date, calendar: Calendar) -> Iterator[tuple[time, time]]:
    if service.holidays or not calendar.holiday(day):
        yield from sorted((each.opens, each.closes) for each in service.hours if day.isoweekday() in each.days)


# -- the night --------------------------------------------------------------------------------------------------------


def in_night(night: Night, at: datetime, zone: ZoneInfo) -> bool:
    """Whether customers are not called at `at`; the end is no part of it (供电所大客户维护与管理方法 第九条)."""
    now = at.astimezone(zone).time()
    if night.begins < night.ends:
        return night.begins <= now < night.ends
    return now >= night.begins or now < night.ends


def callback_window(night: Night, due_at: datetime, at: datetime, zone: ZoneInfo) -> datetime:
    """The moment from which a callback that is due at `due_at` may be made: now, or when the night ends.

    A deadline inside a night stays where it is. So the callback is offered before that night begins; only one that is
    made and due in the same night is offered after it.
    """
    if not in_night(night, at, zone):
        return at
    local = at.astimezone(zone)
    day = local.date() if local.time() < night.ends else local.date() + timedelta(days=1)
    return datetime.combine(day, night.ends, zone).astimezone(UTC)


def last_call(night: Night, due_at: datetime, zone: ZoneInfo) -> datetime:
    """Until when a callback must be made to keep its deadline: the deadline, or the beginning of the night it is in."""
    if not in_night(night, due_at, zone):
        return due_at
    local = due_at.astimezone(zone)
    day = local.date() if local.time() >= night.begins else local.date() - timedelta(days=1)
    return datetime.combine(day, night.begins, zone).astimezone(UTC)


# -- working days -----------------------------------------------------------------------------------------------------


def add_working_days(start: datetime, n: int, calendar: Calendar, zone: ZoneInfo) -> datetime:
    """The last moment of the `n`-th working day (n from 1) after the local day of `start`, which does not count."""
    if n < 1:
        raise ValueError("a term has at least one day")
    day = start.astimezone(zone).date()
    while n:
        day += timedelta(days=1)
        n -= calendar.working(day)
    return datetime.combine(day, time.max, zone).astimezone(UTC)


# -- days that this company does differently --------------------------------------------------------------------------


async def calendar(db: AsyncSession) -> Calendar:
    """The calendar with all overrides."""
    return Calendar({each.day: each.working for each in (await db.exec(select(DayOverride))).all()})


async def overrides(db: AsyncSession, year: int) -> list[DayOverride]:
    """The overrides of one year, by date."""
    query = select(DayOverride).where(col(DayOverride.day).between(date(year, 1, 1), date(year, 12, 31)))
    return list((await db.exec(query.order_by(col(DayOverride.day)))).all())


async def override(db: AsyncSession, day: date, *, working: bool, note: str, by: str, at: datetime) -> None:
    """Make a day working or free, in place of what was said of it before. Raises ReasonMissing."""
    if not (note := note.strip()):
        raise ReasonMissing()
    facts = {"working": working, "note": note, "by": by, "at": at}
    row = insert(DayOverride).values(day=day, **facts)
    await db.execute(row.on_conflict_do_update(index_elements=["day"], set_=facts))
    await events.record(db, "day.overridden", f"day:{day}", by=by, at=at, working=working, note=note)
    await notify(db, TOPIC)


async def follow_calendar(db: AsyncSession, day: date, *, by: str, at: datetime) -> bool:
    """Let a day be what the calendar says; False if it was."""
    if not (await db.exec(delete(DayOverride).where(col(DayOverride.day) == day))).rowcount:
        return False
    await events.record(db, "day.restored", f"day:{day}", by=by, at=at)
    await notify(db, TOPIC)
    return True
