"""When people answer, when customers are not called, and which days are working days."""

from datetime import date, datetime

from sqlalchemy import Column, Date
from sqlmodel import Field, SQLModel

from desk import columns


class DayOverride(SQLModel, table=True):
    """A day that is working or free whatever the calendar says."""

    __tablename__ = "day_override"

    day: date = Field(sa_column=Column(Date, primary_key=True))
    working: bool
    note: str = Field(sa_column=columns.words())
    by: str = Field(sa_column=columns.words())
    at: datetime = Field(sa_column=columns.moment())
