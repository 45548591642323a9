"""One Chromium and one real `greenline run` for all browser tests; every test gets a browser profile of its own."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.browser.visitor import Visitor, chromium, enter
from tests.conftest import Process, copied

Arrive = Callable[..., Awaitable[Visitor]]


class Site:
    """A running Greenline that can be taken down and brought back at the same address."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self._folder = url, folder
        self._process = self._begin()
        self.port, self.base = self._process.port, self._process.base

    def _begin(self, **settings: str) -> Process:
        return Process(self.url, self._folder, "run", **settings)

    def ready(self) -> "Site":
        """Wait until it answers."""
        self._process.ready(seconds=120)
        return self

    def stop(self) -> None:
        """End it as its operator would."""
        assert self._process.stop() == 0, self._process.output()

    def start(self) -> "Site":
        """The same port, the same database."""
        self._process = self._begin(port=str(self.port))
        self._process.port, self._process.base = self.port, self.base
        return self


@contextlib.contextmanager
def served(server: str, config: pytest.Config, fill: Callable[[str], None] = lambda url: None) -> Iterator[Site]:
    """A running Greenline on a database of its own, which `fill` prepares."""
    # sentence vectors take long to compute, so they are kept from run to run
    assert config.cache is not None
    with copied(server) as url:
        fill(url)
        site = Site(url, config.cache.mkdir("site"))
        yield site.ready()
        site.stop()


@pytest.fixture(scope="session")
def site(server: str, template: str, pytestconfig: pytest.Config) -> Iterator[Site]:
    """Greenline with the shipped guide, for all browser tests."""
    with served(server, pytestconfig) as site:
        yield site


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests."""
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def arrive(browser: Browser, site: Site) -> AsyncIterator[Arrive]:
    """New customers: `await arrive(dark=True)`. The browser must have complained about nothing unexpected."""
    visitors: list[Visitor] = []

    async def begin(**options: Any) -> Visitor:
        visitors.append(await enter(browser, site.base, **options))
        return visitors[-1]

    yield begin
    for visitor in visitors:
        await visitor.page.context.close()
    assert [fault for visitor in visitors for fault in visitor.unexpected()] == []


@pytest.fixture
async def visitor(arrive: Arrive) -> Visitor:
    """A customer with a phone, who has just opened the chat in Chinese."""
    return await (await arrive()).open()
