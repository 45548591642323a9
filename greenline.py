"""The composition root and the command line: the one place that wires everything."""

import asyncio
import contextlib
import json
import logging
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvicorn
from alembic import command as alembic
from alembic.config import Config
from rich.console import Console
from rich.table import Table

import templates
from api.app import create_app
from api.services import Services
from bot.assistant import Assistant
from bot.mind import Mind
from bot.telegram import service as telegram_service
from bot.telegram.service import TelegramService
from desk import jobs, logs, postgres, settings
from desk.attachments import Folder
from desk.clock import SystemClock
from desk.errors import DatabaseDown, SetupError
from desk.settings import Settings
from desk.store import Bell, Store, plain_url
from knowledge import entries

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="绿线 Greenline: customer service for large power customers.",
)
guide_cli = typer.Typer(no_args_is_help=True, help="Ask, import and examine the service guide.")
cli.add_typer(guide_cli, name="guide")
out: Final = Console()
err: Final = Console(stderr=True)
log = logging.getLogger("greenline")


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


def migrate_to_head(url: str) -> None:
    """Bring the schema up to date. Raises SetupError("database_unreachable")."""
    import psycopg

    try:
        psycopg.connect(plain_url(url), connect_timeout=5).close()
    except psycopg.Error as error:
        problem = str(error).strip().splitlines()[-1]
        raise SetupError("database_unreachable", url=logs.mask(url), problem=logs.mask(problem)) from None
    alembic.upgrade(alembic_config(url), "head")


def alembic_config(url: str) -> Config:
    """Alembic without a file: the migrations of this installation on that database."""
    config = Config()
    config.set_main_option("script_location", "migrations:")
    config.set_main_option("sqlalchemy.url", plain_url(url).replace("%", "%%"))
    return config


def secret_key(config: Settings) -> str:
    """The configured key, or one made once and kept in the data folder."""
    if config.secret_key:
        return config.secret_key.get_secret_value()
    path = config.data_dir / "secret_key"
    if not path.exists():
        path.write_text(secrets.token_urlsafe(48))
        path.chmod(0o600)
    return path.read_text().strip()


@contextlib.asynccontextmanager
async def wired(config: Settings, url: str, *, telegram: bool) -> AsyncIterator[Services]:
    """All services over one database, the guide seeded and loading."""
    store, clock = Store(url), SystemClock()
    storage = Folder(config.data_dir / "attachments")
    mind = Mind(store, clock, config)
    assistant = Assistant(store, mind, clock, language=config.locale)
    try:
        async with store.transaction() as db:
            await entries.publish(
                db, entries.seeds(), origin=entries.SEEDS, by="greenline", at=clock.now(), complete=True
            )
        async with Bell(url) as bell:
            service = None
            if telegram and config.telegram_token:
                service = TelegramService(config, store, bell, clock, assistant, storage)
            yield Services(config, store, bell, clock, mind, assistant, storage, service)
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def following(services: Services) -> AsyncIterator[None]:
    """The guide loaded, and reloaded whenever it changes."""
    await services.mind.load()
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
        await services.assistant.finish_album(conversation, album)

    async def fetch_files(line: int) -> None:
        if services.telegram:
            await services.telegram.fetch_files(line)

    async def refresh_guide(timestamp: int) -> None:
        await services.mind.load()

    jobs.register(app, "finish_album", finish_album)
    jobs.register(app, "fetch_files", fetch_files)
    # entries come into force and expire at midnight of the service area
    jobs.register(app, "refresh_guide", refresh_guide, cron="1 16 * * *")
    async with app.open_async():
        worker = asyncio.create_task(
            app.run_worker_async(install_signal_handlers=False, shutdown_graceful_timeout=5, delete_jobs="successful"),
            name="worker",
        )
        try:
            yield
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


class Server(uvicorn.Server):
    """uvicorn that leaves signals to us and calls back once it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled in `until_stopped`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self._ready()


async def serve_web(
    services: Services, listener: socket.socket, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """HTTP until `stop` is set."""
    config = uvicorn.Config(
        create_app(services),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
        proxy_headers=True,
        server_header=False,
    )
    server = Server(config, ready)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopped.cancel()
    await running


def listening(port: int) -> socket.socket:
    """The port, taken now so that a clash is reported before anything else starts. Raises SetupError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("0.0.0.0", port))
    except OSError as error:
        listener.close()
        raise SetupError("port_taken", port=port, problem=error.strerror) from None
    listener.set_inheritable(True)
    return listener


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
        err.print(templates.render_setup_error(error.reason, error.facts), style="red", highlight=False)
        raise typer.Exit(2) from None
    except DatabaseDown:
        err.print(templates.render_setup_error("database_unreachable", {"url": "", "problem": ""}), style="red")
        raise typer.Exit(2) from None


PortOption = Annotated[int | None, typer.Option("--port", help="HTTP port (default 8000 or GREENLINE_PORT).")]


@cli.command()
def run(
    demo: Annotated[bool, typer.Option("--demo", help="Load sample data first.")] = False,
    port: PortOption = None,
) -> None:
    """Everything in one process: web, Telegram, jobs."""
    _serve(port=port, web=True, telegram=True, worker=True)


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


def _serve(*, port: int | None, web: bool, telegram: bool, worker: bool) -> None:
    began = time.monotonic()
    logs.configure()
    with _plainly(), contextlib.ExitStack() as stack:
        config = telegram_service.checked(settings.load(**({"port": port} if port else {})))
        listener = stack.enter_context(contextlib.closing(listening(config.port))) if web else None
        with out.status(templates.label("starting", config.locale)) if out.is_terminal else contextlib.nullcontext():
            url = stack.enter_context(database(config))
            migrate_to_head(url)
            secret_key(config)

        def announce() -> None:
            seconds = time.monotonic() - began
            out.print(
                templates.render_text("_ready", config.locale, port=config.port, seconds=f"{seconds:.1f}"),
                highlight=False,
            )

        async def main(stop: asyncio.Event) -> None:
            async with contextlib.AsyncExitStack() as running:
                # `web` needs the bot object too: the webhook arrives there
                services = await running.enter_async_context(wired(config, url, telegram=telegram or web))
                await running.enter_async_context(following(services))
                if telegram and services.telegram:
                    await running.enter_async_context(services.telegram.running())
                if worker:
                    await running.enter_async_context(working(services))
                if listener:
                    await serve_web(services, listener, stop, announce)
                else:
                    log.info("running")
                    await stop.wait()

        run_until_stopped(main)


@cli.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    with _plainly(), database(settings.load()) as url:
        migrate_to_head(url)


@cli.command()
def check() -> None:
    """Look at configuration, database, guide and search, and say what is wrong."""
    from rich.text import Text

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
            migrate_to_head(url)
            row("database", True, logs.mask(url.split("?")[0]))
    except SetupError as error:
        row("database", False, templates.render_setup_error(error.reason, error.facts))
    out.print(table)
    if failed:
        raise typer.Exit(1)


@cli.command()
def demo() -> None:
    """Load sample data; doing it twice changes nothing."""
    with _plainly(), database(settings.load()) as url:
        migrate_to_head(url)
        asyncio.run(_seed(url))


async def _seed(url: str) -> None:
    store, clock = Store(url), SystemClock()
    try:
        async with store.transaction() as db:
            await entries.publish(
                db, entries.seeds(), origin=entries.SEEDS, by="greenline", at=clock.now(), complete=True
            )
    finally:
        await store.close()


@guide_cli.command("ask")
def guide_ask(text: Annotated[str, typer.Argument(help="A question as a customer would type it.")]) -> None:
    """What the guide answers."""
    with _plainly():
        config = settings.load()
        with database(config) as url:
            migrate_to_head(url)
            asyncio.run(_ask(config, url, text))


async def _ask(config: Settings, url: str, text: str) -> None:
    async with wired(config, url, telegram=False) as services:
        await services.mind.load()
        finding = await services.mind.find(text)
    out.print(f"{finding.decision} ({finding.confidence:.0%})", style="bold", highlight=False)
    for number, match in enumerate(finding.matches):
        entry = match.entry
        out.print(f"  {match.score:5.1%}  {entry.key} v{entry.version}  {entry.title}", highlight=False)
        if number == 0 and finding.decision == "answer":
            out.print(f"\n{entry.answer.strip()}\n《{entry.document}》{entry.article}\n", highlight=False)


@guide_cli.command("evaluate")
def guide_evaluate(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON lines: questions or intents.")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Examine search or intents with labelled questions: accuracy by style, and latency."""
    from knowledge import evaluate

    with _plainly():
        config = settings.load()
    try:
        report = evaluate.run(
            file,
            encoder=config.encoder,
            cache=config.data_dir / "cache" if config.data_dir.exists() else None,
        )
    except evaluate.BadExamination as error:
        err.print(f"{file}:{error.line}: {error.problem}", style="red", highlight=False)
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


def main() -> None:
    """Entry point of the `greenline` command."""
    cli()


if __name__ == "__main__":
    main()
