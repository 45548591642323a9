"""The access log: every reveal of personal data, who, what, why and when (电力客服管理制度 第十四条)."""

from datetime import datetime
from typing import Final

from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import areas
from desk.columns import key, moment, words
from desk.conversations import Contact
from desk.customers import Account, AccountContact, account
from desk.errors import UnknownAccount
from desk.permissions import Permission
from desk.staff import Staff

# who tries these without being allowed to is written down as well
WATCHED: Final = frozenset({Permission.CUSTOMERS_REVEAL, Permission.CUSTOMERS_EXPORT, Permission.ERASE})
ALL: Final = "*"
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


async def exported(db: AsyncSession, *, by: str, role: str, reason: str, at: datetime, reveal: bool = False) -> None:
    """Write down that accounts left as a file; the reason says which, ALL or what they were searched by."""
    action = Permission.CUSTOMERS_REVEAL if reveal else Permission.CUSTOMERS_EXPORT
    await log(db, by=by, role=role, action=action, subject="archive", reason=reason, at=at)


async def refused(db: AsyncSession, *, by: str, role: str, action: str, subject: str, at: datetime) -> None:
    """Write down a try that was not allowed."""
    await log(db, by=by, role=role, action=action, subject=subject, reason=REFUSED, at=at)


async def read(
    db: AsyncSession, *, before: int | None = None, by: str | None = None, subject: str | None = None, limit: int = 100
) -> list[AccessLine]:
    """The log, latest first, behind the line `before`; of one caller, or about one subject."""
    query = select(AccessLine).order_by(col(AccessLine.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(AccessLine.id) < before)
    if by:
        query = query.where(col(AccessLine.by) == by)
    if subject:
        query = query.where(col(AccessLine.subject) == subject)
    return list((await db.exec(query)).all())


async def reveal(
    db: AsyncSession, no: str, *, reason: str, by: str, role: str, at: datetime, proxy: int | None = None
) -> tuple[Account, list[tuple[Contact, AccountContact]]] | None:
    """An account with its open contacts, unmasked, and the line that says who looked and why.

    `proxy` restricts to the accounts of one village electrician. None = there is no such account for this caller; the
    try is written down as refused. Hand the data out only after the commit.
    """
    action = Permission.CUSTOMERS_REVEAL
    try:
        found = await account(db, no)
    except UnknownAccount:
        found = None
    if found is None or (proxy is not None and found.proxy_id != proxy):
        await refused(db, by=by, role=role, action=action, subject=f"account:{no}", at=at)
        return None
    query = select(Contact, AccountContact).join(AccountContact, col(AccountContact.contact_id) == col(Contact.id))
    query = query.where(col(AccountContact.account_id) == found.id, col(AccountContact.ended_at).is_(None))
    people = list((await db.exec(query.order_by(col(AccountContact.id)))).all())
    await log(db, by=by, role=role, action=action, subject=f"account:{found.no}", reason=reason, at=at)
    if proxy is not None:
        await areas.act_for(db, found, await db.get_one(Staff, proxy), action, at=at, reason=reason)
    return found, people
