"""Tiers over HTTP: a run looked at, proposed, confirmed and frozen, and single accounts moved with a reason."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest

from desk import areas, customers, staff
from desk.permissions import Role
from desk.store import Store
from tests.conftest import MONDAY, SetClock
from tests.desk.purchases import Buyer, no, stock

API: Final = "/api/v1"
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def ask(client: httpx.AsyncClient, store: Store, clock: SetClock) -> Ask:
    """A call as a program with a role: `await ask("hall", "GET", "/tiers/near")`."""
    tokens: dict[str, str] = {}

    async def asked(role: str, method: str, path: str, **more: Any) -> httpx.Response:
        if role not in tokens:
            async with store.transaction() as db:
                _, tokens[role] = await staff.create_token(db, role, Role(role), by="test", at=clock.now())
        return await client.request(method, API + path, headers={"Authorization": f"Bearer {tokens[role]}"}, **more)

    return asked


async def run(ask: Ask, role: str = "hall", **body: Any) -> dict[str, Any]:
    answer = await ask(role, "POST", "/tiers/runs", json={"year": 2027, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def archive(store: Store) -> None:
    """200 accounts, the third tied to the second over the cut of A."""
    buyers = [Buyer(1000 * number, kwh=48000) for number in range(200, 0, -1)]
    buyers[2] = buyers[1]
    await stock(store, buyers)


async def test_a_dry_run_tells_counts_moves_and_ties_and_writes_nothing(store: Store, ask: Ask) -> None:
    await archive(store)
    found = await run(ask, dry_run=True)
    counts = found.pop("counts")
    assert found == {"year": 2027, "dry_run": True, "stage": None, "changed": False, "accounts": 200}
    assert counts["tiers"] == {"A": 3, "B": 7, "C": 30, "D": 160}
    assert counts["by_rule"] == {"A": 2, "B": 8, "C": 30, "D": 160}
    assert counts["moves"] == [
        {"before": "D", "tier": "A", "accounts": 3}, {"before": "D", "tier": "B", "accounts": 7},
        {"before": "D", "tier": "C", "accounts": 30},
    ]  # fmt: skip
    [tie] = counts["ties"]
    assert tie.pop("explanation").startswith("A 类取到第 2 名；从第 2 名起有 2 户都购电 199,000.00 元")
    assert tie == {
        "tier": "A", "cut": 2, "rank": 2, "accounts": 2, "amount": "199000.00", "named": [no(2), no(3)],
    }  # fmt: skip
    assert (await ask("hall", "GET", "/tiers/runs")).json() == []


async def test_a_run_proposes_and_confirms_and_a_second_one_changes_nothing(store: Store, ask: Ask) -> None:
    await archive(store)
    first = await run(ask)
    assert (first["stage"], first["changed"], first["accounts"]) == ("confirmed", True, 200)
    second = await run(ask, "admin")
    assert second == first | {"changed": False}
    [listed] = (await ask("supervisor", "GET", "/tiers/runs")).json()
    assert (listed["confirmed_by"], listed["due_on"]) == ("token:hall", "2027-01-31")
    async with store.transaction() as db:
        assert (await customers.account(db, no(3))).tier == "A"


async def test_a_proposal_waits_for_its_confirmation(store: Store, ask: Ask) -> None:
    await archive(store)
    first = await run(ask, confirm=False)
    assert (first["stage"], first["changed"]) == ("proposed", True)
    assert (await run(ask, confirm=False))["changed"] is True, "the same instant"
    answers = await asyncio.gather(*(ask("hall", "POST", "/tiers/runs/2027/confirm") for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.json()["stage"] for answer in answers} == {"confirmed"}
    frozen = await ask("hall", "POST", "/tiers/runs", json={"year": 2027, "confirm": False})
    assert (frozen.status_code, frozen.json()["code"]) == (409, "frozen")


async def test_lines_come_page_by_page_with_their_reasons(store: Store, ask: Ask) -> None:
    await archive(store)
    await run(ask, confirm=False)
    seen: list[dict[str, Any]] = []
    after = ""
    while True:
        page = (await ask("hall", "GET", f"/tiers/runs/2027?limit=90&lang=en{after}")).json()
        seen += page["lines"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert [line["no"] for line in seen] == [no(number) for number in range(1, 201)]
    assert page["run"]["counts"]["tiers"] == {"A": 3, "B": 7, "C": 30, "D": 160}
    third = seen[2]
    assert third.pop("explanation").splitlines() == [
        "Bought for ¥199,000.00 in the year: rank 2 of 200, tier A.",
        "Tier A ends at rank 2.",
        f"Tie with 1 other account(s) of the same purchase: {no(2)}",
        "The tie crosses the cut, so by the rule all of it takes the higher tier A.",
        "48,000.00 kWh in 12 month(s) of service: the monthly average reaches 4,000 kWh, a large customer.",
    ]
    assert third == {
        "no": no(3), "name": f"Account {no(3)}", "tier": "A", "before": "D", "amount": "199000.00", "kwh": "48000.00",
        "months": 12, "large": True, "important": False,
        "why": {
            "rank": 2, "of": 200, "cut": 2, "tied": 1, "named": [no(2)], "raised": True, "short": None, "near": False,
        },
    }  # fmt: skip
    moved = (await ask("hall", "GET", "/tiers/runs/2027?moved=true&tier=B")).json()
    assert [line["no"] for line in moved["lines"]] == [no(number) for number in range(4, 11)]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/tiers/runs", {"year": 2027}, 409, "no_purchases"),
        ("POST", "/tiers/runs", {"year": 2027, "dry_run": True}, 409, "no_purchases"),
        ("POST", "/tiers/runs", {"year": 1800}, 422, "bad_input"),
        ("POST", "/tiers/runs", {"year": "soon"}, 422, "bad_input"),
        ("POST", "/tiers/runs", {}, 422, "bad_input"),
        ("GET", "/tiers/runs/2027", None, 404, "unknown_classification"),
        ("GET", "/tiers/runs/99999", None, 422, "bad_input"),
        ("POST", "/tiers/runs/2027/confirm", None, 404, "unknown_classification"),
        ("GET", "/accounts/999999999999/tiers", None, 404, "unknown_account"),
        ("POST", "/accounts/999999999999/tier", {"tier": "A", "reason": "x"}, 404, "unknown_account"),
        ("POST", f"/accounts/{no(1)}/tier", {"tier": "E", "reason": "x"}, 422, "bad_input"),
        ("POST", f"/accounts/{no(1)}/tier", {"tier": "A"}, 422, "bad_input"),
        ("POST", f"/accounts/{no(1)}/tier", {"tier": "A", "reason": ""}, 422, "bad_input"),
        ("POST", f"/accounts/{no(1)}/tier", {"tier": "A", "reason": "  "}, 422, "reason_missing"),
        ("POST", f"/accounts/{no(1)}/tier", {"tier": "A", "reason": "a\u0000b"}, 422, "bad_input"),
        ("POST", f"/accounts/{no(1)}/designation", {"reason": " "}, 422, "reason_missing"),
        ("DELETE", f"/accounts/{no(1)}/designation", None, 422, "bad_input"),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_is_said_and_nothing_is_written(
    store: Store, ask: Ask, method: str, path: str, body: Any, status: int, code: str
) -> None:
    await stock(store, [Buyer(None)])
    answer = await ask("hall", method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await ask("hall", "GET", f"/accounts/{no(1)}/tiers")).json()["history"] == []


async def test_a_wrong_cursor_is_refused(store: Store, ask: Ask) -> None:
    await stock(store, [Buyer(1)])
    await run(ask)
    for path in ("/tiers/runs/2027?after=x", "/tiers/near?after=1"):
        answer = await ask("hall", "GET", path)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor")


async def test_an_account_moved_in_mid_year_shows_its_history_with_reasons(
    store: Store, ask: Ask, clock: SetClock
) -> None:
    await archive(store)
    await run(ask)
    clock.forward(days=100)
    moved = await ask("supervisor", "POST", f"/accounts/{no(100)}/tier", json={"tier": "A", "reason": "new furnace"})
    assert moved.status_code == 200 and moved.json()["tier"] == "A"
    down = await ask("hall", "POST", f"/accounts/{no(3)}/tier", json={"tier": "B", "reason": "plant closed"})
    found = (await ask("agent", "GET", f"/accounts/{no(3)}/tiers")).json()
    assert found == down.json()
    assert (found["tier"], found["large"], found["latest"]["tier"]) == ("B", True, "A")
    assert [(c["before"], c["tier"], c["reason"], c["year"], c["by"]) for c in found["history"]] == [
        ("A", "B", "plant closed", None, "token:hall"), ("D", "A", "2027 年年度分类", 2027, "token:hall"),
    ]  # fmt: skip
    assert found["history"][1]["at"] == MONDAY.isoformat().replace("+00:00", "Z")


async def test_accounts_near_the_next_tier_are_listed_with_what_is_missing(store: Store, ask: Ask) -> None:
    await stock(store, [Buyer(10000), Buyer(9000), Buyer(9500), Buyer(Decimal("8999.99")), *[Buyer(1)] * 16])
    assert (await ask("manager", "GET", "/tiers/near")).json() == {"lines": [], "next": None}
    await run(ask)
    first = (await ask("manager", "GET", "/tiers/near?limit=1")).json()
    assert [(line["no"], line["why"]["short"]) for line in first["lines"]] == [(no(3), "500.00")]
    rest = (await ask("manager", "GET", f"/tiers/near?after={first['next']}")).json()
    assert [(line["no"], line["why"]["short"]) for line in rest["lines"]] == [(no(2), "1000.00")]
    assert rest["next"] is None
    assert (await ask("proxy", "GET", "/tiers/near")).json()["lines"] == [], "a proxy sees only their own"


async def test_a_proxy_sees_the_tiers_of_accounts_in_their_care_and_no_others(
    store: Store, client: httpx.AsyncClient
) -> None:
    await stock(store, [Buyer(10000), Buyer(9000), Buyer(9500), *[Buyer(1)] * 17])
    async with store.transaction() as db:
        sun = await staff.add(db, "Sun", Role.PROXY, hashed=None, by="test", at=MONDAY)
        held = await customers.account(db, no(2))
        await areas.give_to_proxy(db, [held], sun, by="test", at=MONDAY)
        cookie = await staff.open_session(db, sun, address="", device="", at=MONDAY)
    client.cookies.set("greenline_staff", cookie)
    assert (await client.get(f"{API}/accounts/{no(2)}/tiers")).json()["no"] == no(2)
    other = await client.get(f"{API}/accounts/{no(1)}/tiers")
    assert (other.status_code, other.json()["code"]) == (404, "unknown_account")


async def test_an_account_is_named_important_and_the_name_taken_back(store: Store, ask: Ask) -> None:
    await stock(store, [Buyer(1), Buyer(1, category="hospital")])
    named = await ask("hall", "POST", f"/accounts/{no(1)}/designation", json={"reason": "pumps water"})
    assert (named.json()["important"], named.json()["designation"]) == (True, "pumps water")
    ended = await ask("hall", "DELETE", f"/accounts/{no(1)}/designation?reason=pumps+no+more")
    assert (ended.json()["important"], ended.json()["designation"]) == (False, None)
    again = await ask("hall", "DELETE", f"/accounts/{no(1)}/designation?reason=pumps+no+more")
    assert again.json() == ended.json()


async def test_a_coal_mine_is_marked(store: Store, ask: Ask) -> None:
    await stock(store, [Buyer(1)])
    for flag in (True, True, False):
        answer = await ask(
            "manager", "PUT", f"/accounts/{no(1)}/coal-mine", json={"coal_mine": flag, "reason": "licence"}
        )
        assert answer.json()["coal_mine"] is flag
