"""How an examination is marked."""

from pathlib import Path

import pytest

from knowledge import encoders, evaluate
from knowledge.entries import as_entries, seeds
from knowledge.evaluate import BadExamination
from knowledge.intents import Reader
from knowledge.search import Decision, Finding, Guide, Match

ENTRIES = {entry.key: entry for entry in as_entries(seeds())}


def finding(decision: Decision, *keys: str) -> Finding:
    return Finding(decision, 0.5, tuple(Match(ENTRIES[key], 0.3) for key in keys))


@pytest.mark.parametrize(
    ("row", "found", "good"),
    [
        ({"id": "g11"}, finding(Decision.ANSWER, "g11", "g10"), {"first", "three", "overall", "handled", "answered"}),
        ({"id": "g11"}, finding(Decision.ANSWER, "g10", "g11"), {"three", "wrong", "answered"}),
        ({"id": "g11"}, finding(Decision.CHOICES, "g10", "g11"), {"three", "handled"}),
        ({"id": "g11"}, finding(Decision.ABSTAIN, "g11"), {"first", "three", "quiet"}),
        ({"ids": ["g10", "g11"]}, finding(Decision.CHOICES, "g10"), {"first", "three", "overall", "handled"}),
        ({"id": None}, finding(Decision.ABSTAIN, "g10"), {"overall", "handled", "quiet"}),
        ({"id": None}, finding(Decision.CHOICES, "g10"), set()),
        ({"id": None}, finding(Decision.ANSWER, "g10"), {"wrong", "answered"}),
        ({"id": None}, finding(Decision.ABSTAIN), {"overall", "handled", "quiet"}),
    ],
)
def test_one_finding_is_judged(row: dict[str, object], found: Finding, good: set[str]) -> None:
    marks = evaluate.judge(row, found)
    assert {name for name, mark in marks.items() if mark and name != "answerable"} == good


def test_shares_are_of_the_right_whole() -> None:
    marks = [
        evaluate.judge({"id": "g11"}, finding(Decision.ANSWER, "g11")),
        evaluate.judge({"id": "g11"}, finding(Decision.ANSWER, "g10")),
        evaluate.judge({"id": None}, finding(Decision.ABSTAIN, "g10")),
        evaluate.judge({"id": None}, finding(Decision.ABSTAIN, "g10")),
    ]
    assert evaluate.summary(marks) == {
        "top1": 50.0,
        "recall3": 50.0,
        "overall": 75.0,
        "handled": 75.0,
        "oos_abstained": 100.0,
        "wrong": 25.0,
        "answered": 50.0,
    }


def test_nothing_to_count_is_none() -> None:
    assert evaluate.summary([])["top1"] is None


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", 1),
        ("\n\n", 1),
        ('{"q": "a", "id": null}\n{broken', 2),
        ('{"id": "g11"}', 1),
        ('{"q": 5, "id": "g11"}', 1),
        ('["q"]', 1),
        ('\n{"q": "a"}', 2),
    ],
)
def test_a_bad_file_is_told_by_line(tmp_path: Path, content: str, line: int) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(BadExamination) as caught:
        evaluate.read(file)
    assert caught.value.line == line


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('\ufeff{"q": "a", "id": null}', encoding="utf-8")
    assert evaluate.read(file) == [{"q": "a", "id": None}]


def test_a_file_of_questions_gives_the_promised_figures(tmp_path: Path, lite_guide: Guide) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '{"q": "双电源供电方案多久能出来", "id": "g11", "style": "formal"}\n{"q": "水费在哪交", "id": null, "style": "oos"}',
        encoding="utf-8",
    )
    report = evaluate.run(file, encoder="lite")
    assert {"top1", "recall3", "overall", "oos_abstained", "wrong", "p50_ms", "p99_ms"} <= report.keys()
    assert report["styles"].keys() == {"formal", "oos"}
    assert (report["top1"], report["oos_abstained"], report["wrong"], report["questions"]) == (100, 100, 0, 2)


def test_a_file_of_intents_gives_accuracy_per_intent(tmp_path: Path) -> None:
    file = tmp_path / "intents.jsonl"
    file.write_text('{"q": "转人工", "intent": "human_agent"}\n{"q": "你好", "intent": "cancel"}', encoding="utf-8")
    report = evaluate.run(file, encoder="lite")
    assert report["accuracy"] == 50
    assert report["intents"] == {"human_agent": 100.0, "cancel": 0.0}
    assert report["confused"] == {"cancel → smalltalk": 1}


def test_an_unknown_intent_is_refused() -> None:
    with pytest.raises(BadExamination):
        evaluate.intents([{"q": "a", "intent": "weather"}], Reader(encoders.lite(), None))
