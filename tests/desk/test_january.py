"""The January timer, from December to February: everything is said once, however often and late it runs."""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

import greenline
from api.services import Services
from desk import classification, january, jobs
from desk.classification import Classification
from desk.events import Event
from desk.store import Store
from tests.conftest import SetClock
from tests.desk.purchases import Buyer, buy, no, stock

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")


def local(year: int, month: int, day: int, hour: int = 0, minute: int = 10, zone: ZoneInfo = SHANGHAI) -> datetime:
    """A moment of the service area in UTC."""
    return datetime(year, month, day, hour, minute, tzinfo=zone).astimezone(UTC)


async def attend(store: Store, at: datetime, *, zone: ZoneInfo = SHANGHAI) -> None:
    async with store.transaction() as db:
        await january.attend(db, at=at, zone=zone)


async def pass_hours(store: Store, begin: datetime, end: datetime, *, every: int = 8) -> None:
    """Let the timer run from `begin` until before `end`."""
    while begin < end:
        await attend(store, begin)
        begin += timedelta(hours=every)


async def told(store: Store) -> list[tuple[str, str, Any]]:
    """(what, local day, day of the reminder) of everything said about classifications."""
    async with store.transaction() as db:
        query = select(Event).where(col(Event.kind).startswith("classification.")).order_by(col(Event.id))
        return [
            (event.kind.removeprefix("classification."), f"{event.at.astimezone(SHANGHAI):%m-%d}", event.facts.get("day"))
            for event in (await db.exec(query)).all()
        ]  # fmt: skip


async def run(store: Store, year: int = 2027) -> Classification:
    async with store.transaction() as db:
        return await classification.of(db, year)


BUYERS: Final = [Buyer(1000 * number) for number in range(1, 31)]


async def test_from_december_to_february_everything_is_said_once(store: Store) -> None:
    await stock(store, BUYERS)
    await pass_hours(store, local(2026, 12, 20), local(2027, 1, 1, 0, 0))
    assert await told(store) == [("overdue", "12-20", None)], "2026 was never classified, and that is said"
    await pass_hours(store, local(2027, 1, 1), local(2027, 2, 20))
    assert (await told(store))[1:] == [
        ("proposed", "01-01", None), ("reminded", "01-15", 15), ("reminded", "01-25", 25), ("reminded", "01-31", 31),
        ("overdue", "02-01", None),
    ]  # fmt: skip
    found = await run(store)
    assert found.due_on == date(2027, 1, 31)
    assert found.reminded_at == local(2027, 1, 31) and found.overdue_at == local(2027, 2, 1)


async def test_a_confirmed_classification_needs_no_reminder(store: Store) -> None:
    await stock(store, BUYERS)
    await pass_hours(store, local(2027, 1, 1), local(2027, 1, 20))
    async with store.transaction() as db:
        await classification.confirm(db, 2027, by="hall:1", at=local(2027, 1, 20, 9))
    await pass_hours(store, local(2027, 1, 20, 10), local(2027, 3, 1))
    assert [kind for kind, _, _ in await told(store)] == ["proposed", "reminded", "confirmed"]


async def test_after_a_standstill_only_the_latest_reminder_is_said(store: Store) -> None:
    await stock(store, BUYERS)
    await attend(store, local(2027, 1, 3))
    await attend(store, local(2027, 1, 27))  # the machine was off on the 15th and the 25th
    await attend(store, local(2027, 1, 28))
    assert (await told(store))[1:] == [("reminded", "01-27", 25)]
    await pass_hours(store, local(2027, 2, 9), local(2027, 2, 11))
    assert (await told(store))[2:] == [("overdue", "02-09", None)], "late, but said"


async def test_double_runs_say_nothing_twice(store: Store) -> None:
    await stock(store, BUYERS)
    for moment in (local(2027, 1, 1), local(2027, 1, 15), local(2027, 1, 31), local(2027, 2, 1)):
        await asyncio.gather(*(attend(store, moment) for _ in range(5)))
    assert Counter(kind for kind, _, _ in await told(store)) == {"proposed": 1, "reminded": 2, "overdue": 1}


async def test_a_run_that_dies_is_made_good_by_the_next(store: Store) -> None:
    await stock(store, BUYERS)
    with pytest.raises(RuntimeError):
        async with store.transaction() as db:
            await january.attend(db, at=local(2027, 2, 1), zone=SHANGHAI)
            raise RuntimeError("power cut")
    assert await told(store) == []
    await attend(store, local(2027, 2, 1, 1))
    assert [kind for kind, _, _ in await told(store)] == ["proposed", "overdue"]


@pytest.mark.parametrize(
    ("zone", "last_of_december", "first_of_january"),
    [
        ("Asia/Shanghai", datetime(2026, 12, 31, 15, 59, tzinfo=UTC), datetime(2026, 12, 31, 16, 0, tzinfo=UTC)),
        ("Asia/Urumqi", datetime(2026, 12, 31, 17, 59, tzinfo=UTC), datetime(2026, 12, 31, 18, 0, tzinfo=UTC)),
        ("America/New_York", datetime(2027, 1, 1, 4, 59, tzinfo=UTC), datetime(2027, 1, 1, 5, 0, tzinfo=UTC)),
    ],
)
async def test_the_day_begins_when_the_service_area_says_so(
    store: Store, zone: str, last_of_december: datetime, first_of_january: datetime
) -> None:
    await stock(store, BUYERS)
    await attend(store, last_of_december, zone=ZoneInfo(zone))
    async with store.transaction() as db:
        assert await classification.runs(db) == []
    await attend(store, first_of_january, zone=ZoneInfo(zone))
    assert (await run(store)).accounts == 30


async def test_purchases_that_arrive_in_january_are_taken_up_until_the_hall_confirms(store: Store) -> None:
    await stock(store, [Buyer(None)] * 30)
    await attend(store, local(2027, 1, 2))
    assert await told(store) == []
    await buy(store, 4, 500)
    await attend(store, local(2027, 1, 3))
    await buy(store, 5, 900)
    await attend(store, local(2027, 1, 4))
    async with store.transaction() as db:
        [(line, account), *_] = await classification.lines(db, await classification.of(db, 2027))
    assert (account.no, line.tier) == (no(5), "A")
    assert [day for kind, day, _ in await told(store) if kind == "proposed"] == ["01-03", "01-04"]


async def test_without_purchases_the_hall_is_reminded_all_the_same(store: Store) -> None:
    await stock(store, [Buyer(None)])
    await pass_hours(store, local(2027, 1, 1), local(2027, 2, 5))
    assert await told(store) == [
        ("reminded", "01-15", 15), ("reminded", "01-25", 25), ("reminded", "01-31", 31), ("overdue", "02-01", None),
    ]  # fmt: skip


async def test_an_installation_without_accounts_is_left_in_peace(store: Store) -> None:
    await pass_hours(store, local(2027, 1, 1), local(2027, 2, 5), every=24)
    assert await told(store) == []


async def test_a_year_that_a_later_one_has_overtaken_is_not_asked_for(store: Store) -> None:
    await stock(store, BUYERS)
    async with store.transaction() as db:
        await classification.settle(db, 2027, by="hall:1", at=local(2026, 12, 30))
    await attend(store, local(2026, 12, 31))
    assert [kind for kind, _, _ in await told(store)] == ["proposed", "confirmed"]


@given(st.dates(date(2027, 1, 1), date(2027, 12, 31)), st.none() | st.dates(date(2027, 1, 1), date(2027, 12, 31)))
def test_a_reminder_is_due_from_its_day_to_the_end_of_january_once(today: date, last: date | None) -> None:
    passed = [day for day in (15, 25, 31) if date(2027, 1, day) <= today <= date(2027, 1, 31)]
    expected = max(passed, default=None)
    if expected is not None and last is not None and last >= date(2027, 1, expected):
        expected = None
    assert january.reminder_due(today, last) == expected


async def test_the_worker_attends_to_it(services: Services, store: Store, clock: SetClock) -> None:
    await stock(store, BUYERS)
    clock.at = local(2027, 1, 1)
    async with store.transaction() as db:
        await jobs.defer(db, "attend_classification", timestamp=0)
    async with greenline.working(services), asyncio.timeout(20):
        async for _ in services.bell.rings("events", patience=1):
            if await told(store):
                break
    assert await told(store) == [("proposed", "01-01", None)]
