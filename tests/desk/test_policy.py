"""The policy document: defaults, versions, conflicts, and nonsense that names its field."""

import asyncio
from datetime import time, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from desk import events, policy
from desk.errors import BadPolicy, NothingChanged, PolicyChanged, ReasonMissing
from desk.policy import RANKS, Policy
from desk.ranks import Rank
from desk.store import Store
from tests.conftest import SetClock


async def publish(store: Store, clock: SetClock, changes: dict[str, Any], *, version: int, **more: Any) -> int:
    async with store.transaction() as db:
        facts = {"note": "because", "by": "boss", "at": clock.now()} | more
        return (await policy.publish(db, changes, version=version, **facts)).number


async def now(store: Store, clock: SetClock) -> Policy:
    async with store.transaction() as db:
        return await policy.current(db, at=clock.now())


def problems(changes: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(BadPolicy) as caught:
        policy.propose(Policy(), changes)
    return {where: kind for where, kind, _ in caught.value.facts["problems"]}


def test_the_ranks_are_those_of_the_queue() -> None:
    assert tuple(rank.key for rank in Rank) == RANKS


async def test_without_a_version_the_numbers_of_the_source_are_in_force(store: Store, clock: SetClock) -> None:
    found = await now(store, clock)
    assert found == Policy()
    assert (found.night.begins, found.night.ends) == (time(21), time(8))
    assert found.promises.callback_hours == 24
    assert found.queue.targets_s == {"A": 30, "important": 60, "B": 120, "C": 300, "D": 600}


async def test_a_published_version_is_in_force_and_the_old_ones_stay(store: Store, clock: SetClock) -> None:
    first = clock.now()
    assert await publish(store, clock, {"queue": {"capacity": 6}}, version=0) == 1
    clock.forward(hours=1)
    assert await publish(store, clock, {"night": {"begins": "22:00"}}, version=1, by="chief", note=" later ") == 2
    found = await now(store, clock)
    assert (found.queue.capacity, found.night.begins, found.promises) == (6, time(22), Policy().promises)
    async with store.transaction() as db:
        assert (await policy.current(db, at=first)).night == Policy().night
        assert await policy.current(db, at=first - timedelta(seconds=1)) == Policy()
        kept = await policy.versions(db)
        assert [(each.number, each.by, each.note) for each in kept] == [(2, "chief", "later"), (1, "boss", "because")]
        assert [each.number for each in await policy.versions(db, before=2)] == [1]
        [event] = await events.about(db, "policy:2", "policy.published")
    assert event.facts == {"note": "later", "fields": ["night.begins"]}


async def test_a_version_comes_into_force_when_its_time_has_come(store: Store, clock: SetClock) -> None:
    begins = clock.now() + timedelta(days=2)
    await publish(store, clock, {"queue": {"capacity": 2}}, version=0, effective_at=begins)
    assert (await now(store, clock)).queue.capacity == 4
    async with store.transaction() as db:
        assert (await policy.latest(db))[1].queue.capacity == 2
    clock.forward(days=2)
    assert (await now(store, clock)).queue.capacity == 2


async def test_who_edits_an_old_version_is_told_and_nothing_is_lost(store: Store, clock: SetClock) -> None:
    await publish(store, clock, {"queue": {"capacity": 6}}, version=0)
    with pytest.raises(PolicyChanged) as caught:
        await publish(store, clock, {"queue": {"capacity": 7}}, version=0)
    assert caught.value.facts == {"version": 1}
    assert (await now(store, clock)).queue.capacity == 6


async def test_of_two_who_publish_at_once_one_is_told(store: Store, clock: SetClock) -> None:
    tries = [publish(store, clock, {"queue": {"capacity": n}}, version=0) for n in range(5, 11)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(str(type(each).__name__) for each in done) == ["PolicyChanged"] * 5 + ["int"]


async def test_what_changes_nothing_or_has_no_reason_or_comes_too_late_is_refused(
    store: Store, clock: SetClock
) -> None:
    with pytest.raises(NothingChanged):
        await publish(store, clock, {"queue": {"capacity": 4}}, version=0)
    with pytest.raises(ReasonMissing):
        await publish(store, clock, {"queue": {"capacity": 5}}, version=0, note="  ")
    with pytest.raises(BadPolicy) as caught:
        await publish(
            store, clock, {"queue": {"capacity": 5}}, version=0, effective_at=clock.now() - timedelta(seconds=1)
        )
    assert caught.value.facts["problems"] == [("effective_at", "in_past", None)]
    assert await now(store, clock) == Policy()


def test_a_difference_names_every_field_with_both_values() -> None:
    changed = policy.propose(
        Policy(), {"queue": {"targets_s": {"A": 20}}, "alarms": {"on_call": [{"name": "Li", "phone": "13800138000"}]}}
    )
    assert [(each.field, each.before, each.after) for each in policy.diff(Policy(), changed)] == [
        ("queue.targets_s.A", 30, 20),
        ("alarms.on_call", [], [{"name": "Li", "phone": "13800138000", "telegram": ""}]),
    ]
    assert policy.diff(changed, changed) == []


@pytest.mark.parametrize(
    ("changes", "where", "kind"),
    [
        ({"queue": {"capacity": -1}}, "queue.capacity", "greater_than_equal"),
        ({"queue": {"capacity": True}}, "queue.capacity", "int_type"),
        ({"queue": {"capacity": "many"}}, "queue.capacity", "int_parsing"),
        ({"queue": {"capacity": None}}, "queue.capacity", "int_type"),
        ({"queue": {"targets_s": {"E": 10}}}, "queue.targets_s", "unknown_rank"),
        ({"queue": {"targets_s": {"B": 0}}}, "queue.targets_s.B", "greater_than_equal"),
        ({"queue": {"targets_s": {"A": 901}}}, "queue.longest_wait_s", "below_target"),
        ({"queue": {"targets_s": 5}}, "queue.targets_s", "dict_type"),
        ({"queue": {"speed": 1}}, "queue.speed", "extra_forbidden"),
        ({"queues": {}}, "queues", "extra_forbidden"),
        ({"night": {"begins": "08:00"}}, "night.ends", "night_empty"),
        ({"night": {"begins": "25:00"}}, "night.begins", "clock"),
        ({"night": {"begins": "24:30"}}, "night.begins", "clock"),
        ({"night": {"begins": 5}}, "night.begins", "clock"),
        ({"service": {"hours": []}}, "service.hours", "too_short"),
        ({"service": {"hours": [{"days": [1], "opens": "20:00", "closes": "08:00"}]}}, "service.hours.0.closes", "closes_early"),
        ({"service": {"hours": [{"days": [8], "opens": "08:00", "closes": "09:00"}]}}, "service.hours.0.days.0", "less_than_equal"),
        ({"service": {"hours": [{"days": [], "opens": "08:00", "closes": "09:00"}]}}, "service.hours.0.days", "too_short"),
        ({"promises": {"remind_before_min": [1440]}}, "promises.remind_before_min", "reminder_early"),
        ({"alarms": {"on_call": [{"name": " ", "phone": "13800138000"}]}}, "alarms.on_call.0.name", "string_pattern_mismatch"),
        ({"alarms": {"on_call": [{"name": "Li", "phone": "now"}]}}, "alarms.on_call.0.phone", "phone"),
        ({"storm": {"surge_minutes": 0}}, "storm.surge_minutes", "greater_than_equal"),
        ({"retention": {"sessions": 10**30}}, "retention.sessions", "less_than_equal"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_the_field_is_named(changes: dict[str, Any], where: str, kind: str) -> None:
    assert problems(changes) == {where: kind}


def test_intervals_of_one_day_must_not_overlap() -> None:
    one, two = (
        {"days": [1, 2], "opens": "08:00", "closes": "24:00"},
        {"days": [2, 3], "opens": "20:00", "closes": "21:00"},
    )
    assert problems({"service": {"hours": [one, two]}}) == {"service.hours": "hours_overlap"}
    touching = {"days": [1], "opens": "00:00", "closes": "08:00"}
    assert policy.propose(Policy(), {"service": {"hours": [one, touching]}}).service.hours[0].closes == time(0)


def test_several_problems_are_told_at_once() -> None:
    found = problems(
        {"queue": {"capacity": 0, "undo_s": -1}, "night": {"ends": "21:00"}, "storm": {"quiet_minutes": "x"}}
    )
    assert list(found) == ["night.ends", "queue.capacity", "queue.undo_s", "storm.quiet_minutes"]


def test_a_policy_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Policy().queue.capacity = 9  # type: ignore[misc]


def test_a_field_of_a_newer_program_is_passed_over() -> None:
    document = Policy().model_dump(mode="json")
    document["queue"]["colour"] = "green"
    del document["storm"]
    assert Policy.model_validate(document) == Policy()
