"""Staff pages that take the archive in: look first, then import, with progress and every bad row."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, UploadFile
from fastapi.responses import Response

from api import customers as over_http
from api.callers import Caller, requires
from api.customers import Number
from api.frame import back, complaint, render
from api.pages import language_of
from api.services import Services, Tx, Use
from desk import archive_runs
from desk.archive_runs import ArchiveRun, Stage
from desk.attachments import LARGEST
from desk.errors import BadInput, BodyTooLarge, DeskError, UnreadableSheet
from desk.permissions import Permission

pages = APIRouter(include_in_schema=False)
Importer = Annotated[Caller, requires(Permission.CUSTOMERS_IMPORT)]
UNDER_WAY: Final = (Stage.WAITING, Stage.RUNNING, Stage.FAILED)  # a failed one is tried again by itself


@pages.get("/desk/imports")
async def start(request: Request, use: Use, caller: Importer) -> Response:
    """Where a file goes in, and what became of the former ones."""
    return await _start(request, use, caller)


async def _start(request: Request, use: Services, caller: Caller, *, errors: dict[str, str] | None = None) -> Response:
    async with use.store.transaction() as db:
        runs = await archive_runs.runs(db)
    status = 422 if errors else 200
    return render(request, use, caller, "imports", runs=runs, errors=errors or {}, status=status, largest=LARGEST)


@pages.post("/desk/imports")
async def look(request: Request, use: Use, caller: Importer, file: UploadFile | None = None) -> Response:
    """Take a file for a first look, which writes nothing."""
    try:
        if file is None or not file.filename:
            raise BadInput(problems=[("", "missing", None)])
        content = await file.read(LARGEST + 1)
        name = " ".join(file.filename.replace("\x00", "").split())[-120:]
        async with use.store.transaction() as db:
            run = await archive_runs.begin(
                db, use.storage, name=name, content=content, dry_run=True, by=caller.name, at=use.clock.now()
            )
    except (BadInput, BodyTooLarge, UnreadableSheet) as error:
        return await _start(request, use, caller, errors={"file": complaint(request, error)})
    return back(f"/desk/imports/{run.id}")


@pages.get("/desk/imports/{number}")
async def one(number: Number, request: Request, use: Use, caller: Importer, db: Tx) -> Response:
    """How far an import is, and what it found."""
    return _one(request, use, caller, await archive_runs.find(db, number))


def _one(request: Request, use: Services, caller: Caller, run: ArchiveRun, **facts: Any) -> Response:
    view = over_http.shown(run, language_of(request))
    known = [tuple(each) for each in run.report.get("known", [])]
    under_way = view.stage in UNDER_WAY
    return render(request, use, caller, "import", run=view, known=known, under_way=under_way, **facts)


@pages.post("/desk/imports/{number}/take")
async def take(number: Number, request: Request, use: Use, caller: Importer) -> Response:
    """Import for good what the first look has shown."""
    async with use.store.transaction() as db:
        looked = await archive_runs.find(db, number)
        try:
            run = await archive_runs.take_in(db, use.storage, looked, by=caller.name, at=use.clock.now())
        except DeskError as error:
            return _one(request, use, caller, looked, status=409, errors={"take": complaint(request, error)})
    return back(f"/desk/imports/{run.id}")
