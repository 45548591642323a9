"""Puts questions that ask the same together, however they are worded."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from knowledge import text as words
from knowledge.encoders import Vectors, unit

WIDTH: Final = 512  # columns in which characters are counted
MEANING: Final = 0.35  # weights of the three resemblances: sentence vectors, characters, what the guide offered
CHARACTERS: Final = 0.25
OFFERED: Final = 0.4
ALIKE: Final = 0.4  # mean resemblance of two groups from which they are one


@dataclass(frozen=True)
class Said:
    """One question to be grouped: its `bare` text, its lite vector, and keys and scores the guide offered then."""

    bare: str
    vector: Vectors  # (d,)
    offered: Sequence[tuple[str, float]]


def clusters(said: Sequence[Said]) -> list[list[int]]:
    """Groups of places in `said`, the largest first: average linkage, exact. 5,000 questions take about a second."""
    if not said:
        return []
    found: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(_linked(_alike(said))):
        found[group].append(place)
    return sorted(found.values(), key=lambda group: (-len(group), group[0]))


def _alike(said: Sequence[Said]) -> Vectors:
    """How much every question resembles every other, shape (n, n), at most 1."""
    words_alike = np.concatenate(
        [
            np.stack([one.vector for one in said]) * np.float32(MEANING**0.5),
            _characters([one.bare for one in said]) * np.float32(CHARACTERS**0.5),
        ],
        axis=1,
    )
    alike = np.asarray(words_alike @ words_alike.T, np.float32)
    offered = _offered([one.offered for one in said])
    known = offered.any(axis=1)
    # where nothing is known about what was offered, the words alone decide
    alike[~known] /= MEANING + CHARACTERS
    alike[:, ~known] /= np.where(known, np.float32(MEANING + CHARACTERS), np.float32(1))[:, None]
    alike += np.float32(OFFERED) * (offered @ offered.T)
    return alike


def _characters(bare: Sequence[str]) -> Vectors:
    """Weighted character pairs of each text, hashed into WIDTH columns, unit rows."""
    rows = [words.grams(text) for text in bare]
    frequency = Counter(gram for row in rows for gram in set(row))
    out = np.zeros((len(rows), WIDTH), np.float32)
    for number, row in enumerate(rows):
        for gram in row:
            code = zlib.crc32(gram.encode())
            out[number, code % WIDTH] += (1 if code >> 16 & 1 else -1) * np.log(1 + len(rows) / frequency[gram])
    return unit(out)


def _offered(offers: Sequence[Sequence[tuple[str, float]]]) -> Vectors:
    """What was offered with its scores, one column an entry, unit rows."""
    columns = {key: place for place, key in enumerate(sorted({key for offer in offers for key, _ in offer}))}
    out = np.zeros((len(offers), max(len(columns), 1)), np.float32)
    for number, offer in enumerate(offers):
        for key, score in offer:
            out[number, columns[key]] = max(score, 0.0) ** 0.5
    return unit(out)


def _linked(alike: Vectors) -> NDArray[np.int64]:
    """The group of every row: average linkage by chains of nearest neighbours, down to ALIKE. Changes `alike`."""
    count = len(alike)
    np.fill_diagonal(alike, -1)
    size, active, parent = np.ones(count), np.ones(count, bool), np.arange(count)
    chain: list[int] = []
    first = 0
    while True:
        if not chain:
            while first < count and not active[first]:
                first += 1
            if first == count:
                break
            chain = [first]
        one = chain[-1]
        other = int(alike[one].argmax())
        before = chain[-2] if len(chain) > 1 else -1
        if before >= 0 and alike[one, before] >= alike[one, other]:
            other = before
        if alike[one, other] < ALIKE:
            # it can only be further from what the others become
            active[one] = False
            alike[:, one] = -1
            chain.pop()
        elif other == before:
            del chain[-2:]
            mean = (alike[one] * size[one] + alike[other] * size[other]) / (size[one] + size[other])
            mean[(alike[one] == -1) | (alike[other] == -1)] = -1
            alike[one] = alike[:, one] = mean
            alike[other] = alike[:, other] = -1
            active[other] = False
            size[one] += size[other]
            parent[other] = one
        else:
            chain.append(other)
    while (parent != parent[parent]).any():
        parent = parent[parent]
    return parent
