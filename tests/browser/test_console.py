"""The agents' console in a real browser: people who serve and customers who ask, each at a page of their own."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import httpx
import psycopg
import pytest
from playwright.async_api import Browser, Locator, Request, Route, expect

from api.callers import COOKIE
from desk.permissions import Role
from desk.store import plain_url
from tests.browser.conftest import Site, served
from tests.browser.staff_site import PEOPLE, Colleague, come, cookie, populate
from tests.browser.test_staff import WIDER, violations
from tests.browser.visitor import Visitor, enter

pytestmark = pytest.mark.browser
HOSPITAL: Final = "3309900000023"  # tier A
CONSOLE: Final = "/desk"
# customers of former tests are gone, and so is everybody at the desk
SWEEP: Final = """
    UPDATE conversation SET handler = 'bot', agent_id = NULL WHERE handler <> 'bot';
    UPDATE queue_entry SET status = 'closed', ended_at = now() WHERE ended_at IS NULL;
    UPDATE seat SET status = 'offline', load = 0;
    UPDATE promise SET status = 'cancelled', ended_at = now() WHERE ended_at IS NULL;
    UPDATE alarm SET acknowledged_at = now(), acknowledged_by = 'test' WHERE acknowledged_at IS NULL;
"""


class Office:
    """The running site, and a session for whoever serves."""

    def __init__(self, url: str, site: Site) -> None:
        self.url, self.site, self.base = url, site, site.base

        async def sessions() -> dict[Role, str]:
            return {role: await cookie(url, role) for role in (Role.AGENT, Role.SUPERVISOR)}

        self.cookies = asyncio.run(sessions())

    def sweep(self) -> None:
        """As in the morning."""
        with psycopg.connect(plain_url(self.url), autocommit=True) as db:
            db.execute(SWEEP)

    async def link(self, no: str) -> str:
        """Where a customer goes to bind a chat to an account."""
        headers = {"Origin": self.base}
        async with httpx.AsyncClient(base_url=self.base, cookies={COOKIE: self.cookies[Role.AGENT]}) as http:
            made = await http.post(f"/api/v1/accounts/{no}/links", headers=headers)
        return str(made.raise_for_status().json()["url_web"])


class Agent(Colleague):
    """Somebody at the console."""

    def _failed(self, request: Request) -> None:
        # leaving the page ends its stream and whatever was on its way
        if request.failure != "net::ERR_ABORTED":
            super()._failed(request)

    async def sit_down(self, path: str = CONSOLE) -> "Agent":
        """Open the console and come online."""
        await self.go(path)
        await expect(self.page.locator("#next")).to_be_enabled()
        if not await self.page.locator("#presence summary .online").count():
            await self.page.locator("#next").press("Enter")
        await expect(self.page.locator("#presence summary .online")).to_be_visible()
        await self.page.locator("body").press("Escape")
        return self

    async def take(self, entry: Locator | None = None) -> None:
        """The next customer, once there is one."""
        await expect(self.queue.first).to_be_visible()
        await self.page.keyboard.press("Escape")
        await self.page.keyboard.press("n")
        await expect(self.mine).not_to_have_count(0)
        await expect(self.box).to_be_focused()

    async def say(self, text: str) -> None:
        """Write a reply."""
        await self.box.fill(text)
        await self.box.press("Enter")

    @property
    def box(self) -> Locator:
        """Where replies are written."""
        return self.page.locator("#text")

    @property
    def queue(self) -> Locator:
        """Who waits."""
        return self.page.locator("#queue > li")

    @property
    def mine(self) -> Locator:
        """Their own conversations."""
        return self.page.locator("#mine > li")

    @property
    def lines(self) -> Locator:
        """The transcript in view."""
        return self.page.locator("#lines > .line")

    @property
    def told(self) -> Locator:
        """What has just happened."""
        return self.page.locator("#told")


@pytest.fixture(scope="session")
def office(server: str, template: str, pytestconfig: pytest.Config) -> Iterator[Office]:
    """Greenline with the sample city."""
    with served(server, pytestconfig, populate) as site:
        yield Office(site.url, site)


Hire = Callable[..., Awaitable[Agent]]
Call = Callable[..., Awaitable[Visitor]]


@pytest.fixture
async def hire(browser: Browser, office: Office) -> AsyncIterator[Hire]:
    """Agents who have signed in: `await hire(Role.SUPERVISOR, dark=True)`."""
    office.sweep()
    hired: list[Agent] = []

    async def begin(role: Role = Role.AGENT, **options: Any) -> Agent:
        one = await come(browser, office.base, **options)
        await one.page.context.add_cookies([{"name": COOKIE, "value": office.cookies[role], "url": office.base}])
        agent = Agent.__new__(Agent)
        agent.__init__(one.page, office.base, one.language)  # type: ignore[misc]
        one.page.remove_listener("requestfailed", one._failed)
        hired.append(agent)
        return agent

    yield begin
    for one in hired:
        await one.page.context.close()
    assert [fault for one in hired for fault in one.unexpected()] == []


@pytest.fixture
async def ring(browser: Browser, office: Office) -> AsyncIterator[Call]:
    """Customers who want a person: `await ring("停电了")`; of an account, if one is named."""
    customers: list[Visitor] = []

    async def begin(said: str = "转人工", *, no: str = "", **options: Any) -> Visitor:
        one = await enter(browser, office.base, **options)
        customers.append(one)
        if no:
            await one.page.goto(await office.link(no))
            await one.page.locator("form .primary").click()
            await one.replies.last.wait_for()
            await one.open()
        else:
            await one.open()
        await one.ask(said)
        return one

    yield begin
    for one in customers:
        await one.page.context.close()


# -- the line ---------------------------------------------------------------------------------------------------------


async def test_the_line_is_in_service_order_and_says_why(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    await ring()
    await expect(agent.queue).to_have_count(1)
    await ring(no=HOSPITAL)
    await expect(agent.queue).to_have_count(2)
    first, second = agent.queue.nth(0), agent.queue.nth(1)
    await expect(first.locator(".rank")).to_have_class("tier rank a")
    await expect(second.locator(".rank .letter")).to_have_text("D")
    await first.locator("button").focus()
    await expect(agent.page.locator("#tip")).to_contain_text("A 类，绿色通道")
    await expect(agent.page.locator("#tip")).to_contain_text("同档先到先接")
    await expect(agent.page.locator("#next-who")).to_contain_text("A 类")
    # whoever came later stays behind the green channel, also when picked by hand
    agent.expect_faults("409")
    await second.locator("button").click()
    await agent.page.locator("#claim-it").click()
    await expect(agent.told).to_have_class(re.compile("bad"))
    await agent.page.keyboard.press("n")
    await expect(agent.told).to_contain_text("A 类")
    await expect(agent.page.locator("#talk-title")).to_contain_text("长汀")


async def test_a_customer_is_taken_answered_and_closed_by_keyboard_alone(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    customer = await ring()
    keys = agent.page.keyboard
    await agent.take()
    await expect(agent.lines.last).to_have_class(re.compile("mark"))
    await keys.type("您好，请讲。")
    await keys.press("Shift+Enter")
    await keys.type("我在听。")
    await keys.press("Enter")
    await expect(agent.box).to_have_value("")
    await expect(agent.lines.last.locator(".undo")).to_be_visible()
    await expect(customer.replies.last).to_contain_text("我在听。", timeout=15_000)
    await expect(agent.lines.last).to_have_attribute("data-fate", "sent")
    await expect(agent.lines.last.locator(".undo")).to_have_count(0)
    await keys.press("Escape")
    await keys.press("c")
    await expect(agent.page.locator("#close-outcome")).to_be_focused()
    await keys.press("Tab")
    for _ in range(4):
        await keys.press("ArrowDown")
    await expect(agent.page.locator("#close-category")).to_have_value("fault")
    for _ in range(2):
        await keys.press("Tab")
    await keys.press("Enter")
    await expect(agent.mine).to_have_count(0)
    await expect(agent.told).to_contain_text("会话已结束")
    await expect(customer.page.locator("#lines")).to_contain_text("本次人工服务已结束")


async def test_what_is_undone_in_time_nobody_has_seen(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    customer = await ring()
    await agent.take()
    await agent.say("写错了的话")
    await expect(agent.lines.last.locator(".undo")).to_contain_text("撤回")
    await agent.page.keyboard.press("Escape")
    await agent.page.keyboard.press("z")
    await expect(agent.box).to_have_value("写错了的话")
    await agent.say("这句对")
    await expect(customer.replies.last).to_contain_text("这句对", timeout=15_000)
    await expect(customer.page.locator("#lines")).not_to_contain_text("写错了的话")


async def test_unread_waits_and_typing_come_by_themselves(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    one = await ring()
    await agent.take()
    other = await ring()
    await agent.take()
    await expect(agent.mine).to_have_count(2)
    await expect(agent.page.locator("#mine > li.fresh")).to_have_count(0)
    await one.box.fill("在吗？")
    await one.box.press("Enter")
    row = agent.page.locator("#mine > li.fresh")
    await expect(row.locator(".unread .count")).to_have_text("1")
    await expect(row.locator(".last")).to_have_text("在吗？")
    await expect(row.locator(".waits")).to_be_visible()
    await expect(agent.page).to_have_title(re.compile("^（1）"))
    assert (await agent.page.locator("link[rel=icon]").get_attribute("href") or "").startswith("data:image/png")
    await row.locator("button").click()
    await expect(agent.page.locator("#mine > li.fresh")).to_have_count(0)
    await expect(agent.page).to_have_title(re.compile("^坐席台"))
    await other.box.fill("…")
    await agent.page.keyboard.press("Escape")
    await agent.page.keyboard.press("j")
    await other.box.press_sequentially("我想", delay=50)
    await agent.box.press_sequentially("您好", delay=50)
    await expect(other.page.locator("#typing")).to_be_visible()


# -- writing ----------------------------------------------------------------------------------------------------------


async def test_enter_belongs_to_the_input_method_while_it_composes(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    await ring()
    await agent.take()
    devtools = await agent.page.context.new_cdp_session(agent.page)
    before = await agent.lines.count()
    await devtools.send("Input.imeSetComposition", {"text": "nihao", "selectionStart": 5, "selectionEnd": 5})
    enter_key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    await devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter_key})
    await devtools.send("Input.insertText", {"text": "你好"})
    await expect(agent.box).to_have_value("你好")
    assert await agent.lines.count() == before
    await agent.box.press("Enter")
    await expect(agent.lines).to_have_count(before + 1)


async def test_drafts_are_kept_for_every_conversation_and_survive_a_reload(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    await ring()
    await agent.take()
    await agent.box.press_sequentially("给第一位")
    await ring()
    await agent.take()
    await expect(agent.box).to_have_value("")
    await agent.box.press_sequentially("给第二位")
    await agent.page.reload()
    await expect(agent.box).to_have_value("给第二位")
    await agent.page.keyboard.press("Escape")
    await agent.page.keyboard.press("j")
    await expect(agent.box).to_have_value("给第一位")


async def test_a_reply_to_what_has_changed_meanwhile_is_refused_and_kept(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    customer = await ring()
    await agent.take()
    agent.expect_faults("409")

    async def meanwhile(route: Route) -> None:
        await customer.box.fill("等等，情况变了")
        await customer.box.press("Enter")
        await customer.page.locator("#lines .line.in[data-id]", has_text="情况变了").wait_for()
        await route.continue_()

    await agent.page.route("**/messages?*", meanwhile, times=1)
    await agent.say("那就这么办")
    await expect(agent.page.locator("#notice")).to_contain_text("新消息")
    await expect(agent.box).to_have_value("那就这么办")
    await expect(agent.lines.last).to_contain_text("情况变了")
    await agent.box.press("Enter")
    await expect(customer.replies.last).to_contain_text("那就这么办", timeout=15_000)


async def test_a_note_mentions_a_colleague_and_no_customer_sees_it(hire: Hire, ring: Call) -> None:
    supervisor = await (await hire(Role.SUPERVISOR)).sit_down()
    agent = await (await hire()).sit_down()
    customer = await ring()
    await agent.take()
    keys = agent.page.keyboard
    await keys.press("Escape")
    await keys.press("o")
    await keys.type("请看一下 @")
    await expect(agent.page.locator("#suggest [role=option]")).to_have_count(1)
    await keys.press("Enter")
    await expect(agent.box).to_have_value(f"请看一下 @{PEOPLE[Role.SUPERVISOR]} ")
    await keys.press("Enter")
    await expect(agent.page.locator("#lines .note")).to_contain_text("请看一下")
    await expect(customer.page.locator("#lines")).not_to_contain_text("请看一下")
    assert supervisor.unexpected() == []


async def test_the_guide_is_searched_and_its_answer_goes_out_with_its_source(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    customer = await ring()
    await agent.take()
    await customer.box.fill("办理增容要交哪些资料？")
    await customer.box.press("Enter")
    await agent.page.locator("#tab-guide").click()
    await expect(agent.page.locator("#asked")).to_contain_text("办理增容")
    await expect(agent.page.locator("#matches .cited").first).to_contain_text("《")
    await agent.box.focus()
    await agent.page.keyboard.press("Control+i")
    await expect(agent.box).not_to_have_value("")
    await expect(agent.page.locator("#tray")).to_contain_text("依据《")
    await agent.page.keyboard.press("Enter")
    await expect(customer.replies.last.locator(".source")).to_be_visible(timeout=15_000)


async def test_canned_texts_are_found_by_shortcut_and_filled_in(hire: Hire, ring: Call, office: Office) -> None:
    agent = await (await hire()).sit_down()
    text = {"shortcut": "hello", "language": "zh_CN", "text": "{name}您好，我是坐席 {agent}。"}
    async with httpx.AsyncClient(base_url=office.base, cookies={COOKIE: office.cookies[Role.AGENT]}) as http:
        made = await http.post("/api/v1/canned", json=text, headers={"Origin": office.base})
    assert made.status_code == 201
    await ring(no=HOSPITAL)
    await agent.take()
    keys = agent.page.keyboard
    await keys.type("/he")
    option = agent.page.locator("#suggest [role=option]")
    await expect(option).to_have_count(1)
    await keys.press("Escape")
    await expect(option).to_be_hidden()
    await keys.type("l")
    await keys.press("Enter")
    await expect(agent.box).to_have_value(re.compile("^长汀妇幼.*您好，我是坐席 \\d+。$"))


async def test_an_album_goes_both_ways(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    customer = await ring()
    await agent.take()
    dots = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": PNG} for n in (1, 2)]
    await agent.page.locator("#photo").set_input_files(dots)  # type: ignore[arg-type]
    await expect(agent.page.locator("#tray .ready")).to_have_count(2)
    await agent.box.press("Enter")
    await expect(customer.replies.last.locator(".picture")).to_have_count(2, timeout=15_000)
    await customer.page.locator("#photo").set_input_files(dots)  # type: ignore[arg-type]
    await customer.box.press("Enter")
    await expect(agent.lines.last.locator(".picture")).to_have_count(2)
    assert await agent.lines.last.locator("img").first.evaluate("one => one.decode().then(() => one.naturalWidth)") == 1


PNG: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)


# -- among colleagues -------------------------------------------------------------------------------------------------


async def test_a_conversation_is_handed_over_with_a_summary_and_accepted(hire: Hire, ring: Call) -> None:
    supervisor = await (await hire(Role.SUPERVISOR)).sit_down()
    agent = await (await hire()).sit_down()
    customer = await ring()
    await agent.take()
    await agent.page.keyboard.press("Escape")
    await agent.page.keyboard.press("t")
    await agent.page.locator("#whom-to label", has_text=PEOPLE[Role.SUPERVISOR]).click()
    await agent.page.locator("#transfer-summary").fill("要查去年的电费，已核对户号")
    await agent.page.locator("#transferring .primary").click()
    offer = supervisor.page.locator("#offers .offer")
    await expect(offer).to_contain_text("要查去年的电费")
    await supervisor.page.keyboard.press("a")
    await expect(supervisor.mine).to_have_count(1)
    await expect(supervisor.page.locator("#lines")).to_contain_text("要查去年的电费")
    await expect(agent.mine).to_have_count(0)
    await expect(customer.page.locator("#lines")).not_to_contain_text("要查去年的电费")


async def test_a_supervisor_sees_the_floor_whispers_and_takes_over(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    customer = await ring()
    await agent.take()
    supervisor = await hire(Role.SUPERVISOR)
    await supervisor.go("/desk/floor")
    row = supervisor.page.locator("#agents tr", has_text=PEOPLE[Role.AGENT])
    await expect(row).to_contain_text("在线")
    await row.locator(".held a").click()
    await supervisor.page.wait_for_url("**/desk?c=*")
    await expect(supervisor.page.locator("#outside")).to_contain_text(PEOPLE[Role.AGENT])
    await supervisor.box.fill("先问清楚是哪条线路")
    await supervisor.box.press("Enter")
    await expect(agent.page.locator("#lines .whisper")).to_contain_text("哪条线路")
    await supervisor.page.locator("#take-it").click()
    await supervisor.page.locator("#take-reason").fill("媒体来电")
    await supervisor.page.locator("#taking .primary").click()
    await expect(supervisor.mine).to_have_count(1)
    await expect(agent.mine).to_have_count(0)
    await expect(customer.page.locator("#lines")).not_to_contain_text("哪条线路")


async def test_an_agent_may_not_see_the_floor(office: Office) -> None:
    async with httpx.AsyncClient(base_url=office.base, cookies={COOKIE: office.cookies[Role.AGENT]}) as http:
        assert (await http.get("/desk/floor")).status_code == 403


async def test_danger_is_red_until_somebody_takes_it(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    await ring("配电房着火了，有人触电")
    alarm = agent.page.locator("#alarms li")
    await expect(alarm).to_contain_text("着火")
    await expect(agent.page.locator("body")).to_have_attribute("data-played", re.compile("[1-9]"))
    await alarm.locator(".acknowledge").click()
    await expect(alarm).to_have_count(0)
    await expect(agent.page.locator("#lines")).to_contain_text("着火")


async def test_a_promise_is_taken_tried_and_kept(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    customer = await ring(no=HOSPITAL)
    await customer.choose("给我回电")
    page = agent.page
    await page.keyboard.press("y")
    promise = page.locator("#promises .promise")
    await expect(promise).to_have_count(1)
    await promise.locator(".take").click()
    await expect(promise).to_contain_text(PEOPLE[Role.AGENT])
    await promise.locator(".attempt").click()
    await page.locator("#trying .primary").click()
    await expect(promise.locator(".tries")).to_contain_text("没人接")
    await promise.locator(".keep").click()
    await page.locator("#keep-note").fill("已答复复电时间")
    await page.locator("#keeping .primary").click()
    await expect(promise).to_have_count(0)


async def test_personal_data_beside_a_conversation_are_shown_with_a_reason(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    await ring(no=HOSPITAL)
    await agent.take()
    panel = agent.page.locator("#customer")
    await expect(panel.locator(".holding .number").first).to_contain_text(HOSPITAL)
    await panel.get_by_text("为什么是这个层级").click()
    await panel.get_by_text("显示完整信息").click()
    await panel.locator("input[name=reason]").fill("核对联系人")
    await panel.get_by_role("button", name="显示").click()
    await expect(panel.get_by_role("status")).to_contain_text("已经记录")
    await expect(panel.locator("a[href^='tel:']").first).to_be_visible()


# -- the connection ---------------------------------------------------------------------------------------------------


async def test_a_lost_connection_loses_nothing_and_says_so(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    customer = await ring()
    await agent.take()
    agent.expect_faults("ERR_INTERNET_DISCONNECTED")
    await agent.page.context.set_offline(True)
    await expect(agent.page.locator("#lost")).to_contain_text("连接断开")
    await agent.say("断线时写的")
    await expect(agent.lines.last).to_have_attribute("data-fate", "waiting")
    await customer.box.fill("断线时问的")
    await customer.box.press("Enter")
    await customer.page.locator("#lines .line.in[data-id]", has_text="断线时问的").wait_for()
    agent.expect_faults("409")
    await agent.page.context.set_offline(False)
    await expect(agent.page.locator("#lost")).to_contain_text("没有遗漏", timeout=20_000)
    await expect(agent.page.locator("#lines .in", has_text="断线时问的")).to_have_count(1)
    # what was written without knowing the question is asked about again
    await expect(agent.box).to_have_value("断线时写的")
    await agent.box.press("Enter")
    await expect(customer.replies.last).to_contain_text("断线时写的", timeout=15_000)
    await expect(customer.page.locator("#lines .out", has_text="断线时写的")).to_have_count(1)


# -- keys and looks ---------------------------------------------------------------------------------------------------


async def test_letters_are_letters_while_typing_and_the_palette_finds_everything(hire: Hire, ring: Call) -> None:
    agent = await (await hire()).sit_down()
    page, keys = agent.page, agent.page.keyboard
    await keys.press("?")
    await expect(page.locator("#keys")).to_be_visible()
    await keys.press("Escape")
    await ring()
    await agent.take()
    await keys.type("nkcm?")
    await expect(agent.box).to_have_value("nkcm?")
    await expect(page.locator("dialog[open]")).to_have_count(0)
    await keys.press("Control+k")
    await expect(page.locator("#command")).to_be_focused()
    await keys.type("静音")
    await keys.press("Enter")
    await expect(agent.told).to_contain_text("已静音")
    await page.reload()
    await expect(page.locator("#mute")).to_be_checked()


async def stage(agent: Agent, ring: Call) -> None:
    """A console with something of everything."""
    await agent.sit_down()
    customer = await ring(no=HOSPITAL)
    await agent.take()
    await ring()
    await customer.box.fill("增容要多久？")
    await customer.box.press("Enter")
    await expect(agent.lines.last).to_contain_text("增容")
    await agent.say("我马上查。")
    await expect(agent.page.locator(".holding")).to_have_count(1)


@pytest.mark.parametrize("size", ["phone", "desk"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_axe_finds_nothing_and_nothing_is_cut(
    hire: Hire, ring: Call, language: str, dark: bool, size: str
) -> None:
    agent = await hire(language=language, dark=dark, size=size, reduced_motion="reduce")
    await stage(agent, ring)
    wrong = []
    for pane in ("list", "talk", "about"):
        await agent.page.evaluate("pane => (document.body.dataset.pane = pane)", pane)
        wrong += [f"{pane}: {each}" for each in await violations(agent)]
        wide, _ = await agent.page.evaluate(WIDER)
        wrong += [f"{pane} is {wide} px too wide"] if wide > 0 else []
    await agent.page.evaluate("document.querySelector('#keys').showModal()")
    wrong += [f"keys: {each}" for each in await violations(agent)]
    assert wrong == []


@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_axe_finds_nothing_on_the_floor(hire: Hire, ring: Call, language: str) -> None:
    agent = await (await hire()).sit_down()
    await ring()
    await agent.take()
    supervisor = await hire(Role.SUPERVISOR, language=language)
    await supervisor.go("/desk/floor")
    await expect(supervisor.page.locator("#agents tr")).not_to_have_count(0)
    assert await violations(supervisor) == []
