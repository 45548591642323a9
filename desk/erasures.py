"""Marks of persons who were erased: an old file that still names them must not bring them back (第十四条).

A mark holds nothing personal: a salted hash, slow to compute, of what was known at one account. So nobody learns a
telephone number from it by trying them all, and it needs no key that a restored backup would not have.
"""

import hashlib
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import text
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.columns import key, moment, one_of, ref, words


class Part(StrEnum):
    """What of an account a mark is about."""

    PHONE = "phone"  # of a contact
    CONTACT = "contact"  # a contact's name
    HOLDER = "holder"  # the name of the account


class ErasedMark(SQLModel, table=True):
    """One hash of what was erased at an account."""

    __tablename__ = "erased_mark"
    __table_args__ = (one_of("part", Part),)

    id: int | None = Field(default=None, sa_column=key())
    account_id: int = Field(sa_column=ref("account.id"))
    part: Part = Field(sa_column=words())
    salt: str = Field(sa_column=words())
    digest: str = Field(sa_column=words())
    at: datetime = Field(sa_column=moment())


def mark(db: AsyncSession, account_id: int, part: Part, value: str, *, at: datetime) -> None:
    """Remember that `value` was erased at this account, without keeping it; nothing for an empty value."""
    if value:
        salt = secrets.token_hex(16)
        db.add(ErasedMark(account_id=account_id, part=part, salt=salt, digest=digest(salt, value), at=at))


Marks = dict[int, list[tuple[str, str, str]]]  # account → part, salt, digest


async def marks(db: AsyncSession, accounts: list[int]) -> Marks:
    """All marks of these accounts."""
    found: Marks = {}
    for account_id, part, salt, made in await db.execute(_MARKS, {"accounts": accounts}):
        found.setdefault(account_id, []).append((part, salt, made))
    return found


def erased(known: list[tuple[str, str, str]], part: Part, value: str) -> bool:
    """Whether this very value was erased."""
    return bool(value) and any(p == part and digest(salt, value) == made for p, salt, made in known)


def digest(salt: str, value: str) -> str:
    """Slow on purpose: there are few telephone numbers."""
    return hashlib.scrypt(value.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=32).hex()


_MARKS: Final = text("SELECT account_id, part, salt, digest FROM erased_mark WHERE account_id = ANY(:accounts)")
