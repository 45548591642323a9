"""Fitting: the same data give the same parameters, and the examination plays no part in it."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knowledge import encoders, fit, intents, search
from knowledge import text as words
from knowledge.encoders import Remembering
from knowledge.index import CHANNELS, Asked

Rows = Callable[[str], list[dict[str, Any]]]


def examples(count: int = 160) -> list[fit.Example]:
    """Made-up questions over six entries: the first channel tells the right one, the others are noise."""
    draw = np.random.default_rng(3)
    asked = Asked("问", ("问",), np.zeros((1, 2), np.float32), None)
    made: list[fit.Example] = []
    for number in range(count):
        right = {number % 6} if number % 4 else set()
        table = draw.random((6, len(CHANNELS))).astype(np.float32) * 0.5
        for entry in right:
            table[entry, 0] += 0.4
        strange: NDArray[np.float64] = np.full(4, 0.1 if right else 0.8) + draw.random(4) * 0.2
        made.append(fit.Example(right, asked, table, strange, number // 4 % fit.FOLDS))
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parameters are written to an empty folder."""
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(fit, "HERE", tmp_path)
    return tmp_path


def test_weights_and_thresholds_are_the_same_every_time() -> None:
    used = list(range(len(CHANNELS)))
    first, judgement = fit._judge(examples(), used, fit.RICH)
    second, again = fit._judge(examples(), used, fit.RICH)
    assert first.tolist() == second.tolist()
    assert json.dumps(judgement) == json.dumps(again)


def test_weights_favour_the_channel_that_tells() -> None:
    weights = fit._fit_weights(examples(), list(range(len(CHANNELS))))
    assert (weights >= 0).all()
    assert weights.argmax() == 0


def test_thresholds_keep_their_bounds() -> None:
    _, judgement = fit._judge(examples(), list(range(len(CHANNELS))), fit.RICH)
    figures = judgement["cross_validated"]
    assert figures["wrong"] <= 100 * fit.RICH.wrong
    assert figures["oos_abstained"] >= 100 * fit.RICH.quiet


def test_the_lexicon_is_the_one_that_ships(folder: Path) -> None:
    assert fit.fit_lexicon() > 70_000
    made = (folder / "data" / "lexicon.tsv.gz").read_bytes()
    assert made == (Path(search.__file__).parent / "data" / "lexicon.tsv.gz").read_bytes()
    assert "着火" in gzip.decompress(made).decode()


def test_intent_models_are_the_same_byte_for_byte(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = search.training
    monkeypatch.setattr(search, "training", lambda name: whole(name)[::24])
    lite = Remembering(encoders.lite(), None, shipped=False)
    first = fit.fit_intents("lite", [lite])
    made = (folder / "model" / "intents-lite.npz").read_bytes()
    assert fit.fit_intents("lite", [lite]) == first
    assert (folder / "model" / "intents-lite.npz").read_bytes() == made


def test_vectors_are_the_same_byte_for_byte(folder: Path) -> None:
    texts = [f"第{number}条" for number in range(30)]
    for name in ("a", "b"):
        remembering = Remembering(encoders.lite(), None, shipped=False)
        remembering.encode(texts)
        remembering.save(folder / f"{name}.npz")
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()


@pytest.mark.parametrize(
    "name", ["questions_held_out.jsonl", "questions_probe.jsonl", "intents_held_out.jsonl", "danger_held_out.jsonl"]
)
def test_no_question_of_the_examination_is_trained_on(rows: Rows, name: str) -> None:
    """Greetings and single words apart, which everybody writes alike."""
    known = {
        words.bare(words.clean(row["q"]))
        for part in ("questions", "out_of_scope", "intents", "danger")
        for row in search.training(part)
    }
    long = {bare for row in rows(name) if len(bare := words.bare(words.clean(row["q"]))) > 6}
    assert not long & known


def test_training_messages_are_labelled_once() -> None:
    for part, label in (("intents", "intent"), ("danger", "danger")):
        labels: dict[str, set[Any]] = {}
        for row in search.training(part):
            labels.setdefault(words.bare(words.clean(row["q"])) or row["q"], set()).add(row[label])
        assert [text for text, found in labels.items() if len(found) > 1] == []
    assert {row["intent"] for row in search.training("intents")} == {str(intent) for intent in intents.Intent}
