"""Personal data blotted out: 138****1234, 张* (电力客服管理制度 第十四条)."""

import re
from typing import Final

MARK: Final = "*"
_ORGANISED: Final = 4  # Han characters from which on a name is a firm's rather than a person's
_HAN: Final = re.compile(r"[\u3400-\u9fff·]+")


def phone(number: str) -> str:
    """The first three and the last four digits, of short numbers the last two."""
    if len(number) < 8:
        return MARK * 3 + number[-2:] if number else ""
    return number[:3] + MARK * 4 + number[-4:]


def person(name: str) -> str:
    """The family name, or the first letter."""
    return name[:1] + MARK * (len(name) - 1 if _HAN.fullmatch(name) else 3) if name else ""


def holder(name: str) -> str:
    """An account's name: firms are public, persons are not. Up to three Han characters are taken for a person."""
    return person(name) if _HAN.fullmatch(name) and len(name) < _ORGANISED else name
