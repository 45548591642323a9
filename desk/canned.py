"""Canned replies: texts that agents send often, found by a shortcut."""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.columns import key, moment, words
from desk.errors import NameTaken, UnknownCanned


class CannedReply(SQLModel, table=True):
    """One text in one language. {name}, {number}, {agent} and {manager} are filled in for the customer at hand."""

    __tablename__ = "canned_reply"
    __table_args__ = (UniqueConstraint("shortcut", "language"),)

    id: int | None = Field(default=None, sa_column=key())
    shortcut: str = Field(sa_column=words())
    language: str = Field(sa_column=words())
    text: str = Field(sa_column=words())
    by: str = Field(sa_column=words())
    updated_at: datetime = Field(sa_column=moment())


async def replies(db: AsyncSession, language: str | None = None) -> list[CannedReply]:
    """All of them by shortcut, or those in one language."""
    query = select(CannedReply).order_by(col(CannedReply.shortcut), col(CannedReply.language))
    return list((await db.exec(query.where(col(CannedReply.language) == language) if language else query)).all())


async def reply(db: AsyncSession, number: int) -> CannedReply:
    """One of them. Raises UnknownCanned."""
    found = await db.get(CannedReply, number)
    if found is None:
        raise UnknownCanned()
    return found


async def put(
    db: AsyncSession, number: int | None, *, shortcut: str, language: str, text: str, by: str, at: datetime
) -> CannedReply:
    """Write one, new or changed. Raises UnknownCanned, NameTaken when the shortcut has a text in this language."""
    taken = select(CannedReply).where(col(CannedReply.shortcut) == shortcut, col(CannedReply.language) == language)
    there = (await db.exec(taken)).first()
    if there is not None and there.id != number:
        raise NameTaken(name=shortcut)
    found = await reply(db, number) if number else CannedReply(shortcut="", language="", text="", by="", updated_at=at)
    found.shortcut, found.language, found.text, found.by, found.updated_at = shortcut, language, text, by, at
    db.add(found)
    await db.flush()
    return found


async def drop(db: AsyncSession, number: int) -> None:
    """Take one away. Raises UnknownCanned."""
    await db.delete(await reply(db, number))
