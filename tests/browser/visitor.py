"""A customer at a real browser: what they do, what they see, and every fault the browser complains about."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, Response, async_playwright

FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
WIDTHS: Final = {"phone": (390, 844), "desk": (1280, 800)}
PATIENCE: Final = 10_000  # milliseconds to wait for what is expected


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium, or else Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=[*FLAGS])
        yield browser
        await browser.close()


class Visitor:
    """One page of one customer. `faults` collects console errors, script errors, failed and refused requests."""

    def __init__(self, page: Page, base: str, language: str) -> None:
        self.page, self.base, self.language = page, base, language
        self.faults: list[str] = []
        self._forgiven: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._refused)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text} {message.location.get('url', '')}")

    def _failed(self, request: Request) -> None:
        # leaving a page ends its live stream, and the answer to a message whose line has come by the stream
        if not (request.failure == "net::ERR_ABORTED" and "/api/v1/chat/" in request.url):
            self.faults.append(f"failed: {request.url} {request.failure}")

    def _refused(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"refused: {response.url} {response.status}")

    def expect_faults(self, pattern: str) -> None:
        """Faults that belong to what is being shown: a cut connection, a refused file."""
        self._forgiven.append(pattern)

    def unexpected(self) -> list[str]:
        """The faults that nobody announced."""
        return [fault for fault in self.faults if not any(re.search(pattern, fault) for pattern in self._forgiven)]

    # -- doing --

    async def open(self, path: str = "/chat", *, live: bool = True) -> "Visitor":
        """Open the page in the language of this visitor, and wait for the greeting unless the script is off."""
        mark = "&" if "?" in path else "?"
        await self.page.goto(f"{self.base}{path}{mark}lang={self.language}")
        if live:
            await self.replies.first.wait_for()
        return self

    async def ask(self, text: str) -> Locator:
        """Write a message, send it with Enter, wait for the reply to it; gives the reply."""
        await self.box.fill(text)
        return await self.answer_to(self.box.press("Enter"))

    async def choose(self, label: str) -> Locator:
        """Tap a choice of the last message; gives the reply to it."""
        button = self.page.locator("#lines .line").last.get_by_role("button", name=label, exact=True)
        return await self.answer_to(button.click())

    async def answer_to(self, deed: Any) -> Locator:
        """The reply that follows a deed."""
        before = await self.replies.count()
        await deed
        reply = self.replies.nth(before)
        await reply.wait_for()
        return reply

    # -- seeing --

    @property
    def box(self) -> Locator:
        """Where the customer writes."""
        return self.page.locator("#text")

    @property
    def replies(self) -> Locator:
        """What was said to them, oldest first."""
        return self.page.locator("#lines .line.out")

    @property
    def said(self) -> Locator:
        """What they said, oldest first."""
        return self.page.locator("#lines .line.in")

    async def choices(self) -> list[str]:
        """The labels under the last line."""
        return await self.page.locator("#lines .line").last.locator(".choice").all_inner_texts()


async def enter(
    browser: Browser,
    base: str,
    *,
    size: str = "phone",
    dark: bool = False,
    language: str = "zh_CN",
    script: bool = True,
    **options: Any,
) -> Visitor:
    """A new customer with a browser of their own, which remembers nothing."""
    width, height = WIDTHS[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        locale=language.replace("_", "-"),
        timezone_id="Asia/Shanghai",
        java_script_enabled=script,
        has_touch=size == "phone",
        **options,
    )
    return Visitor(await context.new_page(), base, language)
