"""The access log: every reveal of personal data, who, what, why and when (电力客服管理制度 第十四条)."""

from datetime import datetime
from typing import Final

from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.columns import key, moment, words
from desk.permissions import Permission

# who tries these without being allowed to is written down as well
WATCHED: Final = frozenset({Permission.CUSTOMERS_REVEAL, Permission.CUSTOMERS_EXPORT, Permission.ERASE})
REFUSED: Final = "refused"  # the reason of a refused try


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


async def log(
    db: AsyncSession, *, by: str, role: str, action: str, subject: str, reason: str, at: datetime
) -> AccessLine:
    """Write down one look at personal data, in the transaction that fetches them."""
    line = AccessLine(by=by, role=role, action=action, subject=subject, reason=reason, at=at)
    db.add(line)
    await db.flush()
    return line


async def refused(db: AsyncSession, *, by: str, role: str, action: str, subject: str, at: datetime) -> None:
    """Write down a try that was not allowed."""
    await log(db, by=by, role=role, action=action, subject=subject, reason=REFUSED, at=at)
