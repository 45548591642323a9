"""The supervisors' floor in a real browser: storm mode and its report, what agents can do, canned texts."""

import re
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from playwright.async_api import expect

from desk.permissions import Role
from desk.store import plain_url
from tests.browser.conftest import served
from tests.browser.staff_site import PEOPLE, populate
from tests.browser.test_console import HOSPITAL, Agent, Call, Hire, Office, hire, ring
from tests.browser.test_staff import WIDER, violations

__all__ = ["hire", "ring"]  # fixtures
pytestmark = pytest.mark.browser
TEXT = "7 号线路停电，预计 18:00 恢复。"


@pytest.fixture(scope="module")
def office(server: str, template: str, pytestconfig: pytest.Config) -> Iterator[Office]:
    """A city of this module's own: a storm would keep the customers of other tests from the line."""
    with served(server, pytestconfig, populate) as site:
        yield Office(site.url, site)


@pytest.fixture(autouse=True)
async def calm(office: Office) -> AsyncIterator[None]:
    """No storm, no canned texts, every agent able to do everything."""
    yield
    with psycopg.connect(plain_url(office.url), autocommit=True) as db:
        db.execute("DELETE FROM storm")
        db.execute("DELETE FROM canned_reply")
        db.execute("UPDATE seat SET skills = '[]', languages = '[\"zh_CN\"]', shifts = '[]', capacity = 4")


async def lead(hire: Hire, **options: object) -> Agent:
    """A supervisor on the floor."""
    supervisor = await hire(Role.SUPERVISOR, **options)
    await supervisor.go("/desk/floor")
    await expect(supervisor.page.locator("#agents tr")).not_to_have_count(0)
    return supervisor


async def begin(supervisor: Agent, text: str = TEXT) -> None:
    """Switch storm mode on."""
    await supervisor.page.locator("#storm-text").fill(text)
    await supervisor.page.locator("#storm-form .button").click()
    await expect(supervisor.page.locator("#storming")).to_be_visible()
    await supervisor.page.locator("#storming .primary").click()
    await expect(supervisor.page.locator("#storm")).to_be_focused()


async def test_in_a_storm_whoever_still_needs_a_person_joins_after_the_text_and_the_end_has_a_report(
    hire: Hire, ring: Call
) -> None:
    agent = await (await hire()).sit_down()
    supervisor = await lead(hire)
    page = supervisor.page
    await page.locator("#storm-text").fill(TEXT)
    await page.locator("#storm-text").press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#storming .text")).to_contain_text(TEXT)
    await expect(page.locator("#storming .points li")).to_have_count(3)
    await page.keyboard.press("Escape")
    await expect(page.locator("#storm")).to_be_hidden()
    await begin(supervisor)
    await expect(page.locator("#storm")).to_contain_text(TEXT)
    await expect(page.locator("#storm .since")).to_contain_text(PEOPLE[Role.SUPERVISOR])
    await expect(page.locator("#storm-form")).to_be_hidden()
    await expect(agent.page.locator("#storm")).to_contain_text(f"应急模式：{TEXT}")
    # outside the green channel the text comes first
    customer = await ring()
    await expect(customer.page.locator("#lines")).to_contain_text(TEXT)
    await expect(agent.queue).to_have_count(0)
    await customer.choose("仍要转人工")
    await expect(agent.queue).to_have_count(1)
    await ring(no=HOSPITAL)
    await expect(agent.queue).to_have_count(2)
    await agent.take()
    await page.locator("#storm-end").press("Enter")
    await expect(page.locator("#storm")).to_be_hidden()
    await expect(page.locator("#storm-form")).to_be_visible()
    report = page.locator("#storms details[open]")
    await expect(report.locator("summary")).to_be_focused()
    await expect(report).to_contain_text(TEXT)
    first, second = report.locator("tbody tr").nth(0), report.locator("tbody tr").nth(1)
    await expect(first.locator(".rank .letter")).to_have_text("A")
    assert await first.locator(".joined, .served, .waiting").all_inner_texts() == ["1", "1", "0"]
    assert await second.locator(".joined, .served, .waiting").all_inner_texts() == ["1", "0", "1"]
    await expect(first.locator(".median")).to_have_text(re.compile(r"^0\d:\d\d$"))
    await expect(agent.page.locator("#storm")).to_be_hidden()


async def test_a_storm_that_a_colleague_begins_shows_by_itself(hire: Hire) -> None:
    one, other = await lead(hire), await lead(hire)
    await begin(one, "")
    await expect(other.page.locator("#storm")).to_contain_text("坐席正优先处理紧急情况")
    await other.page.locator("#storm-end").click()
    await expect(one.page.locator("#storm")).to_be_hidden()
    await expect(one.page.locator("#storms > li")).to_have_count(1)
    await one.page.locator("#storms summary").press("Enter")
    await expect(one.page.locator("#storms .empty")).to_be_visible()


async def test_what_an_agent_can_do_is_set_and_what_is_wrong_is_said_beside(hire: Hire) -> None:
    agent = await (await hire()).sit_down()
    supervisor = await lead(hire)
    page = supervisor.page
    row = page.locator("#agents tr", has_text=PEOPLE[Role.AGENT])
    await row.locator(".set").press("Enter")
    dialog = page.locator("#equipping")
    await expect(dialog.locator("h2")).to_contain_text(PEOPLE[Role.AGENT])
    await supervisor.field("同时接待几位").fill("0")
    await dialog.get_by_label("中文").uncheck()
    await dialog.get_by_label("报修").check()
    await dialog.get_by_label("停电").check()
    for _ in range(2):
        await dialog.locator("#shift-more").press("Enter")
    shifts = dialog.locator("#shifts > li")
    await shifts.nth(0).locator(".ends").fill("12:00")
    await shifts.nth(1).locator(".day").select_option("1")
    await shifts.nth(1).locator(".begins").fill("18:00")
    await dialog.locator(".primary").click()
    await expect(dialog.locator("#capacity-wrong")).to_be_visible()
    await expect(dialog.locator("#languages-wrong")).to_be_visible()
    await expect(shifts.nth(0).locator(".wrong")).to_be_hidden()
    await expect(shifts.nth(1).locator(".wrong")).to_be_visible()
    await expect(page.locator("#capacity")).to_be_focused()
    await supervisor.field("同时接待几位").fill("6")
    await dialog.get_by_label("英文").check()
    await shifts.nth(1).locator(".begins").fill("14:00")
    await dialog.locator(".primary").click()
    await expect(dialog).to_be_hidden()
    await expect(supervisor.told).to_contain_text(PEOPLE[Role.AGENT])
    await expect(row.locator(".skills")).to_have_text("报修，停电")
    await expect(row.locator(".load")).to_have_text("0/6")
    await page.reload()
    await row.locator(".set").click()
    await expect(shifts).to_have_count(2)
    await expect(shifts.nth(0).locator(".begins")).to_have_value("08:00")
    await expect(shifts.nth(1).locator(".day")).to_have_value("1")
    await expect(shifts.nth(1).locator(".begins")).to_have_value("14:00")
    await expect(dialog.get_by_label("中文")).not_to_be_checked()
    await shifts.nth(1).locator(".drop").click()
    await page.keyboard.press("Escape")
    await expect(agent.page.locator("#skills")).to_have_text("报修，停电")


async def test_a_canned_text_is_added_on_its_page_and_used_in_a_reply(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    await agent.page.keyboard.press("?")
    await agent.page.locator("#keys a").click()
    await agent.page.wait_for_url("**/desk/canned")
    await agent.field("快捷词").fill("hello")
    await agent.field("内容").fill("{name}您好，我是坐席 {agent}。")
    await agent.page.locator("form .primary").click()
    await expect(agent.page.get_by_role("status")).to_contain_text("已添加")
    await agent.page.get_by_role("link", name="/hello").click()
    await agent.field("内容").fill("{name}您好，我是 {agent} 号坐席。")
    await agent.page.get_by_role("button", name="保存").click()
    await expect(agent.page.locator("tbody")).to_contain_text("号坐席")
    await agent.sit_down()
    await ring(no=HOSPITAL)
    await agent.take()
    await agent.page.keyboard.type("/hel")
    await expect(agent.page.locator("#suggest [role=option]")).to_have_count(1)
    await agent.page.keyboard.press("Enter")
    await expect(agent.box).to_have_value(re.compile(r"^长汀妇幼.*您好，我是 \d+ 号坐席。$"))


@pytest.mark.parametrize("size", ["phone", "desk"])
@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_axe_finds_nothing_in_a_storm_or_in_dialogs_and_nothing_is_cut(
    hire: Hire, language: str, size: str
) -> None:
    await (await hire()).sit_down()
    supervisor = await lead(hire, language=language, dark=size == "phone", size=size, reduced_motion="reduce")
    page = supervisor.page
    await begin(supervisor)
    wrong = [f"storm: {each}" for each in await violations(supervisor)]
    await page.locator("#storm-end").click()
    await expect(page.locator("#storms details[open]")).to_be_visible()
    wrong += [f"report: {each}" for each in await violations(supervisor)]
    wide, _ = await page.evaluate(WIDER)
    wrong += [f"{wide} px too wide"] if wide > 0 else []
    await page.locator("#storm-form .button").click()
    wrong += [f"beginning: {each}" for each in await violations(supervisor)]
    await page.keyboard.press("Escape")
    await page.locator("#agents .set").first.click()
    await page.locator("#shift-more").click()
    await page.locator("#shifts .ends").fill("07:00")
    await page.locator("#equipping .primary").click()
    await expect(page.locator("#shifts .wrong")).to_be_visible()
    wrong += [f"settings: {each}" for each in await violations(supervisor)]
    await supervisor.go("/desk/canned")
    wrong += [f"canned: {each}" for each in await violations(supervisor)]
    wide, _ = await page.evaluate(WIDER)
    wrong += [f"canned is {wide} px too wide"] if wide > 0 else []
    assert wrong == []
