"""Pictures of every staff page, to be looked at: `python -m tests.browser.staff_shots FOLDER [STATE…]`."""

import argparse
import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from playwright.async_api import Browser

import greenline
from api.callers import COOKIE
from desk import demo, postgres
from desk.permissions import Role
from tests.browser.staff_site import Colleague, come, cookie, populate
from tests.browser.visitor import chromium
from tests.conftest import ROOT, Process

NUMBERS: Final = itertools.count(3309900090000)  # of accounts that nobody has yet
State = Callable[[Colleague], Awaitable[object]]


async def signin(one: Colleague) -> None:
    await one.go("/signin?next=/desk/customers")


async def signin_wrong(one: Colleague) -> None:
    await one.go("/signin")
    await one.page.locator("#name").fill("林晓")
    await one.page.locator("#password").fill("wrong")
    await one.page.keyboard.press("Enter")
    await one.page.locator(".wrong").wait_for()


async def home(one: Colleague) -> None:
    await one.go("/desk/home")


async def customers(one: Colleague) -> None:
    await one.go("/desk/customers")


async def customers_narrow(one: Colleague) -> None:
    await one.go("/desk/customers?tier=A&flag=important")


async def customers_none(one: Colleague) -> None:
    await one.go("/desk/customers?q=zzzz")


async def account(one: Colleague) -> None:
    await one.go("/desk/customers?tier=A")
    await one.page.locator("a[data-row]").first.click()
    await one.page.locator("#people").wait_for()


async def account_forms(one: Colleague) -> None:
    await account(one)
    for summary in await one.page.locator(".act summary").all():
        await summary.click()


async def account_revealed(one: Colleague) -> None:
    await account(one)
    await one.page.locator(".act summary").nth(1).click()
    await one.page.locator("#reason").fill("来电核对")
    await one.page.keyboard.press("Enter")
    await one.page.locator(".banner").wait_for()


async def account_link(one: Colleague) -> None:
    await account(one)
    await one.page.locator("form[action*=link] button").click()
    await one.page.locator("#web-link").wait_for()


async def missing(one: Colleague) -> None:
    await one.go("/desk/accounts/9999999999")


async def imports(one: Colleague) -> None:
    await one.go("/desk/imports")


async def looked(one: Colleague) -> None:
    await one.go("/desk/imports")
    await one.page.locator("#file").set_input_files(ROOT / "tests" / "data" / "archive" / "spoiled.csv")
    await one.page.locator("main form button").click()
    await one.page.locator("#found").wait_for()


async def imported(one: Colleague) -> None:
    rows = "".join(f"{next(NUMBERS)},{name}\n" for name in ("恒丰纺织", "永泰物流", "金鼎大酒店"))
    content = f"户号,户名\n{rows}33,位数不够\n".encode()
    await one.go("/desk/imports")
    await one.page.locator("#file").set_input_files({"name": "新增.csv", "mimeType": "text/csv", "buffer": content})
    await one.page.locator("main form button").click()
    await one.page.locator("#take").click()
    await one.page.locator("#found").wait_for()


async def importing(one: Colleague) -> None:
    await one.page.route("**/htmx*", lambda route: route.abort())
    await one.go("/desk/imports")
    await one.page.locator("#file").set_input_files(
        {"name": "档案.csv", "mimeType": "text/csv", "buffer": demo.table()}
    )
    await one.page.locator("main form button").click()
    await one.page.locator("progress").wait_for()


async def refused(one: Colleague) -> None:
    await one.go("/desk/imports")
    await one.page.locator("#file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": b"x,y\n1,2"})
    await one.page.locator("main form button").click()
    await one.page.locator(".nothing").wait_for()


async def tiers(one: Colleague) -> None:
    await one.go("/desk/tiers/2026")


async def tiers_wrong(one: Colleague) -> None:
    await one.go("/desk/tiers/2026?show=moved")
    await one.page.locator("#number").fill("3")
    await one.page.keyboard.press("Enter")
    await one.page.locator(".wrong").wait_for()


async def tiers_confirmed(one: Colleague) -> None:
    await one.go("/desk/tiers/2025?tier=A")


async def tiers_begin(one: Colleague) -> None:
    await one.go("/desk/tiers/new")


async def staff(one: Colleague) -> None:
    await one.go("/desk/staff")


async def staff_add(one: Colleague) -> None:
    await one.go("/desk/staff")
    await one.page.locator(".act summary").click()
    await one.page.locator("#name").fill("林晓")
    await one.page.locator("#password").fill("short")
    await one.page.keyboard.press("Enter")
    await one.page.locator(".wrong").wait_for()


async def member(one: Colleague) -> None:
    await one.go("/desk/staff")
    await one.page.get_by_role("link", name="林晓").click()
    await one.page.locator("#sessions").wait_for()


async def member_password(one: Colleague) -> None:
    await one.go("/desk/staff")
    await one.page.get_by_role("link", name="李踏雪").click()
    await one.page.locator("#password").click()
    await one.page.locator("#secret").wait_for()


async def tokens(one: Colleague) -> None:
    await one.go("/desk/tokens")
    await one.page.locator(".act summary").click()
    await one.page.locator("#name").fill("营销系统")
    await one.page.keyboard.press("Enter")
    await one.page.locator("#secret").wait_for()


async def me(one: Colleague) -> None:
    await one.go("/desk/me")


async def me_code(one: Colleague) -> None:
    await one.go("/desk/me")
    if await one.page.locator("form[action$=totp] button").count():
        await one.page.locator("form[action$=totp] button").click()
    await one.page.locator(".qr").wait_for()


async def log(one: Colleague) -> None:
    await one.go("/desk/access")


# state, and whose page it is; None = nobody has signed in
STATES: Final[tuple[tuple[State, Role | None], ...]] = (
    (signin, None), (signin_wrong, None), (home, Role.HALL), (customers, Role.HALL), (customers_narrow, Role.HALL),
    (customers_none, Role.AGENT), (account, Role.HALL), (account_forms, Role.HALL), (account_revealed, Role.HALL),
    (account_link, Role.HALL),
    (missing, Role.HALL), (imports, Role.HALL), (importing, Role.HALL), (looked, Role.HALL), (imported, Role.HALL),
    (refused, Role.HALL), (tiers, Role.HALL), (tiers_wrong, Role.HALL), (tiers_confirmed, Role.SUPERVISOR),
    (tiers_begin, Role.HALL), (staff, Role.ADMIN), (staff_add, Role.ADMIN), (member, Role.ADMIN),
    (member_password, Role.ADMIN), (tokens, Role.ADMIN), (me, Role.AGENT), (me_code, Role.PUBLISHER),
    (log, Role.AUDITOR),
)  # fmt: skip


async def take(browser: Browser, base: str, url: str, folder: Path, wanted: list[str], *, whole: bool) -> None:
    """One picture a state, size, look and language."""
    cookies = {role: await cookie(url, role) for role in {role for _, role in STATES if role}}
    for state, role in STATES:
        if wanted and state.__name__ not in wanted:
            continue
        for size, dark, language in itertools.product(("desk", "phone"), (False, True), ("zh_CN", "en")):
            one = await come(browser, base, size=size, dark=dark, language=language)
            if role:
                await one.page.context.add_cookies([{"name": COOKIE, "value": cookies[role], "url": base}])
            await state(one)
            await one.page.wait_for_load_state()
            name = f"{state.__name__}-{size}-{'dark' if dark else 'light'}-{language}"
            await one.page.screenshot(path=folder / f"{name}.png", animations="disabled", full_page=whole)
            await one.page.context.close()


def main() -> None:
    """Start a server of its own with the sample city and take the pictures."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", type=Path)
    words.add_argument("state", nargs="*", help="only these")
    words.add_argument("--whole", action="store_true", help="the whole page instead of the first screen")
    given = words.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)

    async def run(base: str, url: str) -> None:
        async with chromium() as browser:
            await take(browser, base, url, given.folder, given.state, whole=given.whole)

    with tempfile.TemporaryDirectory(prefix="gl-") as data:
        Path(data).chmod(0o755)
        with postgres.embedded(Path(data)) as url:
            greenline.prepare(url)
            populate(url)
            # sentence vectors take long to compute: those of the browser tests are used
            process = Process(url, ROOT / ".pytest_cache" / "d" / "site", "run")
            try:
                asyncio.run(run(process.ready(seconds=180).base, url))
            finally:
                process.stop()


if __name__ == "__main__":
    main()
