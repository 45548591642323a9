"""The page of the policy in a real browser: what will change is shown first, nothing typed is lost, the keyboard is enough."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from playwright.async_api import Browser, expect

from api.callers import COOKIE
from desk import hours, policy, staff
from desk.clock import SystemClock
from desk.permissions import Role
from desk.policy import Policy
from desk.store import Store
from tests.browser.conftest import served
from tests.browser.staff_site import PEOPLE, Colleague, come, cookie
from tests.browser.test_staff import WIDER, findings, tab_to, violations

pytestmark = pytest.mark.browser
BOSS: Final = Role.SUPERVISOR
ComeIn = Callable[..., Awaitable[Colleague]]


class Rules:
    """The running site with its database."""

    def __init__(self, url: str, base: str) -> None:
        self.url, self.base, self.clock = url, base, SystemClock()

        async def begin() -> str:
            async with self.store() as store, store.transaction() as db:
                await staff.add(db, PEOPLE[BOSS], BOSS, hashed=None, by="greenline", at=self.clock.now())
            return await cookie(url, BOSS)

        self.cookie = asyncio.run(begin())

    def store(self) -> "Opened":
        return Opened(self.url)

    async def latest(self) -> tuple[int, Policy]:
        async with self.store() as store, store.transaction() as db:
            return await policy.latest(db)

    async def publish(self, **changes: Any) -> None:
        async with self.store() as store, store.transaction() as db:
            number, _ = await policy.latest(db)
            await policy.publish(db, changes, version=number, note="值班调整", by="周敏", at=self.clock.now())


class Opened:
    """A store that is closed afterwards."""

    def __init__(self, url: str) -> None:
        self._store = Store(url)

    async def __aenter__(self) -> Store:
        return self._store

    async def __aexit__(self, *exc: object) -> None:
        await self._store.close()


@pytest.fixture(scope="module")
def rules(server: str, template: str, pytestconfig: pytest.Config) -> Iterator[Rules]:
    """Greenline with one supervisor."""
    with served(server, pytestconfig) as site:
        yield Rules(site.url, site.base)


@pytest.fixture
async def come_in(browser: Browser, rules: Rules) -> AsyncIterator[ComeIn]:
    """The supervisor at a browser: `await come_in(dark=True)`."""
    colleagues: list[Colleague] = []

    async def begin(**options: Any) -> Colleague:
        one = await come(browser, rules.base, **options)
        colleagues.append(one)
        await one.page.context.add_cookies([{"name": COOKIE, "value": rules.cookie, "url": rules.base}])
        return one

    yield begin
    for one in colleagues:
        await one.page.context.close()
    assert [fault for one in colleagues for fault in one.unexpected()] == []


async def test_a_change_is_shown_before_it_is_published_and_takes_a_reason(come_in: ComeIn, rules: Rules) -> None:
    number, _ = await rules.latest()
    one = await come_in()
    page = one.page
    await one.go("/desk/policy")
    await page.get_by_label("每名坐席同时接待（个）").fill("7")
    await page.locator("[id='service.hours.0.opens']").fill("08:00")
    await page.locator("[id='service.hours.0.closes']").fill("20:00")
    await page.locator("[id='service.hours.1.opens']").fill("06:00")
    await page.locator("[id='service.hours.1.closes']").fill("07:30")
    await page.locator("[name='service.hours.1.days.6']").set_checked(True, force=True)
    await page.get_by_role("button", name="预览改动").click()
    await expect(page.locator(".changes tbody tr")).to_have_count(2)
    await expect(page.locator(".changes")).to_contain_text("六 06:00–07:30")
    assert (await rules.latest())[0] == number
    await page.get_by_role("button", name="发布").click()
    await expect(page.locator("#note")).to_be_focused()  # the browser asks for the reason
    await page.locator("#note").fill("周末早班")
    await page.get_by_role("button", name="发布").click()
    await expect(page.get_by_role("status")).to_contain_text("已发布")
    await expect(page.locator(".version summary").first).to_contain_text("周末早班")
    await expect(page.locator(".version summary").first).to_contain_text(PEOPLE[BOSS])
    found, now = await rules.latest()
    assert (found, now.queue.capacity, [each.days for each in now.service.hours]) == (
        number + 1,
        7,
        [[1, 2, 3, 4, 5, 6, 7], [6]],
    )


async def test_several_mistakes_stand_beside_their_fields_and_on_top_and_nothing_typed_is_lost(come_in: ComeIn) -> None:
    one = await come_in()
    one.expect_faults("422")
    page = one.page
    await one.go("/desk/policy")
    await page.get_by_label("夜间结束").fill("21:00")
    await page.get_by_label("最多拨打（次）").fill("many")
    await page.locator("[id='queue.targets_s.B']").fill("-5")
    await page.locator("[id='alarms.on_call.1.name']").fill("林晓")
    await page.locator("[id='alarms.on_call.1.phone']").fill("无")
    await page.get_by_role("button", name="预览改动").click()
    for field, typed in {
        "night.ends": "21:00",
        "promises.attempts": "many",
        "queue.targets_s.B": "-5",
        "alarms.on_call.1.phone": "无",
    }.items():
        await expect(page.locator(f"[id='{field}']")).to_have_value(typed)
        await expect(page.locator(f"[id='{field}-wrong']")).to_be_visible()
        await expect(page.locator(f"[role=alert] a[href='#{field}']")).to_be_visible()
    await page.locator("[role=alert] a").first.click()
    await expect(page.locator("[id='night.ends']")).to_be_focused()


async def test_going_back_from_the_preview_keeps_what_was_typed(come_in: ComeIn) -> None:
    one = await come_in()
    await one.go("/desk/policy")
    await one.page.get_by_label("消息可撤回（秒）").fill("9")
    await one.page.get_by_role("button", name="预览改动").click()
    await one.page.get_by_role("button", name="返回修改").click()
    await expect(one.page.get_by_label("消息可撤回（秒）")).to_have_value("9")


async def test_who_is_second_is_told_and_keeps_both_changes(come_in: ComeIn, rules: Rules) -> None:
    one = await come_in()
    one.expect_faults("409")
    await one.go("/desk/policy")
    await one.page.get_by_label("回拨期限（小时）").fill("12")
    await rules.publish(storm={"surge_entries": 44})
    await one.page.get_by_role("button", name="预览改动").click()
    await expect(one.page.get_by_role("alert")).to_contain_text("最新的是第")
    await expect(one.page.get_by_label("回拨期限（小时）")).to_have_value("12")
    await expect(one.page.get_by_label("进入排队的客户数")).to_have_value("44")
    await one.page.get_by_role("button", name="预览改动").click()
    await expect(one.page.locator(".changes tbody tr")).to_have_count(1)


async def test_publishing_by_keyboard_alone(come_in: ComeIn, rules: Rules) -> None:
    number, before = await rules.latest()
    one = await come_in()
    keys = one.page.keyboard
    await one.go("/desk/policy")
    field = one.page.get_by_label("转接无人接退回（秒）")
    await tab_to(one, field)
    await keys.type(str(before.queue.transfer_s + 1))
    await keys.press("Enter")
    await expect(one.page.locator(".changes")).to_be_visible()
    await tab_to(one, one.page.locator("#note"))
    await keys.type("多等一秒")
    await keys.press("Enter")
    await expect(one.page.get_by_role("status")).to_contain_text("已发布")
    found, now = await rules.latest()
    assert (found, now.queue.transfer_s) == (number + 1, before.queue.transfer_s + 1)


async def test_a_day_is_entered_and_removed_without_the_script(come_in: ComeIn, rules: Rules) -> None:
    one = await come_in(script=False)
    one.expect_faults("422")
    page = one.page
    await one.go("/desk/policy?year=2026")
    await page.locator("summary", has_text="登记一天").click()
    await page.locator("#day").fill("2026-10-08")
    await page.locator("#why").fill(" ")
    await page.get_by_role("button", name="登记", exact=True).click()
    await expect(page.locator("#why-wrong")).to_be_visible()
    await expect(page.locator("#day")).to_have_value("2026-10-08")
    await page.locator("#why").fill("检修后补休")
    await page.get_by_role("button", name="登记", exact=True).click()
    row = page.locator("tr", has_text="检修后补休")
    await expect(row).to_contain_text("不上班")
    await row.get_by_role("button").click()
    await expect(row).to_have_count(0)
    async with rules.store() as store, store.transaction() as db:
        assert await hours.overrides(db, 2026) == []


@pytest.mark.parametrize("size", ["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_axe_finds_nothing_and_nothing_is_cut(
    come_in: ComeIn, rules: Rules, language: str, dark: bool, size: str
) -> None:
    _, now = await rules.latest()
    await rules.publish(promises={"attempts": now.promises.attempts % 9 + 1})
    async with rules.store() as store, store.transaction() as db:
        day = rules.clock.now().date() + timedelta(days=1)
        await hours.override(db, day, working=True, note="迎峰度冬", by="周敏", at=rules.clock.now())
    one = await come_in(language=language, dark=dark, size=size, reduced_motion="reduce")
    year = day.year
    assert await findings(one, f"/desk/policy?year={year}") == []
    await one.page.locator("[id='queue.handling_s']").fill(str(now.queue.handling_s + 1))
    await one.page.locator("button[value=review]").click()
    await one.page.locator(".changes").wait_for()
    assert await findings_here(one) == []


async def findings_here(one: Colleague) -> list[str]:
    """What is wrong with the page that is open."""
    wide, cut = await one.page.evaluate(WIDER)
    return await violations(one) + cut + ([f"{wide} px too wide"] if wide > 0 else [])
