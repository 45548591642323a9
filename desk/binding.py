"""Binding a chat to an account: by one-time link, by code to the registered phone, or by name and last digits.

Nothing it says tells whether an account exists (电力客服管理制度 第十四条).
"""

from datetime import datetime

from sqlalchemy import Column, SmallInteger, text
from sqlmodel import Field, SQLModel

from desk.columns import key, moment, ref, words


class BindLink(SQLModel, table=True):
    """A one-time deep link made by staff; only its hash is kept."""

    __tablename__ = "bind_link"

    id: int | None = Field(default=None, sa_column=key())
    digest: str = Field(sa_column=Column("digest", words().type, nullable=False, unique=True))
    account_id: int = Field(sa_column=ref("account.id"))
    by: str = Field(sa_column=words())
    created_at: datetime = Field(sa_column=moment())
    expires_at: datetime = Field(sa_column=moment())
    used_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    used_by: int | None = Field(default=None, sa_column=ref("contact.id", index=False, nullable=True))


class BindCode(SQLModel, table=True):
    """A one-time code on its way to a registered phone; `account_id` is None when nothing was sent."""

    __tablename__ = "bind_code"

    id: int | None = Field(default=None, sa_column=key())
    address_id: int = Field(sa_column=ref("address.id"))
    account_id: int | None = Field(default=None, sa_column=ref("account.id", nullable=True))
    digest: str = Field(sa_column=words())
    tries: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default=text("0")))
    created_at: datetime = Field(sa_column=moment())
    expires_at: datetime = Field(sa_column=moment())
    used_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class BindTry(SQLModel, table=True):
    """One wrong try, counted per chat address and per claimed number (its hash), to slow guessing down."""

    __tablename__ = "bind_try"

    id: int | None = Field(default=None, sa_column=key())
    address_id: int = Field(sa_column=ref("address.id"))
    claimed: str = Field(sa_column=Column("claimed", words().type, nullable=False, index=True))
    how: str = Field(sa_column=words())
    at: datetime = Field(sa_column=moment())
