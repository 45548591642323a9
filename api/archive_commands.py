"""Commands of the archive: `customers import`, `customers export`, and the sample city."""

import asyncio
import contextlib
import getpass
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

import templates
from desk import access, archive, archive_export, demo
from desk.archive import ImportReport
from desk.archive_rows import Problem
from desk.clock import SystemClock
from desk.settings import Settings
from desk.sheets import CsvText
from desk.store import Store

Opened = Callable[[], AbstractContextManager[tuple[Settings, str]]]
SHOWN: Final = 10  # problems on the terminal
T = TypeVar("T")
FATES: Final = ("new", "changed", "unchanged", "bad")


class BadRows:
    """The downloadable list of everything that is wrong with a file."""

    COLUMNS: Final = ("line", "column", "reason", "code", "value")

    def __init__(self, language: str) -> None:
        self._text, self._language = CsvText(), language
        self._text.row(templates.label(f"archive_{column}", language) for column in self.COLUMNS)

    def add(self, problem: Problem) -> int:
        """Add one problem; how many characters wait to be taken."""
        said = reason(problem, self._language)
        return self._text.row((problem.line, problem.column, said, problem.reason, problem.value))

    def taken(self) -> bytes:
        """What has been added since the last time."""
        return self._text.taken()


def reason(problem: Problem, language: str) -> str:
    """Why a row stays out, in words."""
    said = templates.label(f"bad_{problem.reason}", language)
    return f"{said} {problem.other}" if problem.other else said


def install(cli: typer.Typer, opened: Opened, out: Console) -> None:
    """Add `customers` and `demo`."""
    customers_cli = typer.Typer(no_args_is_help=True, help="Import and export the archive of customers and accounts.")
    cli.add_typer(customers_cli, name="customers")

    def say(text: str, config: Settings, /, **facts: Any) -> None:
        out.print(templates.render_text(text, config.locale, **facts), highlight=False, markup=False, soft_wrap=True)

    @customers_cli.command("import")
    def take_in(
        file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="csv or xlsx; xls and ods too.")],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, write nothing.")] = False,
        report: Annotated[Path | None, typer.Option("--report", help="Write all bad rows to this CSV file.")] = None,
    ) -> None:
        """Take a file into the archive: good rows go in, bad ones are listed, twice changes nothing.

        Ends with 0 also when rows are bad: they are reported, and the good ones are in. Ends with 2 when the file
        cannot be used at all.
        """
        with opened() as (config, url), contextlib.ExitStack() as stack:
            bad = BadRows(config.locale)
            target = stack.enter_context(report.open("wb")) if report else None

            def keep(problem: Problem) -> None:
                if target and bad.add(problem) > 50_000:
                    target.write(bad.taken())

            found = asyncio.run(_import(url, file, config, dry_run, keep, out))
            if target:
                target.write(bad.taken())
        text = "_archive_tried" if dry_run else "_archive_done"
        say(text, config, name=found.name, rows=found.done, good=found.done - found.bad)
        _show(found, config.locale, out)
        if found.unknown:
            say("_archive_unknown", config, columns=", ".join(found.unknown))
        if found.bad and report:
            say("_archive_bad", config, rows=found.bad, path=report)
        elif found.bad:
            say("_archive_bad_unwritten", config, rows=found.bad)

    @customers_cli.command("export")
    def give_out(
        file: Annotated[Path, typer.Argument(dir_okay=False, help="A name that ends with .xlsx or .csv.")],
        search: Annotated[str, typer.Option("--search", help="Only accounts that a search for this finds.")] = "",
        reveal: Annotated[bool, typer.Option("--reveal", help="Persons and phones unmasked.")] = False,
    ) -> None:
        """Write the archive to a file that `customers import` understands; persons and phones are masked."""
        if file.suffix.lower() not in (".xlsx", ".csv"):
            raise typer.BadParameter(".xlsx | .csv", param_hint="FILE")
        with opened() as (config, url):

            async def work(store: Store) -> int:
                async with store.transaction() as db:
                    told, at = search or access.ALL, SystemClock().now()
                    await access.exported(db, by=getpass.getuser(), role="", reason=told, at=at, reveal=reveal)
                return await archive_export.export_file(store, file, reveal=reveal, zone=config.zone, wanted=search)

            accounts = asyncio.run(_with_store(url, work))
        say("_archive_exported", config, accounts=accounts, path=file)

    @cli.command("demo")
    def sample() -> None:
        """Load sample data, an invented city; doing it twice changes nothing."""
        with opened() as (config, url):
            loaded = load_demo(url)
        say("_demo_loaded" if loaded else "_demo_there", config, **({"accounts": loaded} if loaded else {}))


def load_demo(url: str) -> int:
    """Load the sample city; how many accounts, 0 when it is there already."""

    async def work(store: Store) -> int:
        report = await demo.load(store, clock=SystemClock())
        return report.done if report else 0

    return asyncio.run(_with_store(url, work))


async def _with_store(url: str, work: Callable[[Store], Awaitable[T]]) -> T:
    store = Store(url)
    try:
        return await work(store)
    finally:
        await store.close()


async def _import(
    url: str, file: Path, config: Settings, dry_run: bool, on_bad: Callable[[Problem], None], out: Console
) -> ImportReport:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(templates.label("reading", config.locale), total=None)

        async def told(report: ImportReport) -> None:
            bar.update(task, completed=report.done, total=report.total)

        async def work(store: Store) -> ImportReport:
            return await archive.import_file(
                store, file, by=getpass.getuser(), clock=SystemClock(), dry_run=dry_run, zone=config.zone,
                progress=told, on_bad=on_bad,
            )  # fmt: skip

        return await _with_store(url, work)


def _show(report: ImportReport, language: str, out: Console) -> None:
    """Counts, and the first bad rows."""
    counts = Table(show_header=False, box=None)
    for fate in FATES:
        style = "red" if fate == "bad" and report.bad else ""
        counts.add_row(templates.label(f"archive_{fate}", language), Text(f"{getattr(report, fate):,}", style))
    for note, times in report.notes.items():
        counts.add_row(templates.label(f"note_{note}", language), Text(f"{times:,}", "yellow"))
    out.print(counts)
    if not report.problems:
        return
    table = Table()
    for column in ("line", "column", "reason", "value"):
        table.add_column(
            templates.label(f"archive_{column}", language), justify="right" if column == "line" else "left"
        )
    for problem in report.problems[:SHOWN]:
        # as plain text: a cell may contain [brackets] that mean something to the terminal
        cells = (str(problem.line), problem.column, reason(problem, language), problem.value)
        table.add_row(*map(Text, cells))
    out.print(table)
