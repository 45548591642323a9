"""Guide search: rank the entries for a question, say how sure we are, and decide what that allows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from knowledge import text as words
from knowledge.encoders import Encoder
from knowledge.entries import Entry
from knowledge.index import CHANNELS, Asked, Index, Postings, Scores, spread

Numbers = NDArray[np.float64]
SAME: Final = 0.75  # resemblance of characters from which two questions say nearly the same
SAME_MEANING: Final = 0.85  # and of meaning
LITE: Final = "lite"
FULL: Final = "full"
# evidence behind a confidence: the best entry's chance, its lead, its channels, and how much the question resembles
# questions known to be out of scope
EVIDENCE: Final = (
    "chance",
    "lead",
    "raw",
    "raw_lead",
    *CHANNELS,
    "strange_characters",
    "strange_lite",
    "strange_full",
    "scope",
    "over_characters",
    "over_lite",
    "over_full",
    "length",
)


class Decision(StrEnum):
    """What the search allows the assistant to do."""

    ANSWER = "answer"
    CHOICES = "choices"
    ABSTAIN = "abstain"


@dataclass(frozen=True)
class Match:
    """An entry with its share of the probability, 0 to 1."""

    entry: Entry
    score: float


@dataclass(frozen=True)
class Finding:
    """At most three entries and what may be done with them; `confidence` is the chance that the first is right.

    `refused` = people have decided that such a question is out of scope.
    """

    decision: Decision
    confidence: float
    matches: tuple[Match, ...]
    refused: bool = False


@dataclass(frozen=True)
class Judgement:
    """When to speak: two logistic regressions over the evidence and their thresholds."""

    answer: Numbers  # (evidence + 1,): the first match is right
    offer: Numbers  # (evidence + 1,): the right entry is among the first three
    answer_at: float
    offer_at: float


@dataclass(frozen=True)
class Fitted:
    """Parameters of one mode, made by `knowledge.fit`.

    `rich` is for entries with aliases of their own, judged with all evidence; `bare` for imported ones, of which only
    the text is known: what resembles the out-of-scope bank may be just what another trade's guide is about.
    """

    rich_weights: Numbers  # (channels,), non-negative
    bare_weights: Numbers
    scope: Numbers  # (vector + 1,) logistic regression on the question's vectors: out of scope
    rich: Judgement
    bare: Judgement


@cache
def fitted(mode: str) -> Fitted:
    """The parameters shipped with the program."""
    data = json.loads((resources.files("knowledge") / "model" / "search.json").read_text(encoding="utf-8"))[mode]

    def judgement(part: dict[str, Any]) -> Judgement:
        return Judgement(np.array(part["answer"]), np.array(part["offer"]), part["answer_at"], part["offer_at"])

    return Fitted(
        np.array(data["rich_weights"]),
        np.array(data["bare_weights"]),
        np.array(data["scope"]),
        judgement(data["rich"]),
        judgement(data["bare"]),
    )


@cache
def known_questions() -> dict[str, list[str]]:
    """Chinese questions known to belong to an entry, by key, beside its aliases."""
    asked: dict[str, list[str]] = {}
    for row in training("questions"):
        if row.get("id") and words.has_han(row["q"]) and row["style"] not in ("typo", "pinyin", "english"):
            asked.setdefault(row["id"], []).append(row["q"])
    return asked


@cache
def strange_questions() -> tuple[str, ...]:
    """Questions that the shipped guide has no answer to."""
    return tuple(row["q"] for row in training("out_of_scope"))


def training(name: str) -> list[dict[str, Any]]:
    """The rows of one training file."""
    path = resources.files("knowledge") / "training" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


class Strange:
    """The bank of out-of-scope questions, as seen from one guide."""

    def __init__(self, questions: Sequence[str], index: Index, lite: Encoder, full: Encoder | None) -> None:
        bare = list(dict.fromkeys(words.bare(words.clean(q)) for q in questions))
        bare = [b for b in bare if b]
        known = set(index.texts)
        self.texts = [b for b in bare if b not in known]
        self._characters = Postings([words.grams(t) for t in self.texts])
        self._lite = lite.encode(self.texts)
        self._full = full.encode(self.texts) if full else None

    def score(self, asked: Asked, *, hide: NDArray[np.bool_] | None = None) -> Numbers:
        """Nearest resemblance by characters, lite and full encoder, shape (3,)."""

        def top(per_text: Scores) -> float:
            return float((per_text if hide is None else np.where(hide, 0, per_text)).max(initial=0))

        near = max((self._characters.cosine(words.grams(v)) for v in asked.variants), key=lambda s: float(s.max()))
        full = 0.0
        if self._full is not None and asked.full is not None:
            full = top(spread((self._full @ asked.full.T).max(axis=1)))
        return np.array([top(near), top((self._lite @ asked.lite.T).max(axis=1)), full])


def vector(asked: Asked) -> Numbers:
    """A question's sentence vectors, side by side."""
    parts = [asked.lite[0]] if asked.full is None else [asked.lite[0], asked.full[0]]
    return np.concatenate(parts).astype(np.float64)


def chances(table: Scores, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Raw score and softmax probability of every entry, shape (entries,) each."""
    raw = table.astype(np.float64) @ weights
    share = np.exp(raw - raw.max())
    return raw, share / share.sum()


def evidence(
    table: Scores, raw: Numbers, chance: Numbers, order: NDArray[np.int64], strange: Numbers, asked: Asked
) -> Numbers:
    """What the confidence models look at, shape (len(EVIDENCE),)."""
    first = order[0]
    second = order[1] if len(order) > 1 else first
    nearest, scope = strange[:3], strange[3:]
    channels = table[first].astype(np.float64)
    picked = channels[[CHANNELS.index("characters"), CHANNELS.index("lite"), CHANNELS.index("full")]]
    return np.concatenate(
        [
            [chance[first], chance[first] - chance[second], raw[first], raw[first] - raw[second]],
            channels,
            nearest,
            scope,
            picked - nearest,
            [min(len(asked.variants[0]), 60) / 60],
        ]
    )


def probability(model: Numbers, features: Numbers) -> float:
    """Logistic regression: the last coefficient is the constant."""
    return float(1 / (1 + np.exp(-(features @ model[:-1] + model[-1]))))


class Guide:
    """A searchable guide: an index, the bank of strange questions and the fitted parameters. Immutable."""

    def __init__(
        self,
        entries: Sequence[Entry],
        lite: Encoder,
        full: Encoder | None,
        *,
        learned: Mapping[str, Sequence[str]] | None = None,
        negatives: Sequence[str] = (),
    ) -> None:
        """`learned` are questions that people have assigned to an entry, `negatives` those they want unanswered."""
        keys = {entry.key for entry in entries}
        sources = (known_questions(), learned or {})
        asked = {key: [q for known in sources for q in known.get(key, ())] for key in keys}
        self.index = Index(entries, lite, full, asked=asked)
        self.mode = FULL if full else LITE
        self._strange = Strange(strange_questions(), self.index, lite, full)
        self._negatives = Strange(negatives, self.index, lite, full) if negatives else None
        self._model = fitted(self.mode)
        self._by_key = {entry.key: entry for entry in entries}

    def __len__(self) -> int:
        return len(self.index.entries)

    def entry(self, key: str) -> Entry | None:
        """The current entry under this key."""
        return self._by_key.get(key)

    def find(self, question: str, *, blind: bool = False) -> Finding:
        """Search. About 15 ms with the full encoder, 3 ms with lite alone; run it off the event loop.

        Own and imported entries are ranked and judged apart, as their scores cannot be compared. The surer side
        speaks; where both would answer, the customer chooses. `blind` asks as if nobody had asked exactly this before.
        """
        asked = self.index.ask(question)
        if not self.index.entries or not asked.variants[-1]:
            return Finding(Decision.ABSTAIN, 0.0, ())
        hide = self.index.hiding(asked.variants[0]) if blind else None
        table = self.index.score(asked, hide=hide)
        found = self._found(asked, table)
        if self._negatives is not None and self._unwanted(self._negatives, asked, table, blind=blind):
            return replace(found, decision=Decision.ABSTAIN, refused=True)
        return found

    def _unwanted(self, negatives: "Strange", asked: Asked, table: Scores, *, blind: bool) -> bool:
        """Whether the question says nearly the same as one that is out of scope, and is nearer to it than to any
        entry."""
        hide = np.array([text == asked.variants[0] for text in negatives.texts]) if blind else None
        characters, lite, full = negatives.score(asked, hide=hide)
        known = table[:, [CHANNELS.index(name) for name in ("characters", "lite", "full")]].max(axis=0)
        close = lite if asked.full is None else full
        best = known[1] if asked.full is None else known[2]
        return bool((characters >= SAME or close >= SAME_MEANING) and characters > known[0] and close > best)

    def _found(self, asked: Asked, table: Scores) -> Finding:
        sides = [self._side(asked, table, rich) for rich in (True, False) if (self.index.rich == rich).any()]
        loudness = [Decision.ABSTAIN, Decision.CHOICES, Decision.ANSWER]
        first, *others = sorted(sides, key=lambda side: (-loudness.index(side.decision), -side.confidence))
        if others and others[0].decision is Decision.ANSWER:
            mixed = (first.matches[0], others[0].matches[0], *first.matches[1:2])
            return Finding(Decision.CHOICES, first.confidence, mixed)
        return first

    def _side(self, asked: Asked, table: Scores, rich: bool) -> Finding:
        """What the well described entries, or the others, have to say."""
        judge = self._model.rich if rich else self._model.bare
        numbers = np.flatnonzero(self.index.rich == rich)
        table = table[numbers]
        raw, chance = chances(table, self._model.rich_weights if rich else self._model.bare_weights)
        order = highest(raw, 3)
        strange = np.zeros(4)
        if rich:
            scope = vector(asked) @ self._model.scope[:-1] + self._model.scope[-1]
            strange = np.append(self._strange.score(asked), scope)
        features = evidence(table, raw, chance, order, strange, asked)
        sure, near = probability(judge.answer, features), probability(judge.offer, features)
        decision = Decision.ABSTAIN
        if sure >= judge.answer_at:
            decision = Decision.ANSWER
        elif near >= judge.offer_at:
            decision = Decision.CHOICES
        matches = tuple(Match(self.index.entries[numbers[i]], round(float(chance[i]), 4)) for i in order)
        return Finding(decision, round(sure, 4), matches)


def highest(values: Numbers, count: int) -> NDArray[np.int64]:
    """The places of the highest values, best first."""
    places = np.argpartition(-values, count - 1)[:count] if len(values) > count else np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")]
