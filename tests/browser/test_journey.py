"""What a customer comes for, on a phone and at a desk, in both languages and both looks."""

import re

import pytest
from playwright.async_api import expect

from knowledge import checklists
from tests.browser.conftest import Arrive
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser
PLACES = [("phone", False), ("desk", True)]


@pytest.mark.parametrize(("size", "dark"), PLACES)
async def test_a_question_is_answered_with_its_source_and_the_article_opens(
    arrive: Arrive, size: str, dark: bool
) -> None:
    visitor = await (await arrive(size=size, dark=dark)).open()
    await expect(visitor.replies.first).to_contain_text("服务指南")
    reply = await visitor.ask("双电源的供电方案多久能出来?")
    await expect(reply.locator(".bubble > .words")).to_contain_text("二个月")
    await expect(reply.locator("summary")).to_contain_text(re.compile("依据《大客户用电申请服务指南》第.+条"))
    await reply.locator("summary").click()
    await expect(reply.locator(".excerpt .words")).to_have_text("上面的回答就是这一条的全部内容。")
    title = await reply.locator(".excerpt strong").inner_text()
    assert title and title in await reply.locator(".excerpt").inner_text()


@pytest.mark.parametrize(("size", "dark"), PLACES)
async def test_what_the_guide_does_not_say_is_not_invented(arrive: Arrive, size: str, dark: bool) -> None:
    visitor = await (await arrive(size=size, dark=dark)).open()
    reply = await visitor.ask("低压居民要多久?")
    await expect(reply.locator(".words").first).to_contain_text("服务指南里没有写")
    assert await reply.locator(".source").count() == 0
    left = await visitor.choose("把这条留给工作人员")
    await expect(left).to_contain_text(re.compile(r"已记下，编号 LY\d+"))
    await expect(visitor.said.last).to_contain_text("把这条留给工作人员")


async def test_an_english_question_gets_an_english_answer_and_source(arrive: Arrive) -> None:
    visitor = await (await arrive(size="desk", language="en")).open()
    reply = await visitor.ask("How long does a supply plan for dual supply take?")
    await expect(reply.locator(".bubble > .words")).to_contain_text("two months")
    await expect(reply.locator("summary")).to_contain_text(re.compile(r"Source: .+, Article"))
    await reply.locator("summary").click()
    await expect(reply.locator(".excerpt .words")).to_have_text("The answer above is this entry in full.")


async def test_the_checklist_asks_its_conditions_and_ends_in_the_exact_list(visitor: Visitor) -> None:
    project = next(iter(checklists.load().types.values()))
    await visitor.choose("要交哪些资料")
    for answer, label in ((True, "有 / 是"), (False, "没有 / 不是")):
        await visitor.choose(project.name.said("zh_CN"))
        given: list[bool] = []
        while label in await visitor.choices():
            await visitor.choose(label)
            given.append(answer)
        assert given
        papers = [paper.said("zh_CN") for paper in project.documents(given)]
        reply = visitor.replies.last
        await expect(reply.locator(".point")).to_have_text([f"{n}. {paper}" for n, paper in enumerate(papers, 1)])
        await expect(reply.locator("summary")).to_contain_text("依据《")
        await visitor.choose("换个项目类型")


async def test_choices_are_made_with_the_keyboard_alone(arrive: Arrive) -> None:
    visitor = await (await arrive(size="desk")).open()
    page = visitor.page
    await expect(visitor.box).to_be_focused()
    for _ in range(20):
        await page.keyboard.press("Shift+Tab")
        if await page.evaluate("document.activeElement.value") == "check":
            break
    await visitor.answer_to(page.keyboard.press("Enter"))
    # the first of the next choices is where the hands are
    first = visitor.replies.last.locator(".choice").first
    await expect(first).to_be_focused()
    await visitor.answer_to(page.keyboard.press("Space"))
    await expect(visitor.replies.last.locator(".choice").first).to_be_focused()


async def test_a_message_for_staff_is_written_and_numbered(visitor: Visitor) -> None:
    await visitor.ask("转人工")
    await visitor.choose("不等了")
    await visitor.choose("给工作人员留言")
    reply = await visitor.ask("请派人来核对电表底数。")
    await expect(reply).to_contain_text(re.compile(r"编号 LY\d+"))


async def test_the_language_is_switched_in_the_header_and_stays(visitor: Visitor) -> None:
    await visitor.page.get_by_role("button", name="Switch to English").click()
    await expect(visitor.page.locator("html")).to_have_attribute("lang", "en")
    await expect(visitor.box).to_have_attribute("placeholder", "Type your question…")
    await expect(visitor.replies.last).to_contain_text("All right, I will answer in English from now on.")
    await visitor.page.reload()
    await expect(visitor.page.locator("html")).to_have_attribute("lang", "en")
    await expect(visitor.replies).to_have_count(2)
    assert "lang=" not in visitor.page.url


async def test_markup_in_a_message_is_only_text(visitor: Visitor) -> None:
    hostile = "<script>document.title='x'</script> &amp; <img src=x onerror=alert(1)> \"双电源\""
    await visitor.ask(hostile)
    await expect(visitor.said.last.locator(".words")).to_have_text(hostile)
    await visitor.page.reload()
    await expect(visitor.said.last.locator(".words")).to_have_text(hostile)
    assert await visitor.page.locator("#lines img, #lines script").count() == 0
    assert await visitor.page.title() == "供电客服 · 绿线"


@pytest.mark.parametrize("length", [10_000, 20_000])
async def test_a_very_long_message_is_kept_and_answered(visitor: Visitor, length: int) -> None:
    text = "双电源的供电方案多久能出来?".ljust(length, "啊")
    await visitor.ask(text)
    assert await visitor.said.last.locator(".words").inner_text() == text
    wide = await visitor.page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide


async def test_a_message_that_is_too_long_stays_in_the_box(visitor: Visitor) -> None:
    await visitor.box.fill("啊" * 20_001)
    await visitor.box.press("Enter")
    await expect(visitor.page.locator("#notice")).to_have_text("太长了：一条消息最多 20000 字，请分开发送。")
    assert len(await visitor.box.input_value()) == 20_001
    await expect(visitor.said).to_have_count(0)
