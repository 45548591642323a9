"""The access log: every reveal of personal data, who, what, why and when (电力客服管理制度 第十四条)."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from desk.columns import key, moment, words


class AccessLine(SQLModel, table=True):
    """One look at personal data, or a refused try. Append-only."""

    __tablename__ = "access_line"

    id: int | None = Field(default=None, sa_column=key())
    by: str = Field(sa_column=words())
    role: str = Field(sa_column=words())
    action: str = Field(sa_column=words())
    subject: str = Field(sa_column=words())
    reason: str = Field(sa_column=words())
    at: datetime = Field(sa_column=moment())
