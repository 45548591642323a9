"""The annual classification 年度分类: proposed in January, confirmed by the business hall, then frozen.

供电所大客户维护与管理方法 第三条: the business hall completes it every January. Year Y looks at the purchases of Y - 1.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Integer, Numeric, SmallInteger, UniqueConstraint, func, text, tuple_
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import customers, events
from desk.columns import facts, key, moment, one_of, ref, words
from desk.customers import CATEGORIES, Account
from desk.errors import BadCursor, Frozen, NoPurchases, UnknownClassification
from desk.machine import Machine
from desk.store import notify
from desk.tiers import LARGE_KWH, Placing, Tier, cuts, is_large, place, shares

NAMED: Final = 3  # account numbers that a tie names
_CURSOR: Final = re.compile(r"[0-9]{1,9}-[0-9]{1,18}")


class Stage(StrEnum):
    """Where a year's classification stands."""

    PROPOSED = "proposed"  # computed, waits for the hall; may be computed again
    CONFIRMED = "confirmed"  # in force and frozen


class Step(StrEnum):
    """What can be done with it."""

    PROPOSE = "propose"
    CONFIRM = "confirm"


CLASSIFICATION: Final = Machine[Stage, Step](
    {Stage.PROPOSED: {Step.PROPOSE: Stage.PROPOSED, Step.CONFIRM: Stage.CONFIRMED}, Stage.CONFIRMED: {}}
)


class Classification(SQLModel, table=True):
    """One year's classification. `counts` by tier and flag, `cuts` = last places by the integer rule."""

    __table_args__ = (one_of("stage", Stage),)

    id: int | None = Field(default=None, sa_column=key())
    year: int = Field(sa_column=Column(SmallInteger, nullable=False, unique=True))
    stage: Stage = Field(sa_column=words())
    accounts: int = Field(sa_column=Column(Integer, nullable=False))
    counts: dict[str, Any] = Field(sa_column=facts())
    inputs: str | None = Field(default=None, sa_column=words(nullable=True))  # fingerprint of what it was computed from
    due_on: date
    proposed_at: datetime = Field(sa_column=moment())
    reminded_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    overdue_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    confirmed_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    confirmed_by: str | None = Field(default=None, sa_column=words(nullable=True))


class ClassificationLine(SQLModel, table=True):
    """Why one account is where it is: the facts of `tiers.Placing` and of the large and important flags."""

    __tablename__ = "classification_line"
    __table_args__ = (UniqueConstraint("classification_id", "account_id"), one_of("tier", Tier))

    id: int | None = Field(default=None, sa_column=key())
    classification_id: int = Field(sa_column=ref("classification.id", index=False))
    account_id: int = Field(sa_column=ref("account.id"))
    tier: Tier = Field(sa_column=words())
    before: Tier = Field(sa_column=words())
    amount: Decimal = Field(sa_column=Column(Numeric(16, 2), nullable=False))
    kwh: Decimal = Field(sa_column=Column(Numeric(16, 2), nullable=False))
    months: int = Field(sa_column=Column(SmallInteger, nullable=False))
    rank: int = Field(sa_column=Column(Integer, nullable=False))
    large: bool
    important: bool
    why: dict[str, Any] = Field(sa_column=facts())


@dataclass(frozen=True)
class Computed:
    """A classification before anything is written: `counts` as in Classification, one line an account."""

    year: int
    accounts: int
    counts: dict[str, Any]
    lines: list[dict[str, Any]]


@dataclass(frozen=True)
class Input:
    """What is known of one account: purchase in yuan and kWh of the year, months in service, tier and flag now."""

    id: int
    no: str
    tier: str
    amount: Decimal
    kwh: Decimal
    months: int
    important: bool


# -- computing --------------------------------------------------------------------------------------------------------


def compute(year: int, accounts: Iterable[Input]) -> Computed:
    """Tiers and flags of all accounts, and what is to be said about them. Pure; their order does not matter."""
    known = {account.id: account for account in accounts}
    placings = place((account.id, account.amount) for account in known.values())
    tied: dict[int, list[str]] = {}  # the lowest numbers of every tie, by rank
    for rank, no in sorted((p.rank, known[p.account].no) for p in placings if p.tied and p.amount > 0):
        if len(tied.setdefault(rank, [])) <= NAMED:
            tied[rank].append(no)
    lines = [_line(placing, known[placing.account], tied.get(placing.rank, [])) for placing in placings]
    return Computed(year, len(lines), _counts(placings, lines, tied), lines)


def _line(placing: Placing, account: Input, tied: list[str]) -> dict[str, Any]:
    why = {
        "of": placing.of,
        "cut": placing.cut,
        "tied": placing.tied if placing.amount > 0 else 0,
        "with": [no for no in tied if no != account.no][:NAMED],
        "raised": placing.raised,
        "short": None if placing.short is None else str(placing.short),
        "near": placing.near,
    }
    return {
        "account_id": account.id,
        "tier": str(placing.tier),
        "before": account.tier,
        "amount": account.amount,
        "kwh": account.kwh,
        "months": account.months,
        "rank": placing.rank,
        "large": is_large(account.kwh, account.months),
        "important": account.important,
        "why": json.dumps(why),
    }


def _counts(placings: list[Placing], lines: list[dict[str, Any]], tied: dict[int, list[str]]) -> dict[str, Any]:
    tiers = Counter(line["tier"] for line in lines)
    moves = Counter((line["before"], line["tier"]) for line in lines if line["before"] != line["tier"])
    raised = {placing.rank: placing for placing in placings if placing.raised}
    return {
        "tiers": {str(tier): tiers[tier] for tier in Tier},
        "by_rule": {str(tier): places for tier, places in shares(len(lines)).items()},
        "cuts": {str(tier): cut for tier, cut in cuts(len(lines)).items()},
        "large": sum(line["large"] for line in lines),
        "important": sum(line["important"] for line in lines),
        "near": sum(placing.near for placing in placings),
        "without_purchase": sum(placing.amount <= 0 for placing in placings),
        "up": sum(count for (before, tier), count in moves.items() if tier < before),
        "down": sum(count for (before, tier), count in moves.items() if tier > before),
        "moves": [{"before": old, "tier": new, "accounts": count} for (old, new), count in sorted(moves.items())],
        "ties": [
            {"tier": str(p.tier), "cut": p.cut, "rank": rank, "accounts": p.tied + 1, "amount": str(p.amount),
             "with": tied[rank][:NAMED]}
            for rank, p in sorted(raised.items())
        ],
    }  # fmt: skip


async def preview(db: AsyncSession, year: int) -> Computed:
    """What the classification of `year` would say now; nothing is written. Raises NoPurchases."""
    await _need_purchases(db, year)
    rows = (await db.execute(_INPUT, {"purchases": year - 1, "categories": list(CATEGORIES)})).all()
    # a second of arithmetic for 100,000 accounts
    return await asyncio.to_thread(lambda: compute(year, (Input(*row) for row in rows)))


async def _need_purchases(db: AsyncSession, year: int) -> None:
    await db.flush()
    if not await db.scalar(_ANY_PURCHASE, {"purchases": year - 1}):
        raise NoPurchases(year=year - 1)


_IMPORTANT: Final = """(a.category = ANY(CAST(:categories AS text[])) OR EXISTS
    (SELECT FROM designation d WHERE d.account_id = a.id AND d.ended_at IS NULL))"""
_INPUT: Final = text(f"""
    SELECT a.id, a.no, a.tier, coalesce(y.amount, 0), coalesce(y.kwh, 0), coalesce(y.months, 0), {_IMPORTANT}
    FROM account a LEFT JOIN account_year y ON y.account_id = a.id AND y.year = :purchases
    WHERE a.standing = 'active'""")
# a tenth of the work of computing, and what is not different need not be computed again
_FINGERPRINT: Final = text(f"""
    SELECT count(*) || ':' || coalesce(sum(hashtextextended(concat_ws(',', a.id, a.no, a.tier, y.amount, y.kwh,
        y.months, {_IMPORTANT}), 0)), 0)
    FROM account a LEFT JOIN account_year y ON y.account_id = a.id AND y.year = :purchases
    WHERE a.standing = 'active'""")
_ANY_PURCHASE: Final = text("""
    SELECT EXISTS (SELECT FROM account a JOIN account_year y ON y.account_id = a.id
    WHERE y.year = :purchases AND a.standing = 'active')""")


# -- verbs ------------------------------------------------------------------------------------------------------------


async def of(db: AsyncSession, year: int, *, lock: bool = False) -> Classification:
    """The classification of a year. Raises UnknownClassification."""
    query = select(Classification).where(col(Classification.year) == year)
    if lock:  # another transaction may have changed what this one has read before
        query = query.with_for_update().execution_options(populate_existing=True)
    found = (await db.exec(query)).first()
    if found is None:
        raise UnknownClassification(year=year)
    return found


async def runs(db: AsyncSession) -> list[Classification]:
    """All classifications, the latest year first."""
    return list((await db.exec(select(Classification).order_by(col(Classification.year).desc()))).all())


async def propose(db: AsyncSession, year: int, *, by: str, at: datetime) -> Classification:
    """Compute the classification of `year` for the hall to confirm; again with the same data changes nothing.

    Raises NoPurchases, and Frozen when this or a later year is confirmed.
    """
    await _need_purchases(db, year)
    await _not_frozen(db, year)
    await db.execute(_BEGIN, {"year": year, "due_on": due_on(year), "at": at})
    run = await of(db, year, lock=True)
    await _not_frozen(db, year)
    inputs = str(await db.scalar(_FINGERPRINT, {"purchases": year - 1, "categories": list(CATEGORIES)}))
    if run.inputs == inputs:
        return run
    run.inputs = inputs
    db.add(run)
    computed = await preview(db, year)
    columns = {name: [line[name] for line in computed.lines] for name in _COLUMNS}
    dropped = await db.execute(_DROP, {"run": run.id, "account_id": columns["account_id"]})
    written = await db.execute(_WRITE, {"run": run.id, **columns})
    if _rows(dropped) or _rows(written):
        run.stage = CLASSIFICATION.move(run.stage, Step.PROPOSE)
        run.accounts, run.counts, run.proposed_at = computed.accounts, computed.counts, at
        db.add(run)
        told = {"year": year, "accounts": run.accounts, "counts": run.counts, "due_on": run.due_on.isoformat()}
        await events.record(db, "classification.proposed", subject(year), by=by, at=at, **told)
    return run


async def confirm(db: AsyncSession, year: int, *, by: str, at: datetime) -> Classification:
    """Put the proposed classification into force and freeze it; of several halls at once the first one does it.

    Every account that moves gets its dated change and its event. Raises UnknownClassification, and Frozen when a later
    year is confirmed.
    """
    await customers.many(db)
    run = await of(db, year, lock=True)
    if run.stage == Stage.CONFIRMED:
        return run
    await _not_frozen(db, year)
    run.stage = CLASSIFICATION.move(run.stage, Step.CONFIRM)
    run.confirmed_at, run.confirmed_by = at, by
    db.add(run)
    told = {"year": year, "accounts": run.accounts, "counts": run.counts}
    await events.record(db, "classification.confirmed", subject(year), by=by, at=at, **told)
    await db.flush()
    known = {"run": run.id, "year": year, "reason": subject(year), "categories": list(CATEGORIES)}
    await db.execute(_APPLY, {**known, "by": by, "at": at})
    await notify(db, "events")
    return run


async def settle(db: AsyncSession, year: int, *, by: str, at: datetime) -> bool:
    """Propose and confirm in one go, for whoever is the hall and the operator; False when it was frozen already.

    Raises NoPurchases, and Frozen when a later year is confirmed.
    """
    try:
        await propose(db, year, by=by, at=at)
    except Frozen as frozen:
        if frozen.facts["year"] != year:
            raise
        return False
    await confirm(db, year, by=by, at=at)
    return True


async def _not_frozen(db: AsyncSession, year: int) -> None:
    """A confirmed year and everything before it stays as it is."""
    query = select(Classification.year).where(col(Classification.stage) == Stage.CONFIRMED)
    later = (await db.exec(query.where(col(Classification.year) >= year).order_by(col(Classification.year)))).first()
    if later is not None:
        raise Frozen(year=later)


def subject(year: int) -> str:
    """What events and the reasons of tier changes call the classification of a year."""
    return f"classification:{year}"


def year_of(reason: str) -> int | None:
    """The year of the classification that changed a tier; None when a person did."""
    kind, _, year = reason.partition(":")
    return int(year) if kind == "classification" and year.isdecimal() else None


def due_on(year: int) -> date:
    """The hall completes it in January (第三条)."""
    return date(year, 1, 31)


def _rows(result: Any) -> int:
    return int(result.rowcount)


_BEGIN: Final = text("""
    INSERT INTO classification (year, stage, accounts, due_on, proposed_at)
    VALUES (:year, 'proposed', 0, :due_on, :at) ON CONFLICT (year) DO NOTHING""")
_COLUMNS: Final = {
    "account_id": "bigint", "tier": "text", "before": "text", "amount": "numeric", "kwh": "numeric",
    "months": "smallint", "rank": "integer", "large": "boolean", "important": "boolean", "why": "text",
}  # fmt: skip
_VALUES: Final = ", ".join(name for name in _COLUMNS if name != "account_id")
_DROP: Final = text("""
    DELETE FROM classification_line WHERE classification_id = :run
    AND account_id NOT IN (SELECT unnest(CAST(:account_id AS bigint[])))""")
_WRITE: Final = text(f"""
    INSERT INTO classification_line AS kept (classification_id, account_id, {_VALUES})
    SELECT :run, account_id, {_VALUES.replace("why", "CAST(why AS jsonb)")}
    FROM unnest({", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _COLUMNS.items())})
         AS new ({", ".join(_COLUMNS)})
    ON CONFLICT (classification_id, account_id) DO UPDATE
    SET ({_VALUES}) = ROW({", ".join(f"excluded.{name}" for name in _COLUMNS if name != "account_id")})
    WHERE ({", ".join(f"kept.{name}" for name in _COLUMNS if name != "account_id")})
          IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _COLUMNS if name != "account_id")})""")
# one statement, one view of the accounts: whoever moves an account meanwhile does it before or after all of this
_APPLY: Final = text(f"""
    WITH moved AS MATERIALIZED (
        SELECT a.id, a.no, a.tier AS old_tier, l.tier, a.large AS old_large, l.large, a.important AS old_important,
               {_IMPORTANT} AS important
        FROM classification_line l JOIN account a ON a.id = l.account_id
        WHERE l.classification_id = :run
          AND (a.tier, a.large, a.important) IS DISTINCT FROM (l.tier, l.large, {_IMPORTANT})
        ORDER BY a.id FOR UPDATE OF a
    ), applied AS (
        UPDATE account a SET tier = m.tier, large = m.large, important = m.important, updated_at = :at
        FROM moved m WHERE a.id = m.id
    ), history AS (
        INSERT INTO tier_change (account_id, before, tier, reason, by, at)
        SELECT id, old_tier, tier, :reason, :by, :at FROM moved WHERE tier <> old_tier ORDER BY id
    )
    INSERT INTO event (kind, subject, by, at, facts)
    SELECT kind, 'account:' || no, :by, :at, facts || jsonb_build_object('year', CAST(:year AS integer))
    FROM moved, LATERAL (VALUES
        ('account.tier_changed', tier <> old_tier,
         jsonb_build_object('before', old_tier, 'tier', tier, 'reason', CAST(:reason AS text))),
        ('account.large_changed', large <> old_large, jsonb_build_object('large', large)),
        ('account.importance_changed', important <> old_important, jsonb_build_object('important', important))
    ) AS told (kind, differs, facts)
    WHERE differs ORDER BY id, kind""")


# -- looking ----------------------------------------------------------------------------------------------------------


async def lines(
    db: AsyncSession, run: Classification, *, after: str | None = None, limit: int = 50, tier: Tier | None = None,
    moved: bool = False, near: bool = False, visible: ColumnElement[bool] | None = None,
) -> list[tuple[ClassificationLine, Account]]:  # fmt: skip
    """Lines with their accounts, best first, behind the cursor; of one tier, only those that move or are near the next
    tier, only accounts that the caller may know of. Raises BadCursor.
    """
    query = select(ClassificationLine, Account).join(Account, col(Account.id) == col(ClassificationLine.account_id))
    query = query.where(col(ClassificationLine.classification_id) == run.id)
    if after:
        if not _CURSOR.fullmatch(after):
            raise BadCursor(after=after)
        rank, account = (int(part) for part in after.split("-"))
        place = tuple_(col(ClassificationLine.rank), col(ClassificationLine.account_id))
        query = query.where(place > tuple_(rank, account))
    if tier:
        query = query.where(col(ClassificationLine.tier) == tier)
    if moved:
        query = query.where(col(ClassificationLine.tier) != col(ClassificationLine.before))
    if near:
        query = query.where(col(ClassificationLine.why).contains({"near": True}))
    if visible is not None:
        query = query.where(visible)
    ordered = query.order_by(col(ClassificationLine.rank), col(ClassificationLine.account_id)).limit(limit)
    return list((await db.exec(ordered)).all())


def cursor(line: ClassificationLine) -> str:
    """What a reader sends as `after` to get the lines behind this one."""
    return f"{line.rank}-{line.account_id}"


async def near_next(
    db: AsyncSession, *, after: str | None = None, limit: int = 1000, visible: ColumnElement[bool] | None = None
) -> list[tuple[ClassificationLine, Account]]:
    """Accounts that lack at most a tenth of the next tier's smallest purchase, by the latest classification.

    Best first, behind the cursor. Raises BadCursor.
    """
    latest = (await runs(db))[:1]
    return await lines(db, latest[0], after=after, limit=limit, near=True, visible=visible) if latest else []


async def near_by_area(db: AsyncSession) -> dict[int | None, int]:
    """How many accounts of `near_next` lie in each area."""
    latest = (await runs(db))[:1]
    if not latest:
        return {}
    query = select(Account.area_id, func.count(col(ClassificationLine.id)))
    query = query.join(ClassificationLine, col(ClassificationLine.account_id) == col(Account.id))
    query = query.where(ClassificationLine.classification_id == latest[0].id)
    query = query.where(col(ClassificationLine.why).contains({"near": True}))
    return dict((await db.exec(query.group_by(col(Account.area_id)))).all())


async def line_of(db: AsyncSession, account: Account) -> ClassificationLine | None:
    """The latest line of an account: why it is, or is to be, where it is."""
    query = select(ClassificationLine).join(Classification).where(col(ClassificationLine.account_id) == account.id)
    return (await db.exec(query.order_by(col(Classification.year).desc()).limit(1))).first()


def explain(line: ClassificationLine) -> dict[str, Any]:
    """Why an account is where it is, as facts for words.

    `rank` of `of`; the tier takes places up to `cut` (0: tier D, no cut); `tied` others with the same purchase, the
    first of them `named`; `raised` over the cut by the tie; `short` yuan were missing to the next tier (None: none).
    """
    why: Mapping[str, Any] = line.why
    return {
        "tier": str(line.tier), "rank": line.rank, "of": why["of"], "cut": why["cut"] or 0, "amount": line.amount,
        "tied": why["tied"], "named": why["with"], "raised": why["raised"],
        "short": None if why["short"] is None else Decimal(why["short"]), "near": why["near"],
        "kwh": line.kwh, "months": line.months, "large": line.large, "limit": LARGE_KWH, "important": line.important,
    }  # fmt: skip
