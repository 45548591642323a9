"""Areas 片区 and who answers for them: one named manager, village proxies (电力客户的分级和分类及管理, 属地管理)."""

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field, SQLModel, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events
from desk.columns import key, moment, ref, words
from desk.customers import Account
from desk.errors import UnknownArea
from desk.staff import Staff


class Area(SQLModel, table=True):
    """A territory with its office and its one named area manager."""

    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=Column("name", words().type, nullable=False, unique=True))
    office: str = Field(default="", sa_column=words(default=""))
    manager_id: int | None = Field(default=None, sa_column=ref("staff.id", nullable=True))


class Handover(SQLModel, table=True):
    """One change of an area's manager, with the notes of the one who leaves."""

    id: int | None = Field(default=None, sa_column=key())
    area_id: int = Field(sa_column=ref("area.id"))
    before_id: int | None = Field(default=None, sa_column=ref("staff.id", index=False, nullable=True))
    manager_id: int = Field(sa_column=ref("staff.id", index=False))
    notes: str = Field(sa_column=words())
    by: str = Field(sa_column=words())
    at: datetime = Field(sa_column=moment())


async def area(db: AsyncSession, name: str, *, create: bool = False) -> Area:
    """The area of this name. Raises UnknownArea unless it may be created."""
    found = (await db.exec(select(Area).where(col(Area.name) == name))).first()
    if found is None:
        if not create:
            raise UnknownArea(name=name)
        found = Area(name=name)
        db.add(found)
        await db.flush()
    return found


async def hand_over(db: AsyncSession, area: Area, manager: Staff, *, notes: str, by: str, at: datetime) -> None:
    """Give an area to another manager; its accounts follow, the former manager and the notes are kept."""
    assert area.id is not None and manager.id is not None
    db.add(Handover(area_id=area.id, before_id=area.manager_id, manager_id=manager.id, notes=notes, by=by, at=at))
    before, area.manager_id = area.manager_id, manager.id
    db.add(area)
    await events.record(
        db, "area.handed_over", f"area:{area.id}", by=by, at=at, before=before, manager=manager.id, notes=notes
    )


async def manager_of(db: AsyncSession, account: Account) -> Staff | None:
    """The one manager of an account: its area's (片区客户经理)."""
    query = select(Staff).join(Area, col(Area.manager_id) == col(Staff.id)).where(col(Area.id) == account.area_id)
    return (await db.exec(query)).first()


async def areas_of(db: AsyncSession, staff: Staff) -> list[int]:
    """The areas a manager answers for."""
    query = select(Area.id).where(col(Area.manager_id) == staff.id)
    return [number for number in (await db.exec(query)).all() if number is not None]


async def give_to_proxy(db: AsyncSession, accounts: list[int], proxy: Staff | None, *, by: str, at: datetime) -> None:
    """Let a village electrician 村电工 look after these accounts, or nobody."""
    await db.exec(update(Account).where(col(Account.id).in_(accounts)).values(proxy_id=proxy.id if proxy else None))
    for number in accounts:
        await events.record(
            db, "account.proxy_changed", f"account:{number}", by=by, at=at, proxy=proxy.id if proxy else None
        )
