"""Imports that run behind a request: the file is stored, a job takes it in, and a row says how far it is."""

import asyncio
import json
import tempfile
import uuid
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Boolean, Column, Text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import archive, events, jobs
from desk.archive import ImportReport
from desk.archive_rows import Problem
from desk.attachments import LARGEST, Storage
from desk.clock import Clock
from desk.columns import facts, moment, one_of, words
from desk.errors import BodyTooLarge, DeskError, UnknownAttachment, UnknownImport, UnreadableSheet
from desk.machine import Machine
from desk.store import Store, notify

TASK: Final = "import_archive"
PATIENCE: Final = timedelta(days=1)  # how long the file of a dry run waits to be taken in


class Stage(StrEnum):
    """Where an import stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"  # the file cannot be used at all
    FAILED = "failed"  # for a reason of ours; it is tried again by itself


class Step(StrEnum):
    """What happens to it."""

    START = "start"
    FINISH = "finish"
    REFUSE = "refuse"
    FAIL = "fail"


RUN: Final = Machine[Stage, Step](
    {
        Stage.WAITING: {Step.START: Stage.RUNNING},
        Stage.RUNNING: {  # a worker that died in the middle starts it again
            Step.START: Stage.RUNNING, Step.FINISH: Stage.DONE, Step.REFUSE: Stage.REFUSED, Step.FAIL: Stage.FAILED,
        },
        Stage.FAILED: {Step.START: Stage.RUNNING},
        Stage.DONE: {},
        Stage.REFUSED: {},
    }
)  # fmt: skip


class ArchiveRun(SQLModel, table=True):
    """One import of a file. `report` holds the counts of `archive.ImportReport`, `error` why it was refused."""

    __tablename__ = "archive_run"
    __table_args__ = (one_of("stage", Stage),)

    id: str = Field(default_factory=lambda: uuid.uuid4().hex, sa_column=Column(Text, primary_key=True))
    name: str = Field(sa_column=words())
    dry_run: bool = Field(sa_column=Column(Boolean, nullable=False))
    stage: Stage = Field(default=Stage.WAITING, sa_column=words(default="waiting"))
    report: dict[str, Any] = Field(default_factory=dict, sa_column=facts())
    error: dict[str, Any] = Field(default_factory=dict, sa_column=facts())
    by: str = Field(sa_column=words())
    created_at: datetime = Field(sa_column=moment())
    finished_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))

    @property
    def bad_rows(self) -> str:
        """The key under which the bad rows are stored."""
        return self.id[::-1]


async def begin(
    db: AsyncSession, storage: Storage, *, name: str, content: bytes, dry_run: bool, by: str, at: datetime
) -> ArchiveRun:
    """Store a file and let a worker import it. Raises BodyTooLarge over 20 MB, UnreadableSheet when it is empty."""
    if len(content) > LARGEST:
        raise BodyTooLarge(limit=LARGEST)
    if not content:
        raise UnreadableSheet(name=name, problem="empty")
    run = ArchiveRun(name=name, dry_run=dry_run, by=by, created_at=at)
    await storage.put(run.id, content)
    db.add(run)
    await db.flush()
    await events.record(db, "archive.import_begun", f"import:{run.id}", by=by, at=at, name=name, dry_run=dry_run)
    await jobs.defer(db, TASK, run=run.id)
    if dry_run:
        await jobs.defer(db, TASK, at=at + PATIENCE, run=run.id)  # takes the file away
    return run


async def take_in(db: AsyncSession, storage: Storage, looked: ArchiveRun, *, by: str, at: datetime) -> ArchiveRun:
    """Import for good the file that a dry run has looked at. Raises UnknownImport when it is there no longer."""
    try:
        content = await storage.get(looked.id)
    except UnknownAttachment:
        raise UnknownImport() from None
    return await begin(db, storage, name=looked.name, content=content, dry_run=False, by=by, at=at)


async def runs(db: AsyncSession, *, limit: int = 20) -> list[ArchiveRun]:
    """Imports, the latest first."""
    query = select(ArchiveRun).order_by(col(ArchiveRun.created_at).desc(), col(ArchiveRun.id)).limit(limit)
    return list((await db.exec(query)).all())


async def find(db: AsyncSession, number: str) -> ArchiveRun:
    """The import with this number. Raises UnknownImport."""
    found = await db.get(ArchiveRun, number) if len(number) == 32 and number.isalnum() else None
    if found is None:
        raise UnknownImport()
    return found


async def bad_rows(storage: Storage, run: ArchiveRun) -> list[Problem]:
    """Everything that is wrong with the file."""
    if not run.report.get("bad") or run.report.get("tidied"):
        return []
    lines = (await storage.get(run.bad_rows)).decode().splitlines()
    return [Problem(**json.loads(line)) for line in lines]


async def work(store: Store, storage: Storage, clock: Clock, number: str, *, zone: ZoneInfo) -> None:
    """Do the import. Doing it again after a crash is safe: what was in stays, and the counts then say unchanged."""
    run = await _move(store, number, Step.START, at=clock.now())
    if run is None:
        await storage.delete(number)
        return
    try:
        await _take_in(store, storage, clock, run, zone=zone)
    except DeskError as error:
        if not isinstance(error, archive.REFUSALS):
            await _move(store, number, Step.FAIL, at=clock.now())
            raise
        names = [kind.__name__ for kind in type(error).__mro__]
        await _move(store, number, Step.REFUSE, at=clock.now(), error={"names": names, "facts": error.facts})
    except Exception:
        await _move(store, number, Step.FAIL, at=clock.now())
        raise
    if not run.dry_run:
        await storage.delete(number)  # it is full of personal data


async def _take_in(store: Store, storage: Storage, clock: Clock, run: ArchiveRun, *, zone: ZoneInfo) -> None:
    content = await storage.get(run.id)
    with tempfile.TemporaryDirectory() as folder:
        path, wrong = Path(folder) / "file", Path(folder) / "bad"
        await asyncio.to_thread(path.write_bytes, content)
        del content
        with wrong.open("w", encoding="utf-8") as bad:

            def keep(problem: Problem) -> None:
                bad.write(json.dumps(asdict(problem), ensure_ascii=False) + "\n")

            async def told(report: ImportReport) -> None:
                await _tell(store, run.id, report)

            report = await archive.import_file(
                store, path, by=run.by, clock=clock, dry_run=run.dry_run, name=run.name, progress=told, on_bad=keep,
                zone=zone,
            )  # fmt: skip
        if report.bad:
            await storage.put(run.bad_rows, await asyncio.to_thread(wrong.read_bytes))
    await _move(store, run.id, Step.FINISH, at=clock.now(), report=_counts(report))


def _counts(report: ImportReport) -> dict[str, Any]:
    return asdict(report) | {"notes": dict(report.notes), "unknown": list(report.unknown)}


async def _tell(store: Store, number: str, report: ImportReport) -> None:
    """Progress, for everybody to see while the import itself is still one open transaction."""
    async with store.transaction() as db:
        run = await find(db, number)
        run.report = _counts(report)
        db.add(run)
        await notify(db, f"import:{number}")


async def _move(
    store: Store, number: str, step: Step, *, at: datetime, report: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> ArchiveRun | None:  # fmt: skip
    """Move on and write the event; None when it has come to its end already."""
    async with store.transaction() as db:
        run = await db.get(ArchiveRun, number, with_for_update=True)
        if run is None or RUN.final(Stage(run.stage)):
            return None
        before, run.stage = run.stage, RUN.move(Stage(run.stage), step)
        run.report, run.error = report or run.report, error or {}
        run.finished_at = None if step == Step.START else at
        db.add(run)
        facts: dict[str, Any] = {"before": before, "stage": run.stage}
        await events.record(db, f"archive.import_{run.stage}", f"import:{number}", by=run.by, at=at, **facts)
        await notify(db, f"import:{number}")
        return run
