"""Staff pages about areas: who answers, handing over with the number typed, a transformer area given to a proxy."""

import httpx
import pytest
from sqlalchemy import text

from api.callers import COOKIE
from desk import areas, customers, events, staff
from desk.permissions import Role
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


async def test_all_accounts_of_a_transformer_area_are_given_to_a_proxy_at_once(
    store: Store, clock: SetClock, client: httpx.AsyncClient, north: int
) -> None:
    await enter(store, clock, client, "Lin")
    assert (await client.post(f"/desk/areas/{north}/handover", data={"number": "2"})).status_code == 403
    assert (await client.post("/desk/areas/proxy", data={"transformer_area": "T7", "proxy": "Wang"})).status_code == 422
    assert (await client.post("/desk/areas/proxy", data={"transformer_area": "T7", "proxy": "Sun"})).status_code == 303
    async with store.transaction() as db:
        sun = await staff.by_name(db, "Sun")
        held = [(await customers.account(db, no(number))).proxy_id for number in (1, 2, 3)]
        assert held == [sun.id, sun.id, None]
        assert len(await events.about(db, f"account:{no(2)}", "account.proxy_changed")) == 1
