"""The test bed: one embedded PostgreSQL a run, a migrated database a test, a clock that tests move, real processes."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest

import greenline
from api.app import create_app
from api.services import Services
from bot.assistant import Assistant
from bot.mind import Mind
from bot.reception import Reception
from desk import postgres
from desk.attachments import Folder
from desk.settings import Settings
from desk.store import Bell, Store, plain_url

ROOT: Final = Path(__file__).parents[1]
MONDAY: Final = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)  # 09:00 in Shanghai, an ordinary working day


class SetClock:
    """A clock that a test moves."""

    def __init__(self, at: datetime = MONDAY) -> None:
        self.at = at

    def now(self) -> datetime:
        """The set instant."""
        return self.at

    def forward(self, **amount: float) -> datetime:
        """Let time pass: `forward(hours=3)`."""
        self.at += timedelta(**amount)
        return self.at


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


# -- database ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """An embedded PostgreSQL for this run; gives its URL. Its data may be lost in a crash: it only lives for the run."""
    # short, because a unix socket lies in it, and open, because the server of root runs as another user
    folder = Path(tempfile.mkdtemp(prefix="gl-"))
    folder.chmod(0o755)
    try:
        with postgres.embedded(folder) as url:
            with psycopg.connect(plain_url(url), autocommit=True) as db:
                for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                    db.execute(f"ALTER SYSTEM SET {setting} = off")
                db.execute("SELECT pg_reload_conf()")
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _named(url: str, name: str) -> str:
    base, _, options = url.partition("?")
    return f"{base.rsplit('/', 1)[0]}/{name}?{options}"


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """A migrated database with the shipped guide, to copy."""
    with psycopg.connect(plain_url(server), autocommit=True) as db:
        db.execute("CREATE DATABASE pattern")
    url = _named(server, "pattern")
    greenline.prepare(url)
    return url


_numbers = itertools.count(1)


@contextlib.contextmanager
def copied(server: str) -> Iterator[str]:
    """A copy of the migrated database with the shipped guide, for as long as it is used; gives its URL."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(plain_url(server), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name} TEMPLATE pattern")
        yield _named(server, name)
        db.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(server: str, template: str) -> Iterator[str]:
    """A database of this test's own."""
    with copied(server) as url:
        yield url


@pytest.fixture
def clock() -> SetClock:
    """09:00 on an ordinary Monday, until the test moves it."""
    return SetClock()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """Transactions on this test's database."""
    store = Store(url, pool_size=20)
    yield store
    await store.close()


@pytest.fixture
async def bell(url: str) -> AsyncIterator[Bell]:
    """Wake-ups on this test's database."""
    async with Bell(url) as bell:
        yield bell


# -- the assistant ----------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, url: str) -> Settings:
    """Settings of this test: its database and a data folder of its own, nothing from the environment."""
    return Settings(_env_file=None, database_url=url, data_dir=tmp_path)  # type: ignore[call-arg]


@pytest.fixture(scope="session")
def loaded(template: str, pytestconfig: pytest.Config) -> Mind:
    """A mind that has indexed the shipped guide, built once a run; vectors are kept from run to run."""
    assert pytestconfig.cache is not None
    kept = pytestconfig.cache.mkdir("mind")

    async def load() -> Mind:
        config = Settings(_env_file=None, data_dir=kept)  # type: ignore[call-arg]
        store = Store(template)
        mind = Mind(store, SetClock(), config)
        await mind.load()
        await store.close()
        return mind

    return asyncio.run(load())


@pytest.fixture
def mind(store: Store, clock: SetClock, config: Settings, loaded: Mind) -> Mind:
    """What the assistant knows, on this test's database; the index of the shipped guide is taken over."""
    mind = Mind(store, clock, config)
    mind._guide, mind._reader, mind._known = loaded._guide, loaded._reader, loaded._known
    mind.loaded.set()
    return mind


@pytest.fixture
def assistant(store: Store, mind: Mind, clock: SetClock, config: Settings) -> Assistant:
    """The assistant, Chinese first."""
    return Assistant(store, mind, clock, Reception(config.zone), language="zh_CN")


@pytest.fixture
def services(
    config: Settings, store: Store, bell: Bell, clock: SetClock, mind: Mind, assistant: Assistant, tmp_path: Path
) -> Services:
    """Everything behind the web edge, without Telegram."""
    return Services(config, store, bell, clock, mind, assistant, Folder(tmp_path / "attachments"), None)


@pytest.fixture
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the web application without a network. It buffers: streams need `running`."""
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://greenline.test") as client:
        yield client


# -- real processes ---------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], *, seconds: float = 20) -> Any:
    """The first true value of `condition`; fails when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


class Process:
    """A real `greenline` process."""

    def __init__(self, url: str, data_dir: Path, *arguments: str, **settings: str) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = data_dir / f"{arguments[0]}-{self.port}.log"
        data_dir.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GREENLINE_")}
        environment |= {"GREENLINE_DATABASE_URL": url, "GREENLINE_DATA_DIR": str(data_dir)}
        environment |= {"GREENLINE_PORT": str(self.port), "PYTHONPATH": str(ROOT)}
        environment |= {f"GREENLINE_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "greenline", *arguments],
                cwd=data_dir,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def output(self) -> str:
        """Everything printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def ready(self, *, seconds: float = 60) -> "Process":
        """Wait until questions can be answered over HTTP."""

        def answered() -> bool:
            assert self.process.poll() is None, self.output()
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{self.base}/readyz", timeout=5).status_code == 200
            return False

        until(answered, seconds=seconds)
        return self

    def kill(self) -> None:
        """Die at once, as in a power cut."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def start(url: str, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts real processes on this test's database: `start("run", telegram_token="…")`; all end with the test."""
    processes: list[Process] = []

    def begin(*arguments: str, **settings: str) -> Process:
        processes.append(Process(url, tmp_path / "process", *arguments, **settings))
        return processes[-1]

    yield begin
    for process in processes:
        if process.process.poll() is None:
            process.kill()
