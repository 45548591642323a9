"""The archive 客户档案: customers, their accounts 用电户, and who may speak for an account.

电力大客户管理制度 第十三条; 公司大客户管理 5 (attributes of a large customer); 供电所大客户维护与管理方法 第二条.
"""

import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Index,
    Numeric,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
    tuple_,
)
from sqlmodel import Field, SQLModel, col, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events
from desk.columns import key, moment, one_of, ref, words
from desk.errors import BadCursor, ReasonMissing, UnknownAccount
from desk.initials import initials
from desk.tiers import Tier

CATEGORIES: Final = (  # 第二条 names these, "等" leaves the list open: designation covers the rest
    "government", "military", "media", "hospital", "school", "hotel", "state_project",
)  # fmt: skip
_KEY: Final = re.compile(r"[0-9]{1,18}")
_AMOUNT: Final = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,2})?")


class Standing(StrEnum):
    """Whether an account is supplied."""

    ACTIVE = "active"
    CLOSED = "closed"


class Terrain(StrEnum):
    """Site class: sets how fast a crew must arrive."""

    URBAN = "urban"
    RURAL = "rural"
    REMOTE = "remote"


class Customer(SQLModel, table=True):
    """A firm or person we serve; holds one or more accounts."""

    __table_args__ = (Index("customer_name", "name"),)

    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=words())
    initials: str = Field(default="", sa_column=words(default=""))  # pinyin initials, for search
    sector: str = Field(default="", sa_column=words(default=""))
    credit: str = Field(default="", sa_column=words(default=""))
    created_at: datetime = Field(sa_column=moment())


class Account(SQLModel, table=True):
    """One supply contract. Tier and flags are independent of each other; `no` is text of 10-16 digits."""

    __table_args__ = (
        one_of("standing", Standing),
        one_of("terrain", Terrain),
        one_of("tier", Tier),
        Index("account_feeder", "feeder"),
        Index("account_transformer_area", "transformer_area"),
        Index("account_by_name", "initials", "id"),
        Index("account_by_tier", "tier", "id"),
        Index("account_by_bought", "bought", "id"),
        Index("account_by_running", text("coalesce(running_kva, 0)"), "id"),
    )

    id: int | None = Field(default=None, sa_column=key())
    no: str = Field(sa_column=Column("no", words().type, nullable=False, unique=True))
    old_no: str | None = Field(default=None, sa_column=Column("old_no", words().type, index=True))
    customer_id: int = Field(sa_column=ref("customer.id"))
    name: str = Field(sa_column=words())
    initials: str = Field(default="", sa_column=words(default=""))  # of the name, to sort by
    address: str = Field(default="", sa_column=words(default=""))
    voltage: str = Field(default="", sa_column=words(default=""))
    contract_kva: Decimal | None = Field(default=None, sa_column=Column(Numeric(12, 2)))
    running_kva: Decimal | None = Field(default=None, sa_column=Column(Numeric(12, 2)))
    sources: int = Field(default=1, sa_column=Column(SmallInteger, nullable=False, server_default=text("1")))
    feeder: str = Field(default="", sa_column=words(default=""))
    transformer_area: str = Field(default="", sa_column=words(default=""))
    substation: str = Field(default="", sa_column=words(default=""))
    industry: str = Field(default="", sa_column=words(default=""))
    category: str = Field(default="", sa_column=words(default=""))
    importance: str = Field(default="", sa_column=words(default=""))
    terrain: Terrain = Field(default=Terrain.URBAN, sa_column=words(default="urban"))
    coal_mine: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    area_id: int | None = Field(default=None, sa_column=ref("area.id", nullable=True))
    proxy_id: int | None = Field(default=None, sa_column=ref("staff.id", nullable=True))
    standing: Standing = Field(default=Standing.ACTIVE, sa_column=words(default="active"))
    tier: Tier = Field(default=Tier.D, sa_column=words(default="D"))
    large: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    important: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    # yuan of the latest year that is known, to sort by
    bought: Decimal = Field(
        default=Decimal(0), sa_column=Column(Numeric(16, 2), nullable=False, server_default=text("0"))
    )
    # everything a search may hit, lower case: numbers, names, initials, phones
    haystack: str = Field(default="", sa_column=words(default=""))
    updated_at: datetime = Field(sa_column=moment())


class AccountYear(SQLModel, table=True):
    """What an account bought in one calendar year: yuan, kWh, and the months it was in service."""

    __tablename__ = "account_year"
    __table_args__ = (UniqueConstraint("account_id", "year"),)

    id: int | None = Field(default=None, sa_column=key())
    account_id: int = Field(sa_column=ref("account.id", index=False))
    year: int = Field(sa_column=Column(SmallInteger, nullable=False, index=True))
    amount: Decimal = Field(sa_column=Column(Numeric(16, 2), nullable=False))
    kwh: Decimal = Field(sa_column=Column(Numeric(16, 2), nullable=False))
    months: int = Field(sa_column=Column(SmallInteger, nullable=False))


class How(StrEnum):
    """How we know that a contact speaks for an account."""

    ARCHIVE = "archive"  # registered in the archive, reachable by phone
    LINK = "link"  # one-time link made by staff
    CODE = "code"  # one-time code to the registered phone
    NAME = "name"  # account number, registered name and last digits of the phone


class AccountContact(SQLModel, table=True):
    """A contact of an account with role and consent; ended ones stay as history."""

    __tablename__ = "account_contact"
    __table_args__ = (
        one_of("how", How),
        Index(
            "account_contact_open", "account_id", "contact_id", unique=True, postgresql_where=text("ended_at IS NULL")
        ),
    )

    id: int | None = Field(default=None, sa_column=key())
    account_id: int = Field(sa_column=ref("account.id", index=False))
    contact_id: int = Field(sa_column=ref("contact.id"))
    role: str = Field(default="", sa_column=words(default=""))
    how: How = Field(sa_column=words())
    consent_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    since: datetime = Field(sa_column=moment())
    ended_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class TierChange(SQLModel, table=True):
    """One dated change of an account's tier: by the annual classification or by a person, with the reason."""

    __tablename__ = "tier_change"
    __table_args__ = (one_of("tier", Tier), one_of("before", Tier))

    id: int | None = Field(default=None, sa_column=key())
    account_id: int = Field(sa_column=ref("account.id"))
    before: Tier = Field(sa_column=words())
    tier: Tier = Field(sa_column=words())
    reason: str = Field(sa_column=words())
    by: str = Field(sa_column=words())
    at: datetime = Field(sa_column=moment())


class Designation(SQLModel, table=True):
    """An account named important by a person, with the reason (第二条: the list of categories is open)."""

    id: int | None = Field(default=None, sa_column=key())
    account_id: int = Field(sa_column=ref("account.id"))
    reason: str = Field(sa_column=words())
    by: str = Field(sa_column=words())
    at: datetime = Field(sa_column=moment())
    ended_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    ended_by: str | None = Field(default=None, sa_column=words(nullable=True))


def haystack(no: str, old_no: str | None, name: str, customer: str, address: str, contact: str, phone: str) -> str:
    """What a search for an account may hit."""
    names = dict.fromkeys((name, customer, contact))
    parts = (no, old_no or "", *names, *map(initials, names), address, phone)
    return searched(" ".join(filter(None, parts)))


def searched(text: str) -> str:
    """Text as it is searched: neither case nor width matters."""
    return unicodedata.normalize("NFKC", text).lower()


async def account(db: AsyncSession, no: str, *, lock: bool = False) -> Account:
    """The account with this number, or with this old number. Raises UnknownAccount."""
    query = select(Account).where(or_(col(Account.no) == no, col(Account.old_no) == no))
    query = query.order_by((col(Account.no) == no).desc()).limit(1)
    found = (await db.exec(query.with_for_update() if lock else query)).first()
    if found is None:
        raise UnknownAccount()
    return found


class Order(StrEnum):
    """What a list of accounts is sorted by; `-` in front of one: the other way round."""

    NO = "no"
    NAME = "name"  # as it is spelled in pinyin
    TIER = "tier"  # A first
    BOUGHT = "bought"
    RUNNING = "running"  # capacity


def ordered(wanted: str) -> tuple[Order, bool] | None:
    """The order that is wished for, and whether it is reversed; None for words that are none."""
    name = wanted.removeprefix("-")
    return (Order(name), wanted.startswith("-")) if name in list(Order) else None


async def many(db: AsyncSession) -> None:
    """Wait until nobody else changes many accounts, and keep others from it until the end of the transaction.

    Each of them holds accounts in an order of its own; together they would block each other.
    """
    await db.execute(_MANY)


_MANY: Final = text("SELECT pg_advisory_xact_lock(hashtext('greenline.archive'))")


async def find(
    db: AsyncSession, wanted: str = "", *, after: int | str = 0, limit: int = 50, areas: list[int] | None = None,
    proxy: int | None = None, tier: Tier | None = None, flag: str | None = None, order: str = "",
) -> list[Account]:  # fmt: skip
    """Accounts whose number, name, initials or phone contain all words of `wanted`, behind the cursor `after`.

    In the order in which they came in (then a key is the cursor), or in an `Order`, where `cursor` makes it.
    `areas` and `proxy` restrict to what the caller may see; `flag` is large, important or coal_mine. Raises BadCursor.
    """
    query = select(Account).where(*_matching(wanted, areas=areas, proxy=proxy, tier=tier, flag=flag))
    by, number = ordered(order), col(Account.id)
    if by is None:
        query = query.where(number > _number(after)).order_by(number)
    else:
        sorting = _sorting(by[0])
        if after:
            said, mark, last = str(after).rpartition("~")
            place, behind = tuple_(sorting, number), tuple_(_read(by[0], said, after), _number(last if mark else ""))
            query = query.where(place < behind if by[1] else place > behind)
        query = query.order_by(*((sorting.desc(), number.desc()) if by[1] else (sorting, number)))
    return list((await db.exec(query.limit(limit))).all())


def cursor(account: Account, order: str = "") -> str:
    """What a reader sends as `after` to get the accounts behind this one in the same order."""
    by = ordered(order)
    if by is None:
        return str(account.id)
    values = {
        Order.NO: account.no, Order.NAME: account.initials, Order.TIER: account.tier, Order.BOUGHT: account.bought,
        Order.RUNNING: account.running_kva or Decimal(0),
    }  # fmt: skip
    return f"{values[by[0]]}~{account.id}"


def _sorting(order: Order) -> ColumnElement[Any]:
    columns: dict[Order, Any] = {
        Order.NO: Account.no, Order.NAME: Account.initials, Order.TIER: Account.tier, Order.BOUGHT: Account.bought,
    }  # fmt: skip
    if order == Order.RUNNING:
        return func.coalesce(col(Account.running_kva), text("0"))  # written as in its index
    found: ColumnElement[Any] = columns[order]
    return found


def _read(order: Order, said: str, whole: int | str) -> str | Decimal:
    if order not in (Order.BOUGHT, Order.RUNNING):
        return said
    if not _AMOUNT.fullmatch(said):
        raise BadCursor(after=str(whole))
    return Decimal(said)


def _number(said: int | str) -> int:
    if not _KEY.fullmatch(str(said)):
        raise BadCursor(after=str(said))
    return int(said)


async def count(
    db: AsyncSession, wanted: str = "", *, areas: list[int] | None = None, proxy: int | None = None,
    tier: Tier | None = None, flag: str | None = None,
) -> int:  # fmt: skip
    """How many accounts `find` would find in all."""
    matching = _matching(wanted, areas=areas, proxy=proxy, tier=tier, flag=flag)
    return (await db.exec(select(func.count(col(Account.id))).where(*matching))).one()


def _matching(
    wanted: str, *, areas: list[int] | None, proxy: int | None, tier: Tier | None, flag: str | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        col(Account.haystack).contains(word, autoescape=True) for word in searched(wanted).split()
    ]
    if areas is not None:
        conditions.append(col(Account.area_id).in_(areas))
    if proxy is not None:
        conditions.append(col(Account.proxy_id) == proxy)
    if tier is not None:
        conditions.append(col(Account.tier) == tier)
    if flag in ("large", "important", "coal_mine"):
        conditions.append(col(getattr(Account, flag)).is_(True))
    return conditions


async def set_tier(db: AsyncSession, account: Account, tier: Tier, *, reason: str, by: str, at: datetime) -> bool:
    """Move an account to a tier in mid-year, dated and with its reason; False when it is there already.

    Raises ReasonMissing.
    """
    assert account.id is not None
    reason = _given(reason)
    if account.tier == tier:
        return False
    change = TierChange(account_id=account.id, before=account.tier, tier=tier, reason=reason, by=by, at=at)
    account.tier, account.updated_at = tier, at
    db.add_all([account, change])
    facts = {"before": change.before, "tier": tier, "reason": reason}
    await events.record(db, "account.tier_changed", f"account:{account.no}", by=by, at=at, **facts)
    return True


async def tier_history(db: AsyncSession, account: Account) -> list[TierChange]:
    """Every change of an account's tier, the latest first."""
    query = select(TierChange).where(col(TierChange.account_id) == account.id).order_by(col(TierChange.id).desc())
    return list((await db.exec(query)).all())


async def settle_importance(db: AsyncSession, account: Account) -> bool:
    """Recompute the important flag from category and designations (第二条); whether it changed."""
    named = await designation(db, account) is not None
    before, account.important = account.important, named or account.category in CATEGORIES
    db.add(account)
    return account.important != before


async def designation(db: AsyncSession, account: Account) -> Designation | None:
    """The designation in force, if a person named this account important."""
    query = select(Designation).where(col(Designation.account_id) == account.id, col(Designation.ended_at).is_(None))
    return (await db.exec(query.order_by(col(Designation.id).desc()).limit(1))).first()


async def designate(db: AsyncSession, account: Account, *, reason: str, by: str, at: datetime) -> bool:
    """Name an account important; False when it is so for this very reason. A new reason takes the place of the old.

    Raises ReasonMissing.
    """
    assert account.id is not None
    reason = _given(reason)
    if (former := await designation(db, account)) is not None:
        if former.reason == reason:
            return False
        await _close_designations(db, account, by=by, at=at)
    db.add(Designation(account_id=account.id, reason=reason, by=by, at=at))
    await db.flush()
    account.updated_at = at
    await settle_importance(db, account)
    await events.record(db, "account.designated", f"account:{account.no}", by=by, at=at, reason=reason)
    return True


async def end_designation(db: AsyncSession, account: Account, *, reason: str, by: str, at: datetime) -> bool:
    """Take the designation back; the category may still make the account important. False when there was none.

    Raises ReasonMissing.
    """
    reason = _given(reason)
    if await designation(db, account) is None:
        return False
    await _close_designations(db, account, by=by, at=at)
    account.updated_at = at
    await settle_importance(db, account)
    facts = {"reason": reason, "important": account.important}
    await events.record(db, "account.designation_ended", f"account:{account.no}", by=by, at=at, **facts)
    return True


async def _close_designations(db: AsyncSession, account: Account, *, by: str, at: datetime) -> None:
    ended = update(Designation).where(col(Designation.account_id) == account.id, col(Designation.ended_at).is_(None))
    await db.exec(ended.values(ended_at=at, ended_by=by))


async def set_coal_mine(
    db: AsyncSession, account: Account, coal_mine: bool, *, reason: str, by: str, at: datetime
) -> bool:
    """Mark an account as a coal mine, or no longer (供电公司煤矿用户管理制度); whether that changed anything.

    Raises ReasonMissing.
    """
    reason = _given(reason)
    if account.coal_mine == coal_mine:
        return False
    account.coal_mine, account.updated_at = coal_mine, at
    db.add(account)
    facts = {"coal_mine": coal_mine, "reason": reason}
    await events.record(db, "account.coal_mine_changed", f"account:{account.no}", by=by, at=at, **facts)
    return True


def _given(reason: str) -> str:
    """A reason that says something. Raises ReasonMissing."""
    if not reason.strip():
        raise ReasonMissing()
    return reason.strip()
