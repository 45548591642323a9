"""What one would otherwise use to find an entry: rapidfuzz and BM25 over questions and aliases."""

from collections.abc import Sequence
from typing import Protocol

import bm25s
import numpy as np
from rapidfuzz import fuzz, process

from knowledge import text as words
from knowledge.entries import Entry, texts_to_ask
from knowledge.search import Decision, Finding, Match


class Searcher(Protocol):
    """A question in, a finding out."""

    def find(self, question: str) -> Finding: ...


def _finding(
    entries: Sequence[Entry], owners: Sequence[int], scored: Sequence[tuple[int, float]], at: float
) -> Finding:
    """The best three entries; an answer where the first one's score reaches `at`."""
    best: dict[int, float] = {}
    for row, score in scored:
        best[owners[row]] = max(score, best.get(owners[row], 0.0))
    order = sorted(best, key=lambda owner: -best[owner])[:3]
    matches = tuple(Match(entries[owner], best[owner]) for owner in order)
    sure = matches[0].score if matches else 0.0
    return Finding(Decision.ANSWER if sure >= at else Decision.ABSTAIN, sure, matches)


class WRatio:
    """rapidfuzz's WRatio over the entries' questions, answering from 33: what most people would build."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._texts = [entry.question or entry.title for entry in entries]

    def find(self, question: str) -> Finding:
        """Search."""
        found = process.extract(question, self._texts, scorer=fuzz.WRatio, limit=3)
        return _finding(self._entries, range(len(self._texts)), [(row, score) for _, score, row in found], 33)


class TokenSet:
    """rapidfuzz's token_set_ratio over separated characters of questions and aliases, answering from 68."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        ways = [(_apart(way), owner) for owner, entry in enumerate(entries) for way in texts_to_ask(entry)]
        self._texts, self._owners = [text for text, _ in ways], [owner for _, owner in ways]

    def find(self, question: str) -> Finding:
        """Search."""
        found = process.extract(_apart(question), self._texts, scorer=fuzz.token_set_ratio, limit=20)
        return _finding(self._entries, self._owners, [(row, score) for _, score, row in found], 68)


class Bm25:
    """bm25s over single and paired characters of questions and aliases, answering from 8.6."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        ways = [(way, owner) for owner, entry in enumerate(entries) for way in texts_to_ask(entry)]
        self._owners = [owner for _, owner in ways]
        self._index = bm25s.BM25()  # type: ignore[no-untyped-call]
        self._index.index([_grams(way) for way, _ in ways], show_progress=False)
        self._known = set(self._index.vocab_dict)

    def find(self, question: str) -> Finding:
        """Search."""
        grams = [gram for gram in _grams(question) if gram in self._known]
        if not grams:
            return Finding(Decision.ABSTAIN, 0.0, ())
        rows, scores = self._index.retrieve([grams], k=min(20, len(self._owners)), show_progress=False)
        scored = [(int(row), float(score)) for row, score in zip(np.ravel(rows), np.ravel(scores), strict=True)]
        return _finding(self._entries, self._owners, scored, 8.6)


def _apart(text: str) -> str:
    return " ".join(words.bare(words.clean(text)))


def _grams(text: str) -> list[str]:
    return words.grams(words.bare(words.clean(text)))
