"""The agents' desk over HTTP, as programs with tokens use it: what they may do, and nonsense that is refused."""

from typing import Any

import httpx
import pytest

from desk import staff
from desk.permissions import Role
from desk.store import Store
from tests.api.conftest import Visitor
from tests.conftest import SetClock

API = "/api/v1"


class Member:
    """A program that stands for somebody at the desk."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self.http, self.headers = http, {"Authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, **body: Any) -> httpx.Response:
        return await self.http.request(method, API + path, headers=self.headers, json=body or None)


@pytest.fixture
async def agent(client: httpx.AsyncClient, store: Store, clock: SetClock) -> Member:
    """An agent."""
    async with store.transaction() as db:
        _, token = await staff.create_token(db, "agent 1", Role.AGENT, by="test", at=clock.now())
    return Member(client, token)


@pytest.fixture
async def leader(client: httpx.AsyncClient, store: Store, clock: SetClock) -> Member:
    """A supervisor."""
    async with store.transaction() as db:
        _, token = await staff.create_token(db, "leader", Role.SUPERVISOR, by="test", at=clock.now())
    return Member(client, token)


async def talking(agent: Member, visitor: Visitor) -> int:
    """The conversation of a visitor whom the agent has taken."""
    assert (await agent("PUT", "/agents/me/presence", status="online")).status_code == 200
    await visitor.says("a1", "转人工")
    taken = await agent("POST", "/queue/claims")
    assert taken.status_code == 201, taken.text
    number: int = taken.json()["conversation"]["id"]
    return number


async def test_the_line_is_empty_then_somebody_is_taken_and_nobody_is_left(agent: Member, visitor: Visitor) -> None:
    assert (await agent("POST", "/queue/claims")).status_code == 409, "not online yet"
    await agent("PUT", "/agents/me/presence", status="online", capacity=1)
    assert (await agent("POST", "/queue/claims")).status_code == 204
    assert await talking(agent, visitor) == visitor.conversation
    assert (await agent("GET", "/queue")).json()["entries"] == []
    assert (await agent("POST", "/queue/1/claims")).status_code == 409
    assert (await agent("POST", "/queue/999/claims")).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"capacity": 0}, "capacity"), ({"capacity": 51}, "capacity"), ({"skills": ["juggling"]}, "skills"),
        ({"languages": []}, "languages"), ({"languages": ["xx"]}, "languages"),
        ({"shifts": [{"day": 8, "begins": "08:00", "ends": "12:00"}]}, "shifts"),
        ({"shifts": [{"day": 1, "begins": "12:00", "ends": "08:00"}]}, "shifts"),
        (
            {
                "shifts": [
                    {"day": 1, "begins": "08:00", "ends": "12:00"}, {"day": 1, "begins": "11:59", "ends": "13:00"},
                ]
            },
            "shifts",
        ),
    ],
)  # fmt: skip
async def test_nonsense_about_an_agent_is_refused_where_it_stands(
    leader: Member, agent: Member, wrong: dict[str, Any], where: str
) -> None:
    number = (await agent("PUT", "/agents/me/presence", status="online")).json()["id"]
    refused = await leader("PUT", f"/agents/{number}", **wrong)
    assert refused.status_code == 422 and where in refused.text
    [kept] = (await leader("GET", "/agents")).json()
    assert (kept["capacity"], kept["skills"], kept["shifts"]) == (4, [], [])


async def test_a_split_shift_and_one_until_midnight_are_kept(leader: Member, agent: Member) -> None:
    number = (await agent("PUT", "/agents/me/presence", status="online")).json()["id"]
    shifts = [
        {"day": 1, "begins": "08:00:00", "ends": "09:30:00"}, {"day": 1, "begins": "20:00:00", "ends": "00:00:00"},
    ]  # fmt: skip
    kept = await leader("PUT", f"/agents/{number}", shifts=shifts, skills=["fault", "billing"])
    assert kept.status_code == 200, kept.text
    # 09:00 on a Monday
    assert (kept.json()["shifts"], kept.json()["skills"], kept.json()["on_shift"]) == (
        shifts, ["billing", "fault"], True,
    )  # fmt: skip
    assert (await agent("PUT", f"/agents/{number}", skills=[])).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "m", "text": "x" * 20_001}, {"client_id": "", "text": "x"}, {"client_id": "m m", "text": "x"},
        {"client_id": "m", "text": "x", "sources": [{"entry": "g01"}]}, {"client_id": "m", "text": "\x00"},
        {"client_id": "m", "location": {"latitude": 91, "longitude": 0}},
    ],
    ids=["long", "nameless", "spaced", "source", "nul", "nowhere"],
)  # fmt: skip
async def test_a_message_of_no_right_shape_is_refused_and_nobody_hears_it(
    agent: Member, visitor: Visitor, wrong: dict[str, Any]
) -> None:
    number = await talking(agent, visitor)
    before = len(await visitor.sees())
    assert (await agent("POST", f"/conversations/{number}/messages", **wrong)).status_code == 422
    assert (await agent("GET", f"/conversations/{number}")).json()["held"] == []
    assert len(await visitor.sees()) == before


async def test_files_of_others_and_empty_messages_are_refused(agent: Member, visitor: Visitor) -> None:
    number = await talking(agent, visitor)
    path = f"/conversations/{number}/messages"
    assert (await agent("POST", path, client_id="m", text=" ")).status_code == 422
    assert (await agent("POST", path, client_id="m", attachments=["0" * 32])).status_code == 404
    assert (await agent("POST", "/conversations/999/messages", client_id="m", text="x")).status_code == 404
    assert (await agent("POST", f"/conversations/{number}/close", outcome="fine")).status_code == 422
    assert (await agent("POST", f"/conversations/{number}/transfer", to=999, summary="x")).status_code == 404
