"""Commands of the guide: `guide ask`, `guide import`, `guide evaluate`."""

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from desk import settings
from desk.clock import SystemClock
from desk.settings import Settings
from knowledge.importer import Drafted
from knowledge.search import Finding


@dataclass(frozen=True)
class Means:
    """What the composition root lends."""

    plainly: Callable[[], AbstractContextManager[None]]  # failures become one sentence
    opened: Callable[[], AbstractContextManager[tuple[Settings, str]]]  # settings and a prepared database
    waiting: Callable[[str, Settings], AbstractContextManager[Any]]  # a sign while something takes its time
    once: Callable[[str, Callable[[AsyncSession], Awaitable[Any]]], Any]  # all in one transaction
    find: Callable[[Settings, str, str], Coroutine[Any, Any, Finding]]  # what the whole search finds


def install(cli: typer.Typer, means: Means, out: Console, err: Console) -> None:
    """Add the commands to the command line."""
    guide = typer.Typer(no_args_is_help=True, help="Ask, import and examine the service guide.")
    cli.add_typer(guide, name="guide")

    @guide.command("ask")
    def ask(text: Annotated[str, typer.Argument(help="A question as a customer would type it.")]) -> None:
        """What the guide answers."""
        with means.opened() as (config, url):
            finding = asyncio.run(means.find(config, url, text))
        out.print(f"{finding.decision} ({finding.confidence:.0%})", style="bold", highlight=False)
        for number, match in enumerate(finding.matches):
            entry = match.entry
            out.print(f"  {match.score:5.1%}  {entry.key} v{entry.version}  {entry.title}", highlight=False)
            if number == 0 and finding.decision == "answer":
                out.print(f"\n{entry.answer.strip()}\n《{entry.document}》{entry.article}\n", highlight=False)

    @guide.command("import")
    def take(
        file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="txt, md, docx, pdf or html.")],
        yes: Annotated[bool, typer.Option("--yes", help="Publish without asking.")] = False,
    ) -> None:
        """Split a service guide into entries, show them, and after confirmation answer from them."""
        from knowledge import editions, importer

        with means.plainly():
            config = settings.load()
            with means.waiting("reading", config):
                drafted = importer.split(importer.read(file))
            with means.opened() as (_, url):
                changes = means.once(url, lambda db: editions.compare(db, drafted))
                _preview(out, drafted, changes, config.locale)
                if not (changes["new"] or changes["changed"] or changes["withdrawn"]):
                    return
                if not yes and not typer.confirm(templates.render_text("_import_confirm", config.locale)):
                    raise typer.Exit(1)
                by, at = getpass.getuser(), SystemClock().now()
                with means.waiting("publishing", config):
                    written, withdrawn = means.once(url, lambda db: editions.publish(db, drafted, by=by, at=at))
        done = templates.render_text("_import_done", config.locale, written=written, withdrawn=withdrawn)
        out.print(done, style="green", highlight=False)

    @guide.command("evaluate")
    def evaluate(
        file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines: questions or intents.")],
        as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    ) -> None:
        """Examine search or intents with labelled questions: accuracy by style, and latency."""
        from knowledge import evaluate

        with means.plainly():
            config = settings.load()
        cache = config.data_dir / "cache" if config.data_dir.exists() else None
        try:
            report = evaluate.run(file, encoder=config.encoder, cache=cache)
        except evaluate.BadExamination as error:
            err.print(f"{file}:{error.line}: {error.problem}", style="red", highlight=False, soft_wrap=True)
            raise typer.Exit(2) from None
        if as_json:
            out.print_json(json.dumps(report, ensure_ascii=False))
            return
        for name, value in report.items():
            if isinstance(value, dict):
                out.print(f"{name}:", style="bold")
                for part, figures in value.items():
                    out.print(f"  {part:14} {figures}", highlight=False)
            else:
                out.print(f"{name:14} {value}", highlight=False)


def _preview(out: Console, drafted: list[Drafted], changes: dict[str, list[str]], language: str) -> None:
    """The entries as a table, a chapter a section, then what publishing would change."""
    known = {key: change for change, keys in changes.items() for key in keys}
    for document, part in groupby(drafted, key=lambda each: each.draft.document):
        table = Table(title=f"《{document}》", title_justify="left", expand=True)
        for column, share in (("article", None), ("title", 2), ("answer", 3), ("change", None), ("notes", None)):
            table.add_column(templates.label(f"import_{column}", language), no_wrap=True, ratio=share)
        chapter = ""
        for each in part:
            if each.chapter != chapter:
                chapter = each.chapter
                table.add_section()
                table.add_row("", Text(chapter, "bold"))
            notes = "、".join(templates.label(f"import_{warning}", language) for warning in each.warnings)
            change = templates.label(f"import_{known[each.key]}", language)
            answer = " ".join(each.draft.answer.split())
            # as plain text: a guide may contain [brackets] that mean something to the terminal
            table.add_row(*map(Text, (each.draft.article, each.draft.title, answer[:60], change, notes)))
        out.print(table)
    counts = {change: len(keys) for change, keys in changes.items()}
    out.print(templates.render_text("_import_counts", language, entries=len(drafted), **counts), highlight=False)
