"""Normalisation: one spelling for what people type."""

import re
import unicodedata
from functools import cache
from typing import Any, Final

LONGEST: Final = 400  # characters the search reads; the rest of a very long message adds nothing but time
_SPACE: Final = re.compile(r"\s+")
_HIDDEN: Final = re.compile(r"[\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\x00-\x08\x0b-\x1f]")
_NOT_WORD: Final = re.compile(r"[^0-9a-z\u3400-\u9fff]+")
_CLAUSE: Final = re.compile(r"[。!?;\n…~]+|,|、|\.(?=\s|$)")
_HAN: Final = re.compile(r"[\u3400-\u9fff]")
_LATIN: Final = re.compile(r"[a-z]+")


@cache
def _simplifier() -> Any:
    import opencc

    return opencc.OpenCC("t2s")


def simplify(text: str) -> str:
    """Traditional characters to simplified."""
    return str(_simplifier().convert(text))


def clean(text: str) -> str:
    """NFKC, lower case, simplified, no invisible characters, single spaces; at most LONGEST characters.

    Of a longer message the beginning and the end are kept: the question usually stands at one of them.
    """
    text = unicodedata.normalize("NFKC", _HIDDEN.sub("", text[:4000] + text[-400:] if len(text) > 4400 else text))
    text = _SPACE.sub(" ", text).strip().lower()
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + " " + text[-LONGEST // 2 :]
    return simplify(text) if _HAN.search(text) else text


def bare(text: str) -> str:
    """`clean` text without punctuation, emoji and spaces between Han characters."""
    words = _NOT_WORD.sub(" ", text).strip()
    return re.sub(r"(?<=[\u3400-\u9fff]) +| +(?=[\u3400-\u9fff])", "", words)


def clauses(text: str) -> list[str]:
    """The parts of a `clean` message between punctuation marks, at least four characters each."""
    return [part.strip() for part in _CLAUSE.split(text) if part and len(bare(part)) >= 4]


def has_han(text: str) -> bool:
    """Whether there is any Chinese character."""
    return _HAN.search(text) is not None


def mostly_latin(text: str) -> bool:
    """Whether letters outnumber Chinese characters by far."""
    han = len(_HAN.findall(text))
    return sum(map(len, _LATIN.findall(text))) > 4 * han


def grams(text: str) -> list[str]:
    """Single and paired characters of `bare` text; Latin words and numbers count as one character each."""
    units = re.findall(r"[a-z]+|[0-9]+|[\u3400-\u9fff]", text)
    return units + [f"{a}_{b}" for a, b in zip(units, units[1:], strict=False)]
