"""A noisy-channel decoder: what was probably meant, given how it sounds.

People type by sound, so 增溶 stands for 增容, and some type whole questions in letters. Each Han character is taken
as its syllable, each run of letters as all its readings; a Viterbi search over words finds the likeliest text, where a
word is likelier the more the guide itself uses it and every changed character costs.
"""

import gzip
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib import resources
from typing import Final

from pypinyin import Style, lazy_pinyin

LONGEST_WORD: Final = 4  # syllables
CHANGE: Final = 6.5  # cost in nats of replacing a typed character by a homophone
PAIRED: Final = 5  # so often a guide puts two characters together that no word explains: 增容 is in no lexicon
UNKNOWN: Final = 12.0  # cost of a character that no word explains
GUIDE_WEIGHT: Final = 400.0  # one use in the guide counts as much as so many in the general lexicon's million
_HAN: Final = re.compile(r"[\u3400-\u9fff]")
_ENGLISH: Final = frozenset(
    [
        *("the", "what", "how", "is", "are", "do", "does", "my", "your", "to", "of", "for", "in", "on", "and", "we"),
        *("it", "with", "when", "where", "who", "which", "why", "need", "should", "please", "have", "has", "was"),
        *("will", "if", "there", "not", "about", "this", "that", "or", "at", "from", "much", "many", "i", "our"),
    ]
)


@lru_cache(maxsize=8192)
def syllable(character: str) -> str:
    """The commonest toneless reading."""
    return lazy_pinyin(character, style=Style.NORMAL)[0]


def syllables(text: str) -> list[str]:
    """Toneless syllables of the Han characters; letters and digits stay as they are."""
    return [syllable(c) if _HAN.match(c) else c for c in text if not c.isspace()]


@cache
def _lexicon() -> tuple[dict[str, list[tuple[str, float]]], frozenset[str]]:
    """Sound → [(word, log probability)], and all readings known. A word stands under each of its sounds."""
    by_sound: dict[str, list[tuple[str, float]]] = defaultdict(list)
    known: set[str] = set()
    packed = (resources.files("knowledge") / "data" / "lexicon.tsv.gz").read_bytes()
    rows = [line.split("\t") for line in gzip.decompress(packed).decode().splitlines()]
    total = sum(int(row[1]) for row in rows)
    for word, count, *sounds in rows:
        for sound in sounds:
            by_sound[sound].append((word, math.log(int(count) / total)))
        if len(word) == 1:
            known.add(sounds[0])
    return by_sound, frozenset(known)


class Decoder:
    """Decodes messages in the light of one guide's vocabulary."""

    def __init__(self, texts: Iterable[str]) -> None:
        general, self._readings = _lexicon()
        counts = self._vocabulary(texts)
        self._words: dict[str, list[tuple[str, float]]] = {}
        extra = sum(counts.values()) * GUIDE_WEIGHT
        shrink = math.log(1e7 / (1e7 + extra))
        ours: dict[str, dict[str, float]] = defaultdict(dict)
        sounds = _known_words()
        for word, count in counts.items():
            for sound in sounds.get(word) or (" ".join(syllable(c) for c in word),):
                ours[sound][word] = count * GUIDE_WEIGHT / (1e7 + extra)
        self._ours = {
            sound: sorted(
                [
                    (w, math.log(p + math.exp(dict(general.get(sound, [])).get(w, -30.0) + shrink)))
                    for w, p in words.items()
                ]
                + [(w, lp + shrink) for w, lp in general.get(sound, []) if w not in words],
                key=lambda item: -item[1],
            )[:8]
            for sound, words in ours.items()
        }
        self._general, self._shrink = general, shrink

    @staticmethod
    def _vocabulary(texts: Iterable[str]) -> Counter[str]:
        """Words of the guide: lexicon words found in it by longest match, and pairs of characters it keeps together."""
        known = _known_words()
        counts: Counter[str] = Counter()
        pairs: Counter[str] = Counter()
        for text in texts:
            for run in re.findall(r"[\u3400-\u9fff]+", text):
                at, before = 0, ""
                while at < len(run):
                    lengths = range(LONGEST_WORD, 0, -1)
                    word = next(run[at : at + n] for n in lengths if n == 1 or run[at : at + n] in known)
                    counts[word] += 1
                    if len(word) == len(before) == 1:
                        pairs[before + word] += 1
                    at, before = at + len(word), word
        return counts + Counter({pair: count for pair, count in pairs.items() if count >= PAIRED})

    def _candidates(self, sound: str) -> list[tuple[str, float]]:
        found = self._ours.get(sound)
        if found is not None:
            return found
        return [(w, lp + self._shrink) for w, lp in self._general.get(sound, ())[:6]]

    def decode(self, text: str) -> str:
        """The likeliest meant text for `clean` input; the input itself when nothing better is found."""
        if not text or (not _HAN.search(text) and not self.is_pinyin(text)):
            return text
        size = len(text)
        best: list[float] = [math.inf] * (size + 1)
        back: list[tuple[int, str]] = [(0, "")] * (size + 1)
        best[0] = 0.0
        for start in range(size):
            if best[start] is math.inf:
                continue
            here = best[start]
            for end, word, cost in self._steps(text, start):
                if here + cost < best[end]:
                    best[end], back[end] = here + cost, (start, word)
        if best[size] is math.inf:
            return text
        words: list[str] = []
        at = size
        while at:
            at, word = back[at]
            words.append(word)
        return "".join(reversed(words))

    def is_pinyin(self, text: str) -> bool:
        """Whether letters in `bare` text are Chinese typed by sound rather than English."""
        runs = re.findall(r"[a-z]+", text)
        letters = sum(map(len, runs))
        if letters < 4 or sum(run in _ENGLISH for run in runs) >= max(1, len(runs) // 4):
            return False
        return sum(len(run) for run in runs if self._splits(run)) >= 0.8 * letters

    def _splits(self, run: str) -> bool:
        reach = {0}
        for at in range(len(run)):
            if at in reach:
                reach |= {at + n for n in range(1, 7) if run[at : at + n] in self._readings}
        return len(run) in reach

    @staticmethod
    def _next_letter(text: str, at: int) -> int:
        """Skip what people put between syllables."""
        while at < len(text) and text[at] in " '":
            at += 1
        return at

    def _steps(self, text: str, start: int) -> list[tuple[int, str, float]]:
        """All words that can begin at `start`: (end, word, cost)."""
        first = text[start]
        if not (_HAN.match(first) or (first.isascii() and first.isalpha())):
            return [(start + 1, first, 0.0)]
        steps: list[tuple[int, str, float]] = [(start + 1, first, UNKNOWN)]
        run = re.match(r"[a-z0-9]+", text[start:])
        if run and (start == 0 or not text[start - 1].isalpha() or not text[start - 1].isascii()):
            steps.append((start + run.end(), run.group(), 4.0 * len(run.group())))
        # (position, syllables so far, typed characters; "" where letters were typed)
        paths: list[tuple[int, tuple[str, ...], tuple[str, ...]]] = [(start, (), ())]
        for _ in range(LONGEST_WORD):
            grown: list[tuple[int, tuple[str, ...], tuple[str, ...]]] = []
            for reached, sounds, typed in paths:
                at = self._next_letter(text, reached) if sounds and not typed[-1] else reached
                if at >= len(text):
                    continue
                if _HAN.match(text[at]):
                    grown.append((at + 1, (*sounds, syllable(text[at])), (*typed, text[at])))
                elif text[at].isascii() and text[at].isalpha():
                    for length in range(1, 7):
                        piece = text[at : at + length]
                        if piece in self._readings and len(piece) == length:
                            grown.append((at + length, (*sounds, piece), (*typed, "")))
            for end, sounds, typed in grown:
                for word, logp in self._candidates(" ".join(sounds)):
                    cost = -logp + sum(CHANGE for a, b in zip(word, typed, strict=True) if b and a != b)
                    steps.append((end, word, cost))
            paths = grown
        return steps


@cache
def _known_words() -> dict[str, tuple[str, ...]]:
    """Lexicon word → its sounds."""
    sounds: dict[str, tuple[str, ...]] = {}
    for sound, words in _lexicon()[0].items():
        for word, _ in words:
            sounds[word] = (*sounds.get(word, ()), sound)
    return sounds
