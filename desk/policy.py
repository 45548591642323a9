"""The policy: every number that a supervisor may change, as one versioned document in the database.

Defaults are the source's numbers where it states one (`article` in the schema of a field names it), or REQUIREMENTS
where it is silent. Nobody has to publish anything: without a version the defaults are in force.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import BigInteger, Column, Text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field as Row
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import columns, events
from desk.errors import BadPolicy, NothingChanged, PolicyChanged, ReasonMissing
from desk.store import notify

TOPIC: Final = "policy"
RANKS: Final = ("A", "important", "B", "C", "D")  # desk.ranks.Rank.key, in the order of service
LONGEST_NOTE: Final = 500
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ()-]{4,22}[0-9]")
# 电力客户的分级和分类及管理; 供电所大客户维护与管理方法; 电力客服管理制度: pages say these names in words
_GRADING, _LARGE, _SERVICE = "grading", "large_customers", "service"


def _whole(value: Any) -> Any:
    """True is no number."""
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "int_type")
    return value


def _clock(value: Any) -> Any:
    """Hours and minutes of the service area's clock; 24:00 is the midnight at the end of a day."""
    if isinstance(value, str):
        value = value.strip()
        if not re.fullmatch(r"([01]?[0-9]|2[0-4]):[0-5][0-9](:[0-5][0-9](\.0+)?)?", value):
            raise PydanticCustomError("clock", "clock")
        hours, minutes, *_ = value.split(":")
        if hours == "24" and set(value[3:]) - set("0:."):
            raise PydanticCustomError("clock", "clock")
        return "00:00" if hours == "24" else f"{int(hours):02}:{minutes}{value[len(hours) + 3 :]}"
    if not isinstance(value, time) or value.tzinfo is not None:
        raise PydanticCustomError("clock", "clock")
    return value


_Int = Annotated[int, BeforeValidator(_whole)]
ClockTime = Annotated[time, BeforeValidator(_clock)]
Seconds = Annotated[_Int, Field(ge=1, le=86_400)]
Minutes = Annotated[_Int, Field(ge=1, le=10_080)]
Days = Annotated[_Int, Field(ge=1, le=36_500)]
Words = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]*\S[^\x00-\x1f]*$")]


def _meant(description: str, article: str = "") -> dict[str, Any]:
    return {"description": description, "json_schema_extra": {"article": article} if article else None}


class Part(BaseModel):
    """A part of the policy: frozen. What a newer program wrote and this one does not know is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)


class Hours(Part):
    """One interval in which people answer, on some days of the week; `closes` 00:00 is the end of the day."""

    days: list[Annotated[_Int, Field(ge=1, le=7)]] = Field(min_length=1, description="1 = Monday … 7 = Sunday")
    opens: ClockTime
    closes: ClockTime

    @field_validator("days")
    @classmethod
    def _once(cls, days: list[int]) -> list[int]:
        return sorted(set(days))

    @field_validator("closes")
    @classmethod
    def _later(cls, closes: time, info: ValidationInfo) -> time:
        opens = info.data.get("opens")
        if opens is not None and closes != time(0) and closes <= opens:
            raise PydanticCustomError("closes_early", "closes_early")
        return closes


class Service(Part):
    """When people answer (电力客服管理制度 第六条: the centre can be reached)."""

    hours: list[Hours] = Field(
        [Hours(days=[1, 2, 3, 4, 5, 6, 7], opens=time(0), closes=time(0))], min_length=1, max_length=50,
        **_meant(description="when people answer; several a day for lunch or shifts", article=f"{_SERVICE}.6"),
    )  # fmt: skip
    holidays: bool = Field(True, **_meant(description="open on legal holidays too", article=f"{_SERVICE}.6"))

    @field_validator("hours")
    @classmethod
    def _apart(cls, hours: list[Hours]) -> list[Hours]:
        for day in range(1, 8):
            mine = sorted((each.opens, each.closes) for each in hours if day in each.days)
            for (_, closes), (opens, _later) in pairwise(mine):
                if closes == time(0) or closes > opens:
                    raise PydanticCustomError("hours_overlap", "hours_overlap", {"limit": day})
        return hours


class Night(Part):
    """When customers are not called (供电所大客户维护与管理方法 第九条); the end does not belong to it."""

    begins: ClockTime = Field(time(21), **_meant(description="first moment without calls", article=f"{_LARGE}.9"))
    ends: ClockTime = Field(time(8), **_meant(description="first moment with calls again", article=f"{_LARGE}.9"))

    @field_validator("ends")
    @classmethod
    def _lasts(cls, ends: time, info: ValidationInfo) -> time:
        if ends == info.data.get("begins"):
            raise PydanticCustomError("night_empty", "night_empty")
        return ends


class Queue(Part):
    """Waiting for a person (电力客户的分级和分类及管理: the green channel). The order of ranks is fixed."""

    targets_s: dict[str, Seconds] = Field(
        {"A": 30, "important": 60, "B": 120, "C": 300, "D": 600},
        **_meant(description="seconds a wait should take at most, by rank", article=f"{_GRADING}.green"),
    )
    longest_wait_s: dict[str, Seconds] = Field(
        {"A": 900, "important": 900, "B": 900, "C": 1200, "D": 1800},
        **_meant(
            description="seconds after which a wait becomes a promised callback, by rank",
            article=f"{_GRADING}.callback",
        ),
    )
    lease_s: Annotated[_Int, Field(ge=5, le=600)] = Field(
        20, **_meant(description="seconds an agent's claim outlives its silence")
    )
    offer_s: Annotated[_Int, Field(ge=5, le=600)] = Field(
        20, **_meant(description="seconds an agent has to accept an offer")
    )
    auto_offer: bool = Field(False, **_meant(description="offer the next customer to a free agent without being asked"))
    capacity: Annotated[_Int, Field(ge=1, le=50)] = Field(
        4, **_meant(description="conversations of one agent at a time")
    )
    transfer_s: Annotated[_Int, Field(ge=5, le=600)] = Field(
        30, **_meant(description="seconds until a transfer comes back")
    )
    undo_s: Annotated[_Int, Field(ge=0, le=60)] = Field(
        5, **_meant(description="seconds in which a message can be taken back")
    )
    abstentions: Annotated[_Int, Field(ge=1, le=10)] = Field(
        2, **_meant(description="answers that the guide does not have until a person is offered")
    )
    handling_s: Seconds = Field(
        480, **_meant(description="seconds one conversation is assumed to take, before there are data")
    )

    @field_validator("targets_s", "longest_wait_s")
    @classmethod
    def _every_rank(cls, seconds: dict[str, int]) -> dict[str, int]:
        if unknown := sorted(set(seconds) - set(RANKS)):
            raise PydanticCustomError(
                "unknown_rank", "unknown_rank", {"limit": ", ".join(unknown)[:80].encode(errors="replace").decode()}
            )
        if missing := [rank for rank in RANKS if rank not in seconds]:
            raise PydanticCustomError("rank_missing", "rank_missing", {"limit": ", ".join(missing)})
        return {rank: seconds[rank] for rank in RANKS}

    @field_validator("longest_wait_s")
    @classmethod
    def _beyond_target(cls, longest: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        targets = info.data.get("targets_s") or {}
        if short := [rank for rank in RANKS if rank in longest and longest[rank] < targets.get(rank, 0)]:
            raise PydanticCustomError("below_target", "below_target", {"limit": ", ".join(short)})
        return longest


class Promises(Part):
    """Callbacks to those who were not connected (电力客户的分级和分类及管理: within 24 hours)."""

    callback_hours: Annotated[_Int, Field(ge=1, le=720)] = Field(
        24,
        **_meant(
            description="hours within which a customer who was not connected is called back",
            article=f"{_GRADING}.callback",
        ),
    )
    remind_before_min: list[Minutes] = Field(
        [240, 60],
        max_length=10,
        **_meant(description="minutes before the deadline at which its owner is reminded", article=f"{_SERVICE}.9"),
    )
    escalate_after_min: Minutes = Field(
        30, **_meant(description="minutes after the deadline until the supervisor is told", article=f"{_SERVICE}.9")
    )
    attempts: Annotated[_Int, Field(ge=1, le=20)] = Field(
        3, **_meant(description="tries to reach somebody until it is given up")
    )

    @field_validator("remind_before_min")
    @classmethod
    def _in_time(cls, minutes: list[int], info: ValidationInfo) -> list[int]:
        hours = info.data.get("callback_hours")
        if hours is not None and any(each >= hours * 60 for each in minutes):
            raise PydanticCustomError("reminder_early", "reminder_early", {"limit": hours * 60})
        return sorted(set(minutes), reverse=True)


class OnCall(Part):
    """Somebody who is told about danger: by text message, and on Telegram in the chat with this number."""

    name: Words
    phone: str = Field(max_length=24)
    telegram: str = Field("", max_length=20, pattern=r"^[0-9]*$")

    @field_validator("phone")
    @classmethod
    def _number(cls, phone: str) -> str:
        if not _PHONE.fullmatch(phone := phone.strip()):
            raise PydanticCustomError("phone", "phone")
        return phone


class Alarms(Part):
    """Danger to life and failures that people must hear of at once."""

    escalate_s: Seconds = Field(60, **_meant(description="seconds until the next person of the list is told"))
    on_call: list[OnCall] = Field([], max_length=50, **_meant(description="who is told, in this order"))


class Storm(Part):
    """More customers at once than people can answer."""

    surge_entries: Annotated[_Int, Field(ge=1, le=100_000)] = Field(
        30, **_meant(description="customers who join the queue")
    )
    surge_minutes: Minutes = Field(10, **_meant(description="within so many minutes: a storm"))
    automatic: bool = Field(False, **_meant(description="begin storm mode without being asked"))
    quiet_minutes: Minutes = Field(30, **_meant(description="minutes below the threshold until it ends"))


class Retention(Part):
    """Days until the nightly job takes each kind away, counted from its last use (电力客服管理制度 第十四条)."""

    web_chats: Days = Field(
        365,
        **_meant(
            description="visitors who never said which account they speak for: the whole contact",
            article=f"{_SERVICE}.14",
        ),
    )
    record_lines: Days = Field(
        3 * 365,
        **_meant(description="what was said, and files; that something was said stays", article=f"{_SERVICE}.14"),
    )
    sessions: Days = Field(90, **_meant(description="sessions of staff, after their end", article=f"{_SERVICE}.14"))
    sign_in_tries: Days = Field(7, **_meant(description="wrong tries to sign in", article=f"{_SERVICE}.14"))
    binding: Days = Field(
        90, **_meant(description="links, codes and wrong tries to bind a chat to an account", article=f"{_SERVICE}.14")
    )
    access_log: Days = Field(5 * 365, **_meant(description="who looked at personal data", article=f"{_SERVICE}.14"))
    bad_rows: Days = Field(
        90, **_meant(description="rows of imported files that were refused", article=f"{_SERVICE}.14")
    )
    parked_updates: Days = Field(
        90, **_meant(description="messages that could not be handled", article=f"{_SERVICE}.14")
    )


class Policy(Part):
    """The whole document."""

    service: Service = Service()
    night: Night = Night()
    queue: Queue = Queue()
    promises: Promises = Promises()
    alarms: Alarms = Alarms()
    storm: Storm = Storm()
    retention: Retention = Retention()


class PolicyVersion(SQLModel, table=True):
    """One published policy, whole; never changed afterwards. The highest number whose time has come is in force."""

    __tablename__ = "policy_version"

    number: int = Row(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    document: dict[str, Any] = Row(sa_column=columns.facts())
    by: str = Row(sa_column=columns.words())
    at: datetime = Row(sa_column=columns.moment())
    note: str = Row(sa_column=Column(Text, nullable=False))
    effective_at: datetime = Row(sa_column=columns.moment())


@dataclass(frozen=True)
class Change:
    """One field that differs, values as in JSON; `field` is dotted, a rank comes last: queue.targets_s.A."""

    field: str
    before: Any
    after: Any


# -- reading ----------------------------------------------------------------------------------------------------------


async def current(db: AsyncSession, *, at: datetime) -> Policy:
    """The policy in force at `at`; the defaults if nothing was published until then."""
    return (await in_force(db, at=at))[1]


async def in_force(db: AsyncSession, *, at: datetime) -> tuple[int, Policy]:
    """Number and policy in force at `at`; number 0 are the defaults."""
    query = select(PolicyVersion.number, PolicyVersion.document).where(col(PolicyVersion.effective_at) <= at)
    found = (await db.exec(query.order_by(col(PolicyVersion.number).desc()).limit(1))).first()
    return (found[0], Policy.model_validate(found[1])) if found else (0, Policy())


async def latest(db: AsyncSession) -> tuple[int, Policy]:
    """Number and policy that were published last, even if their time has not come; number 0 are the defaults."""
    query = select(PolicyVersion.number, PolicyVersion.document).order_by(col(PolicyVersion.number).desc())
    found = (await db.exec(query.limit(1))).first()
    return (found[0], Policy.model_validate(found[1])) if found else (0, Policy())


async def versions(db: AsyncSession, *, before: int | None = None, limit: int = 200) -> list[PolicyVersion]:
    """What was published, the latest first; `before` a number for the next page."""
    query = select(PolicyVersion).order_by(col(PolicyVersion.number).desc()).limit(limit)
    if before is not None:
        query = query.where(col(PolicyVersion.number) < before)
    return list((await db.exec(query)).all())


def diff(a: Policy, b: Policy) -> list[Change]:
    """What changes from `a` to `b`, in the order of the document; lists are compared whole."""
    before, after = (dict(_leaves(each.model_dump(mode="json"))) for each in (a, b))
    return [Change(name, before.get(name), after.get(name)) for name in after if before.get(name) != after.get(name)]


def _leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


# -- changing ---------------------------------------------------------------------------------------------------------


def propose(base: Policy, changes: Mapping[str, Any]) -> Policy:
    """`base` with nested changes, {"queue": {"capacity": 5}}; lists are replaced whole.

    Raises BadPolicy with every problem at once.
    """
    try:
        return Policy.model_validate(_merged(base.model_dump(mode="json"), changes), extra="forbid")
    except ValidationError as error:
        raise BadPolicy(problems=[_problem(found) for found in error.errors()]) from None


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    done = dict(base)
    for name, value in changes.items():
        old = done.get(name)
        done[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return done


def _problem(found: Any) -> tuple[str, str, Any]:
    """Where, what kind (Pydantic's name or ours), and the limit that was overstepped."""
    limits = found.get("ctx") or {}
    names = ("limit", "min_length", "max_length", "ge", "le", "gt", "lt")
    where = ".".join(str(part)[:40] for part in found["loc"]).encode(errors="replace").decode()
    return where, found["type"], next((limits[name] for name in names if name in limits), None)


async def publish(
    db: AsyncSession, changes: Mapping[str, Any], *, version: int, note: str, by: str, at: datetime,
    effective_at: datetime | None = None,
) -> PolicyVersion:  # fmt: skip
    """Publish the latest version with changes, in force from now or `effective_at`; wakes who waits for TOPIC.

    `version` is what the editor saw. Raises PolicyChanged if somebody published meanwhile, BadPolicy with every
    problem, NothingChanged, ReasonMissing.
    """
    number, base = await latest(db)
    if number != version:
        raise PolicyChanged(version=number)
    policy = propose(base, changes)
    note = note.strip()
    if not note:
        raise ReasonMissing()
    effective_at = effective_at or at
    if effective_at < at:
        raise BadPolicy(problems=[("effective_at", "in_past", None)])
    changed = diff(base, policy)
    if not changed:
        raise NothingChanged()
    made = PolicyVersion(
        number=number + 1, document=policy.model_dump(mode="json"), by=by, at=at, note=note, effective_at=effective_at
    )
    # of two who publish at once the second waits here for the first, and then finds its number taken
    row = insert(PolicyVersion).values(made.model_dump()).on_conflict_do_nothing().returning(col(PolicyVersion.number))
    if (await db.execute(row)).first() is None:
        raise PolicyChanged(version=number + 1)
    fields = [change.field for change in changed]
    await events.record(db, "policy.published", f"policy:{number + 1}", by=by, at=at, note=note, fields=fields)
    await notify(db, TOPIC)
    return made
