"""Opening hours, the night and working days, at their edges and for any moment."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import events, hours
from desk.errors import ReasonMissing
from desk.hours import Calendar
from desk.policy import Hours, Night, Service
from desk.store import Store
from tests.conftest import SetClock

SHANGHAI = ZoneInfo("Asia/Shanghai")
PLAIN = Calendar()
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=1800)).map(
    lambda passed: datetime(2024, 1, 1, tzinfo=UTC) + passed
)
TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))
NIGHTS = (
    st.tuples(TIMES, TIMES)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: Night(begins=pair[0], ends=pair[1]))
)
INTERVALS = st.tuples(st.sets(st.integers(1, 7), min_size=1), st.integers(0, 22), st.integers(1, 24)).filter(
    lambda found: found[1] < found[2]
)
SERVICES = INTERVALS.map(
    lambda found: Service(
        hours=[Hours(days=sorted(found[0]), opens=time(found[1]), closes=time(found[2] % 24))], holidays=True
    )
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("clock", "night"),
    [
        ("20:59:59", False),
        ("21:00:00", True),
        ("23:59:59", True),
        ("00:00:00", True),
        ("07:59:59", True),
        ("08:00:00", False),
    ],
)
@pytest.mark.parametrize("day", ["2026-06-01", "2026-12-31", "2024-02-29", "2026-10-01"])
def test_the_night_begins_at_nine_and_its_end_does_not_belong_to_it(day: str, clock: str, night: bool) -> None:
    assert hours.in_night(Night(), at(f"{day} {clock}"), SHANGHAI) is night


def test_a_night_may_lie_within_one_day() -> None:
    nap = Night(begins=time(12), ends=time(14))
    assert [hours.in_night(nap, at(f"2026-06-01 {each}"), SHANGHAI) for each in ("11:59", "12:00", "13:59", "14:00")] == [
        False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "due", "offered"),
    [
        ("2026-06-01 20:50", "2026-06-02 20:50", "2026-06-01 20:50"),
        ("2026-06-01 21:00", "2026-06-02 21:00", "2026-06-02 08:00"),
        ("2026-06-01 22:30", "2026-06-01 23:00", "2026-06-02 08:00"),
        ("2026-06-02 07:59:59", "2026-06-02 21:30", "2026-06-02 08:00"),
        ("2026-12-31 23:00", "2027-01-01 23:00", "2027-01-01 08:00"),
        ("2024-02-28 22:00", "2024-02-29 22:00", "2024-02-29 08:00"),
    ],
)
def test_a_callback_is_offered_outside_the_night(made: str, due: str, offered: str) -> None:
    assert hours.callback_window(Night(), at(due), at(made), SHANGHAI) == at(offered)


@given(NIGHTS, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_no_callback_is_ever_offered_at_night_and_none_waits_longer_than_the_night(
    night: Night, made: datetime, term: timedelta
) -> None:
    offered = hours.callback_window(night, made + term, made, SHANGHAI)
    assert not hours.in_night(night, offered, SHANGHAI)
    assert made <= offered <= made + timedelta(days=1)
    if not hours.in_night(night, made, SHANGHAI):
        assert offered == made
    if term >= timedelta(days=1):
        assert offered <= made + term


@given(NIGHTS, MOMENTS)
def test_a_deadline_in_the_night_is_kept_by_calling_before_it_begins(night: Night, due: datetime) -> None:
    last = hours.last_call(night, due, SHANGHAI)
    assert last <= due
    assert not hours.in_night(night, last - timedelta(microseconds=1), SHANGHAI) or last == due
    assert (last == due) or hours.in_night(night, last, SHANGHAI)


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("07:59:59", False),
        ("08:00:00", True),
        ("11:59:59", True),
        ("12:00:00", False),
        ("13:30", True),
        ("18:00", False),
    ],
)
def test_lunch_is_not_answered(when: str, is_open: bool) -> None:
    week = [1, 2, 3, 4, 5]
    split = Service(
        hours=[Hours(days=week, opens=time(13, 30), closes=time(18)), Hours(days=week, opens=time(8), closes=time(12))]
    )
    assert hours.is_open(split, at(f"2026-06-01 {when}"), SHANGHAI) is is_open
    assert hours.next_open(split, at("2026-06-01 12:00"), SHANGHAI) == at("2026-06-01 13:30")
    assert hours.next_open(split, at("2026-06-05 18:00"), SHANGHAI) == at("2026-06-08 08:00")


def test_midnight_as_an_end_is_the_end_of_the_day() -> None:
    always = Service(hours=[Hours(days=[1, 2, 3, 4, 5, 6, 7], opens=time(0), closes=time(0))])
    assert all(
        hours.is_open(always, at(f"2026-12-31 {each}"), SHANGHAI) for each in ("00:00", "12:00", "23:59:59.999999")
    )


def test_a_closed_national_day_opens_again_after_the_week_and_ordinary_weekends_stay_open() -> None:
    day = [Hours(days=[1, 2, 3, 4, 5, 6, 7], opens=time(8), closes=time(20))]
    closed = Service(hours=day, holidays=False)
    assert hours.is_open(closed, at("2026-09-30 19:59:59"), SHANGHAI)
    assert not hours.is_open(closed, at("2026-10-01 10:00"), SHANGHAI)
    assert hours.next_open(closed, at("2026-09-30 20:00"), SHANGHAI) == at("2026-10-08 08:00")
    assert hours.is_open(closed, at("2026-06-06 10:00"), SHANGHAI)  # a Saturday
    assert hours.is_open(Service(), at("2026-10-01 10:00"), SHANGHAI)
    working = Calendar({date(2026, 10, 3): True})
    assert hours.next_open(closed, at("2026-09-30 20:00"), SHANGHAI, working) == at("2026-10-03 08:00")


def test_a_desk_that_never_opens_says_so() -> None:
    shut = Calendar({date(2026, 6, 1) + timedelta(days=n): False for n in range(500)})
    assert hours.next_open(Service(holidays=False), at("2026-06-01 10:00"), SHANGHAI, shut) is None


@given(SERVICES, MOMENTS)
def test_the_next_opening_is_open_and_nothing_before_it_is(service: Service, moment: datetime) -> None:
    opening = hours.next_open(service, moment, SHANGHAI)
    assert opening is not None and opening >= moment
    assert hours.is_open(service, opening, SHANGHAI)
    if opening > moment:
        assert not hours.is_open(service, opening - timedelta(microseconds=1), SHANGHAI)
        assert not hours.is_open(service, moment + (opening - moment) / 2, SHANGHAI)


@pytest.mark.parametrize(
    ("start", "n", "last"),
    [
        ("2026-06-01 00:00", 1, "2026-06-02"),
        ("2026-06-05 17:00", 1, "2026-06-08"),
        ("2026-02-13 10:00", 1, "2026-02-14"),  # the Saturday before spring festival is worked
        ("2026-02-14 10:00", 1, "2026-02-24"),
        ("2026-09-30 23:59:59", 5, "2026-10-13"),  # 8, 9, Saturday 10, 12, 13
        ("2026-12-30 10:00", 2, "2027-01-01"),  # 2027 is not published: a Friday counts
        ("2024-02-28 10:00", 1, "2024-02-29"),
    ],
)
def test_a_term_of_working_days_begins_the_next_day_and_knows_the_holidays(start: str, n: int, last: str) -> None:
    due = hours.add_working_days(at(start), n, PLAIN, SHANGHAI)
    assert due == at(f"{last} 23:59:59.999999")


@given(MOMENTS, st.integers(1, 30), st.integers(1, 30))
def test_working_days_add_up(start: datetime, n: int, m: int) -> None:
    first = hours.add_working_days(start, n, PLAIN, SHANGHAI)
    assert hours.add_working_days(first, m, PLAIN, SHANGHAI) == hours.add_working_days(start, n + m, PLAIN, SHANGHAI)
    assert PLAIN.working(first.astimezone(SHANGHAI).date()) and first > start


def test_a_term_without_days_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one day"):
        hours.add_working_days(at("2026-06-01 10:00"), 0, PLAIN, SHANGHAI)


def test_an_unpublished_year_is_guessed_until_somebody_says_so() -> None:
    assert (
        PLAIN.guessed(date(2031, 10, 1)) and PLAIN.working(date(2031, 10, 1)) and not PLAIN.holiday(date(2031, 10, 1))
    )
    said = Calendar({date(2031, 10, 1): False})
    assert (
        not said.guessed(date(2031, 10, 1)) and not said.working(date(2031, 10, 1)) and said.holiday(date(2031, 10, 1))
    )
    assert not PLAIN.guessed(date(2026, 10, 1)) and PLAIN.holiday(date(2026, 10, 1))
    assert not PLAIN.working(date(2026, 6, 6)) and not PLAIN.holiday(date(2026, 6, 6))


async def test_an_override_is_kept_replaced_and_taken_back(store: Store, clock: SetClock) -> None:
    day = date(2026, 10, 8)
    async with store.transaction() as db:
        await hours.override(db, day, working=False, note="bridge", by="boss", at=clock.now())
    async with store.transaction() as db:
        assert not (await hours.calendar(db)).working(day)
        await hours.override(db, day, working=True, note="bridge after all", by="chief", at=clock.now())
    async with store.transaction() as db:
        [row] = await hours.overrides(db, 2026)
        assert (row.day, row.working, row.note, row.by) == (day, True, "bridge after all", "chief")
        assert await hours.overrides(db, 2027) == []
        assert await hours.follow_calendar(db, day, by="boss", at=clock.now())
        assert not await hours.follow_calendar(db, day, by="boss", at=clock.now())
        with pytest.raises(ReasonMissing):
            await hours.override(db, day, working=True, note=" ", by="boss", at=clock.now())
    async with store.transaction() as db:
        kinds = [event.kind for event in await events.read(db) if event.subject == f"day:{day}"]
    assert kinds == ["day.overridden", "day.overridden", "day.restored"]
