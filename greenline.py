"""The composition root and the command line: the one place that wires everything."""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlmodel.ext.asyncio.session import AsyncSession

import migrations
import templates
from api import archive_commands, commands, guide_commands, queue_commands, server, tier_commands
from api.services import Services
from bot.assistant import Assistant
from bot.codes import Codes
from bot.mind import Mind
from bot.on_call import OnCall
from bot.reception import Reception
from bot.telegram import service as telegram_service
from bot.telegram.service import TelegramService
from bot.trials import TASK as TRY_LEARNING
from bot.trials import Trials
from bot.usher import Usher
from desk import alarms, archive_runs, binding, january, jobs, logs, postgres, retention, settings, sms
from desk.attachments import Folder
from desk.clock import SystemClock
from desk.errors import DatabaseDown, DeskError, SetupError
from desk.settings import Settings, secret_key
from desk.store import Bell, Store
from knowledge import entries, learning
from knowledge.importer import ImportProblem
from knowledge.search import Finding

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="绿线 Greenline: customer service for large power customers.",
)
out: Final = Console()
err: Final = Console(stderr=True)
log = logging.getLogger("greenline")
T = TypeVar("T")


# -- wiring -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def database(config: Settings) -> Iterator[str]:
    """The URL of the configured PostgreSQL, or of the embedded one, which runs meanwhile. Raises SetupError."""
    if config.database_url is None:
        with postgres.embedded(config.data_dir) as url:
            yield url
        return
    config.data_dir.mkdir(parents=True, exist_ok=True)
    yield config.database_url.get_secret_value()


def prepare(url: str) -> None:
    """A database to work with: schema up to date, the shipped guide published. Raises SetupError."""
    migrations.upgrade(url)
    _in_one_transaction(url, _publish_seeds)


@contextlib.asynccontextmanager
async def wired(config: Settings, url: str, *, telegram: bool) -> AsyncIterator[Services]:
    """All services over one database."""
    store, clock = Store(url), SystemClock()
    storage = Folder(config.data_dir / "attachments")
    mind = Mind(store, clock, config)
    reception = Reception(config.zone)
    assistant = Assistant(store, mind, clock, reception, language=config.locale)
    service = None
    try:
        async with Bell(url) as bell:
            if telegram and config.telegram_token:
                service = TelegramService(config, store, bell, clock, assistant, storage)
            yield Services(config, store, bell, clock, mind, assistant, storage, service)
    finally:
        if service:
            await service.close()
        await store.close()


@contextlib.asynccontextmanager
async def following(services: Services) -> AsyncIterator[None]:
    """The guide loading, and reloaded whenever it changes."""
    task = asyncio.create_task(services.mind.follow(services.bell), name="guide")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def working(services: Services) -> AsyncIterator[None]:
    """A job worker with all tasks."""
    app = jobs.app(services.store.url)

    async def finish_album(conversation: int, album: str) -> None:
        await services.mind.loaded.wait()
        await services.assistant.finish_album(conversation, album)

    async def fetch_files(line: int) -> None:
        if services.telegram:
            await services.telegram.fetch_files(line)

    async def attend_classification(timestamp: int) -> None:
        async with services.store.transaction() as db:
            await january.attend(db, at=services.clock.now(), zone=services.settings.zone)

    async def import_archive(run: str) -> None:
        zone = services.settings.zone
        await archive_runs.work(services.store, services.storage, services.clock, run, zone=zone)

    async def tidy(timestamp: int) -> None:
        await retention.tidy(services.store, services.storage, at=services.clock.now())

    async def forget_learned(lines: list[int]) -> None:
        async with services.store.transaction() as db:
            await learning.forget(db, lines)

    async def retry_orphans(timestamp: int) -> None:
        await jobs.retry_orphans(app)

    jobs.register(app, "retry_orphans", retry_orphans, cron="* * * * * */10")
    jobs.register(app, retention.FORGET, forget_learned)
    jobs.register(app, "tidy", tidy, cron="30 18 * * *")
    trials = Trials(services.store, services.mind, services.clock, zone=services.settings.zone)

    async def try_learning(change: int) -> None:
        await services.mind.loaded.wait()
        await trials.work(change)

    jobs.register(app, TRY_LEARNING, try_learning)
    jobs.register(app, "finish_album", finish_album)
    jobs.register(app, "fetch_files", fetch_files)
    jobs.register(app, archive_runs.TASK, import_archive)
    gateway = sms.from_settings(services.settings)
    codes = Codes(services.store, services.clock, gateway, services.settings.locale)
    jobs.register(app, binding.SEND, codes.send)
    jobs.register(app, alarms.TELL, OnCall(services.store, services.clock, gateway, services.settings.locale).tell)
    usher = Usher(services.store, services.bell, services.clock, Reception(services.settings.zone))
    # every hour, because the day begins when the service area says so
    jobs.register(app, "attend_classification", attend_classification, cron="10 * * * *")
    async with app.open_async():
        tasks = [
            asyncio.create_task(jobs.work(app), name="worker"),
            asyncio.create_task(usher.run(), name="usher"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def run_until_stopped(main: Callable[[asyncio.Event], Any]) -> None:
    """Run with an event that SIGINT or SIGTERM sets."""

    async def started() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(started())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


# -- commands ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Turn what keeps the program from starting into one sentence and exit code 2."""
    try:
        yield
    except SetupError as error:
        err.print(templates.render_setup_error(error.reason, error.facts), style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except ImportProblem as problem:
        err.print(
            templates.render_setup_error(f"import_{problem.reason}", problem.facts),
            style="red",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(2) from None
    except DatabaseDown:
        err.print(
            templates.render_setup_error("database_unreachable", {"url": "", "problem": ""}),
            style="red",
            soft_wrap=True,
        )
        raise typer.Exit(2) from None
    except DeskError as error:
        for language in templates.LANGUAGES:
            title, advice = templates.error_words(
                [kind.__name__ for kind in type(error).__mro__], language, **error.facts
            )
            err.print(f"{title}: {advice}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


PortOption = Annotated[int | None, typer.Option("--port", help="HTTP port (default 8000 or GREENLINE_PORT).")]


@cli.command()
def run(
    demo: Annotated[bool, typer.Option("--demo", help="Load sample data first.")] = False,
    port: PortOption = None,
) -> None:
    """Everything in one process: web, Telegram, jobs."""
    _serve(port=port, web=True, telegram=True, worker=True, demo=demo)


@cli.command()
def web(port: PortOption = None) -> None:
    """Only HTTP: chat page, API, webhook."""
    _serve(port=port, web=True, telegram=False, worker=False)


@cli.command()
def bot() -> None:
    """Only Telegram: receive and send."""
    _serve(port=None, web=False, telegram=True, worker=False)


@cli.command()
def worker() -> None:
    """Only jobs and timers."""
    _serve(port=None, web=False, telegram=False, worker=True)


def _waiting(label: str, config: Settings) -> contextlib.AbstractContextManager[Any]:
    """A progress line while something takes its time, where there is a terminal."""
    return out.status(templates.label(label, config.locale)) if out.is_terminal else contextlib.nullcontext()


def _serve(*, port: int | None, web: bool, telegram: bool, worker: bool, demo: bool = False) -> None:
    began = time.monotonic()
    logs.configure()
    with _plainly(), contextlib.ExitStack() as stack:
        config = telegram_service.checked(settings.load(**({"port": port} if port else {})))
        listener = stack.enter_context(contextlib.closing(server.listening(config.port))) if web else None
        with _waiting("starting", config):
            url = stack.enter_context(database(config))
            prepare(url)
            secret_key(config)
            if demo:
                archive_commands.load_demo(url)

        def announce() -> None:
            if not web:
                log.info("running")
                return
            seconds = time.monotonic() - began
            out.print(
                templates.render_text("_ready", config.locale, port=config.port, seconds=f"{seconds:.1f}"),
                highlight=False,
            )

        async def main(stop: asyncio.Event) -> None:
            async with contextlib.AsyncExitStack() as running:
                # every part needs the bot: the webhook arrives at `web`, and `worker` fetches files
                services = await running.enter_async_context(wired(config, url, telegram=True))
                await running.enter_async_context(following(services))
                if worker:
                    await running.enter_async_context(working(services))
                ended = asyncio.create_task(server.serve(services, listener, stop) if listener else stop.wait())
                # HTTP says how it is and keeps messages while the guide loads; Telegram keeps its own until then
                loaded = asyncio.create_task(services.mind.loaded.wait())
                await asyncio.wait([loaded, ended], return_when=asyncio.FIRST_COMPLETED)
                if loaded.done():
                    if telegram and services.telegram:
                        await running.enter_async_context(services.telegram.running())
                    announce()
                loaded.cancel()
                await ended

        run_until_stopped(main)


@cli.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    with _plainly(), database(settings.load()) as url:
        migrations.upgrade(url)


@cli.command()
def check() -> None:
    """Look at configuration, database, guide and search, and say what is wrong."""
    table = Table(show_header=False, box=None)
    failed = False

    def row(name: str, good: bool | None, said: str) -> None:
        nonlocal failed
        failed |= good is False
        mark = {True: Text("✓", "green"), False: Text("✗", "red"), None: Text("·", "dim")}[good]
        table.add_row(mark, name, said)

    with _plainly():
        config = telegram_service.checked(settings.load())
    for name, value in config.model_dump().items():
        row(f"GREENLINE_{name.upper()}", None, "" if value is None else str(value))
    seeds = entries.seeds()
    row("guide", len(seeds) > 0, f"{len(seeds)} entries")
    from knowledge import encoders
    from knowledge.search import Guide

    second = encoders.second(config.encoder, model=config.encoder_model)
    row("search", True, "full" if second else "lite")
    few = entries.as_entries(dict(list(seeds.items())[:5]))
    row("answers", len(Guide(few, encoders.lite(), None)) == len(few), "ok")
    try:
        with database(config) as url:
            migrations.upgrade(url)
            row("database", True, logs.mask(url.split("?")[0]))
    except SetupError as error:
        row("database", False, templates.render_setup_error(error.reason, error.facts))
    out.print(table)
    if failed:
        raise typer.Exit(1)


def _in_one_transaction(url: str, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """What a command does to the database: all of it or nothing."""

    async def done() -> T:
        store = Store(url)
        try:
            async with store.transaction() as db:
                return await work(db)
        finally:
            await store.close()

    return asyncio.run(done())


async def _publish_seeds(db: AsyncSession) -> None:
    seeds, at = entries.seeds(), SystemClock().now()
    await entries.publish(db, seeds, origin=entries.SEEDS, by="greenline", at=at, complete=True)


def _administer(work: commands.Work) -> tuple[Settings, Any]:
    """What an administering command does to an up-to-date database: all of it or nothing."""
    with _plainly():
        config = settings.load()
        with database(config) as url:
            migrations.upgrade(url)
            return config, _in_one_transaction(url, lambda db: work(db, config))


commands.install(cli, _administer, out)
tier_commands.install(cli, _administer, out)


@contextlib.contextmanager
def _opened() -> Iterator[tuple[Settings, str]]:
    """Settings and an up-to-date database for a command that opens its own transactions."""
    with _plainly():
        config = settings.load()
        with database(config) as url:
            prepare(url)
            yield config, url


archive_commands.install(cli, _opened, out)
queue_commands.install(cli, _opened, migrations.upgrade, out)


async def _find(config: Settings, url: str, text: str) -> Finding:
    async with wired(config, url, telegram=False) as services:
        await services.mind.load()
        return await services.mind.find(text)


guide_commands.install(cli, guide_commands.Means(_plainly, _opened, _waiting, _in_one_transaction, _find), out, err)


def main() -> None:
    """Entry point of the `greenline` command."""
    # before the event loop runs, a request to end must still stop the embedded database
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cli()


if __name__ == "__main__":
    main()
