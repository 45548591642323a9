"""Searching the archive, masks and initials."""

import pytest

from desk import customers, masks
from desk.initials import initials


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
