"""What is measured: accessibility, layout shift, bytes before the first paint, server time."""

import statistics
import time
from typing import Any

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.browser.conftest import Arrive, Site
from tests.browser.shots import checklist, transcript
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser
SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shifted += entry.value)))
  .observe({ type: "layout-shift", buffered: true });
"""


async def accessible(visitor: Visitor) -> list[str]:
    """What axe finds, one line a finding."""
    found: dict[str, Any] = (await Axe().run(visitor.page)).response
    return [f"{v['id']}: {node['html']}" for v in found["violations"] for node in v["nodes"]]


@pytest.mark.parametrize("size", ["phone", "desk"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_axe_finds_nothing(arrive: Arrive, language: str, dark: bool, size: str) -> None:
    # half-way through a fade a contrast cannot be judged
    visitor = await arrive(language=language, dark=dark, size=size, reduced_motion="reduce")
    await visitor.open()
    assert await accessible(visitor) == []
    await visitor.page.locator("#more summary").click()
    assert await accessible(visitor) == []
    await visitor.page.locator("#tell").click()
    assert await accessible(visitor) == []
    await visitor.page.keyboard.press("Escape")
    if size == "phone":
        await transcript(visitor)
        await visitor.page.locator(".source summary").first.click()
        await visitor.page.locator("#offline").evaluate("banner => (banner.hidden = false)")
    else:
        await checklist(visitor)
        await visitor.page.locator("#trouble").evaluate("trouble => (trouble.hidden = false)")
    assert await accessible(visitor) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_axe_finds_nothing_before_the_script_and_on_an_error_page(
    arrive: Arrive, language: str, dark: bool
) -> None:
    visitor = await arrive(language=language, dark=dark)
    visitor.expect_faults(r"\.js|404")
    await visitor.page.route("**/*.js*", lambda route: route.abort())
    await visitor.open(live=False)
    assert await accessible(visitor) == []
    await visitor.open("/nowhere", live=False)
    await expect(visitor.page.locator("h1")).to_have_count(1)
    assert await accessible(visitor) == []


@pytest.mark.parametrize("size", ["phone", "desk"])
async def test_nothing_shifts_during_load_and_the_first_answer(arrive: Arrive, size: str) -> None:
    visitor = await arrive(size=size)
    await visitor.page.add_init_script(SHIFTS)
    await visitor.open()
    await visitor.ask("双电源的供电方案多久能出来?")
    assert await visitor.page.evaluate("window.shifted") < 0.01
    # and once more with the conversation in the page
    await visitor.page.reload()
    await expect(visitor.page.locator("html")).to_have_class("live")
    await visitor.page.evaluate("new Promise(requestAnimationFrame)")
    assert await visitor.page.evaluate("window.shifted") < 0.01


@pytest.mark.parametrize("language", ["zh_CN", "en"])
async def test_lines_stay_within_40_characters_and_nothing_is_cut(arrive: Arrive, language: str) -> None:
    # 4 px: the touch area of a source stands out of its text
    visitor = await (await arrive(language=language, size="desk")).open()
    await checklist(visitor)
    await visitor.ask("很长的一句话" * 60 + "https://example.com/" + "a" * 200)
    for width in (1280, 390, 320):
        await visitor.page.set_viewport_size({"width": width, "height": 800})
        wide, widest, cut = await visitor.page.evaluate(
            """() => [
              document.documentElement.scrollWidth,
              Math.max(...[...document.querySelectorAll("#lines .words")].map((words) => words.clientWidth)),
              [...document.querySelectorAll("#lines *, .top *")]
                .filter((one) => !one.closest(".unseen, h1") && one.clientWidth && one.scrollWidth > one.clientWidth + 4)
                .map((one) => one.outerHTML),
            ]"""
        )
        assert wide <= width and widest <= 40 * 16
        assert cut == []


async def test_the_first_paint_takes_less_than_100_kb(arrive: Arrive) -> None:
    visitor = await (await arrive()).open()
    paint, sizes = await visitor.page.evaluate(
        """() => {
          const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
          const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
          const early = all.filter((entry) => entry.startTime <= paint && !entry.name.includes("/events"));
          return [paint, Object.fromEntries(early.map((entry) => [new URL(entry.name).pathname, entry.transferSize]))];
        }"""
    )
    assert paint > 0 and "/static/chat.css" in sizes
    assert sum(sizes.values()) < 100_000, sizes
    everything = await visitor.page.evaluate(
        "performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.transferSize, 0)"
    )
    assert everything < 100_000


def test_the_page_is_rendered_within_200_ms(site: Site) -> None:
    with httpx.Client(base_url=site.base) as client:
        client.post("/api/v1/chat/sessions")
        for number in range(20):
            message = {"client_id": f"{number}", "choice": "topics:apply"}
            client.post("/api/v1/chat/messages", json=message).raise_for_status()
        spent = []
        for _ in range(10):
            began = time.perf_counter()
            assert client.get("/chat").text.count('class="line ') > 40
            spent.append(time.perf_counter() - began)
    assert statistics.median(spent) < 0.2
