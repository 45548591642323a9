"""Areas 片区 and who answers for them: one named manager, village proxies (电力客户的分级和分类及管理, 属地管理)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, func, true
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import customers, events
from desk.columns import key, moment, ref, words
from desk.customers import Account, Standing, TierChange
from desk.errors import UnknownAccount, UnknownArea, WrongRole
from desk.permissions import Level, Role
from desk.staff import Staff
from desk.tiers import Tier


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


async def area_by_id(db: AsyncSession, number: int, *, lock: bool = False) -> Area:
    """The area with this key. Raises UnknownArea."""
    query = select(Area).where(col(Area.id) == number)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = (await db.exec(query)).first()
    if found is None:
        raise UnknownArea(name=str(number))
    return found


@dataclass(frozen=True)
class Territory:
    """An area, its named manager, and how many accounts are supplied there: all, of tier A, important."""

    area: Area
    manager: Staff | None
    accounts: int
    best: int
    important: int

    @property
    def answered(self) -> bool:
        """Whether somebody who works here answers for it."""
        return self.manager is not None and self.manager.disabled_at is None


async def overview(db: AsyncSession) -> list[Territory]:
    """All areas, those that nobody answers for first, then by name, with their managers and what they hold."""
    supplied = and_(col(Account.area_id) == col(Area.id), col(Account.standing) == Standing.ACTIVE)
    number = func.count(col(Account.id))
    best, important = number.filter(col(Account.tier) == Tier.A), number.filter(col(Account.important))
    query: Any = select(Area, Staff, number, best, important)  # type: ignore[call-overload]
    query = query.outerjoin(Staff, col(Staff.id) == col(Area.manager_id)).outerjoin(Account, supplied)
    found = await db.exec(query.group_by(col(Area.id), col(Staff.id)).order_by(col(Area.name)))
    return sorted((Territory(*row) for row in found.all()), key=lambda each: each.answered)


async def in_no_area(db: AsyncSession) -> int:
    """How many accounts that are supplied lie in no area."""
    query = select(func.count(col(Account.id))).where(col(Account.area_id).is_(None))
    return (await db.exec(query.where(col(Account.standing) == Standing.ACTIVE))).one()


async def changed_since(db: AsyncSession, since: datetime) -> dict[int | None, int]:
    """How many tiers changed after `since`, by area."""
    query = select(Account.area_id, func.count(col(TierChange.id)))
    query = query.join(TierChange, col(TierChange.account_id) == col(Account.id)).where(col(TierChange.at) > since)
    return dict((await db.exec(query.group_by(col(Account.area_id)))).all())


# -- managers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Following:
    """What goes along with an area: how many accounts that are supplied, and the important ones by name."""

    accounts: int
    important: list[Account]


async def following(db: AsyncSession, area: Area) -> Following:
    """The accounts that follow when an area changes hands."""
    held = (col(Account.area_id) == area.id, col(Account.standing) == Standing.ACTIVE)
    accounts = (await db.exec(select(func.count(col(Account.id))).where(*held))).one()
    query = select(Account).where(*held, col(Account.important)).order_by(col(Account.tier), col(Account.name))
    return Following(accounts, list((await db.exec(query)).all()))


async def hand_over(db: AsyncSession, area: Area, manager: Staff, *, notes: str, by: str, at: datetime) -> bool:
    """Give an area to another manager; its accounts follow, the former manager and the notes are kept.

    False when it is theirs already. Raises WrongRole.
    """
    assert area.id is not None and manager.id is not None
    fit(manager, Role.MANAGER)
    if area.manager_id == manager.id:
        return False
    former = await db.get(Staff, area.manager_id) if area.manager_id is not None else None
    db.add(Handover(area_id=area.id, before_id=area.manager_id, manager_id=manager.id, notes=notes, by=by, at=at))
    area.manager_id = manager.id
    db.add(area)
    facts = {"area": area.name, "before": former.name if former else None, "manager": manager.name, "notes": notes}
    await events.record(db, "area.handed_over", f"area:{area.id}", by=by, at=at, **facts)
    return True


async def handovers(db: AsyncSession, area: Area) -> list[Handover]:
    """Every change of an area's manager, the latest first."""
    query = select(Handover).where(col(Handover.area_id) == area.id).order_by(col(Handover.id).desc())
    return list((await db.exec(query)).all())


async def named_manager(db: AsyncSession, account: Account) -> Staff | None:
    """The one manager of an account: its area's (片区客户经理). None: the area needs one."""
    query = select(Staff).join(Area, col(Area.manager_id) == col(Staff.id)).where(col(Area.id) == account.area_id)
    return (await db.exec(query)).first()


async def manager_of(db: AsyncSession, account: Account) -> Staff | None:
    """Whom a customer can turn to: the named manager, and where nobody is, one of the whole company (第五条)."""
    named = await named_manager(db, account)
    if named is not None and named.disabled_at is None:
        return named
    query = select(Staff).where(col(Staff.role) == Role.MANAGER, col(Staff.level) == Level.COMPANY)
    return (await db.exec(query.where(col(Staff.disabled_at).is_(None)).order_by(col(Staff.id)).limit(1))).first()


async def managers(db: AsyncSession) -> list[tuple[Staff, int]]:
    """Managers who work here, by name, and how many areas each answers for."""
    query = select(Staff, func.count(col(Area.id))).outerjoin(Area, col(Area.manager_id) == col(Staff.id))
    query = query.where(col(Staff.role) == Role.MANAGER, col(Staff.disabled_at).is_(None))
    return list((await db.exec(query.group_by(col(Staff.id)).order_by(col(Staff.name)))).all())


async def areas_of(db: AsyncSession, staff: Staff) -> list[int]:
    """The areas a manager answers for."""
    query = select(Area.id).where(col(Area.manager_id) == staff.id).order_by(col(Area.id))
    return [number for number in (await db.exec(query)).all() if number is not None]


# -- village proxies --------------------------------------------------------------------------------------------------


async def give_to_proxy(
    db: AsyncSession, accounts: Iterable[Account], proxy: Staff | None, *, by: str, at: datetime
) -> int:
    """Let a village electrician 村电工 look after these accounts, or nobody; how many that changed.

    Raises WrongRole.
    """
    if proxy is not None:
        fit(proxy, Role.PROXY)
    changed = 0
    for account in accounts:
        new = proxy.id if proxy else None
        if account.proxy_id == new:
            continue
        former = await db.get(Staff, account.proxy_id) if account.proxy_id is not None else None
        account.proxy_id, account.updated_at = new, at
        db.add(account)
        facts = {"before": former.name if former else None, "proxy": proxy.name if proxy else None}
        await events.record(db, "account.proxy_changed", f"account:{account.no}", by=by, at=at, **facts)
        changed += 1
    return changed


async def proxies(db: AsyncSession) -> list[Staff]:
    """Village electricians who work here, by name."""
    query = select(Staff).where(col(Staff.role) == Role.PROXY, col(Staff.disabled_at).is_(None))
    return list((await db.exec(query.order_by(col(Staff.name)))).all())


async def transformer_areas(db: AsyncSession) -> list[tuple[str, int, int]]:
    """Transformer areas 台区 by name: accounts that are supplied, and how many of them a proxy looks after."""
    number = func.count(col(Account.id))
    query = select(Account.transformer_area, number, number.filter(col(Account.proxy_id).is_not(None)))
    query = query.where(col(Account.standing) == Standing.ACTIVE, col(Account.transformer_area) != "")
    found = await db.exec(query.group_by(col(Account.transformer_area)).order_by(col(Account.transformer_area)))
    return list(found.all())


async def of_transformer_area(db: AsyncSession, name: str, *, lock: bool = False) -> list[Account]:
    """The accounts that are supplied from a transformer area, by their keys."""
    query = select(Account).where(col(Account.transformer_area) == name, col(Account.standing) == Standing.ACTIVE)
    query = query.order_by(col(Account.id))
    if lock:
        await customers.many(db)
        query = query.with_for_update().execution_options(populate_existing=True)
    return list((await db.exec(query)).all())


async def moving(db: AsyncSession, held: Iterable[Account], proxy: Staff | None) -> dict[str | None, int]:
    """How many of these accounts change hands when `proxy` gets them (None: nobody), by who has them now."""
    new = proxy.id if proxy else None
    numbers = Counter(account.proxy_id for account in held if account.proxy_id != new)
    names = dict((await db.exec(select(Staff.id, Staff.name).where(col(Staff.id).in_(list(numbers))))).all())
    return {names.get(number): count for number, count in numbers.most_common()}


async def proxy_of(db: AsyncSession, account: Account) -> Staff | None:
    """The village electrician who looks after an account, if one does."""
    return await db.get(Staff, account.proxy_id) if account.proxy_id is not None else None


def visible(role: Role, staff_id: int | None) -> ColumnElement[bool]:
    """The accounts that somebody may know of, as a condition: a proxy sees only those in their care.

    A program with a proxy's role is nobody's proxy and sees none.
    """
    return true() if role != Role.PROXY else col(Account.proxy_id) == (staff_id or 0)


async def account_for(db: AsyncSession, no: str, *, role: Role, staff_id: int | None, lock: bool = False) -> Account:
    """The account with this number as far as the caller may know of it. Raises UnknownAccount."""
    found = await customers.account(db, no, lock=lock)
    if role == Role.PROXY and (staff_id is None or found.proxy_id != staff_id):
        raise UnknownAccount()
    return found


async def act_for(db: AsyncSession, account: Account, proxy: Staff, act: str, *, at: datetime, **facts: Any) -> None:
    """Write down what a proxy does on behalf of an account in their care. Raises UnknownAccount for any other."""
    if proxy.role != Role.PROXY or account.proxy_id != proxy.id:
        raise UnknownAccount()
    told = {"for": account.no, "act": act, **facts}
    await events.record(db, "account.acted_for", f"account:{account.no}", by=proxy.name, at=at, **told)


def fit(member: Staff, role: Role) -> None:
    """A duty is given to somebody who has the role and still works here. Raises WrongRole."""
    if member.role != role or member.disabled_at is not None:
        raise WrongRole(name=member.name)
