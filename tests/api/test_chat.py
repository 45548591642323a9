"""The web chat over HTTP: sessions, messages, files, and nobody else's."""

import asyncio
from typing import Any

import httpx
import pytest

from api.services import Services
from bot.mind import Mind
from desk import attachments
from desk.store import Store
from tests.api.conftest import API, Visitor, arrive

QUESTION = "双电源的供电方案多久能出来?"


# -- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_session_begins_with_a_token_a_cookie_and_the_greeting(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{API}/sessions", json={"language": "en"})
    assert answer.status_code == 201
    body = answer.json()
    state = {"language": "en", "handler": "bot", "agent": None, "queue": None}
    assert body["conversation"] == {"id": body["conversation"]["id"], **state}
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"greenline_chat={body['token']}") and "HttpOnly" in cookie
    assert "SameSite=lax" in cookie and "Secure" not in cookie and "Max-Age=7776000" in cookie
    [greeting] = (await client.get(f"{API}/messages")).json()["messages"]
    assert greeting["by"] == "bot" and greeting["text"].startswith("Hello") and len(greeting["choices"]) == 6


async def test_under_https_the_cookie_is_secure_and_works_in_a_foreign_frame(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"https://greenline.test{API}/sessions")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "Secure" in cookie and "SameSite=none" in cookie


async def test_a_session_is_resumed_by_its_cookie(client: httpx.AsyncClient) -> None:
    first = (await client.post(f"{API}/sessions")).json()
    assert (await client.post(f"{API}/sessions", json={"language": "en"})).json() == first


async def test_a_token_that_was_made_up_begins_nothing(client: httpx.AsyncClient) -> None:
    client.cookies.set("greenline_chat", "made-up")
    made = (await client.post(f"{API}/sessions")).json()
    assert made["token"] != "made-up"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic x"}, {"Authorization": ""}]
)
async def test_without_a_valid_token_nothing_can_be_read_or_said(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for method, path in (
        ("GET", "/messages"),
        ("GET", "/events"),
        ("POST", "/messages"),
        ("POST", "/attachments"),
        ("GET", f"/attachments/{'0' * 32}"),
    ):
        more: dict[str, Any] = {"json": {"client_id": "1", "text": "x"}} if path == "/messages" else {}
        if path == "/attachments":
            more = {"files": {"file": ("a.txt", b"x")}}
        answer = await client.request(method, API + path, headers=headers, **(more if method == "POST" else {}))
        assert answer.status_code == 401 and answer.json()["code"] == "unknown_session"


# -- messages ---------------------------------------------------------------------------------------------------------


async def test_a_question_gets_its_answer_with_choices_and_sources(visitor: Visitor) -> None:
    said = await visitor.says("a1", QUESTION)
    asked, answer = said["messages"]
    assert (asked["direction"], asked["client_id"], asked["text"]) == ("in", "a1", QUESTION)
    assert "二个月" in answer["text"] and {choice["label"] for choice in answer["choices"]} >= {"没答到点上"}
    [source] = answer["sources"]
    assert source == {
        "entry": "g11",
        "version": 1,
        "title": "双电源供电方案的答复期限",
        "document": "大客户用电申请服务指南",
        "article": "第四条",
    }
    assert said["conversation"]["id"] == visitor.conversation


async def test_a_repeated_client_id_changes_nothing_and_gives_the_first_result(visitor: Visitor) -> None:
    first = await visitor.says("a1", QUESTION)
    again = await asyncio.gather(*(visitor.says("a1", f"other words {number}") for number in range(5)))
    assert all(result == first for result in again)
    assert len(await visitor.sees()) == 3


async def test_two_visitors_may_use_the_same_client_id(client: httpx.AsyncClient) -> None:
    one, two = await arrive(client), await arrive(client)
    assert (await one.says("a1", "你好"))["messages"][0]["id"] != (await two.says("a1", "你好"))["messages"][0]["id"]


async def test_a_choice_is_sent_by_its_id(visitor: Visitor) -> None:
    said = await visitor.says("a1", choice="check:factory:n")
    assert said["messages"][0]["choice"] == "check:factory:n"
    assert "功率因数" in said["messages"][-1]["text"]


async def test_a_place_is_kept(visitor: Visitor) -> None:
    place = {"latitude": 31.2, "longitude": 121.5}
    assert (await visitor.says("a1", location=place))["messages"][0]["location"] == place


async def test_nul_characters_are_left_out_and_never_break_a_message(visitor: Visitor) -> None:
    said = await visitor.says("a1", "你\x00好")
    assert said["messages"][0]["text"] == "你好"


async def test_ten_thousand_characters_are_accepted(visitor: Visitor) -> None:
    said = await visitor.says("a1", "很长的话" * 2_500)
    assert len(said["messages"][0]["text"]) == 10_000 and said["messages"][1]["text"]


@pytest.mark.parametrize(
    ("body", "where", "what"),
    [
        ({"client_id": "1", "text": "x" * 20_001}, "body.text", "太长，最多 20000 个字"),
        ({"text": "x"}, "body.client_id", "没有填"),
        ({"client_id": "", "text": "x"}, "body.client_id", "太短，至少 1 个字"),
        ({"client_id": "a b", "text": "x"}, "body.client_id", "写法不对"),
        ({"client_id": "1", "text": 5}, "body.text", "类型不对"),
        ({"client_id": "1", "attachments": ["0"] * 11}, "body.attachments", "太多，最多 10 个"),
        (
            {"client_id": "1", "location": {"latitude": 91, "longitude": 0}},
            "body.location.latitude",
            "太大，上限是 90.0",
        ),
        ({"client_id": "1", "location": {"latitude": "x", "longitude": 0}}, "body.location.latitude", "要填数字"),
        ([], "body", "类型不对"),
    ],
)
async def test_what_is_wrong_with_a_message_is_said_in_words(
    visitor: Visitor, body: Any, where: str, what: str
) -> None:
    answer = await visitor.post("/messages", json=body)
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["problems"][0] == {"where": where, "what": what}
    assert (found["code"], found["title"], found["status"]) == ("bad_input", "请求格式不对", 422)
    assert f"{where}: {what}" in found["detail"]
    english = (await visitor.post("/messages?lang=en", json=body)).json()
    assert english["problems"][0]["what"].isascii()


async def test_broken_json_is_said_to_be_broken(visitor: Visitor) -> None:
    answer = await visitor.post("/messages", content=b'{"client_id": ', extensions={})
    assert answer.status_code == 422
    broken = await visitor.http.post(
        f"{API}/messages", headers=visitor.headers | {"Content-Type": "application/json"}, content=b'{"client_id": '
    )
    assert broken.status_code == 422 and "读不出来" in broken.json()["detail"]


@pytest.mark.parametrize(
    "body", [{"client_id": "1"}, {"client_id": "1", "text": " \n"}, {"client_id": "1", "text": "\x00"}]
)
async def test_an_empty_message_is_refused_and_leaves_nothing(visitor: Visitor, body: dict[str, str]) -> None:
    answer = await visitor.post("/messages", json=body)
    assert answer.status_code == 422 and answer.json()["code"] == "empty_message"
    assert len(await visitor.sees()) == 1


async def test_half_a_surrogate_pair_is_no_crash(visitor: Visitor) -> None:
    answer = await visitor.http.post(
        f"{API}/messages",
        headers=visitor.headers | {"Content-Type": "application/json"},
        content=b'{"client_id": "1", "text": "a\\ud83d"}',
    )
    assert answer.status_code in (200, 422)


# -- reading ----------------------------------------------------------------------------------------------------------


async def test_history_goes_on_behind_a_line(visitor: Visitor) -> None:
    for number in range(3):
        await visitor.says(f"a{number}", "/menu")
    lines = await visitor.sees()
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines) and len(lines) == 7
    behind = (await visitor.get(f"/messages?after={lines[4]['id']}")).json()["messages"]
    assert behind == lines[5:]
    assert (await visitor.get("/messages?limit=2")).json()["messages"] == lines[:2]
    assert len((await visitor.get("/messages?limit=-5")).json()["messages"]) == 1
    assert (await visitor.get(f"/messages?after={10**18 - 1}")).json()["messages"] == []


@pytest.mark.parametrize("after", ["-1", str(2**70), "1.5", "x"])
async def test_a_place_that_was_never_issued_is_refused(visitor: Visitor, after: str) -> None:
    for path in ("/messages", "/events"):
        answer = await visitor.get(f"{path}?after={after}")
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


# -- files ------------------------------------------------------------------------------------------------------------


async def upload(
    visitor: Visitor, name: str = "plan.pdf", content: bytes = b"%PDF", kind: str = "application/pdf"
) -> httpx.Response:
    return await visitor.post("/attachments", files={"file": (name, content, kind)})


async def test_a_file_is_stored_named_in_a_message_and_read_back(visitor: Visitor) -> None:
    stored = await upload(visitor, "厂区 图.pdf")
    assert stored.status_code == 201
    file = stored.json()
    said = await visitor.says("a1", attachments=[file["id"]])
    assert said["messages"][0]["attachments"] == [file]
    got = await visitor.http.get(file["url"], headers=visitor.headers)
    assert got.content == b"%PDF" and got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''%E5%8E%82%E5%8C%BA%20%E5%9B%BE.pdf"


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/javascript", "text/html; charset=utf-8"])
async def test_a_file_that_could_run_in_our_page_is_only_saved(visitor: Visitor, kind: str) -> None:
    file = (await upload(visitor, "a.html", b"<script>alert(1)</script>", kind)).json()
    got = await visitor.http.get(file["url"], headers=visitor.headers)
    assert (
        got.headers["content-type"] == "application/octet-stream" and "attachment" in got.headers["content-disposition"]
    )
    assert got.headers["content-security-policy"] == "sandbox" and got.headers["x-content-type-options"] == "nosniff"


async def test_a_picture_is_shown_and_cannot_run(visitor: Visitor) -> None:
    file = (await upload(visitor, "a.png", b"<script>", "image/png")).json()
    got = await visitor.http.get(file["url"], headers=visitor.headers)
    assert got.headers["content-type"] == "image/png" and got.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(("name", "content"), [("setup.exe", b"MZ"), ("empty.pdf", b"")])
async def test_programs_and_empty_files_are_refused(visitor: Visitor, name: str, content: bytes) -> None:
    answer = await upload(visitor, name, content)
    assert answer.status_code == 415 and name in answer.json()["detail"]


async def test_a_file_over_the_limit_is_refused_and_the_limit_named(visitor: Visitor) -> None:
    answer = await upload(visitor, content=bytes(attachments.LARGEST + 1))
    assert answer.status_code == 413 and "20 MB" in answer.json()["detail"]


async def test_an_upload_without_a_file_is_refused(visitor: Visitor) -> None:
    answer = await visitor.post("/attachments", files={"other": ("a", b"x")})
    assert answer.status_code == 422 and answer.json()["problems"][0] == {"where": "body.file", "what": "没有填"}
    assert (await visitor.post("/attachments", content=b"x")).status_code == 422


# -- somebody else's --------------------------------------------------------------------------------------------------


async def test_nobody_reads_or_names_what_belongs_to_another(client: httpx.AsyncClient) -> None:
    mine, stranger = await arrive(client), await arrive(client)
    await mine.says("a1", "我是红星厂李工")
    file = (await upload(mine)).json()
    assert all("红星厂" not in line["text"] for line in await stranger.sees())
    assert (await stranger.http.get(file["url"], headers=stranger.headers)).status_code == 404
    answer = await stranger.post("/messages", json={"client_id": "1", "attachments": [file["id"]]})
    assert answer.status_code == 404 and answer.json()["code"] == "unknown_attachment"
    assert len(await stranger.sees()) == 1


@pytest.mark.parametrize("number", ["x", "%00", "..%2F..%2Fsecret_key", "0" * 31, "0" * 33])
async def test_a_file_that_never_was_is_unknown(visitor: Visitor, number: str) -> None:
    answer = await visitor.get(f"/attachments/{number}")
    assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"


# -- the guide is not there yet ---------------------------------------------------------------------------------------


async def test_while_the_guide_is_loading_what_is_said_is_kept(
    client: httpx.AsyncClient, visitor: Visitor, services: Services, mind: Mind, store: Store
) -> None:
    ready, mind._guide = mind._guide, None
    said = await visitor.says("a1", QUESTION)
    assert "指南正在载入" in said["messages"][1]["text"]
    posted = await client.post("/chat", data={"text": QUESTION})
    assert posted.status_code == 303
    asked = await client.post("/api/v1/guide/questions", json={"question": QUESTION})
    assert asked.status_code == 503 and asked.json()["code"] == "guide_loading"
    assert (await client.get("/readyz")).json() == {"database": True, "guide": False}
    mind._guide = ready
    assert "二个月" in (await visitor.says("a2", QUESTION))["messages"][1]["text"]
    assert [line["text"] for line in await visitor.sees()].count(QUESTION) == 2
