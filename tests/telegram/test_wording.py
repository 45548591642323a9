"""Long texts are cut where a reader would cut them, below Telegram's limit, and nothing is lost or torn."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.telegram.wording import BUTTON_BYTES, LIMIT, keyboard, parts, split, units
from tests.telegram.botapi_text import render, utf16

FAMILY = "👨‍👩‍👧"
SOURCE = {"entry": "g01", "version": 1, "title": "t", "document": "大客户用电申请服务指南", "article": "第四条"}
texts = st.text(st.sampled_from([*"a<&>电。！ \n,", "😀", "\u200d", "👍", "🏽", "🇨", "🇳", "\u0301"]), max_size=300)


@given(texts, st.integers(20, 60))
@example("<" * 100, 20)
@example("\u200d" * 300, 20)
@example(" " * 100 + "x", 20)
def test_nothing_but_white_space_is_lost_and_no_piece_is_too_long(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert all(units(piece) <= limit for piece in pieces)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)
    assert all(piece.strip() for piece in pieces) or pieces == [""]


@given(st.lists(st.sampled_from([FAMILY, "👍🏽", "🇨🇳", "电", "é"]), min_size=30, max_size=80), st.integers(20, 60))
def test_what_shows_as_one_character_stays_one(shown: list[str], limit: int) -> None:
    for piece in split("".join(shown), limit):
        assert re.fullmatch(f"({FAMILY}|👍🏽|🇨🇳|电|é)*", piece)


@pytest.mark.parametrize("end", ["\n\n", "\n", "。", "！", "？", ". ", "；", "，"])
def test_the_cut_is_at_the_end_of_a_thought(end: str) -> None:
    text = "电" * 30 + end + "电" * 30
    assert split(text, 50) == [("电" * 30 + end).rstrip(), "电" * 30]


@given(st.text(max_size=50))
def test_units_are_utf16(text: str) -> None:
    assert units(text) == utf16(text)


@given(st.integers(LIMIT - 60, LIMIT + 60), st.sampled_from(["<", "&", "😀", "电", "<b>&amp;"]), st.booleans())
def test_parts_keep_the_limit_after_parsing_and_show_the_text_as_it_is(size: int, unit: str, cited: bool) -> None:
    text = unit * (size // units(unit))
    made = parts(text, {"sources": [SOURCE] if cited else [], "choices": [{"id": "menu", "label": "菜单"}]}, "zh_CN")
    seen = [render(part.html)[0] for part in made]
    assert all(utf16(shown) <= LIMIT for shown in seen)
    assert seen == [part.plain for part in made]
    assert "".join(seen).startswith(text) and ("第四条" in seen[-1]) is cited
    assert [bool(part.buttons) for part in made] == [False] * (len(made) - 1) + [True]


def test_a_source_of_absurd_length_does_not_crowd_out_the_answer() -> None:
    made = parts("答案", {"sources": [SOURCE | {"document": "长" * 9000}], "choices": []}, "zh_CN")
    assert made[-1].plain.startswith("答案") and units(made[-1].plain) <= LIMIT


def test_buttons_whose_data_telegram_would_refuse_are_left_out() -> None:
    made = keyboard([{"id": "电" * 30, "label": "x"}, {"id": "m" * (BUTTON_BYTES - 3), "label": "y"}])
    assert made and [button.text for row in made.inline_keyboard for button in row] == ["y"]
    assert keyboard([]) is None
