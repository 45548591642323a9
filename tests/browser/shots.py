"""Pictures of every state of the chat, to be looked at: `python -m tests.browser.shots FOLDER [STATE…]`."""

import argparse
import asyncio
import base64
import contextlib
import http.server
import itertools
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

from playwright.async_api import Browser

import greenline
from desk import postgres
from tests.browser.visitor import Visitor, chromium, enter
from tests.conftest import ROOT, Process

ANSWERED: Final = {"zh_CN": "双电源的供电方案多久能出来?", "en": "How long does a supply plan for dual supply take?"}
UNCLEAR: Final = {"zh_CN": "停电要提前多久通知？", "en": "Who gets told about an outage?"}
SILENT: Final = {"zh_CN": "低压居民要多久?", "en": "How long for a low-voltage home?"}
NEED: Final = {
    "zh_CN": "请派人核对二号电表底数，照片和清单附上。市一医院。",
    "en": "Please check the reading of meter 2; photo and list attached. City Hospital.",
}
METER: Final = """<body style="margin:0"><svg viewBox="0 0 800 600" width="800" height="600">
<rect width="800" height="600" fill="#b9c4c9"/><rect y="470" width="800" height="130" fill="#8d8479"/>
<rect x="230" y="60" width="340" height="440" rx="18" fill="#e8e6df" stroke="#6d7377" stroke-width="6"/>
<circle cx="400" cy="230" r="130" fill="#f9f9f6" stroke="#6d7377" stroke-width="6"/>
<path d="M400 230 L470 150" stroke="#b3261e" stroke-width="8"/><circle cx="400" cy="230" r="12" fill="#333"/>
<rect x="310" y="400" width="180" height="60" rx="6" fill="#22302a"/>
<text x="400" y="444" font-size="40" fill="#8fe0b8" text-anchor="middle" font-family="monospace">048 217</text></svg>"""


async def greeting(visitor: Visitor) -> None:
    await visitor.open()


async def answer(visitor: Visitor) -> None:
    await visitor.open()
    reply = await visitor.ask(ANSWERED[visitor.language])
    await reply.locator("summary").first.click()
    await reply.locator(".excerpt .words span").first.wait_for()


async def choices(visitor: Visitor) -> None:
    await visitor.open()
    await visitor.ask(UNCLEAR[visitor.language])
    await visitor.ask(SILENT[visitor.language])


async def checklist(visitor: Visitor) -> None:
    await visitor.open()
    await visitor.page.locator("[value=check]").click()
    await visitor.page.locator("[value^='check:']").first.wait_for()
    await visitor.answer_to(visitor.page.locator("[value^='check:']").first.click())
    await visitor.answer_to(visitor.page.locator(".line:last-child [value$=':y']").click())


async def transcript(visitor: Visitor) -> None:
    await visitor.open()
    page = visitor.page
    drawing = await page.context.new_page()
    await drawing.set_viewport_size({"width": 800, "height": 600})
    await drawing.set_content(METER)
    photo = await drawing.screenshot(type="jpeg", quality=80)
    await drawing.close()
    await visitor.ask(ANSWERED[visitor.language])
    await visitor.ask(SILENT[visitor.language])
    await visitor.answer_to(page.locator(".line:last-child [value=menu]").click())
    for choice in ("person", "queue:leave", "message"):
        await visitor.answer_to(page.locator(f".line:last-child [value='{choice}']").click())
    await page.locator("#photo").set_input_files({"name": "IMG_2041.jpg", "mimeType": "image/jpeg", "buffer": photo})
    name = {"zh_CN": "用电设备清单（二期扩建）.xlsx", "en": "Equipment list, second extension.xlsx"}[visitor.language]
    await page.locator("#file").set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": b"1"})
    await page.locator(".parcel.ready").nth(1).wait_for()
    await visitor.ask(NEED[visitor.language])
    await visitor.said.last.locator(".bubble > .words").click()


async def tray(visitor: Visitor) -> None:
    await visitor.open()
    page = visitor.page
    await page.context.grant_permissions(["geolocation"])
    await page.context.set_geolocation({"latitude": 30.2741, "longitude": 120.1551})
    await page.locator("#file").set_input_files({"name": "a.pdf", "mimeType": "application/pdf", "buffer": b"1"})
    await page.locator("#attach summary").click()
    await page.locator("#locate").click()
    await page.locator("[data-place]").wait_for()
    await page.locator("#file").set_input_files({"name": "run.exe", "mimeType": "", "buffer": b"1"})
    await page.locator("#notice:not(:empty)").wait_for()


async def failure(visitor: Visitor) -> None:
    await visitor.open()
    await visitor.page.route("**/api/v1/chat/messages?lang=*", lambda route: route.fulfill(status=500, body="{}"))
    await visitor.box.fill(ANSWERED[visitor.language])
    await visitor.box.press("Enter")
    await visitor.page.locator(".failure").wait_for()


async def trouble(visitor: Visitor) -> None:
    await visitor.page.route("**/chat/sessions*", lambda route: route.fulfill(status=503, body="{}"))
    await visitor.open(live=False)
    await visitor.page.locator("#trouble").wait_for()


async def offline(visitor: Visitor) -> None:
    await visitor.open()
    await visitor.ask(ANSWERED[visitor.language])
    await visitor.page.context.set_offline(True)
    await visitor.page.locator("#offline").wait_for()
    await visitor.box.fill(SILENT[visitor.language])
    await visitor.box.press("Enter")


async def menu(visitor: Visitor) -> None:
    await visitor.open()
    await visitor.page.locator("#more summary").click()


async def about(visitor: Visitor) -> None:
    await visitor.open()
    await visitor.page.locator("#more summary").click()
    await visitor.page.locator("#tell").click()


async def noscript(visitor: Visitor) -> None:
    await visitor.page.route("**/*.js*", lambda route: route.abort())
    await visitor.page.goto(f"{visitor.base}/chat?lang={visitor.language}")


async def missing(visitor: Visitor) -> None:
    await visitor.page.goto(f"{visitor.base}/nowhere?lang={visitor.language}")


async def embedded(visitor: Visitor) -> None:
    with host_page(visitor.base, visitor.language) as url:
        await visitor.page.goto(url)
        await visitor.page.get_by_role("button").click()
        frame = visitor.page.frame_locator("iframe")
        await frame.locator("#lines .line.out").first.wait_for()
        await frame.locator("#text").fill(ANSWERED[visitor.language])
        await frame.locator("#text").press("Enter")
        await frame.locator("#lines .line.out").nth(1).wait_for()


STATES: Final[tuple[Callable[[Visitor], Awaitable[None]], ...]] = (
    greeting, answer, choices, checklist, transcript, tray, failure, trouble, offline, menu, about, noscript, missing, embedded,
)  # fmt: skip


@contextlib.contextmanager
def host_page(base: str, language: str, name: str = "localhost") -> Iterator[str]:
    """A page of somebody else, on another origin, that embeds the chat with one script tag.

    As `localhost` it is of another site than the chat, as `127.0.0.1` of the same.
    """
    text = {"zh_CN": "市一医院 后勤部", "en": "City Hospital, facilities"}[language]
    page = f"""<!doctype html><html lang="{language.replace("_", "-")}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>{text}</title>
<h1>{text}</h1><p><a href="#">{text}</a></p><script src="{base}/static/embed.js" async></script></html>"""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 204)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if self.path == "/":
                self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{name}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


async def take(browser: Browser, base: str, folder: Path, wanted: list[str]) -> None:
    """One picture a state, size, look and language."""
    for state in STATES:
        if wanted and state.__name__ not in wanted:
            continue
        for size, dark, language in itertools.product(("phone", "desk"), (False, True), ("zh_CN", "en")):
            visitor = await enter(browser, base, size=size, dark=dark, language=language)
            await state(visitor)
            await visitor.page.wait_for_load_state()
            name = f"{state.__name__}-{size}-{'dark' if dark else 'light'}-{language}"
            await visitor.page.screenshot(path=folder / f"{name}.png", animations="disabled")
            await visitor.page.context.close()


async def side_by_side(browser: Browser, base: str, folder: Path) -> None:
    """The pictures of the README: an answer with its article open, and a checklist, on two phones."""
    for name, dark, language in (("chat", False, "zh_CN"), ("chat-dark", True, "en")):
        phones = []
        for state in (answer, checklist):
            visitor = await enter(browser, base, dark=dark, language=language)
            await state(visitor)
            await visitor.page.locator("#transcript").evaluate("view => (view.scrollTop = view.scrollHeight)")
            await visitor.page.mouse.move(0, 0)
            phones.append(base64.b64encode(await visitor.page.screenshot(animations="disabled")).decode())
            await visitor.page.context.close()
        page = await browser.new_page(viewport={"width": 900, "height": 924})
        await page.set_content(
            f"""<body style="margin:0;padding:40px;display:flex;gap:40px;background:{"#0c0b0a" if dark else "#e9e6e0"}">"""
            + "".join(f'<img style="border-radius:12px" src="data:image/png;base64,{phone}">' for phone in phones)
        )
        await page.screenshot(path=folder / f"{name}.png")
        await page.close()


def main() -> None:
    """Start a server of its own with an empty database and take the pictures."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", type=Path)
    words.add_argument("state", nargs="*", help="only these")
    words.add_argument("--readme", action="store_true", help="only the pictures of the README")
    given = words.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)

    async def run(base: str) -> None:
        async with chromium() as browser:
            if given.readme:
                await side_by_side(browser, base, given.folder)
            else:
                await take(browser, base, given.folder, given.state)

    with tempfile.TemporaryDirectory(prefix="gl-") as data:
        Path(data).chmod(0o755)
        with postgres.embedded(Path(data)) as url:
            greenline.prepare(url)
            # sentence vectors take long to compute: those of the browser tests are used
            process = Process(url, ROOT / ".pytest_cache" / "d" / "site", "run")
            try:
                asyncio.run(run(process.ready(seconds=180).base))
            finally:
                process.stop()


if __name__ == "__main__":
    main()
