"""Intents and the danger flag."""

from collections.abc import Callable
from typing import Any

import pytest

from knowledge import encoders, evaluate
from knowledge.intents import Intent, Reader

Rows = Callable[[str], list[dict[str, Any]]]


def test_unseen_messages_are_understood(reader: Reader, rows: Rows) -> None:
    report = evaluate.intents(rows("intents_held_out.jsonl"), reader)
    assert report["accuracy"] >= 92.5
    assert min(report["intents"].values()) >= 85


def test_no_danger_is_missed_and_few_alarms_are_false(reader: Reader, rows: Rows) -> None:
    report = evaluate.intents(rows("danger_held_out.jsonl"), reader)
    assert report["danger_recall"] == 100
    assert report["danger_false"] <= 8


def test_ordinary_questions_raise_no_alarm(reader: Reader, rows: Rows) -> None:
    asked = [row["q"] for row in rows("questions_held_out.jsonl")[::3]]
    alarms = [question for question in asked if reader.read(question).danger]
    assert len(alarms) <= 0.03 * len(asked), alarms


def test_lite_alone_understands_too(rows: Rows) -> None:
    lite = Reader(encoders.lite(), None)
    assert evaluate.intents(rows("intents_held_out.jsonl"), lite)["accuracy"] >= 89
    assert evaluate.intents(rows("danger_held_out.jsonl"), lite)["danger_recall"] >= 94


@pytest.mark.parametrize(
    "message",
    [
        "电线掉在马路上了",
        "變壓器冒煙了",
        "bian ya qi mao yan le",
        "有人触店了快来",
        "people are trapped in the elevator",
        "主扇停了,井下还有人",
    ],
)
def test_danger_is_heard_in_any_spelling(reader: Reader, message: str) -> None:
    assert reader.read(message).danger


@pytest.mark.parametrize(
    "message", ["双电源方案多久", "火锅店想增容", "气得我冒烟", "停电到几点", "谢谢", "投诉客服态度差"]
)
def test_everyday_messages_are_calm(reader: Reader, message: str) -> None:
    assert not reader.read(message).danger


@pytest.mark.parametrize(
    ("message", "intent"),
    [
        ("转人工", Intent.HUMAN_AGENT),
        ("取消", Intent.CANCEL),
        ("你好", Intent.SMALLTALK),
        ("我要投诉", Intent.COMPLAINT),
        ("五星好评", Intent.SATISFACTION),
        ("我的单子到哪了", Intent.TICKET_STATUS),
        ("几点来电", Intent.OUTAGE_STATUS),
        ("我们厂没电了快派人", Intent.FAULT_REPORT),
        ("双电源供电方案多久能出来", Intent.ASK_GUIDE),
        ("zhuan ren gong", Intent.HUMAN_AGENT),
    ],
)
def test_plain_messages_have_one_meaning(reader: Reader, message: str, intent: Intent) -> None:
    reading = reader.read(message)
    assert reading.intent is intent
    assert 0 < reading.confidence <= 1


@pytest.mark.parametrize("message", ["", "  ", "😀", "。。。", "\u200b"])
def test_a_message_without_words_is_small_talk(reader: Reader, message: str) -> None:
    reading = reader.read(message)
    assert (reading.intent, reading.danger) == (Intent.SMALLTALK, False)
