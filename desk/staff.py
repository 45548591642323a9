"""Members of staff, how they sign in, and the tokens of programs that act for them."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Column, Index, SmallInteger, text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.columns import key, moment, one_of, ref, words
from desk.errors import NotSignedIn
from desk.permissions import Role

IDLE: Final = timedelta(hours=12)  # a session ends when nobody used it for so long
LONGEST: Final = timedelta(days=7)  # and at the latest now
_FRESH: Final = timedelta(minutes=1)  # how exactly we note when something was used


class Staff(SQLModel, table=True):
    """A member of staff. `name` is what they sign in with and what the record shows."""

    __table_args__ = (one_of("role", Role), Index("staff_name", text("lower(name)"), unique=True))

    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=words())
    role: Role = Field(sa_column=words())
    phone: str = Field(default="", sa_column=words(default=""))
    language: str = Field(default="zh_CN", sa_column=words(default="zh_CN"))
    password: str | None = Field(default=None, sa_column=words(nullable=True))  # argon2 hash; None = only by OIDC
    totp: str | None = Field(default=None, sa_column=words(nullable=True))  # second factor, encrypted
    subject: str | None = Field(default=None, sa_column=Column("subject", words().type, unique=True))  # OIDC
    failures: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default=text("0")))
    locked_until: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    created_at: datetime = Field(sa_column=moment())
    disabled_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class StaffSession(SQLModel, table=True):
    """A browser that is signed in; only the hash of its cookie is kept."""

    __tablename__ = "staff_session"

    id: int | None = Field(default=None, sa_column=key())
    staff_id: int = Field(sa_column=ref("staff.id"))
    digest: str = Field(sa_column=Column("digest", words().type, nullable=False, unique=True))
    device: str = Field(default="", sa_column=words(default=""))
    address: str = Field(default="", sa_column=words(default=""))
    created_at: datetime = Field(sa_column=moment())
    seen_at: datetime = Field(sa_column=moment())
    expires_at: datetime = Field(sa_column=moment())
    revoked_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class ApiToken(SQLModel, table=True):
    """A program's key with a role and an expiry; only its hash is kept."""

    __tablename__ = "api_token"
    __table_args__ = (one_of("role", Role),)

    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=words())
    role: Role = Field(sa_column=words())
    digest: str = Field(sa_column=Column("digest", words().type, nullable=False, unique=True))
    by: str = Field(sa_column=words())
    created_at: datetime = Field(sa_column=moment())
    expires_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    used_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


def digest(secret: str) -> str:
    """What is stored of a cookie or token."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def of_session(db: AsyncSession, cookie: str, *, at: datetime) -> tuple[Staff, StaffSession]:
    """Who signed in with this cookie; notes that the session is in use. Raises NotSignedIn."""
    query = select(Staff, StaffSession).join(StaffSession, col(StaffSession.staff_id) == col(Staff.id))
    query = query.where(col(StaffSession.digest) == digest(cookie), col(StaffSession.revoked_at).is_(None))
    query = query.where(col(StaffSession.expires_at) > at, col(StaffSession.seen_at) > at - IDLE)
    found = (await db.exec(query.where(col(Staff.disabled_at).is_(None)))).first()
    if found is None:
        raise NotSignedIn()
    member, session = found
    if at - session.seen_at >= _FRESH:
        session.seen_at = at
        db.add(session)
    return member, session


async def of_token(db: AsyncSession, token: str, *, at: datetime) -> ApiToken:
    """The program behind this token; notes that it was used. Raises NotSignedIn."""
    found = (await db.exec(select(ApiToken).where(col(ApiToken.digest) == digest(token)))).first()
    if found is None or found.revoked_at or (found.expires_at and found.expires_at <= at):
        raise NotSignedIn()
    if found.used_at is None or at - found.used_at >= _FRESH:
        found.used_at = at
        db.add(found)
    return found
