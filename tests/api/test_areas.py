"""Areas over HTTP: the overview, a handover with notes, proxies."""

from typing import Any, Final

import httpx
import pytest

from desk import areas, customers, staff
from desk.permissions import Role
from desk.store import Store
from tests.api.test_tiers import Ask, ask
from tests.conftest import MONDAY
from tests.desk.purchases import Buyer, no, stock

__all__ = ["ask"]
API: Final = "/api/v1"


@pytest.fixture
async def north(store: Store) -> int:
    """An area with two of three accounts; Wang and Li are managers, Sun is a proxy."""
    await stock(store, [Buyer(1)] * 3)
    async with store.transaction() as db:
        for name, role in (("Wang", Role.MANAGER), ("Li", Role.MANAGER), ("Sun", Role.PROXY)):
            await staff.add(db, name, role, hashed=None, by="test", at=MONDAY)
        area = await areas.area(db, "North", create=True)
        assert area.id is not None
        for number in (1, 2):
            held = await customers.account(db, no(number))
            held.area_id = area.id
            db.add(held)
        return area.id


async def hand_over(ask: Ask, area: int, **body: Any) -> httpx.Response:
    return await ask("supervisor", "POST", f"/areas/{area}/handover", json=body)


async def test_an_area_changes_hands_and_its_accounts_follow(ask: Ask, north: int) -> None:
    assert (await hand_over(ask, north, manager="wang")).status_code == 200
    answer = await hand_over(ask, north, manager="Li", notes="the mill expects a call on Mondays")
    found = answer.json()
    assert (found["name"], found["manager"]) == ("North", "Li")
    assert [(h["before"], h["manager"], h["notes"], h["by"]) for h in found["handovers"]] == [
        ("Wang", "Li", "the mill expects a call on Mondays", "token:supervisor"),
        (None, "Wang", "", "token:supervisor"),
    ]
    assert (await ask("agent", "GET", f"/areas/{north}/handovers")).json() == found
    assert (await hand_over(ask, north, manager="Li")).json() == found
    assert (await ask("agent", "GET", "/areas")).json() == [
        {"id": north, "name": "North", "office": "", "manager": "Li", "accounts": 2, "tier_a": 0, "important": 0}
    ]
    assert (await ask("agent", "GET", f"/accounts/{no(1)}/responsible")).json() == {
        "no": no(1), "area": "North", "manager": "Li", "proxy": None,
    }  # fmt: skip
    assert (await ask("agent", "GET", f"/accounts/{no(3)}/responsible")).json() == {
        "no": no(3), "area": None, "manager": None, "proxy": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"manager": "Sun"}, 422, "wrong_role"), ({"manager": "Nobody"}, 404, "unknown_staff"),
        ({"manager": ""}, 422, "bad_input"), ({}, 422, "bad_input"),
    ],
)  # fmt: skip
async def test_only_a_manager_who_works_here_can_take_an_area(
    ask: Ask, north: int, body: Any, status: int, code: str
) -> None:
    answer = await hand_over(ask, north, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await ask("agent", "GET", f"/areas/{north}/handovers")).json()["handovers"] == []


async def test_an_unknown_area_is_said_to_be_unknown(ask: Ask, north: int) -> None:
    for answer in (await hand_over(ask, north + 99, manager="Li"), await ask("hall", "GET", "/areas/4711/handovers")):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_area")


async def test_an_account_is_given_to_a_proxy_and_taken_back(ask: Ask, north: int) -> None:
    given = await ask("hall", "POST", f"/accounts/{no(1)}/proxy", json={"proxy": "Sun"})
    assert given.json()["proxy"] == "Sun"
    taken = await ask("hall", "POST", f"/accounts/{no(1)}/proxy", json={"proxy": None})
    assert taken.json()["proxy"] is None
    wrong = await ask("hall", "POST", f"/accounts/{no(1)}/proxy", json={"proxy": "Wang"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_role")
    assert (await ask("proxy", "GET", f"/accounts/{no(1)}/responsible")).status_code == 404
