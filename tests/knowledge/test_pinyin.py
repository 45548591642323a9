"""The decoder: what was meant, given how it sounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.entries import as_entries, seeds, texts_to_ask
from knowledge.pinyin import Decoder, syllables

DECODER = Decoder([text for entry in as_entries(seeds()) for text in (*texts_to_ask(entry), entry.answer)])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("增溶要什么材料", "增容要什么材料"),
        ("供店方案", "供电方案"),
        ("双电园", "双电源"),
        ("计画停电", "计划停电"),
        ("zengrong yao shenme cailiao", "增容要什么材料"),
        ("shuang dian yuan", "双电源"),
        ("gongdian fangan", "供电方案"),
        ("kefu taidu", "客服态度"),
        ("bao zhuang", "报装"),
    ],
)
def test_homophones_and_letters_become_the_guides_words(typed: str, meant: str) -> None:
    assert DECODER.decode(typed).replace(" ", "") == meant


@pytest.mark.parametrize(
    "typed", ["双电源供电方案多久", "how long does it take", "can you help", "vip", "10kv", "", "?!", "a", "no power"]
)
def test_what_is_right_stays(typed: str) -> None:
    assert DECODER.decode(typed) == typed


def test_a_word_of_several_readings_is_found_by_each() -> None:
    decoder = Decoder(["变压器着火了"])
    assert decoder.decode("zhao huo le").replace(" ", "") == "着火了"
    assert decoder.decode("变压其着火") == "变压器着火"


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("you ren chu dian le", True),
        ("xin zhuang yao shen me cai liao", True),
        ("please send someone to our plant", False),
        ("is there anybody", False),
        ("abc", False),
        ("增容", False),
    ],
)
def test_pinyin_is_told_from_english(text: str, letters: bool) -> None:
    assert DECODER.is_pinyin(text) is letters


def test_syllables_are_toneless() -> None:
    assert syllables("增容10kv") == ["zeng", "rong", "1", "0", "k", "v"]


@given(st.text(alphabet="增溶用店方案abcz你好 0123,。", max_size=40))
def test_decoding_never_fails_and_keeps_its_result(text: str) -> None:
    once = DECODER.decode(text)
    assert bool(once.strip()) == bool(text.strip())
