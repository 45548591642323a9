"""The learning list over HTTP and in its pages, up to a running process that answers differently without a restart."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import pytest

from api.services import Services
from bot.trials import Trials
from desk import conversations, staff
from desk.conversations import Channel, Direction, RecordLine
from desk.permissions import Role
from desk.store import Store
from tests.conftest import MONDAY, Process, SetClock, until

API: Final = "/api/v1/guide"
TAXI: Final = "班车几点从厂门口发车"
DRAFT: Final = {"title": "班车时刻", "answer": "班车七点半从厂门口发车。", "document": "厂务通知", "article": "第一条"}
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def ask(client: httpx.AsyncClient, store: Store, clock: SetClock) -> Ask:
    """A call as a program with a role: `await ask("agent", "POST", "/gaps", json=…)`; by name, to be two of a role."""
    tokens: dict[str, str] = {}

    async def asked(role: str, method: str, path: str, *, name: str = "", **more: Any) -> httpx.Response:
        name = name or role
        if name not in tokens:
            async with store.transaction() as db:
                _, tokens[name] = await staff.create_token(db, name, Role(role), by="test", at=clock.now())
        headers = {"Authorization": f"Bearer {tokens[name]}"}
        return await client.request(method, path if path[:5] == "/desk" else API + path, headers=headers, **more)

    return asked


async def gap(ask: Ask, question: str = TAXI) -> int:
    """A question on the list; the number of its item."""
    assert (await ask("agent", "POST", "/gaps", json={"question": question})).json() == {"noted": True}
    [found] = [c for c in (await ask("agent", "GET", "/learning")).json() if c["items"][0]["question"] == question]
    return int(found["items"][0]["id"])


async def change(ask: Ask, services: Services, role: str = "agent", **body: Any) -> int:
    """A change that has been tried."""
    answer = await ask(role, "POST", "/learning/changes", json=body)
    assert answer.status_code == 202, answer.text
    number = int(answer.json()["id"])
    await Trials(services.store, services.mind, services.clock, zone=services.settings.zone).work(number)
    return number


async def test_an_agent_marks_a_line_of_a_conversation_once(ask: Ask, store: Store) -> None:
    async with store.transaction() as db:
        conversation, _ = await conversations.open_at(db, Channel.WEB, "w1", name="", language="zh_CN", at=MONDAY)
        line = RecordLine(
            conversation_id=conversation.id or 0, channel=Channel.WEB, direction=Direction.IN, external_id="1",
            by="customer", text=f"{TAXI}，打13800138000", body={}, at=MONDAY,
        )  # fmt: skip
        await conversations.write(db, line)
    for noted in (True, False):
        answer = await ask("agent", "POST", "/gaps", json={"conversation_line": line.id, "note": "问了两遍"})
        assert (answer.status_code, answer.json()) == (201, {"noted": noted})
    [cluster] = (await ask("hall", "GET", "/learning")).json()
    [item] = cluster["items"]
    assert item["question"].endswith("打***********") and item["remark"] == "问了两遍" and item["why"] == "marked"
    assert len(item["offered"]) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [({"conversation_line": 99}, 404), ({}, 422), ({"question": "？？"}, 422), ({"question": 3}, 422)],
)
async def test_a_gap_without_a_question_is_refused(ask: Ask, body: dict[str, Any], status: int) -> None:
    assert (await ask("agent", "POST", "/gaps", json=body)).status_code == status


async def test_an_alias_is_tried_published_and_listed_as_done(ask: Ask, services: Services) -> None:
    number = await change(ask, services, kind="alias", items=[await gap(ask)], entry="g02")
    tried = (await ask("agent", "GET", f"/learning/changes/{number}")).json()
    assert tried["stage"] == "tried" and tried["report"]["own"][0]["after"]["entries"][0] == "g02"
    assert tried["report"]["questions"] > 200
    role = "supervisor" if tried["report"]["worse"] else "agent"
    answer = await ask(role, "POST", f"/learning/changes/{number}/publish")
    assert answer.json()["stage"] == "published", answer.text
    assert (await ask("agent", "POST", f"/learning/changes/{number}/publish")).status_code == 409
    [done] = (await ask("agent", "GET", "/learning/changes?settled=true")).json()
    assert done["settled_by"] == f"token:{role}" and (await ask("agent", "GET", "/learning")).json() == []


async def test_a_new_entry_is_reviewed_by_another_person(ask: Ask, services: Services) -> None:
    number = await change(ask, services, "supervisor", kind="entry", items=[await gap(ask)], **DRAFT)
    for role in ("agent", "supervisor"):
        assert (await ask(role, "POST", f"/learning/changes/{number}/publish")).status_code == 403
    answer = await ask("supervisor", "POST", f"/learning/changes/{number}/publish", name="another")
    assert answer.json()["entry"] == f"learned-{number}"
    await services.mind.load()
    found = services.mind.guide.find(TAXI)
    assert found.matches[0].entry.answer == DRAFT["answer"]


async def test_only_the_author_or_a_reviewer_gives_a_change_back(ask: Ask, services: Services) -> None:
    number = await change(ask, services, kind="out_of_scope", items=[await gap(ask)])
    why = {"reason": "这是厂里的事"}
    assert (await ask("hall", "POST", f"/learning/changes/{number}/refuse", json=why)).status_code == 403
    assert (await ask("agent", "POST", f"/learning/changes/{number}/refuse", json={"reason": ""})).status_code == 422
    answer = await ask("supervisor", "POST", f"/learning/changes/{number}/refuse", json=why)
    assert answer.json()["reason"] == "这是厂里的事"
    assert len((await ask("agent", "GET", "/learning")).json()) == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"kind": "alias", "entry": "none"}, 404, "unknown_entry"),
        ({"kind": "entry", **DRAFT, "answer": " "}, 422, "bad_input"),
        ({"kind": "alias", "entry": "g02", "items": [999]}, 404, "unknown_question"),
        ({"kind": "alias", "entry": "g02", "questions": ["…"]}, 422, "no_question"),
    ],
)
async def test_what_cannot_be_done_says_why(ask: Ask, body: dict[str, Any], status: int, code: str) -> None:
    item = await gap(ask)
    answer = await ask("agent", "POST", "/learning/changes", json={"items": [item], **body})
    assert answer.status_code == status and answer.json()["code"] == code
    assert len((await ask("agent", "GET", "/learning")).json()) == 1


async def test_the_pages_lead_from_a_group_to_its_decision(ask: Ask, services: Services) -> None:
    item = await gap(ask)
    page = await ask("agent", "GET", "/desk/learning")
    assert TAXI in page.text and f"/desk/learning/{item}" in page.text
    form = {f"item-{item}": "1", f"words-{item}": TAXI, "kind": "entry", "title": "班车"}
    again = await ask("agent", "POST", f"/desk/learning/{item}", data=form)
    assert again.status_code == 422 and 'value="班车"' in again.text and "answer-wrong" in again.text
    assert (await ask("agent", "POST", f"/desk/learning/{item}", data={"kind": "alias"})).status_code == 422
    sent = await ask("agent", "POST", f"/desk/learning/{item}", data={**form, "kind": "out_of_scope"})
    place = sent.headers["location"]
    assert "<progress" in (await ask("agent", "GET", place)).text
    number = int(place.rpartition("/")[2])
    assert (await ask("agent", "POST", f"{place}/publish")).status_code == 409  # not tried yet
    await Trials(services.store, services.mind, services.clock, zone=services.settings.zone).work(number)
    assert 'id="publish"' in (await ask("agent", "GET", place)).text
    assert (await ask("agent", "POST", f"{place}/refuse", data={"reason": ""})).status_code == 422
    assert (await ask("agent", "POST", f"{place}/publish")).status_code == 303
    assert (await ask("agent", "GET", f"/desk/learning/{item}")).status_code == 404
    for view in ("waiting", "done", "nonsense"):
        assert (await ask("agent", "GET", f"/desk/learning?view={view}")).status_code == 200


def test_an_alias_changes_the_answers_of_a_running_process(start: Callable[..., Process], url: str) -> None:
    run = start("run").ready(seconds=180)

    async def tokens() -> str:
        store = Store(url)
        async with store.transaction() as db:
            _, token = await staff.create_token(db, "chief", Role.SUPERVISOR, by="test", at=MONDAY.replace(year=2030))
        await store.close()
        return token

    import asyncio

    with httpx.Client(base_url=run.base + API, timeout=30) as http:
        heard = http.post("/questions", json={"question": TAXI}).json()
        assert heard["decision"] == "abstain"
        http.headers["Authorization"] = f"Bearer {asyncio.run(tokens())}"
        assert http.post("/gaps", json={"question": TAXI}).status_code == 201
        item = http.get("/learning").json()[0]["items"][0]["id"]
        begun = http.post("/learning/changes", json={"kind": "alias", "items": [item], "entry": "g02"}).json()
        until(lambda: http.get(f"/learning/changes/{begun['id']}").json()["stage"] == "tried", seconds=120)
        assert http.post(f"/learning/changes/{begun['id']}/publish").json()["stage"] == "published"
        until(
            lambda: http.post("/questions", json={"question": TAXI}).json()["matches"][0]["entry"] == "g02", seconds=60
        )
        assert http.post("/questions", json={"question": TAXI}).json()["decision"] != "abstain"
