"""Anger is heard where it is, and never in a calm question."""

import json
from pathlib import Path
from typing import Final

import pytest

from knowledge import temper

DATA: Final = Path(__file__).parents[1] / "data"
ANGRY: Final = (
    "你们到底有没有人管啊",
    "气死我了，打了三次都没人接",
    "你们这是什么态度！",
    "太过分了，说好今天来的",
    "我受够了，换人来谈",
    "别再糊弄我了",
    "天天踢皮球，一个推一个",
    "再不解决我就曝光你们",
    "我要找记者",
    "你们就是欺负人",
    "什么破服务，等了一上午",
    "他妈的又停电了",
    "忍无可忍，我要告你们",
    "一群废物",
    "再不来人我就不等了",
    "This is ridiculous",
    "I am fed up with waiting",
    "Completely unacceptable, three days without an answer!",
    "You are a useless bot",
    "I'm SICK OF THIS",
)


def asked(name: str) -> list[dict[str, object]]:
    """The questions of one file."""
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


@pytest.mark.parametrize("text", ANGRY)
def test_anger_is_heard(text: str) -> None:
    assert temper.is_angry(text)


@pytest.mark.parametrize(("name", "least"), [("questions_held_out", 300), ("questions_probe", 130)])
def test_no_calm_question_is_taken_for_anger(name: str, least: int) -> None:
    questions = [str(row["q"]) for row in asked(name)]
    assert len(questions) >= least
    assert [text for text in questions if temper.is_angry(text)] == []


def test_of_other_messages_only_those_to_or_about_people_may_be_angry() -> None:
    people = ("complaint", "satisfaction", "human_agent")
    calm = [str(row["q"]) for row in asked("intents_held_out") if row["intent"] not in people]
    assert [text for text in calm if temper.is_angry(text)] == []


@pytest.mark.parametrize(
    "text",
    ["WTFU Power Ltd", "配电室火太大", "变压器起火", "请问停电气象预警在哪看", "卖垃圾的公司能不能办增容", "", "😡"],
)
def test_words_that_only_look_alike_are_calm(text: str) -> None:
    assert not temper.is_angry(text)
