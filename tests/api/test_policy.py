"""The policy over HTTP: read by everybody who has signed in, published by few, with every problem named."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx
import pytest

from desk import staff
from desk.permissions import Role
from desk.policy import Policy
from desk.store import Store
from tests.conftest import SetClock

Ask = Callable[..., Awaitable[httpx.Response]]
PATH: Final = "/api/v1/policy"
CHANGE: Final[dict[str, Any]] = {"version": 0, "changes": {"queue": {"capacity": 6}}, "note": "more hands"}


@pytest.fixture
def ask(client: httpx.AsyncClient, store: Store, clock: SetClock) -> Ask:
    """A call as a program with a role."""
    tokens: dict[str, str] = {}

    async def asked(role: str, method: str, path: str = PATH, **more: Any) -> httpx.Response:
        if role not in tokens:
            async with store.transaction() as db:
                _, tokens[role] = await staff.create_token(db, role, Role(role), by="test", at=clock.now())
        return await client.request(method, path, headers={"Authorization": f"Bearer {tokens[role]}"}, **more)

    return asked


async def test_everybody_who_has_signed_in_reads_what_is_in_force(ask: Ask, client: httpx.AsyncClient) -> None:
    found = (await ask("proxy", "GET")).json()
    assert found == {"version": 0, "in_force": 0, "document": Policy().model_dump(mode="json")}
    assert (await client.get(PATH)).status_code == 401


async def test_a_supervisor_publishes_and_the_history_says_what_changed(ask: Ask, clock: SetClock) -> None:
    made = await ask("supervisor", "PUT", json=CHANGE)
    assert made.status_code == 200, made.text
    assert made.json()["changes"] == [{"field": "queue.capacity", "before": 4, "after": 6}]
    whole = Policy().model_dump(mode="json")
    whole["night"]["begins"] = "22:00"
    again = await ask("admin", "PUT", json={"version": 1, "document": whole, "note": "later"})
    assert again.json()["version"] == 2
    first = (await ask("agent", "GET", f"{PATH}/versions?limit=1")).json()
    assert first["next"] == 2
    assert first["versions"][0]["changes"] == [
        {"field": "night.begins", "before": "21:00:00", "after": "22:00:00"},
        {"field": "queue.capacity", "before": 6, "after": 4},
    ]
    last = (await ask("agent", "GET", f"{PATH}/versions?before=2")).json()
    assert (last["next"], last["versions"][0]["note"], last["versions"][0]["by"]) == (
        None,
        "more hands",
        "token:supervisor",
    )
    assert (await ask("agent", "GET")).json()["document"]["night"]["begins"] == "22:00:00"


async def test_an_agent_cannot_publish(ask: Ask) -> None:
    assert (await ask("agent", "PUT", json=CHANGE)).status_code == 403
    assert (await ask("agent", "GET")).json()["version"] == 0


async def test_the_second_of_two_editors_gets_a_conflict(ask: Ask) -> None:
    await ask("supervisor", "PUT", json=CHANGE)
    late = await ask("admin", "PUT", json=CHANGE | {"changes": {"queue": {"capacity": 9}}})
    assert (late.status_code, late.json()["code"]) == (409, "policy_changed")
    assert (await ask("admin", "GET")).json()["document"]["queue"]["capacity"] == 6


async def test_a_later_beginning_is_shown_and_waits(ask: Ask, clock: SetClock) -> None:
    begins = clock.now().replace(year=clock.now().year + 1).isoformat()
    assert (await ask("admin", "PUT", json=CHANGE | {"effective_at": begins})).status_code == 200
    found = (await ask("admin", "GET")).json()
    assert (found["version"], found["in_force"], found["document"]["queue"]["capacity"]) == (1, 0, 4)


async def test_every_problem_is_named_with_its_field(ask: Ask) -> None:
    changes = {"queue": {"capacity": 0, "colour": 1, "x" * 50: 1}, "night": {"ends": "21:00"}}
    refused = await ask("admin", "PUT", json=CHANGE | {"changes": changes})
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    body = refused.json()
    assert body["code"] == "bad_policy"
    assert [found["where"] for found in body["problems"]] == [
        "night.ends",
        "queue.capacity",
        "queue.colour",
        "queue." + "x" * 40,
    ]
    assert all(found["what"] for found in body["problems"])


@pytest.mark.parametrize(
    "body",
    [{"document": {}}, {"changes": None}, {"note": ""}, {"note": "  "}, {"note": "\x00"}, {"version": -1}, {"effective_at": "2020-01-01T00:00:00Z"}, {"changes": {"queue": {"capacity": 4}}}],
)  # fmt: skip
async def test_what_cannot_be_published_is_refused(ask: Ask, body: dict[str, Any]) -> None:
    assert (await ask("admin", "PUT", json=CHANGE | body)).status_code == 422
    assert (await ask("admin", "GET")).json()["version"] == 0
