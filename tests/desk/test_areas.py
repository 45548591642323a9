"""Areas and who answers for them: one manager, a handover with notes, proxies who see only their own accounts."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlmodel import col, select

from desk import areas, customers, events, staff
from desk.areas import Area
from desk.customers import Account
from desk.errors import UnknownAccount, UnknownArea, WrongRole
from desk.permissions import Level, Role
from desk.staff import Staff
from desk.store import Store
from tests.conftest import MONDAY
from tests.desk.purchases import Buyer, no, stock

LATER: Final = MONDAY + timedelta(days=30)
Hire = Callable[..., Awaitable[Staff]]


@pytest.fixture
def hire(store: Store) -> Hire:
    async def hired(name: str, role: Role = Role.MANAGER) -> Staff:
        async with store.transaction() as db:
            return await staff.add(db, name, role, hashed=None, by="admin", at=MONDAY)

    return hired


async def settle(store: Store, name: str, *numbers: int) -> Area:
    """An area with these accounts."""
    async with store.transaction() as db:
        area = await areas.area(db, name, create=True)
        for number in numbers:
            held = await customers.account(db, no(number))
            held.area_id = area.id
            db.add(held)
        return area


async def account(store: Store, number: int) -> Account:
    async with store.transaction() as db:
        return await customers.account(db, no(number))


async def hand_over(store: Store, area: Area, to: Staff, notes: str = "", **more: Any) -> bool:
    assert area.id is not None
    async with store.transaction() as db:
        held = await areas.area_by_id(db, area.id, lock=True)
        return await areas.hand_over(db, held, to, notes=notes, **({"by": "chief", "at": MONDAY} | more))


async def give(store: Store, proxy: Staff | None, *numbers: int, **more: Any) -> int:
    async with store.transaction() as db:
        held = [await customers.account(db, no(number), lock=True) for number in numbers]
        return await areas.give_to_proxy(db, held, proxy, **({"by": "chief", "at": MONDAY} | more))


async def seen_by(store: Store, role: Role, staff_id: int | None) -> list[str]:
    async with store.transaction() as db:
        query = select(Account.no).where(areas.visible(role, staff_id)).order_by(col(Account.no))
        return list((await db.exec(query)).all())


# -- managers ---------------------------------------------------------------------------------------------------------


async def test_an_account_has_the_one_manager_of_its_area(store: Store, hire: Hire) -> None:
    await stock(store, [Buyer(1)] * 3)
    north, south = await settle(store, "North", 1), await settle(store, "South", 2)
    wang, li = await hire("Wang"), await hire("Li")
    await hand_over(store, north, wang)
    await hand_over(store, south, li)
    async with store.transaction() as db:
        found = [await areas.named_manager(db, await account(store, number)) for number in (1, 2, 3)]
        assert [manager.name if manager else None for manager in found] == ["Wang", "Li", None]
        assert await areas.areas_of(db, wang) == [north.id]


async def test_accounts_follow_when_an_area_changes_hands_and_the_notes_are_kept(store: Store, hire: Hire) -> None:
    await stock(store, [Buyer(1)])
    north = await settle(store, "North", 1)
    wang, li = await hire("Wang"), await hire("Li")
    assert await hand_over(store, north, wang)
    assert await hand_over(store, north, li, "the mill expects a call on Mondays", by="Zhao", at=LATER)
    async with store.transaction() as db:
        manager = await areas.manager_of(db, await account(store, 1))
        assert manager is not None and manager.name == "Li"
        assert (await areas.areas_of(db, wang), await areas.areas_of(db, li)) == ([], [north.id])
        history = await areas.handovers(db, north)
        said = await events.about(db, f"area:{north.id}", "area.handed_over")
    assert [(h.before_id, h.manager_id, h.notes, h.by, h.at) for h in history] == [
        (wang.id, li.id, "the mill expects a call on Mondays", "Zhao", LATER), (None, wang.id, "", "chief", MONDAY),
    ]  # fmt: skip
    assert said[-1].by == "Zhao" and said[-1].facts == {
        "area": "North", "before": "Wang", "manager": "Li", "notes": "the mill expects a call on Mondays",
    }  # fmt: skip


async def test_handing_an_area_to_its_own_manager_changes_nothing(store: Store, hire: Hire) -> None:
    north, wang = await settle(store, "North"), await hire("Wang")
    assert await hand_over(store, north, wang)
    assert not await hand_over(store, north, wang, "again")
    async with store.transaction() as db:
        assert len(await areas.handovers(db, north)) == 1


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.MANAGER])
async def test_only_a_manager_can_answer_for_an_area(store: Store, hire: Hire, role: Role) -> None:
    north, other = await settle(store, "North"), await hire("Qian", role)
    with pytest.raises(WrongRole) as raised:
        await hand_over(store, north, other)
    assert raised.value.facts == {"name": "Qian"}


async def test_a_manager_who_has_left_cannot_take_an_area(store: Store, hire: Hire) -> None:
    north, wang = await settle(store, "North"), await hire("Wang")
    wang.disabled_at = MONDAY
    with pytest.raises(WrongRole):
        await hand_over(store, north, wang)


async def test_an_area_that_does_not_exist_is_said_to_be_unknown(store: Store) -> None:
    async with store.transaction() as db:
        with pytest.raises(UnknownArea) as raised:
            await areas.area(db, "Nowhere")
        assert raised.value.facts == {"name": "Nowhere"}
        with pytest.raises(UnknownArea):
            await areas.area_by_id(db, 4711)


async def test_the_overview_counts_the_accounts_that_are_supplied(store: Store, hire: Hire) -> None:
    await stock(store, [Buyer(1), Buyer(1), Buyer(1, closed=True)])
    north = await settle(store, "North", 1, 2, 3)
    await settle(store, "East")
    await hand_over(store, north, await hire("Wang"))
    async with store.transaction() as db:
        found = await areas.overview(db)
    assert [(each.area.name, each.manager.name if each.manager else None, each.accounts) for each in found] == [
        ("East", None, 0), ("North", "Wang", 2),
    ]  # fmt: skip


async def test_where_an_area_has_no_manager_a_customer_is_told_one_of_the_whole_company(
    store: Store, hire: Hire
) -> None:
    await stock(store, [Buyer(1)] * 2)
    north, wang, li = await settle(store, "North", 1), await hire("Wang"), await hire("Li")
    await hand_over(store, north, wang)

    async def told() -> list[str | None]:
        async with store.transaction() as db:
            found = [await areas.manager_of(db, await account(store, number)) for number in (1, 2)]
        return [manager.name if manager else None for manager in found]

    async with store.transaction() as db:
        assert await areas.named_manager(db, await account(store, 2)) is None
    assert await told() == ["Wang", None]
    async with store.transaction() as db:
        member = await staff.member(db, li.id or 0)
        assert await staff.set_level(db, member, Level.COMPANY, by="chief", at=LATER)
        assert not await staff.set_level(db, member, Level.COMPANY, by="chief", at=LATER)
    assert await told() == ["Wang", "Li"]
    async with store.transaction() as db:
        await staff.disable(db, await staff.member(db, wang.id or 0), by="chief", at=LATER)
    assert await told() == ["Li", "Li"]
    with pytest.raises(WrongRole):
        async with store.transaction() as db:
            await staff.add(db, "Sun", Role.PROXY, hashed=None, by="admin", at=MONDAY, level=Level.COMPANY)


# -- proxies ----------------------------------------------------------------------------------------------------------


async def test_a_proxy_sees_only_accounts_in_their_care(store: Store, hire: Hire) -> None:
    await stock(store, [Buyer(1)] * 4)
    sun, zhou = await hire("Sun", Role.PROXY), await hire("Zhou", Role.PROXY)
    assert await give(store, sun, 1, 3) == 2
    assert await give(store, zhou, 2) == 1
    assert await seen_by(store, Role.PROXY, sun.id) == [no(1), no(3)]
    assert await seen_by(store, Role.PROXY, zhou.id) == [no(2)]
    assert await seen_by(store, Role.PROXY, None) == [], "a program is nobody's proxy"
    assert len(await seen_by(store, Role.HALL, None)) == 4
    async with store.transaction() as db:
        found = await areas.account_for(db, no(1), role=Role.PROXY, staff_id=sun.id)
        assert found.no == no(1) and (await areas.proxy_of(db, found)) == await db.get(Staff, sun.id)
        for staff_id in (zhou.id, None):
            with pytest.raises(UnknownAccount):
                await areas.account_for(db, no(1), role=Role.PROXY, staff_id=staff_id)
        with pytest.raises(UnknownAccount):  # nobody's: not even for a caller without a key
            await areas.account_for(db, no(4), role=Role.PROXY, staff_id=None)
        assert (await areas.account_for(db, no(4), role=Role.AGENT, staff_id=None)).no == no(4)


async def test_accounts_go_from_proxy_to_proxy_to_nobody_and_events_name_their_numbers(
    store: Store, hire: Hire
) -> None:
    await stock(store, [Buyer(1)] * 2)
    sun, zhou = await hire("Sun", Role.PROXY), await hire("Zhou", Role.PROXY)
    assert await give(store, sun, 1, 2) == 2
    assert await give(store, zhou, 2, by="Zhao", at=LATER) == 1
    assert await give(store, zhou, 2) == 0
    assert await give(store, None, 2) == 1
    assert await seen_by(store, Role.PROXY, zhou.id) == []
    async with store.transaction() as db:
        said = await events.about(db, f"account:{no(2)}", "account.proxy_changed")
    assert [event.facts for event in said] == [
        {"before": None, "proxy": "Sun"}, {"before": "Sun", "proxy": "Zhou"}, {"before": "Zhou", "proxy": None},
    ]  # fmt: skip
    assert (said[1].by, said[1].at) == ("Zhao", LATER)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PROXY])
async def test_only_a_village_electrician_becomes_a_proxy(store: Store, hire: Hire, role: Role) -> None:
    await stock(store, [Buyer(1)])
    with pytest.raises(WrongRole):
        await give(store, await hire("Qian", role), 1)
    assert (await account(store, 1)).proxy_id is None


async def test_what_a_proxy_does_on_behalf_is_written_down_with_both(store: Store, hire: Hire) -> None:
    await stock(store, [Buyer(1)] * 2)
    sun, zhou = await hire("Sun", Role.PROXY), await hire("Zhou", Role.PROXY)
    await give(store, sun, 1)
    async with store.transaction() as db:
        held = await customers.account(db, no(1))
        await areas.act_for(db, held, sun, "notice_delivered", at=LATER, notice=7)
        [event] = await events.about(db, f"account:{no(1)}", "account.acted_for")
        assert (event.by, event.at) == ("Sun", LATER)
        assert event.facts == {"for": no(1), "act": "notice_delivered", "notice": 7}
        with pytest.raises(UnknownAccount):
            await areas.act_for(db, held, zhou, "notice_delivered", at=LATER)
