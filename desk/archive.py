"""Import of the archive 客户档案: a file's good rows go in, every bad one is reported, twice changes nothing.

One file is one transaction: whoever reads the archive sees all of the file or nothing of it, and an import that dies
leaves nothing half-written. It costs nothing much: rows are written in batches, only new and changed ones are touched,
and these alone stay locked until the end. Two imports wait for each other.

A blank cell leaves what is known. Accounts with the same 客户名称 belong to one customer; where the file names no
customer, the account is a customer of its own. 电力大客户管理制度 第十三条.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from desk import customers, events, sheets
from desk.archive_rows import Entry, Problem, Reader
from desk.archive_writer import Fates, Writer
from desk.clock import Clock
from desk.errors import MissingColumns, RepeatedColumns, UnreadableSheet
from desk.store import Store

BATCH: Final = 2_000
KEPT: Final = 20  # problems a report carries; `on_bad` gets all
ZONE: Final = ZoneInfo("Asia/Shanghai")


@dataclass
class ImportReport(Fates):
    """What became of the rows of a file."""

    name: str = ""
    dry_run: bool = False
    total: int | None = None  # rows as the file says; None = unknown
    done: int = 0
    bad: int = 0
    encoding: str | None = None
    known: tuple[tuple[str, str], ...] = ()  # titles of the file with the fields they mean
    unknown: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)


REFUSALS: Final = (UnreadableSheet, MissingColumns, RepeatedColumns)  # what is wrong with a whole file
Progress = Callable[[ImportReport], Awaitable[None]]


async def import_file(
    store: Store, path: Path, *, by: str, clock: Clock, dry_run: bool = False, name: str | None = None,
    progress: Progress | None = None, on_bad: Callable[[Problem], None] | None = None, zone: ZoneInfo = ZONE,
) -> ImportReport:  # fmt: skip
    """Import a file into the archive. A dry run reports the same and writes nothing.

    `progress` is awaited after every batch, `on_bad` is called for every problem, in another thread.
    Raises UnreadableSheet, MissingColumns, RepeatedColumns, DatabaseDown.
    """
    report = ImportReport(name=name or path.name, dry_run=dry_run)
    with sheets.reading(path, name=report.name) as sheet:
        reader = await asyncio.to_thread(Reader, sheet, name=report.name)
        report.total, report.encoding, report.unknown = reader.total, sheet.encoding, reader.columns.unknown
        report.known = tuple((column.title, column.field) for column in reader.columns.known.values())
        report.notes = reader.notes
        if progress:
            await progress(report)
        async with store.transaction() as db:
            if not dry_run:
                await customers.many(db)
            writer = Writer(db, report, at=clock.now(), zone=zone, dry_run=dry_run)
            await writer.begin()
            # reading and comparing keep a processor busy: in a thread, so that a web server beside it answers
            while rows := await asyncio.to_thread(_sort, reader, report, on_bad):
                if entries := [row for row in rows if row]:
                    await writer.write(entries)
                if progress:
                    await progress(report)
            report.total = report.done
            if not dry_run and report.new + report.changed:
                counts = {part: getattr(report, part) for part in ("new", "changed", "unchanged", "bad")}
                await events.record(
                    db, "archive.imported", "archive", by=by, at=clock.now(), name=report.name, **counts
                )
    return report


def _sort(reader: Reader, report: ImportReport, on_bad: Callable[[Problem], None] | None) -> list[Entry | None]:
    """The next rows, None for bad ones, which are reported."""
    good: list[Entry | None] = []
    for row in reader.take(BATCH):
        report.done += 1
        if isinstance(row, Entry):
            good.append(row)
            continue
        good.append(None)
        report.bad += 1
        for problem in row:
            if len(report.problems) < KEPT:
                report.problems.append(problem)
            if on_bad:
                on_bad(problem)
    return good
