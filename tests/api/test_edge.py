"""The edge itself: headers, sizes, speed, foreign pages, health, and error pages."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from api import guard, problems
from api.app import create_app
from api.guard import Allowance, Limits
from api.services import Services
from desk import attachments
from desk.errors import TooManyRequests
from desk.settings import Settings
from desk.store import Store
from tests.api.conftest import API, Visitor, arrive
from tests.conftest import free_port

OURS = "http://greenline.test"
HTML = {"Accept": "text/html,application/xhtml+xml"}


# -- headers ----------------------------------------------------------------------------------------------------------


async def test_pages_may_be_framed_only_where_the_chat_is_meant_to_be(client: httpx.AsyncClient) -> None:
    chat, other = await client.get("/chat"), await client.get("/nowhere", headers=HTML)
    assert "frame-ancestors *" in chat.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in other.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/chat", "/nowhere", "/healthz", f"{API}/messages", "/openapi.json"])
async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy and "object-src 'none'" in policy and "unsafe-inline" not in policy
    assert "server" not in headers


async def test_static_files_are_kept_for_ever_under_their_version(client: httpx.AsyncClient) -> None:
    plain = await client.get("/static/chat.css")
    versioned = await client.get("/static/chat.css?v=1")
    assert plain.headers["cache-control"] == "public, max-age=300"
    assert "immutable" in versioned.headers["cache-control"]
    assert (await client.get("/static/../app.py")).status_code == 404
    assert (await client.get("/static/%2e%2e/__init__.py")).status_code == 404


# -- sizes ------------------------------------------------------------------------------------------------------------


async def chunks(count: int, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


@pytest.mark.parametrize("path", [f"{API}/messages", f"{API}/sessions", "/api/v1/guide/questions", "/chat"])
async def test_a_body_without_a_file_is_limited(running: httpx.AsyncClient, path: str) -> None:
    kind = "application/x-www-form-urlencoded" if path == "/chat" else "application/json"
    headers = (await arrive(running)).headers | {"Content-Type": kind}
    for content in (b"[" + b" " * problems.BODY, chunks(problems.BODY // 65536 + 1)):
        answer = await running.post(path, headers=headers, content=content)
        assert answer.status_code == 413, (path, answer.text)
        assert answer.json()["code"] == "body_too_large" and "1 MB" in answer.json()["detail"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_upload_is_refused_without_being_held_in_memory(
    running: httpx.AsyncClient, announced: bool
) -> None:
    visitor = await arrive(running)
    headers = visitor.headers | {"Content-Type": "multipart/form-data; boundary=b"}
    total = 30 * 1024 * 1024
    if announced:
        headers["Content-Length"] = str(total)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'

    async def body() -> AsyncIterator[bytes]:
        yield head
        async for chunk in chunks((total - len(head)) // 65536):
            yield chunk
        yield b"x" * ((total - len(head)) % 65536)

    tracemalloc.start()
    answer = await running.post(f"{API}/attachments", headers=headers, content=body())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 413 and "20 MB" in answer.json()["detail"]
    assert peak < attachments.LARGEST / 2
    assert (await visitor.get("/messages")).status_code == 200


# -- speed ------------------------------------------------------------------------------------------------------------


class Ticks:
    """A monotonic clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_allowed_then_so_many_a_second() -> None:
    ticks = Ticks()
    limits, allowance = Limits(ticks), Allowance(3, 0.5)
    for _ in range(3):
        limits.take("talk", "a", allowance)
    with pytest.raises(TooManyRequests) as refused:
        limits.take("talk", "a", allowance)
    assert refused.value.facts == {"retry_after": 2}
    limits.take("talk", "b", allowance)
    limits.take("questions", "a", allowance)
    ticks.now += 2
    limits.take("talk", "a", allowance)
    with pytest.raises(TooManyRequests):
        limits.take("talk", "a", allowance)
    ticks.now += 1000
    for _ in range(3):
        limits.take("talk", "a", allowance)


def test_a_refused_call_does_not_lengthen_the_wait() -> None:
    ticks = Ticks()
    limits, allowance = Limits(ticks), Allowance(1, 1.0)
    limits.take("talk", "a", allowance)
    for _ in range(50):
        with pytest.raises(TooManyRequests):
            limits.take("talk", "a", allowance)
    ticks.now += 1
    limits.take("talk", "a", allowance)


def test_memory_of_callers_is_bounded_and_forgets_the_quiet_first() -> None:
    ticks = Ticks()
    limits, allowance = Limits(ticks), Allowance(1, 0.0001)
    for number in range(guard.MANY + 10):
        ticks.now += 0.001
        limits.take("talk", str(number), allowance)
    assert len(limits._spent) <= guard.MANY
    with pytest.raises(TooManyRequests):
        limits.take("talk", str(guard.MANY + 9), allowance)


async def test_one_conversation_cannot_flood(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MESSAGES", Allowance(2, 0.1))
    for number in range(2):
        await visitor.says(str(number), "/help")
    answer = await visitor.post("/messages", json={"client_id": "9", "text": "/help"})
    assert answer.status_code == 429 and answer.headers["retry-after"] == "10"
    assert answer.json()["code"] == "too_many_requests" and "10 秒" in answer.json()["detail"]
    assert (await visitor.post("/attachments", files={"file": ("a.txt", b"x")})).status_code == 429
    other = await arrive(visitor.http)
    await other.says("1", "/help")


@pytest.mark.parametrize(
    ("name", "method", "path", "body"),
    [
        ("BEGINNINGS", "POST", f"{API}/sessions", None),
        ("QUESTIONS", "POST", "/api/v1/guide/questions", {"question": "双电源的供电方案多久能出来?"}),
    ],
)
async def test_one_address_cannot_flood(
    calling_from: Callable[[str], httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch,
    name: str, method: str, path: str, body: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(guard, name, Allowance(2, 0.1))
    codes = []
    for address in ("203.0.113.9",) * 3 + ("203.0.113.10", "127.0.0.1", "127.0.0.1", "127.0.0.1"):
        async with calling_from(address) as http:
            codes.append((await http.request(method, path, json=body)).status_code)
    good = codes[0]
    assert good < 300 and codes == [good, good, 429, good, good, good, good]


async def test_neighbours_in_one_network_count_as_one(
    calling_from: Callable[[str], httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BEGINNINGS", Allowance(1, 0.1))
    codes = []
    for address in ("2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:3::1"):
        async with calling_from(address) as http:
            codes.append((await http.post(f"{API}/sessions")).status_code)
    assert codes == [201, 429, 201]


async def test_the_form_is_limited_with_a_page_that_says_so(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "MESSAGES", Allowance(1, 0.1))
    assert (await client.post("/chat", data={"text": "/help"})).status_code == 303
    answer = await client.post("/chat", data={"text": "/help"}, headers=HTML)
    assert answer.status_code == 429 and "发得太快了" in answer.text


# -- foreign pages ----------------------------------------------------------------------------------------------------

FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://greenline.test.evil.example"},
    {"Origin": "http://evil.example/?greenline.test"},
    {"Sec-Fetch-Site": "cross-site", "Origin": OURS},
    {"Sec-Fetch-Site": "same-site"},
    {"Referer": "https://evil.example/"},
]
OWN: list[dict[str, str]] = [
    {"Origin": OURS},
    {"Origin": "https://greenline.test"},  # a proxy ended TLS
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://behind-a-proxy"},
    {"Sec-Fetch-Site": "none"},
    {},  # no browser, so no cookie that it sends by itself
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_foreign_page_cannot_use_the_cookie(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    await client.post(f"{API}/sessions")
    for path, more in (
        ("/chat", {"data": {"text": "转账"}}),
        (f"{API}/messages", {"json": {"client_id": "1", "text": "转账"}}),
        (f"{API}/attachments", {"files": {"file": ("a.txt", b"x")}}),
        (f"{API}/sessions", {}),
    ):
        answer = await client.post(path, headers=headers, **more)  # type: ignore[arg-type]
        assert answer.status_code == 403, (path, answer.text)
    assert len((await client.get(f"{API}/messages")).json()["messages"]) == 1


@pytest.mark.parametrize("headers", OWN, ids=str)
async def test_our_page_works_wherever_it_is_framed(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await client.post(f"{API}/sessions", headers=headers)).status_code == 201
    said = await client.post(f"{API}/messages", headers=headers, json={"client_id": "1", "text": "/help"})
    assert said.status_code == 200
    assert (await client.post("/chat", headers=headers, data={"text": "/help"})).status_code == 303


async def test_a_token_of_ones_own_needs_no_page_of_ours(visitor: Visitor) -> None:
    headers = visitor.headers | {"Origin": "https://portal.example"}
    answer = await visitor.http.post(f"{API}/messages", headers=headers, json={"client_id": "1", "text": "/help"})
    assert answer.status_code == 200


async def test_following_a_link_from_elsewhere_is_no_attack(client: httpx.AsyncClient) -> None:
    assert (await client.get("/chat", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200


# -- the page without its script --------------------------------------------------------------------------------------


async def test_the_form_begins_a_conversation_answers_and_shows_it(client: httpx.AsyncClient) -> None:
    posted = await client.post("/chat", data={"text": "双电源的供电方案多久能出来?"})
    assert posted.status_code == 303 and posted.headers["location"] == "/chat#end"
    page = (await client.get("/chat")).text
    assert "二个月" in page and "第四条" in page
    await client.post("/chat?embed=1", data={"choice": "check:factory:n"})
    assert "功率因数" in (await client.get("/chat?embed=1")).text


async def test_an_empty_form_and_an_unstorable_one_say_nothing(client: httpx.AsyncClient) -> None:
    for text in ("", "  ", "\x00"):
        assert (await client.post("/chat", data={"text": text})).status_code == 303
    lines = (await client.get(f"{API}/messages")).json()["messages"]
    assert [line["by"] for line in lines] == ["bot"]


async def test_a_button_of_the_form_switches_the_language(client: httpx.AsyncClient) -> None:
    posted = await client.post("/chat", data={"choice": "lang:en"})
    assert any(cookie.startswith("lang=en") for cookie in posted.headers.get_list("set-cookie"))
    assert '<html lang="en">' in (await client.get("/chat")).text


async def test_a_text_that_is_too_long_for_the_form_is_told_on_a_page(client: httpx.AsyncClient) -> None:
    answer = await client.post("/chat", data={"text": "x" * 20_001}, headers=HTML)
    assert answer.status_code == 422 and "最多 20000 个字" in answer.text and "<html" in answer.text


async def test_the_front_door_leads_to_the_chat(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).headers["location"] == "/chat"


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "title"), [("zh_CN", "没有这个页面"), ("en", "No such page")])
async def test_a_missing_page_is_a_page_for_people_and_a_problem_for_programs(
    client: httpx.AsyncClient, language: str, title: str
) -> None:
    page = await client.get(f"/nowhere?lang={language}", headers=HTML)
    assert page.status_code == 404 and title in page.text and "<html" in page.text
    for path, headers in (("/nowhere", {}), ("/api/v1/nowhere", HTML)):
        answer = await client.get(f"{path}?lang={language}", headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        found = answer.json()
        assert found == {
            "type": "urn:greenline:unknown_page",
            "code": "unknown_page",
            "title": title,
            "detail": found["detail"],
            "status": 404,
        }


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/chat"), ("PUT", f"{API}/messages"), ("GET", f"{API}/sessions")]
)
async def test_a_wrong_method_is_named_and_the_right_ones_listed(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 405 and answer.json()["code"] == "wrong_method" and answer.headers["allow"]
    page = await client.request("DELETE", "/chat", headers=HTML)
    assert page.status_code == 405 and "不支持这种请求" in page.text


async def test_an_unforeseen_failure_gives_a_reference_and_no_detail(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("api.chat.conversations.find", broken)
    answer = await client.get(f"{API}/messages", headers={"Authorization": "Bearer x"})
    found = answer.json()
    assert answer.status_code == 500 and found["code"] == "unexpected" and "secret detail" not in answer.text
    [record] = [r for r in caplog.records if r.name == "greenline.api"]
    assert record.__dict__["reference"] in found["detail"]


# -- health -----------------------------------------------------------------------------------------------------------


async def test_health_and_readiness(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).text == "ok"
    ready = await client.get("/readyz")
    assert ready.status_code == 200 and ready.json() == {"database": True, "guide": True}


async def test_metrics_tell_requests_outbox_and_entries(visitor: Visitor) -> None:
    await visitor.says("1", "/help")
    text = (await visitor.http.get("/metrics")).text
    assert 'greenline_http_seconds_count{method="POST",route="/api/v1/chat/messages",status="200"}' in text
    assert 'greenline_outbox{channel="web",fate="sent"} 2.0' in text
    [entries] = [line for line in text.splitlines() if line.startswith("greenline_guide_entries ")]
    assert float(entries.split()[1]) > 50


async def test_with_the_database_down_everything_says_so_and_the_process_lives(
    services: Services, config: Settings
) -> None:
    away = Store(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    facts = {name: getattr(services, name) for name in services.__dataclass_fields__} | {"store": away}
    transport = httpx.ASGITransport(create_app(Services(**facts)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=OURS) as http:
        assert (await http.get("/healthz")).status_code == 200
        ready = await http.get("/readyz")
        assert ready.status_code == 503 and ready.json()["database"] is False
        assert (await http.get("/metrics")).status_code == 200
        assert (await http.get("/chat")).status_code == 200
        http.cookies.set("greenline_chat", "x")
        answer = await http.get(f"{API}/messages")
        assert answer.status_code == 503 and answer.json()["code"] == "database_down"
        page = await http.get("/chat", headers=HTML)
        assert page.status_code == 503 and "系统暂时连不上" in page.text
    await away.close()


async def test_many_visitors_at_once_are_all_answered(running: httpx.AsyncClient) -> None:
    visitors = await asyncio.gather(*(arrive(running) for _ in range(12)))
    said = await asyncio.gather(*(each.says("1", "单电源方案要多久") for each in visitors))
    assert all("一个月" in result["messages"][1]["text"] for result in said)
