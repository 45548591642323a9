"""The learning list in a real browser: by keyboard alone, in every look, width and language."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from desk.clock import SystemClock
from desk.permissions import Role
from desk.store import Store
from knowledge import learning
from knowledge.learning import Why
from tests.browser.test_staff import ComeIn, Town, come_in, tab_to, town

pytestmark = pytest.mark.browser
__all__ = ["come_in", "town"]
PARKING = ("厂门口能停几辆大货车", "厂门口能停大货车吗", "厂门口能停多少大货车")


async def asked(town: Town, *questions: str, why: Why = Why.ABSTAINED) -> int:
    """Questions that nobody could answer; the number of the first."""
    store = Store(town.url)
    async with store.transaction() as db:
        for question in questions:
            await learning.note(db, question, why, line=None, finding=None, by="customer", at=SystemClock().now())
        first = min(item.id or 0 for item in (await learning.open_items(db)) if item.question in questions)
    await store.close()
    return first


async def test_a_group_becomes_aliases_by_keyboard_and_the_answer_changes(come_in: ComeIn, town: Town) -> None:
    one = await come_in(Role.SUPERVISOR)
    page, keys = one.page, one.page.keyboard
    first = await asked(town, *PARKING)
    await one.go("/desk/learning")
    await keys.press("j")
    await expect(page.locator(f'a[href="/desk/learning/{first}"]')).to_be_visible()
    await page.locator(f'a[href="/desk/learning/{first}"]').press("Enter")
    await page.wait_for_url(f"**/desk/learning/{first}")
    boxes = page.locator("input[type=checkbox]")
    await expect(boxes).to_have_count(len(PARKING))
    await tab_to(one, boxes.last)
    await keys.press("Space")
    await page.locator("#entry").select_option("g02")
    await page.locator("h1").click()
    await keys.press("a")
    await page.wait_for_url("**/desk/learning/changes/*")
    await expect(page.locator("#publish")).to_be_visible(timeout=120_000)
    await expect(page.locator("#effect + .counts")).to_contain_text("变差")
    await tab_to(one, page.locator("#publish"))
    await keys.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("已发布")
    await one.go("/desk/learning?view=done")
    await expect(page.locator("tbody tr").first).to_contain_text("加为问法")
    await one.go("/desk/learning")
    await expect(page.locator("tbody")).to_contain_text(PARKING[0])  # what was not ticked is still there


async def test_a_draft_keeps_what_was_typed_and_waits_for_another_person(come_in: ComeIn, town: Town) -> None:
    one = await come_in(Role.SUPERVISOR)
    one.expect_faults("422")
    page, keys = one.page, one.page.keyboard
    first = await asked(town, "食堂几点开饭呀")
    await one.go(f"/desk/learning/{first}")
    await keys.press("e")
    await page.locator("#title").fill("食堂时间")
    await page.locator("button[value=entry]").press("Enter")
    await expect(page.locator("#answer-wrong")).to_be_visible()
    await expect(page.locator("#title")).to_have_value("食堂时间")
    await page.locator("#answer").fill("十一点半开饭。")
    await page.locator("#document").fill("厂务通知")
    await page.locator("button[value=entry]").press("Enter")
    await expect(page.locator("main")).to_contain_text("等待另一位督察或管理员审核", timeout=120_000)
    other = await come_in(Role.ADMIN)
    await other.page.goto(page.url)
    await other.page.locator("#reason").fill("没有依据")
    await other.page.keyboard.press("Enter")
    await expect(other.page.locator("main")).to_contain_text("没有依据")


@pytest.mark.parametrize("language", ["zh_CN", "en"])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", ["desk", "phone"])
async def test_the_pages_fit_and_axe_finds_nothing(
    come_in: ComeIn, town: Town, browser: Browser, size: str, dark: bool, language: str
) -> None:
    one = await come_in(Role.SUPERVISOR, size=size, dark=dark, language=language)
    first = await asked(town, "宿舍楼的热水几点供应", why=Why.MARKED)
    for path in ("", f"/{first}", "?view=waiting", "?view=done"):
        await one.go(f"/desk/learning{path}")
        found = await Axe().run(one.page)
        assert found.violations_count == 0, found.generate_report()
        assert await one.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
