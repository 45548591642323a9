"""Searching the archive, masks and initials."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from desk import customers, masks
from desk.errors import BadCursor
from desk.initials import initials
from desk.store import Store
from desk.tiers import Tier
from tests.desk.purchases import Buyer, stock


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("重庆银行", "cqyh"), ("长安银行A座", "cayhaz"), ("ＡＢＣ大厦 3号", "abcds3h"), ("长春支行", "cczh"), ("", ""),
        ("(青禾)·厂", "qhc"), ("㐀", "q"), ("Hill Mine", "hillmine"), ("🏭厂", "c"),
    ],
)  # fmt: skip
def test_initials_are_those_that_people_type(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_what_is_searched_knows_neither_case_nor_width() -> None:
    hay = customers.haystack("3300000000001", "12", "ＡＢＣ厂", "ABC集团", "Main St", "张三", "19900000001")
    assert all(customers.searched(word) in hay for word in ("abc厂", "ＡＢＣ", "abcjt", "main", "zs", "0001", "12"))


@pytest.mark.parametrize(
    ("number", "shown"),
    [("13812341234", "138****1234"), ("0571-55550001", "057****0001"), ("95598", "***98"), ("", "")],
)
def test_phones_are_masked(number: str, shown: str) -> None:
    assert masks.phone(number) == shown


@pytest.mark.parametrize(
    ("name", "shown"), [("张三", "张*"), ("欧阳修文", "欧***"), ("张", "张"), ("Ann Lee", "A***"), ("", "")]
)
def test_persons_are_masked(name: str, shown: str) -> None:
    assert masks.person(name) == shown


def test_firms_are_not_masked_and_persons_who_hold_an_account_are() -> None:
    assert [masks.holder(name) for name in ("青禾医院", "张伟", "ABC", "欧阳修")] == ["青禾医院", "张*", "ABC", "欧**"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("滨江路 8 号", "滨江路****"), ("城东区人民路甲12号3单元501室", "城东区人民路****"), ("开发区一号路22号", "开发区一号路****"),
        ("城关镇东风村张家大院", "城关镇东风村****"), ("新华街道解放路一百二十号", "新华街道解放路****"), ("1 Main St", "****"),
        ("浙江省杭州市西湖区文三路478号华星大厦", "浙江省杭州市西湖区文三路****"), ("锦绣花园3栋", "****"), ("", ""),
    ],
)  # fmt: skip
def test_of_an_address_district_and_street_are_left(address: str, shown: str) -> None:
    assert masks.address(address) == shown
    assert masks.address(shown) == shown


# -- sorted lists -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def many(store: Store) -> Store:
    """120 accounts, many of which are alike in what they are sorted by."""
    await stock(store, [Buyer(number % 7, tier=Tier("ABCD"[number % 4])) for number in range(120)])
    async with store.transaction() as db:
        await db.execute(
            text("UPDATE account SET bought = id % 7, initials = 'a' || id % 5, running_kva = nullif(id % 3, 0) * 1.5")
        )
    return store


async def paged(store: Store, order: str, limit: int = 17, **filters: Any) -> list[customers.Account]:
    found: list[customers.Account] = []
    after = ""
    while True:
        async with store.transaction() as db:
            page = await customers.find(db, after=after or 0, limit=limit, order=order, **filters)
        found += page
        if len(page) < limit:
            return found
        after = customers.cursor(page[-1], order)


@pytest.mark.parametrize("order", [sign + name for name in customers.Order for sign in ("", "-")])
async def test_pages_of_a_sorted_list_hold_everybody_once_and_in_order(many: Store, order: str) -> None:
    keys = {
        "no": lambda each: each.no, "name": lambda each: each.initials, "tier": lambda each: each.tier,
        "bought": lambda each: each.bought, "running": lambda each: each.running_kva or Decimal(0),
    }  # fmt: skip
    found = await paged(many, order)
    key = keys[order.removeprefix("-")]
    expected = sorted(found, key=lambda each: (key(each), each.id), reverse=order.startswith("-"))
    assert [each.id for each in found] == [each.id for each in expected]
    assert len({each.id for each in found}) == 120
    some = await paged(many, order, tier=Tier.B)
    assert [each.id for each in some] == [each.id for each in found if each.tier == Tier.B]


@pytest.mark.parametrize(
    ("order", "after"),
    [("", "x"), ("", "9" * 30), ("bought", "abc~3"), ("bought", "NaN~3"), ("name", "~x"), ("no", "1")],
)
async def test_a_cursor_that_is_none_is_refused(store: Store, order: str, after: str) -> None:
    async with store.transaction() as db:
        with pytest.raises(BadCursor):
            await customers.find(db, after=after, order=order)
