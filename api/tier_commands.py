"""Commands of the classification: `tiers classify` and `tiers near`, with their tables."""

import contextlib
import getpass
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlmodel.ext.asyncio.session import AsyncSession

import templates
from api.commands import Administer
from api.tiers import tie_over_a_cut
from desk import classification
from desk.clock import SystemClock
from desk.settings import Settings


def install(cli: typer.Typer, administer: Administer, out: Console) -> None:
    """Add `tiers`."""
    tiers_cli = typer.Typer(no_args_is_help=True, help="Classify customers by purchase.")
    cli.add_typer(tiers_cli, name="tiers")

    def say(text: str, config: Settings, **facts: Any) -> None:
        out.print(templates.render_text(text, config.locale, **facts), highlight=False, markup=False, soft_wrap=True)

    def waiting(config: Settings) -> contextlib.AbstractContextManager[Any]:
        words = templates.label("classifying", config.locale)
        return out.status(words) if out.is_terminal else contextlib.nullcontext()

    @tiers_cli.command("classify")
    def classify(
        year: Annotated[int, typer.Option(min=2000, max=2999, help="Judged by the purchases of the year before.")],
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show counts, ties and moves.")] = False,
    ) -> None:
        """Propose and confirm a year's tiers and flags; a confirmed year is frozen, twice changes nothing."""
        by, at = getpass.getuser(), SystemClock().now()

        async def work(db: AsyncSession, config: Settings) -> tuple[str, dict[str, Any]]:
            with waiting(config):
                if dry_run:
                    computed = await classification.preview(db, year)
                    return "_tiers_previewed", {"accounts": computed.accounts, "counts": computed.counts}
                fresh = await classification.settle(db, year, by=by, at=at)
                run = await classification.of(db, year)
            found = {"accounts": run.accounts, "counts": run.counts, "by": run.confirmed_by}
            return "_tiers_confirmed" if fresh else "_tiers_frozen", found

        config, (text, found) = administer(work)
        for part in _tables(found["counts"], config.locale):
            out.print(part, soft_wrap=isinstance(part, Text))
        say(text, config, year=year, **found["counts"], **found)

    @tiers_cli.command("near")
    def near() -> None:
        """Accounts that lack at most a tenth of what the next tier starts with, by the latest classification."""
        config, found = administer(lambda db, config: classification.near_next(db))
        if not found:
            say("_tiers_none_near", config)
            return
        table = _table(config.locale, "tiers_account", "tiers_tier", "tiers_rank", "tiers_amount", "tiers_short")
        for line, account in found:
            _row(table, account.no, line.tier, line.rank, line.amount, Decimal(line.why["short"]))
        out.print(table)


def _tables(counts: Mapping[str, Any], language: str) -> Iterator[Table | Text]:
    """Counts of a classification: tiers, flags, moves from tier to tier, and every tie over a cut."""
    tiers = _table(language, "tiers_tier", "tiers_accounts", "tiers_by_rule", "tiers_cut")
    for tier, accounts in counts["tiers"].items():
        _row(tiers, tier, accounts, counts["by_rule"][tier], counts["cuts"].get(tier, ""))
    yield tiers
    flags = _table(language, "tiers_flag", "tiers_accounts")
    for flag in ("large", "important", "near", "without_purchase"):
        _row(flags, templates.label(f"tiers_{flag}", language), counts[flag])
    yield flags
    if counts["moves"]:
        moves = _table(language, "tiers_before", "tiers_after", "tiers_accounts")
        for move in counts["moves"]:
            _row(moves, move["before"], move["tier"], move["accounts"])
        yield moves
    yield from (Text(tie_over_a_cut(tie, language)) for tie in counts["ties"])


def _table(language: str, *columns: str) -> Table:
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(templates.label(column, language), justify="right" if number else "left")
    return table


def _row(table: Table, *cells: object) -> None:
    table.add_row(*(f"{c:,}" if isinstance(c, int | Decimal) else Text(str(c)) for c in cells))
