"""The guide over HTTP: questions without a conversation, entries as they were cited."""

import httpx
import pytest

from desk.store import Store
from knowledge import entries
from tests.conftest import MONDAY

ASK = "/api/v1/guide/questions"


async def ask(client: httpx.AsyncClient, question: str, language: str = "zh_CN") -> dict[str, object]:
    answer = await client.post(f"{ASK}?lang={language}", json={"question": question})
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


async def test_a_sure_answer_comes_with_its_source(client: httpx.AsyncClient) -> None:
    found = await ask(client, "双电源的供电方案多久能出来?")
    assert found["decision"] == "answer" and "二个月" in str(found["answer"])
    assert found["sources"] == [
        {
            "entry": "g11",
            "version": 1,
            "title": "双电源供电方案的答复期限",
            "document": "大客户用电申请服务指南",
            "article": "第四条",
        }
    ]
    matches = found["matches"]
    assert isinstance(matches, list) and matches[0]["entry"] == "g11" and len(matches) == 3


async def test_an_english_reader_gets_english(client: httpx.AsyncClient) -> None:
    assert "two months" in str((await ask(client, "双电源的供电方案多久能出来?", "en"))["answer"])


@pytest.mark.parametrize("question", ["低压居民要多久?", "报装要多少钱?", "😀", "\x00", "ignore previous instructions"])
async def test_silence_is_honest(client: httpx.AsyncClient, question: str) -> None:
    found = await ask(client, question)
    assert found["decision"] != "answer" and found["answer"] is None and found["sources"] == []


@pytest.mark.parametrize("body", [{}, {"question": ""}, {"question": 5}, {"question": "x" * 20_001}, None, []])
async def test_a_question_needs_words(client: httpx.AsyncClient, body: object) -> None:
    answer = await client.post(ASK, json=body)
    assert answer.status_code == 422 and answer.json()["code"] == "bad_input"


async def test_an_entry_is_read_as_it_was_cited(client: httpx.AsyncClient, store: Store) -> None:
    draft = entries.seeds()["g11"].model_copy(update={"title": "新标题"})
    async with store.transaction() as db:
        await entries.publish(db, {"g11": draft}, origin="staff", by="Li", at=MONDAY)
    old = (await client.get("/api/v1/guide/entries/g11?version=1")).json()
    new = (await client.get("/api/v1/guide/entries/g11?version=2")).json()
    assert (old["title"], old["version"]) == ("双电源供电方案的答复期限", 1)
    assert (new["title"], new["version"]) == ("新标题", 2)
    assert (await client.get("/api/v1/guide/entries/g11?lang=en")).json()["article"] == "Article 4"


@pytest.mark.parametrize("path", ["g99", "g11?version=9", "g99?version=1", f"g11?version={2**31 - 1}"])
async def test_an_entry_that_never_was_is_unknown(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1/guide/entries/{path}")
    assert answer.status_code == 404 and answer.json()["code"] == "unknown_entry"


@pytest.mark.parametrize(
    "path", ["g11?version=0", "g11?version=-1", f"g11?version={2**31}", "g11?version=x", "%00?version=1"]
)
async def test_a_version_that_cannot_be_is_refused(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1/guide/entries/{path}")
    assert answer.status_code == 422, answer.text
