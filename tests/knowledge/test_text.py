"""Normalisation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge import text as words


@pytest.mark.parametrize(
    ("typed", "clean"),
    [
        ("ＡＢＣ　１２３", "abc 123"),
        ("雙電源供電", "双电源供电"),
        ("  多 \n 久\t", "多 久"),
        ("电\u200b费", "电费"),
        ("Hello\u202e World", "hello world"),
    ],
)
def test_one_spelling(typed: str, clean: str) -> None:
    assert words.clean(typed) == clean


def test_bare_keeps_words_apart_only_where_letters_are() -> None:
    assert words.bare("你 好,vip 客户! 10 kv") == "你好vip客户10 kv"


def test_a_long_message_keeps_both_ends() -> None:
    long = words.clean("开头" + "中" * 20_000 + "结尾")
    assert long.startswith("开头")
    assert long.endswith("结尾")
    assert len(long) <= words.LONGEST + 1


def test_clauses_are_what_stands_between_marks() -> None:
    assert words.clauses("你好,我们厂没电了。什么时候来电?谢") == ["我们厂没电了", "什么时候来电"]


@pytest.mark.parametrize(
    ("text", "han", "latin"), [("电费", True, False), ("power", False, True), ("vip客户", True, False)]
)
def test_scripts_are_told_apart(text: str, han: bool, latin: bool) -> None:
    assert words.has_han(text) is han
    assert words.mostly_latin(text) is latin


def test_grams_are_single_and_paired() -> None:
    assert words.grams("增容vip10") == ["增", "容", "vip", "10", "增_容", "容_vip", "vip_10"]


@given(st.text(max_size=300))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = words.clean(text)
    assert words.clean(once) == once


@given(st.text(max_size=300))
def test_bare_text_is_bare(text: str) -> None:
    once = words.bare(words.clean(text))
    assert words.bare(once) == once
    assert once == once.strip()


@given(st.text(alphabet=st.sampled_from("电费多少,。?! \nab1"), max_size=80))
def test_clauses_hold_nothing_new(text: str) -> None:
    clean = words.clean(text)
    assert all(part in clean and len(words.bare(part)) >= 4 for part in words.clauses(clean))
