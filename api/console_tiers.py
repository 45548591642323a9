"""Staff pages of the annual classification: what it says, why, who moves, and putting it into force."""

from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from sqlmodel import col, func, select

from api.callers import STORABLE, Caller, requires
from api.frame import back, complaint, render, written
from api.pages import language_of
from api.services import Services, Tx, Use
from api.tiers import tie_over_a_cut
from desk import classification
from desk.classification import Classification, ClassificationLine, Stage
from desk.errors import BadInput, DeskError
from desk.permissions import Permission
from desk.tiers import Tier

pages = APIRouter(include_in_schema=False)
Reader = Annotated[Caller, requires(Permission.TIERS_CHANGE)]
Classifier = Annotated[Caller, requires(Permission.TIERS_CLASSIFY)]
Year = Annotated[int, Path(ge=2000, le=2999)]
Words = Annotated[str, Query(max_length=40, pattern=STORABLE)]
PAGE: Final = 50
TIERS: Final = tuple(Tier)
SHOWS: Final = ("moved", "near")


@pages.get("/desk/tiers")
async def latest(request: Request, use: Use, caller: Reader, db: Tx) -> Response:
    """The latest year, or how to begin."""
    runs = await classification.runs(db)
    if runs:
        return back(f"/desk/tiers/{runs[0].year}")
    return await _begin(request, use, caller, {}, "")


async def _begin(request: Request, use: Services, caller: Caller, errors: dict[str, str], year: str) -> Response:
    async with use.store.transaction() as db:
        years = [run.year for run in await classification.runs(db)]
    at = use.clock.now().astimezone(use.settings.zone)
    status = 422 if errors else 200
    return render(
        request, use, caller, "tiers_begin", years=years, year=year or str(at.year), errors=errors, status=status
    )


@pages.get("/desk/tiers/new")
async def begin(request: Request, use: Use, caller: Classifier) -> Response:
    """Which year to classify."""
    return await _begin(request, use, caller, {}, "")


@pages.post("/desk/tiers")
async def propose(request: Request, use: Use, caller: Classifier) -> Response:
    """Compute a year for the hall to confirm; again, if it is not confirmed yet."""
    year = (await written(request)).get("year", "")
    try:
        if not (year.isdecimal() and year.isascii() and 2000 <= int(year) <= 2999):
            raise BadInput(problems=[("", "int_parsing", None)])
        async with use.store.transaction() as db:
            run = await classification.propose(db, int(year), by=caller.name, at=use.clock.now())
    except DeskError as error:
        return await _begin(request, use, caller, {"year": complaint(request, error)}, year)
    return back(f"/desk/tiers/{run.year}", "proposed")


@pages.get("/desk/tiers/{year}")
async def one(
    year: Year, request: Request, use: Use, caller: Reader, db: Tx, tier: Words = "", show: Words = "",
    after: Words = "",
) -> Response:  # fmt: skip
    """A year's classification with its accounts, best first."""
    run = await classification.of(db, year)
    return await _one(request, use, caller, db, run, tier=tier, show=show, after=after)


async def _one(
    request: Request, use: Services, caller: Caller, db: Tx, run: Classification, *, tier: str = "", show: str = "",
    after: str = "", typed: str = "", **facts: Any,
) -> Response:  # fmt: skip
    chosen = Tier(tier) if tier in TIERS else None
    found = await classification.lines(
        db, run, after=after or None, limit=PAGE + 1, tier=chosen, moved=show == "moved", near=show == "near"
    )
    lines = found[:PAGE]
    summed = select(ClassificationLine.tier, func.sum(ClassificationLine.amount)).group_by(col(ClassificationLine.tier))
    amounts = dict((await db.exec(summed.where(col(ClassificationLine.classification_id) == run.id))).all())
    total = sum(amounts.values(), Decimal(0)) or Decimal(1)
    bought = {str(tier): 100 * amounts.get(tier, Decimal(0)) / total for tier in TIERS}
    language = language_of(request)
    return render(
        request, use, caller, "tiers", run=run, years=[each.year for each in await classification.runs(db)],
        lines=lines, tier=chosen or "", show=show if show in SHOWS else "", shows=SHOWS, tiers=TIERS, after=after,
        next=classification.cursor(lines[-1][0]) if len(found) > PAGE else "", bought=bought, typed=typed,
        ties=[tie_over_a_cut(tie, language) for tie in run.counts["ties"]],
        late=(use.clock.now().astimezone(use.settings.zone).date() - run.due_on).days, **facts,
    )  # fmt: skip


@pages.post("/desk/tiers/{year}/confirm")
async def confirm(year: Year, request: Request, use: Use, caller: Classifier) -> Response:
    """Put the proposal into force; whoever does it must have read how many accounts move."""
    typed = (await written(request)).get("number", "")
    async with use.store.transaction() as db:
        run = await classification.of(db, year, lock=True)
        moving = run.counts["up"] + run.counts["down"]
        if run.stage == Stage.PROPOSED and typed.replace(",", "") != str(moving):
            errors = {"number": "number"}
            return await _one(request, use, caller, db, run, status=422, typed=typed, errors=errors)
        await classification.confirm(db, year, by=caller.name, at=use.clock.now())
    return back(f"/desk/tiers/{year}", "confirmed")
