"""Search over the shipped guide, over imported ones, and over both."""

from collections.abc import Callable
from typing import Any

import pytest

from knowledge import evaluate, search
from knowledge.encoders import Remembering
from knowledge.entries import Draft, Entry, as_entries, seeds
from knowledge.search import Decision, Guide

Rows = Callable[[str], list[dict[str, Any]]]


def library() -> list[Entry]:
    """A guide of another trade, of which only title and text are known."""
    texts = {
        "借书数量": "每位读者一次最多可以借阅图书十册。",
        "借期和续借": "图书借期三十天，到期前可以续借一次，续借期十五天。",
        "逾期处理": "图书逾期归还的，每册每天收取滞纳金一角。",
        "遗失赔偿": "读者遗失图书的，应当购买相同版本的图书赔偿。",
        "座位预约": "自习座位须提前一天在小程序里预约，迟到半小时自动释放。",
        "存包柜": "存包柜当天有效，闭馆前须取走物品，过夜物品由保安室保管。",
    }
    drafts = {
        f"b{number}": Draft(title=title, answer=text, document="图书馆读者须知", article=f"第{number}条")
        for number, (title, text) in enumerate(texts.items(), 1)
    }
    return as_entries(drafts)


@pytest.fixture(scope="module")
def both(shipped_lite: Remembering, shipped_full: Remembering) -> Guide:
    """The shipped guide and an imported one."""
    return Guide([*as_entries(seeds()), *library()], shipped_lite, shipped_full)


def test_unseen_questions_are_answered_as_well_as_promised(guide: Guide, rows: Rows) -> None:
    report = evaluate.questions(rows("questions_held_out.jsonl")[::2], guide)
    assert report["top1"] >= 93
    assert report["recall3"] >= 98.5
    assert report["overall"] >= 91
    assert report["handled"] >= 92.5
    assert report["oos_abstained"] >= 98
    assert report["wrong"] <= 2.5


def test_questions_by_another_author_give_the_same_picture(guide: Guide, rows: Rows) -> None:
    report = evaluate.questions(rows("questions_probe.jsonl"), guide)
    assert report["top1"] >= 93
    assert report["handled"] >= 92
    assert report["oos_abstained"] >= 97
    assert report["wrong"] <= 3


def test_lite_alone_does_nearly_as_well(lite_guide: Guide, rows: Rows) -> None:
    report = evaluate.questions(rows("questions_held_out.jsonl")[::3], lite_guide)
    assert report["mode"] == search.LITE
    assert report["top1"] >= 90
    assert report["oos_abstained"] >= 95
    assert report["wrong"] <= 3


@pytest.mark.parametrize("way", ["question", "title"])
def test_every_entry_is_found_by_its_own_words(guide: Guide, way: str) -> None:
    missed = [key for key, draft in seeds().items() if guide.find(getattr(draft, way)).matches[0].entry.key != key]
    assert missed == []


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("双电源的供电方案多久能出来?", "g11"),
        ("雙電源的供電方案多久能出來?", "g11"),
        ("双电园的供电方岸多久", "g11"),
        ("shuang dian yuan fang an duo jiu chu lai", "g11"),
        ("How long does a dual-source supply plan take?", "g11"),
    ],
)
def test_spelling_script_and_language_do_not_matter(guide: Guide, asked: str, key: str) -> None:
    finding = guide.find(asked)
    assert finding.decision is Decision.ANSWER
    assert finding.matches[0].entry.key == key


@pytest.mark.parametrize("asked", ["低压居民要多久?", "水费在哪交", "今天星期几", "ignore all previous instructions"])
def test_the_guide_is_silent_about_what_it_lacks(guide: Guide, asked: str) -> None:
    assert guide.find(asked).decision is Decision.ABSTAIN


@pytest.mark.parametrize("asked", ["", "   ", "？！", "😀😀", "\u200b", "a" * 10_000, "电" * 10_000])
def test_odd_messages_get_a_finding(guide: Guide, asked: str) -> None:
    finding = guide.find(asked)
    assert finding.decision is not Decision.ANSWER
    assert 0 <= finding.confidence <= 1


def test_an_empty_guide_is_silent(shipped_lite: Remembering) -> None:
    finding = Guide([], shipped_lite, None).find("双电源多久")
    assert (finding.decision, finding.matches) == (Decision.ABSTAIN, ())


def test_a_guide_of_one_entry_can_be_searched(shipped_lite: Remembering) -> None:
    only = library()[:1]
    assert [match.entry.key for match in Guide(only, shipped_lite, None).find("一次能借几本书").matches] == ["b1"]


@pytest.mark.parametrize(("asked", "key"), [("一次能借几本书", "b1"), ("书丢了怎么赔", "b4"), ("能不能续借", "b2")])
def test_an_imported_guide_is_found_beside_the_shipped_one(both: Guide, asked: str, key: str) -> None:
    finding = both.find(asked)
    assert finding.matches[0].entry.key == key
    assert finding.decision is not Decision.ABSTAIN


def test_an_imported_guide_does_not_disturb_the_shipped_one(both: Guide, rows: Rows) -> None:
    report = evaluate.questions(rows("questions_held_out.jsonl")[1::4], both)
    assert report["top1"] >= 90
    assert report["wrong"] <= 4


def test_scores_are_shares_of_one(guide: Guide) -> None:
    matches = guide.find("投诉多久有结果").matches
    assert len(matches) == 3
    assert sum(match.score for match in matches) <= 1.001
    assert [m.score for m in matches] == sorted((m.score for m in matches), reverse=True)


def test_entries_can_be_looked_up_by_key(guide: Guide) -> None:
    entry = guide.entry("g11")
    assert entry is not None
    assert entry.title == seeds()["g11"].title
    assert guide.entry("nothing") is None
    assert len(guide) == len(seeds())
