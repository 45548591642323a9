"""Columns of an archive file: which field a header means, in Chinese or English, and with which unit."""

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Final

from desk.errors import MissingColumns, RepeatedColumns
from desk.sheets import plain
from desk.workbook import Cell

TITLES: Final = 10  # rows above the header that are passed over
YEARLY: Final = ("amount", "kwh", "months")
_BRACKETS: Final = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]|【([^【】]*)】")
_SIGNS: Final = re.compile(r"[\W_]+")
_MONTH: Final = re.compile(r"(20\d\d)[-/._年]?(1[0-2]|0?[1-9])(?:月份?)?[-/._]?(.+)")
_YEAR: Final = re.compile(r"(20\d\d)(?:年度?)?[-/._]?(.+)")


@cache
def words() -> dict[str, Any]:
    """The vocabulary of archive files, `desk/data/archive.toml`."""
    return tomllib.loads((resources.files("desk") / "data" / "archive.toml").read_text(encoding="utf-8"))


def bare(text: str) -> str:
    """A word as it is compared: width, case, spaces and signs do not matter."""
    text = unicodedata.normalize("NFKC", text).casefold().strip()
    return _SIGNS.sub("", text) or text


@cache
def _headers() -> dict[str, str]:
    return {bare(word): field for field, known in words()["headers"].items() for word in known}


@cache
def _monthly() -> dict[str, str]:
    return {bare(word): field for field, known in words()["monthly"].items() for word in known}


@cache
def meanings(field: str) -> dict[str, str]:
    """What may stand in a cell of this field → its code."""
    return {bare(word): code for code, known in words()["words"][field].items() for word in [code, *known]}


def header(field: str, year: int | None = None) -> str:
    """What an export writes above this field, or above this field of one year."""
    said = str(words()["headers"][field][0])
    unit = words()["shown_units"].get(field)
    said = f"{said}({unit})" if unit else said
    return said if year is None else str(words()["yearly"]).format(year=year, title=said)


def word(field: str, code: str) -> str:
    """What an export writes for this code."""
    known = words()["words"][field].get(code)
    return str(known[0]) if known else code


@dataclass(frozen=True)
class Column:
    """What one column holds: `year` and `month` where its header names them, values multiplied by `unit`."""

    field: str
    title: str
    year: int | None = None
    month: int | None = None
    unit: Decimal = Decimal(1)


@dataclass(frozen=True)
class Columns:
    """The header of a file: its line, the known columns by position, and the titles nobody understands."""

    line: int
    known: dict[int, Column]
    unknown: tuple[str, ...]
    width: int


def understand(title: str) -> Column | None:
    """The column under this title, None when its title or unit says nothing to us."""
    text = re.sub(r"\s+", "", unicodedata.normalize("NFKC", plain(title)).casefold())
    remarks = [next(filter(None, found), "") for found in _BRACKETS.findall(text)]
    text = _BRACKETS.sub("", text)
    year = month = None
    field = _headers().get(bare(text))
    if field is None and (found := _YEAR.fullmatch(text)):
        field = _headers().get(bare(found[2]))
        field, year = (field, int(found[1])) if field in YEARLY else (None, None)
    if field is None and (found := _MONTH.fullmatch(text)):
        field = _monthly().get(bare(found[3]))
        year, month = (int(found[1]), int(found[2])) if field else (None, None)
    if field is None:
        return None
    unit = Decimal(1)
    units = words()["units"].get(field)
    if units and remarks:
        if remarks[-1] not in units:
            return None  # kW is not kVA: a number in a unit that we do not know is worse than none
        unit = Decimal(units[remarks[-1]])
    return Column(field, title.strip(), year, month, unit)


def find(line: int, row: Sequence[Cell]) -> Columns | None:
    """The header, if this row is it: it names a required column. Raises RepeatedColumns, MissingColumns."""
    known: dict[int, Column] = {}
    unknown: list[str] = []
    for position, title in enumerate(row):
        column = understand(title[:100])
        if column:
            known[position] = column
        elif title.strip():
            unknown.append(" ".join(title.split())[:60])
    fields = [(column.field, column.year, column.month) for column in known.values()]
    needed = words()["required"]
    if not any((field, None, None) in fields for field in needed) or len(fields) + len(unknown) < 2:
        return None
    repeated = [column.title for column, key in zip(known.values(), fields, strict=True) if fields.count(key) > 1]
    if repeated:
        raise RepeatedColumns(columns=repeated)
    missing = [field for field in needed if (field, None, None) not in fields]
    if any((field, None, None) in fields for field in YEARLY) and ("year", None, None) not in fields:
        missing.append("year")  # purchases of which year?
    if missing:
        raise MissingColumns(columns=[header(field) for field in missing])
    return Columns(line, known, tuple(unknown), len(row))
