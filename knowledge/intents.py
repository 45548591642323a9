"""What a message is for: one of nine intents, and whether somebody may be in danger."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Final

import numpy as np

from knowledge import text as words
from knowledge.encoders import Encoder, Vectors, unit
from knowledge.pinyin import Decoder
from knowledge.search import training

HASHED: Final = 4096  # buckets for character n-grams
SPREAD: Final = 3.0  # e5's vectors lie close together; so much further apart they weigh like the lite ones
WIDTH: Final = 0.4  # of the danger model's kernel, and of the same on lite vectors alone
WIDTH_LITE: Final = 1.0


class Intent(StrEnum):
    """Why somebody writes."""

    ASK_GUIDE = "ask_guide"
    COMPLAINT = "complaint"
    FAULT_REPORT = "fault_report"
    OUTAGE_STATUS = "outage_status"
    HUMAN_AGENT = "human_agent"
    TICKET_STATUS = "ticket_status"
    SATISFACTION = "satisfaction"
    SMALLTALK = "smalltalk"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Reading:
    """The likeliest intent with its probability, and the danger flag."""

    intent: Intent
    confidence: float
    danger: bool


def _bucket(gram: str) -> int:
    value = 2166136261
    for byte in gram.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value % HASHED


@cache
def _decoder() -> Decoder:
    """Knows the words of messages, as the guide's decoder knows those of the guide."""
    rows = [row for name in ("danger", "intents", "questions") for row in training(name)]
    return Decoder(words.bare(words.clean(row["q"])) for row in rows)


@dataclass(frozen=True)
class Heard:
    """One message normalised: as typed with marks, as typed without, and as decoded from its sound."""

    clean: str
    bare: str
    meant: str

    @classmethod
    def of(cls, text: str) -> "Heard":
        """Normalise and decode."""
        clean = words.clean(text)
        bare = words.bare(clean) or clean or " "
        return cls(clean, bare, words.bare(_decoder().decode(bare)) or bare)


def grams(heard: Heard) -> Vectors:
    """Hashed character n-grams of both readings, length and marks, shape (HASHED,)."""
    units = {*words.grams(heard.bare), *words.grams(heard.meant), f"length_{min(len(heard.bare), 12) // 2}"}
    units |= {f"mark_{mark}" for mark in re.findall(r"[?!/]", heard.clean)}
    hashed = np.zeros(HASHED, np.float32)
    hashed[[_bucket(gram) for gram in units]] = 1.0
    return np.asarray(hashed / np.sqrt(len(units)), np.float32)


def meanings(parts: Sequence[Vectors], centre: Vectors) -> Vectors:
    """Sentence vectors of lite and, if there, full encoder side by side, the latter centred and spread; (n, d)."""
    lite, *full = parts
    return np.concatenate([lite, *((vectors - centre) * np.float32(SPREAD) for vectors in full)], axis=1)


@dataclass(frozen=True)
class Model:
    """Parameters of one mode, made by `knowledge.fit`."""

    centre: Vectors  # (384,) mean full vector; zeros in lite mode
    intent: Vectors  # (9, d + HASHED) linear
    intent_bias: Vectors
    alarms: Vectors  # (n, d) the messages that the danger model compares with
    alarm_weights: Vectors  # (n,) positive: dangerous
    alarm_bias: float
    width: float
    danger_at: float

    def intents(self, meaning: Vectors, hashed: Vectors) -> Vectors:
        """The chance of each intent, shape (9,)."""
        scores = self.intent @ np.concatenate([meaning, hashed]) + self.intent_bias
        chance = np.exp(scores - scores.max())
        return np.asarray(chance / chance.sum(), np.float32)

    def danger(self, meaning: Vectors) -> float:
        """Support vector machine: how much closer to dangerous messages than to harmless ones."""
        distance = ((self.alarms - meaning) ** 2).sum(axis=1)
        return float(self.alarm_weights @ np.exp(-self.width * distance)) + self.alarm_bias


@cache
def _model(mode: str) -> Model:
    folder = resources.files("knowledge") / "model"
    with (folder / f"intents-{mode}.npz").open("rb") as file, np.load(file) as arrays:
        kept = {name: arrays[name].astype(np.float32) for name in arrays.files}
    figures = json.loads((folder / "intents.json").read_text(encoding="utf-8"))[mode]
    parts = [unit(kept[f"alarms_{name}"]) for name in ("lite", "full") if f"alarms_{name}" in kept]
    return Model(
        kept["centre"],
        kept["intent"],
        kept["intent_bias"],
        meanings(parts, kept["centre"]),
        kept["alarm_weights"],
        float(kept["alarm_bias"]),
        WIDTH if len(parts) == 2 else WIDTH_LITE,
        figures["danger_at"],
    )


class Reader:
    """Reads intents with the encoders at hand."""

    def __init__(self, lite: Encoder, full: Encoder | None) -> None:
        self._encoders = [lite, full] if full and full.name == "full" else [lite]
        self._model = _model("full" if len(self._encoders) == 2 else "lite")
        _decoder()

    def read(self, text: str) -> Reading:
        """The intent of one message; a message without words is small talk."""
        if not words.bare(words.clean(text)):
            return Reading(Intent.SMALLTALK, 1.0, False)
        heard = Heard.of(text)
        meaning = meanings([encoder.encode([heard.meant]) for encoder in self._encoders], self._model.centre)[0]
        chance = self._model.intents(meaning, grams(heard))
        best = int(chance.argmax())
        danger = self._model.danger(meaning) >= self._model.danger_at
        return Reading(list(Intent)[best], round(float(chance[best]), 4), danger)
