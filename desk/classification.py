"""The annual classification 年度分类: proposed in January, confirmed by the business hall, then frozen.

供电所大客户维护与管理方法 第三条: the business hall completes it every January. Year Y looks at the purchases of Y - 1.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, Integer, Numeric, SmallInteger, UniqueConstraint
from sqlmodel import Field, SQLModel

from desk.columns import facts, key, moment, one_of, ref, words
from desk.machine import Machine
from desk.tiers import Tier


class Stage(StrEnum):
    """Where a year's classification stands."""

    PROPOSED = "proposed"  # computed, waits for the hall; may be computed again
    CONFIRMED = "confirmed"  # in force and frozen


class Step(StrEnum):
    """What can be done with it."""

    PROPOSE = "propose"
    CONFIRM = "confirm"


CLASSIFICATION: Final = Machine[Stage, Step](
    {Stage.PROPOSED: {Step.PROPOSE: Stage.PROPOSED, Step.CONFIRM: Stage.CONFIRMED}, Stage.CONFIRMED: {}}
)


class Classification(SQLModel, table=True):
    """One year's classification. `counts` by tier and flag, `cuts` = last places by the integer rule."""

    __table_args__ = (one_of("stage", Stage),)

    id: int | None = Field(default=None, sa_column=key())
    year: int = Field(sa_column=Column(SmallInteger, nullable=False, unique=True))
    stage: Stage = Field(sa_column=words())
    accounts: int = Field(sa_column=Column(Integer, nullable=False))
    counts: dict[str, Any] = Field(sa_column=facts())
    due_on: date
    proposed_at: datetime = Field(sa_column=moment())
    reminded_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    overdue_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    confirmed_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    confirmed_by: str | None = Field(default=None, sa_column=words(nullable=True))


class ClassificationLine(SQLModel, table=True):
    """Why one account is where it is: the facts of `tiers.Placing` and of the large and important flags."""

    __tablename__ = "classification_line"
    __table_args__ = (UniqueConstraint("classification_id", "account_id"), one_of("tier", Tier))

    id: int | None = Field(default=None, sa_column=key())
    classification_id: int = Field(sa_column=ref("classification.id", index=False))
    account_id: int = Field(sa_column=ref("account.id"))
    tier: Tier = Field(sa_column=words())
    before: Tier = Field(sa_column=words())
    amount: Decimal = Field(sa_column=Column(Numeric(16, 2), nullable=False))
    kwh: Decimal = Field(sa_column=Column(Numeric(16, 2), nullable=False))
    months: int = Field(sa_column=Column(SmallInteger, nullable=False))
    rank: int = Field(sa_column=Column(Integer, nullable=False))
    large: bool
    important: bool
    why: dict[str, Any] = Field(sa_column=facts())
