"""Tiers and flags over HTTP: the annual classification, changes in mid-year with a reason, who is near the next."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

import templates
from api.access import No
from api.callers import STORABLE, Caller, requires
from api.pages import language_of
from api.services import Tx, Use
from desk import areas, classification, customers, masks
from desk.classification import Classification, ClassificationLine, Stage
from desk.customers import Account, TierChange
from desk.permissions import Permission
from desk.tiers import Tier

router = APIRouter(prefix="/api/v1", tags=["tiers"])
Year = Annotated[int, Path(ge=2000, le=2999)]
Classifier = Annotated[Caller, requires(Permission.TIERS_CLASSIFY)]
Changer = Annotated[Caller, requires(Permission.TIERS_CHANGE)]
Reader = Annotated[Caller, requires(Permission.CUSTOMERS_READ)]
Why = Annotated[str, Query(min_length=1, max_length=500, pattern=STORABLE)]
Cursor = Annotated[str | None, Query(max_length=40)]
Limit = Annotated[int, Query(ge=1, le=200)]


class NewRun(BaseModel):
    """Classify `year` by the purchases of the year before; without `confirm` the hall confirms later."""

    year: int = Field(ge=2000, le=2999)
    dry_run: bool = False
    confirm: bool = True


class Move(BaseModel):
    """How many accounts go from one tier to another."""

    before: Tier
    tier: Tier
    accounts: int


class Tie(BaseModel):
    """Equal purchases over a cut, all of them in the higher tier; `named` are the first account numbers."""

    tier: Tier
    cut: int
    rank: int
    accounts: int
    amount: Decimal
    named: list[str]
    explanation: str


class Counts(BaseModel):
    """Accounts by tier and flag. `by_rule` = places before ties, `cuts` = the last place of A, B and C."""

    tiers: dict[Tier, int]
    by_rule: dict[Tier, int]
    cuts: dict[Tier, int]
    large: int
    important: int
    near: int
    without_purchase: int
    up: int
    down: int
    moves: list[Move]
    ties: list[Tie]


class Outcome(BaseModel):
    """What a run found. `changed` is false for a dry run and for a year that was frozen before."""

    year: int
    dry_run: bool
    stage: Stage | None
    changed: bool
    accounts: int
    counts: Counts


class RunView(BaseModel):
    """A year's classification and where it stands."""

    year: int
    stage: Stage
    accounts: int
    counts: Counts
    due_on: date
    proposed_at: datetime
    reminded_at: datetime | None
    overdue_at: datetime | None
    confirmed_at: datetime | None
    confirmed_by: str | None


class WhyView(BaseModel):
    """Rank `rank` of `of`; the tier ends at place `cut` (0: none), `tied` others bought the same, some of them `named`;
    `raised` over the cut by the tie; `short` yuan were missing to the next tier."""

    rank: int
    of: int
    cut: int
    tied: int
    named: list[str]
    raised: bool
    short: Decimal | None
    near: bool


class LineView(BaseModel):
    """One account's place with all reasons, as facts and in words."""

    no: str
    name: str
    tier: Tier
    before: Tier
    amount: Decimal
    kwh: Decimal
    months: int
    large: bool
    important: bool
    why: WhyView
    explanation: str


class LinePage(BaseModel):
    """Accounts, best first; `next` goes into `after`."""

    lines: list[LineView]
    next: str | None


class RunPage(LinePage):
    """A classification with a page of its accounts."""

    run: RunView


class NewTier(BaseModel):
    """A tier and why."""

    tier: Tier
    reason: str = Field(min_length=1, max_length=500, pattern=STORABLE)


class Reason(BaseModel):
    """Why, for the record."""

    reason: str = Field(min_length=1, max_length=500, pattern=STORABLE)


class CoalMine(BaseModel):
    """Whether the account is a coal mine, and why that is said."""

    coal_mine: bool
    reason: str = Field(min_length=1, max_length=500, pattern=STORABLE)


class ChangeView(BaseModel):
    """One change of tier; `year` is set when the annual classification made it."""

    before: Tier
    tier: Tier
    reason: str
    year: int | None
    by: str
    at: datetime


class Standing(BaseModel):
    """An account's tier and flags, the latest line of a classification, and every change, the latest first."""

    no: str
    tier: Tier
    large: bool
    important: bool
    coal_mine: bool
    designation: str | None
    latest: LineView | None
    history: list[ChangeView]


def tie_over_a_cut(tie: Mapping[str, Any], language: str) -> str:
    """Why a tier has more accounts than places, in words."""
    facts = {name: tie[name] for name in ("tier", "cut", "rank", "accounts")}
    return templates.render_text("_tiers_tie", language, amount=Decimal(tie["amount"]), named=tie["with"], **facts)


def _language(request: Request, caller: Caller) -> str:
    asked = "lang" in request.query_params
    return language_of(request) if asked else caller.language or language_of(request)


def _counts(counts: dict[str, Any], language: str) -> Counts:
    ties = [{**tie, "named": tie["with"], "explanation": tie_over_a_cut(tie, language)} for tie in counts["ties"]]
    return Counts.model_validate({**counts, "ties": ties})


def _run(run: Classification, language: str) -> RunView:
    plain = {name: getattr(run, name) for name in RunView.model_fields if name != "counts"}
    return RunView(**plain, counts=_counts(run.counts, language))


def _line(line: ClassificationLine, account: Account, language: str) -> LineView:
    facts = classification.explain(line)
    return LineView(
        no=account.no,
        name=masks.holder(account.name),
        tier=line.tier,
        before=line.before,
        **{name: facts[name] for name in ("amount", "kwh", "months", "large", "important")},
        why=WhyView(**{name: facts[name] for name in WhyView.model_fields}),
        explanation=templates.render_text("tier_explained", language, **facts),
    )


def _lines(found: list[tuple[ClassificationLine, Account]], limit: int, language: str) -> dict[str, Any]:
    return {
        "lines": [_line(line, account, language) for line, account in found],
        "next": classification.cursor(found[-1][0]) if len(found) == limit else None,
    }


def _change(change: TierChange, language: str) -> ChangeView:
    year = classification.year_of(change.reason)
    reason = change.reason if year is None else templates.render_text("tier_by_classification", language, year=year)
    return ChangeView(before=change.before, tier=change.tier, reason=reason, year=year, by=change.by, at=change.at)


@router.post("/tiers/runs")
async def classify(new: NewRun, request: Request, caller: Classifier, db: Tx, use: Use) -> Outcome:
    """Classify a year: only look, only propose, or propose and confirm. A confirmed year is frozen and stays."""
    language, at = _language(request, caller), use.clock.now()
    if new.dry_run:
        found = await classification.preview(db, new.year)
        return Outcome(
            year=new.year, dry_run=True, stage=None, changed=False, accounts=found.accounts,
            counts=_counts(found.counts, language),
        )  # fmt: skip
    if new.confirm:
        changed = await classification.settle(db, new.year, by=caller.name, at=at)
        run = await classification.of(db, new.year)
    else:
        run = await classification.propose(db, new.year, by=caller.name, at=at)
        changed = run.proposed_at == at
    return Outcome(
        year=run.year, dry_run=False, stage=run.stage, changed=changed, accounts=run.accounts,
        counts=_counts(run.counts, language),
    )  # fmt: skip


@router.get("/tiers/runs")
async def runs(request: Request, caller: Changer, db: Tx) -> list[RunView]:
    """All classifications, the latest year first."""
    return [_run(run, _language(request, caller)) for run in await classification.runs(db)]


@router.get("/tiers/runs/{year}")
async def run(
    year: Year, request: Request, caller: Changer, db: Tx, after: Cursor = None, limit: Limit = 50,
    tier: Tier | None = None, moved: bool = False,
) -> RunPage:  # fmt: skip
    """A year's classification with its accounts, best first; `tier` and `moved` narrow them."""
    language = _language(request, caller)
    found = await classification.of(db, year)
    lines = await classification.lines(db, found, after=after, limit=limit, tier=tier, moved=moved)
    return RunPage(run=_run(found, language), **_lines(lines, limit, language))


@router.post("/tiers/runs/{year}/confirm")
async def confirm(year: Year, request: Request, caller: Classifier, db: Tx, use: Use) -> RunView:
    """Put the proposal into force and freeze it; a second time changes nothing."""
    done = await classification.confirm(db, year, by=caller.name, at=use.clock.now())
    return _run(done, _language(request, caller))


@router.get("/tiers/near")
async def near(request: Request, caller: Reader, db: Tx, after: Cursor = None, limit: Limit = 50) -> LinePage:
    """Accounts that lack at most a tenth of what the next tier starts with, as far as the caller may know of them."""
    visible = areas.visible(caller.role, caller.staff_id)
    found = await classification.near_next(db, after=after, limit=limit, visible=visible)
    return LinePage(**_lines(found, limit, _language(request, caller)))


@router.get("/accounts/{no}/tiers")
async def standing(no: No, request: Request, caller: Reader, db: Tx) -> Standing:
    """An account's tier and flags, why, and every change."""
    return await _standing(db, await _mine(db, no, caller), request, caller)


@router.post("/accounts/{no}/tier")
async def change(no: No, new: NewTier, request: Request, caller: Changer, db: Tx, use: Use) -> Standing:
    """Move one account to a tier in mid-year, with the reason."""
    account = await _mine(db, no, caller, lock=True)
    await customers.set_tier(db, account, new.tier, reason=new.reason, by=caller.name, at=use.clock.now())
    return await _standing(db, account, request, caller)


@router.post("/accounts/{no}/designation")
async def designate(no: No, why: Reason, request: Request, caller: Changer, db: Tx, use: Use) -> Standing:
    """Name an account important, with the reason."""
    account = await _mine(db, no, caller, lock=True)
    await customers.designate(db, account, reason=why.reason, by=caller.name, at=use.clock.now())
    return await _standing(db, account, request, caller)


@router.delete("/accounts/{no}/designation")
async def end_designation(no: No, reason: Why, request: Request, caller: Changer, db: Tx, use: Use) -> Standing:
    """Take the designation back, with the reason; the category may keep the account important."""
    account = await _mine(db, no, caller, lock=True)
    await customers.end_designation(db, account, reason=reason, by=caller.name, at=use.clock.now())
    return await _standing(db, account, request, caller)


@router.put("/accounts/{no}/coal-mine")
async def mark_coal_mine(
    no: No, flag: CoalMine, request: Request, caller: Annotated[Caller, requires(Permission.CUSTOMERS_EDIT)],
    db: Tx, use: Use,
) -> Standing:  # fmt: skip
    """Mark an account as a coal mine, or no longer."""
    account = await _mine(db, no, caller, lock=True)
    await customers.set_coal_mine(db, account, flag.coal_mine, reason=flag.reason, by=caller.name, at=use.clock.now())
    return await _standing(db, account, request, caller)


async def _mine(db: Tx, no: str, caller: Caller, *, lock: bool = False) -> Account:
    return await areas.account_for(db, no, role=caller.role, staff_id=caller.staff_id, lock=lock)


async def _standing(db: Tx, account: Account, request: Request, caller: Caller) -> Standing:
    language = _language(request, caller)
    line, named = await classification.line_of(db, account), await customers.designation(db, account)
    return Standing(
        no=account.no,
        tier=account.tier,
        large=account.large,
        important=account.important,
        coal_mine=account.coal_mine,
        designation=named.reason if named else None,
        latest=_line(line, account, language) if line else None,
        history=[_change(change, language) for change in await customers.tier_history(db, account)],
    )
