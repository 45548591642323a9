"""Reading and moving about: nothing jumps, and everything works without a mouse."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Arrive
from tests.browser.shots import checklist
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser


async def test_a_new_message_while_reading_further_up_is_told_and_nothing_jumps(visitor: Visitor) -> None:
    page = visitor.page
    for _ in range(3):
        await visitor.ask("双电源的供电方案多久能出来?")
    await page.locator("#transcript").evaluate(
        "view => new Promise((done) => { view.addEventListener('scroll', done, { once: true }); view.scrollTop = 0; })"
    )
    await expect(page.locator("#pill")).to_be_hidden()
    elsewhere = {"client_id": "elsewhere", "text": "低压居民要多久?"}
    await page.context.request.post(f"{visitor.base}/api/v1/chat/messages", data=elsewhere)
    await expect(visitor.replies).to_have_count(5)
    await expect(page.locator("#pill")).to_be_visible()
    await expect(page.locator("#transcript")).to_have_js_property("scrollTop", 0)
    await page.locator("#pill").click()
    await expect(page.locator("#pill")).to_be_hidden()
    await expect(visitor.replies.last).to_be_in_viewport()
    await expect(visitor.box).to_be_focused()


async def test_a_long_answer_is_shown_from_its_beginning(arrive: Arrive) -> None:
    visitor = await (await arrive(language="en")).open()
    await visitor.page.set_viewport_size({"width": 320, "height": 480})
    reply = await visitor.ask("/help")
    first, last = reply.locator(".words > span").first, reply.locator(".words > span").last
    await expect(first).to_be_in_viewport(ratio=1)
    await expect(last).not_to_be_in_viewport()


async def test_the_menu_works_by_keyboard_and_gives_the_focus_back(arrive: Arrive) -> None:
    visitor = await (await arrive(size="desk")).open()
    page = visitor.page
    summary, items = page.locator("#more summary"), page.locator("#more .items")
    await summary.focus()
    await page.keyboard.press("Enter")
    await expect(items).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await expect(items.get_by_role("button", name="重新开始")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(items.get_by_role("button", name="关于")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(items).to_be_hidden()
    await expect(summary).to_be_focused()
    await page.keyboard.press("Enter")
    await page.locator("#transcript").click(position={"x": 5, "y": 5})
    await expect(items).to_be_hidden()


async def test_the_dialog_works_by_keyboard_and_gives_the_focus_back(arrive: Arrive) -> None:
    visitor = await (await arrive(size="desk")).open()
    page = visitor.page
    await page.locator("#more summary").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="关于绿线")
    await expect(dialog).to_be_visible()
    await expect(dialog.get_by_role("button", name="关闭")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#more summary")).to_be_focused()


async def test_a_source_opens_by_keyboard(visitor: Visitor) -> None:
    reply = await visitor.ask("双电源的供电方案多久能出来?")
    await reply.locator("summary").focus()
    await visitor.page.keyboard.press("Enter")
    await expect(reply.locator(".excerpt .words")).not_to_be_empty()


async def test_a_source_that_says_more_than_the_answer_is_shown_in_full(visitor: Visitor) -> None:
    await checklist(visitor)
    source = visitor.replies.last.locator(".source").first
    await source.locator("summary").click()
    words = source.locator(".excerpt .words")
    await expect(words).not_to_contain_text("正在打开")
    await expect(words).to_contain_text("。")
    await expect(words).not_to_contain_text("上面的回答")


async def test_an_entry_that_cannot_be_opened_says_so_and_opens_later(visitor: Visitor) -> None:
    visitor.expect_faults("500")
    reply = await visitor.ask("双电源的供电方案多久能出来?")
    await visitor.page.route("**/guide/entries/**", lambda route: route.fulfill(status=500, body=""))
    await reply.locator("summary").click()
    await expect(reply.locator(".excerpt .words")).to_have_text("这一条暂时打不开，请稍后再点开。")
    await visitor.page.unroute("**/guide/entries/**")
    await reply.locator("summary").click()
    await reply.locator("summary").click()
    await expect(reply.locator(".excerpt .words")).to_contain_text("全部内容")


async def test_the_conversation_can_be_downloaded(visitor: Visitor) -> None:
    await visitor.ask("双电源的供电方案多久能出来?")
    await visitor.page.locator("#more summary").click()
    async with visitor.page.expect_download() as download:
        await visitor.page.locator("#download").click()
    saved = await download.value
    assert saved.suggested_filename == "绿线对话记录.txt"
    text = (await saved.path()).read_text(encoding="utf-8")
    assert "双电源的供电方案多久能出来?" in text and "二个月" in text and "依据《大客户用电申请服务指南》" in text


async def test_the_time_of_a_line_is_shown_on_tap(visitor: Visitor) -> None:
    time = visitor.replies.first.locator("time")
    await expect(time).to_have_css("opacity", "0")
    await visitor.replies.first.locator(".bubble > .words").tap()
    await expect(time).to_have_css("opacity", "1")
    await expect(time).to_have_css("font-variant-numeric", "tabular-nums")


async def test_the_box_grows_to_five_lines_and_enter_sends(visitor: Visitor) -> None:
    one = (await visitor.box.bounding_box() or {})["height"]
    await visitor.box.press_sequentially("一")
    for line in "二三四五六七八":
        await visitor.box.press("Shift+Enter")
        await visitor.box.press_sequentially(line)
    many = (await visitor.box.bounding_box() or {})["height"]
    assert one + 4 * 24 - 2 <= many <= one + 5 * 24
    await visitor.answer_to(visitor.box.press("Enter"))
    assert await visitor.said.last.locator(".words").inner_text() == "\n".join("一二三四五六七八")
    assert (await visitor.box.bounding_box() or {})["height"] == one


async def test_a_choice_tapped_twice_is_made_once(visitor: Visitor) -> None:
    await visitor.replies.first.get_by_role("button", name="要交哪些资料").dblclick()
    await expect(visitor.replies).to_have_count(2)
    await visitor.ask("取消")
    await expect(visitor.said).to_have_count(2)


async def test_the_description_of_the_api_is_shown_under_the_strict_policy(arrive: Arrive) -> None:
    visitor = await arrive(size="desk")
    await visitor.page.goto(f"{visitor.base}/docs")
    await expect(visitor.page.get_by_text("/api/v1/guide/questions", exact=True)).to_be_visible()
