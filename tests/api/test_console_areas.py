"""Staff pages about who answers: areas and proxies with the number typed, one account, home of a company's manager."""

import re

import httpx
import pytest
from sqlalchemy import text

from api.callers import COOKIE
from desk import areas, classification, customers, events, staff
from desk.permissions import Level, Role
from desk.store import Store
from tests.conftest import SetClock
from tests.desk.purchases import Buyer, no, stock


@pytest.fixture
async def north(store: Store, clock: SetClock) -> int:
    """An area with two of three accounts, one of them important, in one transformer area; and those who work there."""
    await stock(store, [Buyer(1)] * 3)
    async with store.transaction() as db:
        for name, role in (("Wang", Role.MANAGER), ("Sun", Role.PROXY), ("Chief", Role.SUPERVISOR), ("Lin", Role.HALL)):
            await staff.add(db, name, role, hashed=None, by="test", at=clock.now())
        area = await areas.area(db, "North", create=True)
        await db.execute(
            text("UPDATE account SET area_id = :area, transformer_area = 'T7' WHERE no = ANY(:numbers)"),
            {"area": area.id, "numbers": [no(1), no(2)]},
        )
        held = await customers.account(db, no(1))
        await customers.designate(db, held, reason="press", by="test", at=clock.now())
        assert area.id is not None
        return area.id


async def enter(store: Store, clock: SetClock, client: httpx.AsyncClient, name: str) -> None:
    async with store.transaction() as db:
        member = await staff.by_name(db, name)
        client.cookies.set(COOKIE, await staff.open_session(db, member, address="", device="", at=clock.now()))
    client.headers["Origin"] = "http://greenline.test"


async def test_an_area_is_handed_over_once_the_number_of_accounts_is_typed(
    store: Store, clock: SetClock, client: httpx.AsyncClient, north: int
) -> None:
    await enter(store, clock, client, "Chief")
    page = (await client.get("/desk/areas?lang=en")).text
    assert "3 accounts have no manager" in page and "No manager" in page
    assert no(1) in (await client.get(f"/desk/areas/{north}")).text, "the important one is shown"
    form = {"manager": "Wang", "notes": "calls on Mondays", "number": "3"}
    wrong = await client.post(f"/desk/areas/{north}/handover", data=form)
    assert wrong.status_code == 422 and "calls on Mondays" in wrong.text
    done = await client.post(f"/desk/areas/{north}/handover", data=form | {"number": "2"})
    assert done.status_code == 303
    assert "calls on Mondays" in (await client.get(f"/desk/areas/{north}")).text
    assert "1 account has no manager" in (await client.get("/desk/areas?lang=en")).text


async def test_areas_without_a_manager_come_first(
    store: Store, clock: SetClock, client: httpx.AsyncClient, north: int
) -> None:
    async with store.transaction() as db:
        for name, manager in (("Alder", "Wang"), ("Birch", "Gone"), ("Cedar", "Wang")):
            if manager == "Gone":
                await staff.add(db, manager, Role.MANAGER, hashed=None, by="test", at=clock.now())
            area, member = await areas.area(db, name, create=True), await staff.by_name(db, manager)
            await areas.hand_over(db, area, member, notes="", by="test", at=clock.now())
        await staff.disable(db, await staff.by_name(db, "Gone"), by="test", at=clock.now())
    await enter(store, clock, client, "Lin")
    page = (await client.get("/desk/areas?lang=en")).text
    shown = [page.index(f">{name}</a>") for name in ("Birch", "North", "Alder", "Cedar")]
    assert shown == sorted(shown), "nobody answers for the first two: one left, the other never had anybody"


async def test_all_accounts_of_a_transformer_area_are_given_to_a_proxy_once_their_number_is_typed(
    store: Store, clock: SetClock, client: httpx.AsyncClient, north: int
) -> None:
    async def proxies() -> list[int | None]:
        async with store.transaction() as db:
            return [(await customers.account(db, no(number))).proxy_id for number in (1, 2, 3)]

    await enter(store, clock, client, "Lin")
    assert (await client.post(f"/desk/areas/{north}/handover", data={"number": "2"})).status_code == 403
    form = {"transformer_area": "T7", "proxy": "Sun"}
    seen = (await client.get("/desk/areas", params=form | {"lang": "en"})).text
    assert "2 accounts without a village electrician go to Sun" in seen
    wrong = await client.post("/desk/areas/proxy", data=form | {"number": "3"})
    assert wrong.status_code == 422 and "number-wrong" in wrong.text
    for proxy in ("Wang", "Nobody"):  # a manager; nobody of that name
        refused = await client.post("/desk/areas/proxy", data=form | {"proxy": proxy, "number": "2"})
        assert refused.status_code == 422 and "proxy-wrong" in refused.text
    assert await proxies() == [None] * 3
    done = await client.post("/desk/areas/proxy", data=form | {"number": "2"})
    assert done.status_code == 303
    async with store.transaction() as db:
        sun = await staff.by_name(db, "Sun")
        assert len(await events.about(db, f"account:{no(2)}", "account.proxy_changed")) == 1
    assert await proxies() == [sun.id, sun.id, None]
    assert "nothing to change" in (await client.get("/desk/areas", params=form | {"lang": "en"})).text
    taken = await client.post("/desk/areas/proxy", data={"transformer_area": "T7", "proxy": "", "number": "2"})
    assert taken.status_code == 303 and await proxies() == [None] * 3


async def test_one_account_is_given_to_a_proxy_and_taken_back(
    store: Store, clock: SetClock, client: httpx.AsyncClient, north: int
) -> None:
    page = f"/desk/accounts/{no(1)}"

    async def told() -> list[dict[str, object]]:
        async with store.transaction() as db:
            return [event.facts for event in await events.about(db, f"account:{no(1)}", "account.proxy_changed")]

    await enter(store, clock, client, "Chief")
    assert f"{page}/proxy" not in (await client.get(page)).text, "a supervisor edits no accounts"
    assert (await client.post(f"{page}/proxy", data={"proxy": "Sun"})).status_code == 403
    await enter(store, clock, client, "Lin")
    seen = (await client.get(page)).text
    assert f"{page}/proxy" in seen and "Macro" not in seen, "what a page is told has no name of the frame's macros"
    for proxy in ("Wang", "Nobody", ""):
        refused = await client.post(f"{page}/proxy", data={"proxy": proxy})
        assert refused.status_code == 422 and "proxy-wrong" in refused.text
    assert await told() == []
    assert (await client.post(f"{page}/proxy", data={"proxy": "Sun"})).status_code == 303
    assert "Take back from Sun" in (await client.get(f"{page}?lang=en")).text
    assert (await client.post(f"{page}/proxy", data={"act": "end"})).status_code == 303
    assert "Take back from Sun" not in (await client.get(f"{page}?lang=en")).text
    assert await told() == [{"before": None, "proxy": "Sun"}, {"before": "Sun", "proxy": None}]


async def test_a_coal_mine_is_marked_and_unmarked_each_with_a_reason(
    store: Store, clock: SetClock, client: httpx.AsyncClient, north: int
) -> None:
    page = f"/desk/accounts/{no(1)}"
    await enter(store, clock, client, "Chief")
    assert f"{page}/coal-mine" not in (await client.get(page)).text
    assert (await client.post(f"{page}/coal-mine", data={"coal_mine": "yes", "reason": "x"})).status_code == 403
    await enter(store, clock, client, "Lin")
    refused = await client.post(f"{page}/coal-mine", data={"coal_mine": "yes", "reason": " "})
    assert refused.status_code == 422 and "reason-coal_mine-wrong" in refused.text
    for flag, reason in (("yes", "a shaft was sunk"), ("yes", "twice"), ("no", "closed in May")):
        done = await client.post(f"{page}/coal-mine", data={"coal_mine": flag, "reason": reason})
        assert done.status_code == 303
        async with store.transaction() as db:
            assert (await customers.account(db, no(1))).coal_mine is (flag == "yes")
    async with store.transaction() as db:
        told = [event.facts for event in await events.about(db, f"account:{no(1)}", "account.coal_mine_changed")]
    assert told == [
        {"coal_mine": True, "reason": "a shaft was sunk"}, {"coal_mine": False, "reason": "closed in May"},
    ]  # fmt: skip


async def test_a_manager_of_the_company_sees_at_home_how_many_are_near_the_next_tier_in_each_area(
    store: Store, clock: SetClock, client: httpx.AsyncClient, north: int
) -> None:
    async with store.transaction() as db:
        wang = await staff.by_name(db, "Wang")
        await staff.set_level(db, wang, Level.COMPANY, by="test", at=clock.now())
        await areas.area(db, "South", create=True)
        await classification.propose(db, 2027, by="test", at=clock.now())
        lines = await classification.lines(db, await classification.of(db, 2027))
        for line, account in lines:
            line.why = {**line.why, "near": account.area_id == north}
            db.add(line)
    await enter(store, clock, client, "Wang")
    page = (await client.get("/desk/home?lang=en")).text
    rows = {row.split("data-row>")[1].split("<")[0]: row for row in page.split("<tr>") if "/desk/areas/" in row}
    figures = {name: re.findall(r'"figure">(\d+)<', row) for name, row in rows.items()}
    assert figures == {"North": ["2", "2", "0"], "South": ["0", "0", "0"]}, "accounts, near the next tier, moved"
