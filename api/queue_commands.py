"""Commands of the line: `queue simulate`, with its table and its plot."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import psycopg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import templates
from api.archive_commands import Opened
from desk import arrivals, policy, postgres, simulation
from desk.arrivals import Arrival, Staffing
from desk.clock import SystemClock
from desk.policy import Queue
from desk.ranks import Rank
from desk.settings import Settings
from desk.simulation import Played
from desk.store import Store, plain_url

WIDTH, HEIGHT = 860, 420  # of the plot, its margins among them
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 30, 50
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)  # minutes between two marks of an axis
_COUNTED: Final = ("arrivals", "served")
_SECONDS: Final = ("mean_s", "median_s", "p95_s", "max_s")
_MORE: Final = ("breaches", "promised", "left", "expired")


def install(cli: typer.Typer, opened: Opened, migrate: Callable[[str], None], out: Console) -> None:
    """Add `queue`; `migrate` makes an empty database ready."""
    queue_cli = typer.Typer(no_args_is_help=True, help="The line of customers who wait for a person.")
    cli.add_typer(queue_cli, name="queue")

    @queue_cli.callback()
    def group() -> None:
        """The line of customers who wait for a person."""

    @queue_cli.command("simulate")
    def simulate(
        file: Annotated[
            Path | None, typer.Argument(exists=True, dir_okay=False, help="Arrivals, CSV with `at` and `tier`.")
        ] = None,
        yesterday: Annotated[bool, typer.Option("--yesterday", help="The real arrivals of the day before.")] = False,
        agents: Annotated[int, typer.Option("--agents", min=0, max=1000, help="Agents all day.")] = 3,
        staffing: Annotated[
            Path | None, typer.Option("--staffing", exists=True, dir_okay=False, help="CSV: from, to, agents.")
        ] = None,
        handling_s: Annotated[
            float | None, typer.Option("--handling-s", min=1, max=86_400, help="Mean seconds of a conversation.")
        ] = None,
        capacity: Annotated[
            int | None, typer.Option("--capacity", min=1, max=50, help="Conversations of one agent at a time.")
        ] = None,
        seed: Annotated[int, typer.Option("--seed", help="Of what is drawn; the same seed, the same day.")] = 1,
        plot: Annotated[Path | None, typer.Option("--plot", dir_okay=False, help="Draw the waits, .svg.")] = None,
    ) -> None:
        """Play arrivals through the real ordering code under any staffing; nothing real is changed or waits for it."""
        if (file is None) != yesterday:
            raise typer.BadParameter("FILE | --yesterday", param_hint="FILE")
        if plot and plot.suffix.lower() != ".svg":
            raise typer.BadParameter(".svg", param_hint="--plot")
        with opened() as (config, url):
            rules, arriving = asyncio.run(_prepared(url, config, file))
            crews = arrivals.staffing(staffing) if staffing else [Staffing(*arrivals.ALL_DAY, agents)]
        with opened_empty(migrate) as empty:
            more = {"handling_s": handling_s or rules.handling_s, "capacity": capacity or rules.capacity, "seed": seed}
            played = asyncio.run(_play(empty, arriving, crews, rules, config, out, **more))
        figures = played.by_rank(rules.targets_s)
        out.print(_table(figures, config.locale))
        facts = {
            "arrivals": len(arriving), "agents": arrivals.most_at_once(crews),
            "utilisation": round(100 * played.utilisation), "plot": str(plot or ""),
        }  # fmt: skip
        if plot:
            plot.write_text(waits(played, rules, config), encoding="utf-8")
        said = templates.render_text("_queue_simulated", config.locale, **facts)
        out.print(said, highlight=False, markup=False, soft_wrap=True)


async def _prepared(url: str, config: Settings, file: Path | None) -> tuple[Queue, list[Arrival]]:
    """The policy in force, and the arrivals; all that is read of the real database."""
    store, now = Store(url, pool_size=1), SystemClock().now()
    try:
        async with store.transaction() as db:
            rules = (await policy.current(db, at=now)).queue
            if file:
                return rules, arrivals.read(file, config.zone)
            day = now.astimezone(config.zone).date() - timedelta(days=1)
            return rules, await arrivals.of_day(db, day, config.zone)
    finally:
        await store.close()


@contextlib.contextmanager
def opened_empty(migrate: Callable[[str], None]) -> Iterator[str]:
    """The URL of a migrated database of its own, on a server of its own that ends with it."""
    with tempfile.TemporaryDirectory(prefix="gl-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # the server of root runs as another user
        with postgres.embedded(Path(name)) as url:
            with psycopg.connect(plain_url(url), autocommit=True) as db:
                for setting in ("fsync", "synchronous_commit"):  # nothing here has to survive
                    db.execute(f"ALTER SYSTEM SET {setting} = off")
                db.execute("SELECT pg_reload_conf()")
            migrate(url)
            yield url


async def _play(
    url: str, arriving: Sequence[Arrival], crews: Sequence[Staffing], rules: Queue, config: Settings, out: Console,
    **more: Any,
) -> Played:  # fmt: skip
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    store = Store(url, pool_size=1)
    try:
        with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
            task = bar.add_task(templates.label("simulating", config.locale), total=len(arriving))
            return await simulation.play(
                store, arriving, crews, rules, zone=config.zone, advance=lambda: bar.advance(task), **more
            )
    finally:
        await store.close()


def _table(figures: Sequence[dict[str, Any]], language: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column(templates.label("sim_rank", language), no_wrap=True)
    for column in (*_COUNTED, *_SECONDS, *_MORE):
        table.add_column(templates.label(f"sim_{column}", language), justify="right", no_wrap=True)
    for row in figures:
        cells = [f"{row[column]:,}" for column in _COUNTED]
        cells += [_span(row[column]) for column in _SECONDS]
        cells += [f"{row[column]:,}" for column in _MORE]
        table.add_row(templates.label(f"rank_{row['rank']}", language), *cells)
    return table


def _span(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02}"
    )


# -- the plot ---------------------------------------------------------------------------------------------------------


def waits(played: Played, rules: Queue, config: Settings) -> str:
    """An SVG picture: every arrival a dot, the hour of arrival to the right, minutes waited upwards."""
    fates = played.fates
    begins = min((fate.arrival.at for fate in fates), default=SystemClock().now()).astimezone(config.zone)
    begins = begins.replace(minute=0, second=0, microsecond=0)
    span = max((fate.arrival.at - begins).total_seconds() / 60 for fate in fates) if fates else 0
    across, up = _marks(max(span, 1)), _marks(max((fate.wait_s / 60 for fate in fates), default=1) or 1)

    def x(minutes: float) -> float:
        return round(LEFT + minutes / across[-1] * (WIDTH - LEFT - RIGHT), 1)

    def y(minutes: float) -> float:
        return round(HEIGHT - BOTTOM - minutes / up[-1] * (HEIGHT - TOP - BOTTOM), 1)

    ranks = [rank for rank in Rank if any(fate.rank is rank for fate in fates)]
    dots = [
        {
            "x": x((fate.arrival.at - begins).total_seconds() / 60), "y": y(fate.wait_s / 60), "rank": fate.rank.key,
            "served": fate.end == "served",
        }
        for fate in fates
    ]  # fmt: skip
    return templates.render_text(
        "_queue_waits", config.locale, width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT, top=TOP,
        bottom=HEIGHT - BOTTOM, dots=dots,
        hours=[{"x": x(m), "words": (begins + timedelta(minutes=m)).strftime("%H:%M")} for m in across],
        minutes=[{"y": y(m), "words": str(m)} for m in up],
        ranks=[{"rank": rank.key, "y": TOP + 20 * n} for n, rank in enumerate(ranks)],
        targets=[
            {"rank": rank.key, "y": y(rules.targets_s[rank.key] / 60)} for rank in ranks
            if rules.targets_s[rank.key] / 60 <= up[-1]
        ],
    )  # fmt: skip


def _marks(most: float) -> list[int]:
    """Round minutes from 0 to beyond `most`, at most about ten."""
    step = next((each for each in _STEPS if most / each <= 10), -(-int(most) // 10))
    return [step * n for n in range(int(-(-most // step)) + 1)]
