"""Photos, files and places."""

import base64
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import FilePayload, expect

from tests.browser.conftest import Arrive
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser
DOT: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HERE: Final = {"geolocation": {"latitude": 30.2741, "longitude": 120.1551}}


def a_file(name: str, content: bytes = b"1", media_type: str = "application/octet-stream") -> FilePayload:
    return {"name": name, "mimeType": media_type, "buffer": content}


async def test_a_photo_and_a_file_go_with_the_words(visitor: Visitor) -> None:
    page = visitor.page
    await page.locator("#photo").set_input_files(a_file("电表.png", DOT, "image/png"))
    await page.locator("#file").set_input_files(a_file("设备清单.xlsx"))
    await expect(page.locator(".parcel.ready")).to_have_count(2)
    await visitor.ask("请核对电表底数")
    await expect(page.locator(".parcel")).to_have_count(0)
    await page.reload()
    line = visitor.said.last
    picture = line.locator(".picture img")
    await expect(picture).to_have_attribute("alt", "电表.png")
    await picture.scroll_into_view_if_needed()
    await expect(picture).to_have_js_property("naturalWidth", 1)
    await expect(line.locator(".file")).to_have_text("设备清单.xlsx")
    async with page.expect_download() as download:
        # a file is saved, never shown in our origin
        await line.locator(".file").evaluate("link => (link.removeAttribute('target'), link.click())")
    assert (await (await download.value).path()).read_bytes() == b"1"


async def test_a_file_alone_is_received(visitor: Visitor) -> None:
    await visitor.page.locator("#file").set_input_files(a_file("plan.pdf"))
    await visitor.page.locator(".parcel.ready").wait_for()
    reply = await visitor.answer_to(visitor.page.get_by_role("button", name="发送").click())
    await expect(reply).not_to_be_empty()


async def test_a_file_over_20_mb_is_not_taken(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "big.zip").write_bytes(bytes(20 * 1024 * 1024 + 1))
    await visitor.page.locator("#file").set_input_files(tmp_path / "big.zip")
    await expect(visitor.page.locator("#notice")).to_have_text("文件太大：最大 20 MB，请压缩或分开发送。")
    await expect(visitor.page.locator(".parcel")).to_have_count(0)


async def test_a_program_is_refused_in_words_and_the_rest_is_sent(visitor: Visitor) -> None:
    visitor.expect_faults("415")
    await visitor.page.locator("#file").set_input_files([a_file("run.exe"), a_file("plan.pdf")])
    await expect(visitor.page.locator("#notice")).to_contain_text("“run.exe”是空文件或程序文件")
    await expect(visitor.page.locator(".parcel")).to_have_text(["plan.pdf移除"])
    await visitor.ask("请看图纸")
    await expect(visitor.page.locator("#notice")).to_be_empty()
    await expect(visitor.said.last.locator(".file")).to_have_text(["plan.pdf"])


async def test_a_file_can_be_taken_back(visitor: Visitor) -> None:
    await visitor.page.locator("#file").set_input_files(a_file("plan.pdf"))
    await visitor.page.get_by_role("button", name="移除").click()
    await expect(visitor.page.locator(".parcel")).to_have_count(0)
    await expect(visitor.box).to_be_focused()
    await visitor.ask("双电源")
    await expect(visitor.said.last.locator(".file")).to_have_count(0)


async def test_at_most_ten_files_go_in_one_message(visitor: Visitor) -> None:
    await visitor.page.locator("#file").set_input_files([a_file(f"{number}.pdf") for number in range(11)])
    await expect(visitor.page.locator("#notice")).to_have_text("一次最多发 10 个文件。")
    await expect(visitor.page.locator(".parcel")).to_have_count(10)


async def test_a_place_is_sent_when_the_customer_allows_it(arrive: Arrive) -> None:
    visitor = await (await arrive(permissions=["geolocation"], **HERE)).open()
    page = visitor.page
    await page.locator("#attach summary").click()
    await page.get_by_role("button", name="我的位置").click()
    await expect(page.locator(".parcel")).to_contain_text("我的位置 30.27410, 120.15510")
    reply = await visitor.answer_to(page.get_by_role("button", name="发送").click())
    await expect(reply).to_contain_text("收到您的位置")
    await page.reload()
    await expect(visitor.said.last.locator(".place")).to_have_text("位置 30.27410, 120.15510")


async def test_a_refused_place_is_explained(visitor: Visitor) -> None:
    await visitor.page.locator("#attach summary").click()
    await visitor.page.locator("#locate").click()
    await expect(visitor.page.locator("#notice")).to_contain_text("没能取得位置。")
    await expect(visitor.page.locator("#attach .items")).to_be_hidden()
