"""Nothing that was written is lost or sent twice: no script, slow script, no connection, a server that stops."""

import re

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import Arrive, Site
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser
CUT = (
    r"ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_(REFUSED|RESET)|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT"
)
DUAL = "双电源的供电方案多久能出来?"


async def kept(visitor: Visitor) -> list[str]:
    """What the server has of this customer, oldest first."""
    found = await visitor.page.context.request.get(f"{visitor.base}/api/v1/chat/messages")
    return [line["text"] for line in (await found.json())["messages"] if line["direction"] == "in"]


async def held_back(visitor: Visitor) -> list[Route]:
    """Lets the script of the chat wait on its way."""
    waiting: list[Route] = []

    async def hold(route: Route) -> None:
        waiting.append(route)

    await visitor.page.route("**/chat.js*", hold)
    return waiting


async def test_without_script_the_form_posts_and_the_source_can_be_read(arrive: Arrive) -> None:
    visitor = await arrive(script=False)
    visitor.expect_faults(r"/static/\w+\.js\S+ csp")  # how this browser says that it runs no scripts
    await visitor.open(live=False)
    page = visitor.page
    await expect(page.locator("#empty")).to_be_visible()
    await visitor.box.fill(DUAL)
    await page.get_by_role("button", name="发送").click()
    await expect(visitor.said.last).to_contain_text(DUAL)
    await expect(visitor.replies.last.locator(".bubble > .words")).to_contain_text("二个月")
    await visitor.replies.last.locator("summary").click()
    await expect(visitor.replies.last.locator(".excerpt")).to_be_visible()
    await expect(visitor.replies.last.locator(".excerpt strong")).not_to_be_empty()
    await visitor.replies.last.get_by_role("button", name="没答到点上").click()
    await expect(visitor.said.last).to_contain_text("没答到点上")
    await expect(visitor.replies.last).to_contain_text(re.compile(r"编号 LY\d+"))
    await page.get_by_role("button", name="Switch to English").click()
    await expect(visitor.box).to_have_attribute("placeholder", "Type your question…")
    # what cannot work without script is not offered
    await expect(page.locator("#attach")).to_be_hidden()
    await page.locator("#more summary").click()
    await expect(page.locator("#more button:visible")).to_have_count(1)


async def test_while_the_script_is_on_its_way_the_form_posts(arrive: Arrive) -> None:
    visitor = await arrive()
    await held_back(visitor)
    visitor.expect_faults(r"chat\.js")  # given up when the form is posted
    await visitor.page.goto(f"{visitor.base}/chat", wait_until="commit")
    await visitor.box.fill(DUAL)
    await visitor.page.unroute("**/chat.js*")
    await visitor.page.get_by_role("button", name="发送").click()
    await expect(visitor.replies.last.locator(".bubble > .words")).to_contain_text("二个月")
    await expect(visitor.page.locator("html")).to_have_class("live")
    await visitor.ask("低压居民要多久?")
    await expect(visitor.replies).to_have_count(3)


async def test_what_is_typed_before_the_script_arrives_stays(arrive: Arrive) -> None:
    visitor = await arrive()
    waiting = await held_back(visitor)
    await visitor.page.goto(f"{visitor.base}/chat", wait_until="commit")
    await visitor.box.fill("双电源")
    await waiting[0].continue_()
    await visitor.replies.first.wait_for()
    await expect(visitor.box).to_have_value("双电源")


async def test_messages_written_without_a_connection_go_out_once_when_it_is_back(visitor: Visitor) -> None:
    visitor.expect_faults(CUT)
    await visitor.page.context.set_offline(True)
    await expect(visitor.page.locator("#offline")).to_be_visible()
    for text in ("双电源", "低压居民要多久?"):
        await visitor.box.fill(text)
        await visitor.box.press("Enter")
    await expect(visitor.said).to_have_count(2)
    await expect(visitor.said.first.locator(".fate")).to_contain_text("正在发送")
    await visitor.page.context.set_offline(False)
    await expect(visitor.replies).to_have_count(3)
    await expect(visitor.page.locator("#offline")).to_be_hidden()
    await expect(visitor.said.last.locator(".fate")).to_contain_text("已发送")
    assert await kept(visitor) == ["双电源", "低压居民要多久?"]


async def test_messages_written_without_a_connection_survive_a_closed_page(visitor: Visitor) -> None:
    visitor.expect_faults(CUT)
    await visitor.page.context.set_offline(True)
    await visitor.box.fill(DUAL)
    await visitor.box.press("Enter")
    await expect(visitor.said).to_have_count(1)
    await visitor.page.goto("about:blank")
    await visitor.page.context.set_offline(False)
    await visitor.open()
    await expect(visitor.said).to_have_count(1)
    await expect(visitor.replies).to_have_count(2)
    assert await kept(visitor) == [DUAL]


async def test_a_server_that_stops_and_starts_again_gets_every_message_once(visitor: Visitor, site: Site) -> None:
    visitor.expect_faults(CUT)
    await visitor.ask("双电源")
    site.stop()
    try:
        await expect(visitor.page.locator("#offline")).to_be_visible(timeout=15_000)
        await visitor.box.fill("低压居民要多久?")
        await visitor.box.press("Enter")
    finally:
        site.start().ready()
    await expect(visitor.replies).to_have_count(3, timeout=20_000)
    await expect(visitor.page.locator("#offline")).to_be_hidden()
    await expect(visitor.said).to_have_count(2)
    assert await kept(visitor) == ["双电源", "低压居民要多久?"]


async def test_a_lost_answer_is_not_sent_twice(visitor: Visitor) -> None:
    visitor.expect_faults(CUT + "|ERR_FAILED|/chat/messages")
    lost = 0

    async def lose_the_first_answer(route: Route) -> None:
        nonlocal lost
        lost += 1
        if lost > 1:
            return await route.continue_()
        await route.fetch()  # the server has it, the browser does not know
        return await route.abort()

    await visitor.page.route("**/api/v1/chat/messages?lang=*", lose_the_first_answer)
    await visitor.box.fill(DUAL)
    await visitor.box.press("Enter")
    await expect(visitor.replies).to_have_count(2)
    await expect(visitor.said.last.locator(".fate")).to_contain_text("已发送")
    await expect(visitor.said).to_have_count(1)
    assert await kept(visitor) == [DUAL]


async def test_after_a_failure_the_customer_tries_again(visitor: Visitor) -> None:
    visitor.expect_faults("500|/chat/messages")
    path = "**/api/v1/chat/messages?lang=*"
    await visitor.page.route(path, lambda route: route.fulfill(status=500, json={"detail": "请过一会儿再试。"}))
    await visitor.box.fill(DUAL)
    await visitor.box.press("Enter")
    failure = visitor.said.last.locator(".failure")
    await expect(failure).to_contain_text("没有发出 · 请过一会儿再试。")
    await visitor.page.unroute(path)
    await visitor.answer_to(failure.get_by_role("button", name="重试").click())
    await expect(failure).to_have_count(0)
    await expect(visitor.box).to_be_focused()
    assert await kept(visitor) == [DUAL]


async def test_a_second_tab_sees_what_is_said_in_the_first(visitor: Visitor) -> None:
    other = Visitor(await visitor.page.context.new_page(), visitor.base, visitor.language)
    await other.open()
    await visitor.ask(DUAL)
    await expect(other.said.last).to_contain_text(DUAL)
    await expect(other.replies.last.locator(".bubble > .words")).to_contain_text("二个月")
    await other.ask("低压居民要多久?")
    await expect(visitor.replies).to_have_count(3)
    await expect(visitor.said).to_have_count(2)
    assert other.unexpected() == []


async def test_a_stream_that_was_cut_resumes_behind_the_last_line(visitor: Visitor) -> None:
    visitor.expect_faults(CUT)
    other = Visitor(await visitor.page.context.new_page(), visitor.base, visitor.language)
    await other.open()
    session = await visitor.page.context.new_cdp_session(visitor.page)
    cut = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", cut)
    await other.ask("双电源")
    await other.ask("低压居民要多久?")
    await session.send("Network.emulateNetworkConditions", cut | {"offline": False})
    await expect(visitor.replies).to_have_count(3)
    await expect(visitor.said).to_have_count(2)
    ids = await visitor.page.locator("#lines .line").evaluate_all("all => all.map((line) => Number(line.dataset.id))")
    assert ids == sorted(set(ids))


async def test_a_draft_is_still_there_after_a_reload(visitor: Visitor) -> None:
    await visitor.box.fill("双电源的\n供电方案")
    await visitor.page.reload()
    await visitor.replies.first.wait_for()
    await expect(visitor.box).to_have_value("双电源的\n供电方案")
    await visitor.box.press("Enter")
    await visitor.replies.nth(1).wait_for()
    await visitor.page.reload()
    await expect(visitor.box).to_have_value("")


async def test_a_conversation_that_cannot_begin_says_so_and_begins_later(arrive: Arrive) -> None:
    visitor = await arrive()
    visitor.expect_faults("503")
    await visitor.page.route("**/chat/sessions*", lambda route: route.fulfill(status=503, json={}))
    await visitor.open(live=False)
    trouble = visitor.page.locator("#trouble")
    await expect(trouble).to_contain_text("对话没能开始。")
    await visitor.page.unroute("**/chat/sessions*")
    await trouble.get_by_role("button", name="再试一次").click()
    await expect(visitor.replies).to_have_count(1)
    await expect(trouble).to_be_hidden()
