"""The guide's index: every entry's ways to be asked, scored against one question on several channels.

A channel gives each entry a number in [0, 1]. Ranking, confidence and decision stand in `search`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

from knowledge import text as words
from knowledge.encoders import Encoder, Vectors, unit
from knowledge.entries import Entry, texts_to_ask
from knowledge.pinyin import Decoder, syllables

Scores = NDArray[np.float32]
RICH: Final = 3  # aliases from which an entry counts as well described
PASSAGES: Final = 16  # pieces of an answer that are encoded
PASSAGE: Final = 60  # characters of a piece, from which a new sentence begins the next
DOCUMENT: Final = 12  # pieces from which the middle of a document is known
SHORTLIST: Final = 1000  # entries that the full encoder judges
RESCORED: Final = 50  # entries that rapidfuzz judges
# their middle is what questions have in common
ORDINARY: Final = (
    *(
        "周末营业吗",
        "怎么投诉你们",
        "要带什么证件",
        "多少钱一个月",
        "在哪里办理",
        "几天能办好",
        "坏了找谁修",
        "可以退款吗",
    ),
    *(
        "为什么收这么多",
        "忘记密码怎么办",
        "老人有优惠吗",
        "搬家了怎么改地址",
        "能不能上门",
        "晚上有人值班吗",
        "要提前预约吗",
    ),
    *(
        "发票怎么开",
        "名字写错了能改吗",
        "没收到通知怎么办",
        "可以让别人代办吗",
        "这种情况归谁管",
        "不交会怎样",
        "最晚什么时候",
    ),
    *("how long does it take", "how much do I have to pay", "who do I call if it breaks", "can I cancel"),
)
CHANNELS: Final = (
    "characters",
    "coverage",
    "sounds",
    "lite",
    "lite_near",
    "lite_answer",
    "full",
    "full_near",
    "full_answer",
    "fuzzy",
)


class Postings:
    """Cosine over idf-weighted n-grams of many short texts: an inverted index in numpy."""

    def __init__(self, rows: Sequence[Sequence[str]]) -> None:
        self._size = len(rows)
        counts = [Counter(row) for row in rows]
        frequency = Counter(gram for row in counts for gram in row)
        self._idf = {g: float(np.log(1 + (self._size - n + 0.5) / (n + 0.5))) for g, n in frequency.items()}
        self._strange = float(np.log(1 + (self._size + 0.5) / 0.5))
        lists: dict[str, tuple[list[int], list[float]]] = {}
        for number, row in enumerate(counts):
            weights = {gram: self._idf[gram] * (1 + np.log(count)) for gram, count in row.items()}
            norm = float(np.sqrt(sum(w * w for w in weights.values()))) or 1.0
            for gram, weight in weights.items():
                ids, values = lists.setdefault(gram, ([], []))
                ids.append(number)
                values.append(weight / norm)
        self._lists = {
            gram: (np.array(ids, np.int32), np.array(values, np.float32)) for gram, (ids, values) in lists.items()
        }

    def _weights(self, grams: Sequence[str]) -> dict[str, float]:
        return {g: self._idf.get(g, self._strange) * (1 + float(np.log(n))) for g, n in Counter(grams).items()}

    def cosine(self, grams: Sequence[str]) -> Scores:
        """Similarity to every row, shape (rows,)."""
        weights = self._weights(grams)
        norm = float(np.sqrt(sum(w * w for w in weights.values()))) or 1.0
        scores = np.zeros(self._size, np.float32)
        for gram, weight in weights.items():
            if gram in self._lists:
                ids, values = self._lists[gram]
                scores[ids] += values * np.float32(weight / norm)
        return scores

    def coverage(self, grams: Sequence[str]) -> Scores:
        """The idf-weighted share of the question that each row contains, shape (rows,)."""
        weights = {g: self._idf.get(g, self._strange) for g in set(grams)}
        total = sum(weights.values()) or 1.0
        scores = np.zeros(self._size, np.float32)
        for gram, weight in weights.items():
            if gram in self._lists:
                scores[self._lists[gram][0]] += np.float32(weight / total)
        return scores


class Groups:
    """Consecutive rows that belong to the same entry; every entry has at least one."""

    def __init__(self, counts: NDArray[np.int64]) -> None:
        self._counts = counts
        self._starts = np.cumsum(counts) - counts

    def best(self, values: Scores) -> Scores:
        """Each entry's highest value, shape (entries,)."""
        return np.asarray(np.maximum.reduceat(values, self._starts), np.float32)

    def near(self, values: Scores) -> Scores:
        """The mean of each entry's three highest values, the last repeated where there are fewer."""
        rest = values.copy()
        highest = self.best(rest)
        total = highest.copy()
        for _ in range(2):
            rest[rest == np.repeat(highest, self._counts)] = -np.inf
            following = self.best(rest)
            highest = np.where(np.isneginf(following), highest, following)
            total += highest
        return np.asarray(total / 3, np.float32)

    def rows(self, entry: int) -> range:
        """The rows of one entry."""
        return range(self._starts[entry], self._starts[entry] + self._counts[entry])

    def part(self, entries: NDArray[np.int64]) -> tuple[NDArray[np.int64], "Groups"]:
        """The rows of some entries, and how these are grouped."""
        some = Groups(self._counts[entries])
        return np.repeat(self._starts[entries] - some._starts, some._counts) + np.arange(some._counts.sum()), some


@dataclass(frozen=True)
class Asked:
    """One question as the channels see it."""

    clean: str
    variants: tuple[str, ...]  # bare texts: as typed, and as decoded from its sound when that differs
    lite: Vectors  # (n, d): the variants and clauses
    full: Vectors | None  # (1, d)


class Index:
    """All channels over one set of entries. Immutable: a changed guide gets a new index."""

    def __init__(
        self,
        entries: Sequence[Entry],
        lite: Encoder,
        full: Encoder | None,
        *,
        asked: dict[str, list[str]] | None = None,
    ) -> None:
        """`asked` are further questions known to belong to an entry, by key."""
        self.entries = list(entries)
        self._lite, self._full = lite, full
        texts: list[str] = []
        owners: list[int] = []
        for number, entry in enumerate(self.entries):
            ways = [*texts_to_ask(entry), *(asked or {}).get(entry.key, [])]
            if entry.en.question:
                ways.append(entry.en.question)
            known = dict.fromkeys(t for t in (words.bare(words.clean(way)) for way in ways) if t)
            texts += known
            owners += [number] * len(known)
        self.texts = texts
        self.owners = np.array(owners, np.int32)
        self._texts = Groups(np.bincount(self.owners, minlength=len(self.entries)))
        self.rich = np.array([len(entry.aliases) >= RICH for entry in self.entries], bool)
        passages = [_passages(entry) for entry in self.entries]
        answers = [passage for part in passages for passage in part]
        self._passages = Groups(np.array([len(part) for part in passages], np.int64))
        bodies = [
            words.bare(words.clean(f"{e.title} {e.question} {e.answer} {' '.join(e.tags)}")) for e in self.entries
        ]
        self.decoder = Decoder(texts + answers)
        self._characters = Postings([words.grams(t) for t in texts])
        self._sounds = Postings([_sounds(t) for t in texts])
        self._bodies = Postings([words.grams(b) for b in bodies])
        self._lite_texts = lite.encode(texts) if texts else np.zeros((0, 1), np.float32)
        documents = [entry.document for entry, part in zip(self.entries, passages, strict=True) for _ in part]
        ordinary = [words.bare(words.clean(question)) for question in ORDINARY]
        self._lite_middle = lite.encode(ordinary).mean(axis=0)
        self._lite_answers = _centred(lite.encode(answers), documents) if answers else np.zeros((0, 1), np.float32)
        self._full_texts = full.encode(texts) if full and texts else None
        self._full_middle = full.encode(ordinary).mean(axis=0) if full else np.zeros(1, np.float32)
        self._full_answers = _centred(full.encode(answers), documents) if full and answers else None

    def ask(self, question: str) -> Asked:
        """Prepare a question: normalise, decode, encode."""
        clean = words.clean(question)
        typed = words.bare(clean)
        decoded = words.bare(self.decoder.decode(typed))
        variants = (typed,) if decoded == typed else (typed, decoded)
        parts = [part for part in (words.bare(c) for c in words.clauses(clean)) if part and part != typed]
        lite = self._lite.encode([*variants, *parts[:4]])
        full = self._full.encode([variants[-1]]) if self._full else None
        return Asked(clean, variants, lite, full)

    def hiding(self, bare: str) -> NDArray[np.bool_]:
        """Which texts say exactly this, shape (texts,)."""
        return np.array([text == bare for text in self.texts], bool)

    def score(self, asked: Asked, *, hide: NDArray[np.bool_] | None = None) -> Scores:
        """Channel scores, shape (entries, len(CHANNELS)); columns without an encoder are zero.

        `hide` masks texts (used in fitting, where a question must not find itself).
        """

        def seen(per_text: Scores) -> Scores:
            return per_text if hide is None else np.where(hide, np.float32(0), per_text)

        table = np.zeros((len(self.entries), len(CHANNELS)), np.float32)
        if not self.entries:
            return table
        gram_lists = [words.grams(variant) for variant in asked.variants]
        table[:, 0] = np.max([self._texts.best(seen(self._characters.cosine(g))) for g in gram_lists], axis=0)
        table[:, 1] = np.max([self._bodies.coverage(g) for g in gram_lists], axis=0)
        table[:, 2] = self._texts.best(seen(self._sounds.cosine(_sounds(asked.variants[-1]))))
        lite = seen((self._lite_texts @ asked.lite.T).max(axis=1))
        table[:, 3], table[:, 4] = self._texts.best(lite), self._texts.near(lite)
        aside = unit(asked.lite - self._lite_middle)
        table[:, 5] = self._passages.best((self._lite_answers @ aside.T).max(axis=1)).clip(0)
        if asked.full is not None and self._full_texts is not None and self._full_answers is not None:
            chosen = _highest(table[:, [0, 1, 2, 3, 5]].sum(axis=1), SHORTLIST)
            rows, texts = self._texts.part(chosen)
            full = spread((self._full_texts[rows] @ asked.full.T).max(axis=1))
            full = full if hide is None else np.where(hide[rows], np.float32(0), full)
            table[chosen, 6], table[chosen, 7] = texts.best(full), texts.near(full)
            rows, passages = self._passages.part(chosen)
            aside = unit(asked.full - self._full_middle)
            table[chosen, 8] = passages.best((self._full_answers[rows] @ aside.T).max(axis=1)).clip(0)
        for number in _highest(table[:, [0, 2, 3, 6]].sum(axis=1), RESCORED):
            near = [self.texts[row] for row in self._texts.rows(number) if hide is None or not hide[row]]
            for variant in asked.variants:
                found = process.extractOne(variant, near, scorer=fuzz.ratio)
                if found:
                    table[number, 9] = max(table[number, 9], found[1] / 100)
        return table


def _highest(values: Scores, count: int) -> NDArray[np.int64]:
    """The places of the highest values, in order of place."""
    if len(values) <= count:
        return np.arange(len(values))
    return np.sort(np.argpartition(-values, count - 1)[:count])


def _passages(entry: Entry) -> list[str]:
    """The answer in pieces of whole sentences, each under its title; a very long sentence is cut with an overlap."""
    title = words.bare(words.clean(entry.title))
    pieces: list[str] = []
    for sentence in re.split(r"(?<=[。;;!?\n])", words.clean(entry.answer.replace("\n", "。"))):
        part = words.bare(sentence)
        if pieces and part and len(pieces[-1]) + len(part) <= PASSAGE:
            pieces[-1] += part
        else:
            pieces += [part[at : at + 2 * PASSAGE] for at in range(0, len(part), 2 * PASSAGE - 20)]
    return [f"{title} {piece}" for piece in pieces[:PASSAGES]] or [title]


def _centred(vectors: Vectors, documents: Sequence[str]) -> Vectors:
    """Unit vectors without what a whole document has in common: everything in a water guide is about water."""
    out = vectors - vectors.mean(axis=0)
    names = np.array(documents)
    for name in dict.fromkeys(documents):
        rows = names == name
        if rows.sum() >= DOCUMENT:
            out[rows] = vectors[rows] - vectors[rows].mean(axis=0)
    return unit(out)


def spread(cosine: Scores) -> Scores:
    """e5's cosines live between 0.7 and 1; use the whole range."""
    return np.asarray(np.clip((cosine - 0.7) / 0.3, 0, 1), np.float32)


def _sounds(bare: str) -> list[str]:
    units = syllables(bare)
    return units + [f"{a}_{b}" for a, b in zip(units, units[1:], strict=False)]
