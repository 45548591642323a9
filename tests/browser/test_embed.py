"""The chat on somebody else's page: one script tag, another origin."""

from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Arrive, Site
from tests.browser.shots import host_page

pytestmark = pytest.mark.browser


@pytest.fixture
def host(site: Site) -> Iterator[str]:
    """The address of a page that embeds the chat."""
    with host_page(site.base, "zh_CN") as url:
        yield url


async def test_it_opens_answers_and_closes_by_escape(arrive: Arrive, host: str) -> None:
    visitor = await arrive(size="desk")
    page = visitor.page
    await page.goto(host)
    launcher = page.get_by_role("button", name="在线客服")
    await launcher.click()
    chat = page.frame_locator("iframe")
    await expect(chat.locator("#text")).to_be_focused()
    await chat.locator("#text").fill("双电源的供电方案多久能出来?")
    await chat.locator("#text").press("Enter")
    await expect(chat.locator("#lines .line.out").nth(1)).to_contain_text("二个月")
    await chat.locator("#more summary").click()
    await page.keyboard.press("Escape")  # the menu first
    await expect(chat.locator("#more .items")).to_be_hidden()
    await expect(page.locator("iframe")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("iframe")).to_be_hidden()
    await expect(launcher).to_be_focused()
    await expect(launcher).to_have_attribute("aria-expanded", "false")
    await page.keyboard.press("Enter")
    await expect(chat.locator("#text")).to_be_focused()
    await chat.get_by_role("button", name="关闭对话窗口").click()
    await expect(page.locator("iframe")).to_be_hidden()


async def test_a_message_for_the_closed_window_is_marked(arrive: Arrive, host: str) -> None:
    visitor = await arrive(size="desk")
    page = visitor.page
    await page.goto(host)
    await page.get_by_role("button", name="在线客服").click()
    chat = page.frame_locator("iframe")
    await chat.locator("#lines .line.out").first.wait_for()
    await chat.locator("#text").fill("低压居民要多久?")
    # closed before the answer comes
    await chat.locator("#text").evaluate(
        "box => { box.form.requestSubmit(); parent.postMessage({ greenline: 'close' }, '*'); }"
    )
    news = page.get_by_role("button", name="在线客服：有新消息")
    await expect(news).to_be_visible()
    await expect(news).to_have_class("news")
    await news.click()
    await expect(chat.locator("#lines .line.out").nth(1)).to_contain_text("服务指南里没有写")
    await expect(page.get_by_role("button", name="关闭在线客服")).not_to_have_class("news")


@pytest.fixture
def sibling(site: Site) -> Iterator[str]:
    """The same on a page of the same site, where the browser under test lets a frame store things."""
    with host_page(site.base, "zh_CN", "127.0.0.1") as url:
        yield url


async def test_it_stays_open_on_the_next_page_and_remembers_the_conversation(arrive: Arrive, sibling: str) -> None:
    visitor = await arrive(size="desk")
    await visitor.page.goto(sibling)
    await visitor.page.get_by_role("button", name="在线客服").click()
    chat = visitor.page.frame_locator("iframe")
    await chat.locator("#lines .line.out").first.wait_for()
    await chat.locator("#text").fill("双电源")
    await chat.locator("#text").press("Enter")
    await expect(chat.locator("#lines .line.out")).to_have_count(2)
    await visitor.page.reload()
    await expect(chat.locator("#lines .line.out")).to_have_count(2)


async def test_on_a_phone_it_covers_the_page_and_opens_only_when_asked(arrive: Arrive, host: str) -> None:
    visitor = await arrive()
    await visitor.page.goto(host)
    await visitor.page.get_by_role("button", name="在线客服").tap()
    frame = visitor.page.locator("iframe")
    assert await frame.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    await visitor.page.frame_locator("iframe").locator("#lines .line.out").first.wait_for()
    await visitor.page.reload()
    await expect(visitor.page.get_by_role("button", name="在线客服")).to_be_visible()
    await expect(frame).to_have_count(0)
