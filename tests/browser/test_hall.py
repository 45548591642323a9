"""A morning at the desk: two agents at their consoles, two customers in the web chat and one on Telegram."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from playwright.async_api import Browser, expect

from api.callers import COOKIE
from desk.clock import SystemClock
from desk.permissions import Role
from tests.browser.staff_site import come, cookie, populate
from tests.browser.test_console import Agent
from tests.browser.visitor import Visitor, enter
from tests.conftest import Process
from tests.telegram.botapi import BotApi
from tests.telegram.world import TOKEN

pytestmark = pytest.mark.browser
AWAY: int = 30_000  # milliseconds without a network, longer than the lease


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """The Bot API double, for the running program and for somebody with Telegram."""
    api = BotApi(TOKEN, SystemClock())
    async with api.serve() as url:
        api.url = url  # type: ignore[attr-defined]
        yield api


async def hired(browser: Browser, base: str, url: str, role: Role) -> Agent:
    """Somebody who has signed in and sits down at the console."""
    one = await come(browser, base)
    await one.page.context.add_cookies([{"name": COOKIE, "value": await cookie(url, role), "url": base}])
    return await Agent(one.page, base, one.language).sit_down()


async def customer(browser: Browser, base: str, said: str) -> Visitor:
    """Somebody in the web chat who wants a person."""
    one = await enter(browser, base)
    await one.open()
    await one.ask(said)
    return one


async def test_two_agents_serve_three_customers_and_time_without_a_network_loses_nothing(
    browser: Browser, url: str, start: Callable[..., Process], api: BotApi
) -> None:
    await asyncio.to_thread(populate, url)
    site = start("run", telegram_token=TOKEN, telegram_api_url=api.url)  # type: ignore[attr-defined]
    await asyncio.to_thread(site.ready)
    one, other = [await hired(browser, site.base, url, role) for role in (Role.AGENT, Role.SUPERVISOR)]
    mill = await customer(browser, site.base, "转人工")
    lin = api.person(7)
    await lin.say("/start")
    await lin.wait(lambda inbox: inbox, 30)
    await lin.say("我要转人工")
    await expect(one.queue).to_have_count(2)
    school = await customer(browser, site.base, "转人工")
    await expect(other.queue).to_have_count(3)

    # first come, first served: the mill, then Lin, then the school
    await one.take()
    await expect(mill.replies.last).to_contain_text("已接入")
    await other.take()
    await lin.wait(lambda inbox: "已接入" in inbox[-1].text, 30)
    await one.page.keyboard.press("Escape")
    await one.page.keyboard.press("n")
    await expect(one.mine).to_have_count(2)
    await expect(school.replies.last).to_contain_text("已接入")

    await other.say("林先生您好，我是坐席。")
    await lin.wait(lambda inbox: "林先生您好" in inbox[-1].text, 30)
    await lin.say("变压器有异响")
    await expect(other.lines.last).to_contain_text("变压器有异响")
    await one.say("二中您好，请讲。")
    await expect(school.replies.last).to_contain_text("二中您好", timeout=20_000)
    await expect(mill.replies.last).not_to_contain_text("二中")

    # the other agent's network is pulled: nobody has to say anything twice
    other.expect_faults("ERR_INTERNET_DISCONNECTED|net::|Failed to fetch|failed:|refused:")
    await other.page.context.set_offline(True)
    for number in range(5):
        await lin.say(f"第{number}句")
    await expect(other.page.locator("#lost")).to_be_visible(timeout=40_000)
    await other.page.wait_for_timeout(AWAY)
    await other.page.context.set_offline(False)
    await expect(other.page.locator("#lost")).to_be_hidden(timeout=60_000)
    # gone for longer than the lease: Lin kept the place at the head, and whoever takes him sees every word once
    await one.page.keyboard.press("Escape")
    await expect(one.queue).to_have_count(1)
    await one.page.keyboard.press("n")
    await expect(one.mine).to_have_count(3)
    await lin.wait(lambda inbox: "已接入" in inbox[-1].text or "接着为您服务" in inbox[-1].text, 30)
    await expect(one.page.locator("#lines")).to_contain_text("第4句")
    said = [await line.inner_text() for line in await one.lines.all()]
    assert [sum(f"第{number}句" in line for line in said) for number in range(5)] == [1] * 5
    assert sum("变压器有异响" in line for line in said) == 1

    for page in (one, other, mill, school):
        assert page.unexpected() == []
        await page.page.context.close()
