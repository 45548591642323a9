"""What a message is for: one of nine intents, and whether somebody may be in danger."""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from knowledge import text as words
from knowledge.encoders import Encoder

HASHED: Final = 4096  # buckets for character n-grams


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


def features(text: str, encoders: list[Encoder]) -> NDArray[np.float32]:
    """Sentence vectors of all encoders and hashed n-grams of one message, shape (d,)."""
    clean = words.clean(text)
    bare = words.bare(clean)
    hashed = np.zeros(HASHED, np.float32)
    units = [
        *words.grams(bare),
        f"length_{min(len(bare), 12) // 2}",
        *(f"mark_{m}" for m in set(re.findall(r"[?!/]", clean))),
    ]
    for gram in set(units):
        hashed[_bucket(gram)] = 1.0
    hashed /= np.sqrt(max(1, len(set(units))))
    return np.concatenate([*(encoder.encode([bare or clean or " "])[0] for encoder in encoders), hashed])


@cache
def _model(mode: str) -> dict[str, Any]:
    folder = resources.files("knowledge") / "model"
    with (folder / f"intents-{mode}.npz").open("rb") as file, np.load(file) as arrays:
        kept: dict[str, Any] = {name: arrays[name].astype(np.float32) for name in arrays.files}
    kept["danger_at"] = json.loads((folder / "intents.json").read_text(encoding="utf-8"))[mode]["danger_at"]
    return kept


class Reader:
    """Reads intents with the encoders at hand."""

    def __init__(self, lite: Encoder, full: Encoder | None) -> None:
        self._encoders = [lite, full] if full and full.name == "full" else [lite]
        self._model = _model("full" if len(self._encoders) == 2 else "lite")

    def read(self, text: str) -> Reading:
        """The intent of one message; a message without words is small talk."""
        if not words.bare(words.clean(text)):
            return Reading(Intent.SMALLTALK, 1.0, False)
        vector = features(text, self._encoders)
        scores = self._model["intent"] @ vector + self._model["intent_bias"]
        chance = np.exp(scores - scores.max())
        chance /= chance.sum()
        best = int(chance.argmax())
        alarm = float(1 / (1 + np.exp(-(self._model["danger"] @ vector + self._model["danger_bias"]))))
        return Reading(list(Intent)[best], round(float(chance[best]), 4), alarm >= self._model["danger_at"])
