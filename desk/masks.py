"""Personal data blotted out: 138****1234, 张* (电力客服管理制度 第十四条)."""

import re
from typing import Final

MARK: Final = "*"
_ORGANISED: Final = 4  # Han characters from which on a name is a firm's rather than a person's
_HAN: Final = re.compile(r"[\u3400-\u9fff·]+")
_BLOTTED: Final = re.compile(r"[\u3400-\u9fff·]\*{1,2}")
# what an address consists of down to its street; a number can be part of a name: 104国道, 12号大街
_STREET: Final = re.compile(
    r"^.*?(?=[甲乙丙丁东西南北前后]?(?:[0-9０-９]+|[一二三四五六七八九十百〇零]+(?=\s*[号组弄幢栋楼单室]))"
    r"(?!\s*(?:[国省县乡]道|号?大?[街路道]))|$)"
)
_PLACE: Final = re.compile(r"^.*(?:[省市区县旗乡镇村街路道巷弄]|胡同|社区|园区|开发区)")


def phone(number: str) -> str:
    """The first three and the last four digits, of short numbers the last two."""
    if len(number) < 8:
        return MARK * 3 + number[-2:] if number else ""
    return number[:3] + MARK * 4 + number[-4:]


def person(name: str) -> str:
    """The family name, or the first letter."""
    return name[:1] + MARK * (len(name) - 1 if _HAN.fullmatch(name) else 3) if name else ""


def address(text: str) -> str:
    """District and street; house number, building and whatever stands behind them are blotted out."""
    if not text:
        return ""
    street = _STREET.match(text)
    place = _PLACE.match(street.group()) if street else None
    return (place.group() if place else "") + MARK * 4


def holder(name: str) -> str:
    """An account's name: firms are public, persons are not. Up to three Han characters are taken for a person."""
    return person(name) if _HAN.fullmatch(name) and len(name) < _ORGANISED else name


def blotted(name: str) -> bool:
    """Whether `holder` may have made this of a person's name."""
    return bool(_BLOTTED.fullmatch(name))
