"""Rows of an archive file: each becomes an entry of the archive, or problems with line, column, reason and value."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from desk import archive_columns, masks
from desk.archive_columns import YEARLY, Column, Columns
from desk.errors import MissingColumns, UnreadableSheet
from desk.sheets import Sheet, plain
from desk.workbook import Cell, Fault, Number

LONGEST: Final = 500  # characters of a cell
SHOWN: Final = 60  # characters of a value in a report
REASONS: Final = (
    "missing", "too_long", "open_quote", "control", "formula", "error_value", "notation", "precision", "account_no",
    "duplicate", "number", "negative", "too_large", "months", "year", "date", "phone", "word", "extra_cells",
)  # fmt: skip
LARGEST: Final = {"contract_kva": Decimal(10) ** 9, "running_kva": Decimal(10) ** 9}
_LARGEST_SUM: Final = Decimal(10) ** 13
_CENT: Final = Decimal("0.01")
_EPOCH: Final = date(1899, 12, 30)  # day 0 of spreadsheets
_NO: Final = re.compile(r"\d{10,16}")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?")
_DATE: Final = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[t ].*)?")
_MOBILE: Final = re.compile(r"1[3-9]\d{9}")
_FIXED: Final = re.compile(r"(?:0\d{2,3}-?)?[2-9]\d{6,7}(?:-\d{1,6})?|[48]00-?\d{3}-?\d{4}|9\d{4,5}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_WORDS: Final = frozenset(("sources", "category", "importance", "terrain", "standing", "coal_mine"))


@dataclass(frozen=True)
class Problem:
    """Why a row stays out: one of REASONS, where, and the beginning of what stands there."""

    line: int
    column: str
    reason: str
    value: str
    other: int | None = None  # the line that has this account number already


@dataclass
class Purchase:
    """What a row says about one year; None = nothing."""

    amount: Decimal | None = None
    kwh: Decimal | None = None
    months: int | None = None


@dataclass
class Entry:
    """One good row: only what it says. `facts` by field, purchases by year; `blotted` is a masked name."""

    line: int
    no: str
    blotted: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    years: dict[int, Purchase] = field(default_factory=dict)


class Wrong(Exception):
    """A cell that cannot be used."""

    def __init__(self, reason: str, other: int | None = None) -> None:
        self.reason, self.other = reason, other
        super().__init__(reason)


class Reader:
    """Reads a sheet row by row. Raises MissingColumns, RepeatedColumns, UnreadableSheet from the beginning."""

    def __init__(self, sheet: Sheet, *, name: str) -> None:
        self._rows = sheet.rows
        self._seen: dict[str, int] = {}
        self.notes: Counter[str] = Counter()
        self.columns = self._header(name)
        self.total = None if sheet.lines is None else max(sheet.lines - self.columns.line, 0)

    def _header(self, name: str) -> Columns:
        number = 0
        for number, (line, row) in enumerate(self._rows, 1):
            found = archive_columns.find(line, row)
            if found:
                return found
            if number == archive_columns.TITLES:
                break
        if number == 0:
            raise UnreadableSheet(name=name, problem="empty")
        raise MissingColumns(columns=[archive_columns.header(f) for f in archive_columns.words()["required"]])

    def take(self, rows: int) -> list[Entry | list[Problem]]:
        """The next rows, empty at the end; rows without any text do not count."""
        batch: list[Entry | list[Problem]] = []
        for line, row in self._rows:
            if any(row):
                batch.append(self._read(line, row))
                if len(batch) == rows:
                    break
        return batch

    def _read(self, line: int, row: list[Cell]) -> Entry | list[Problem]:
        entry = Entry(line, "")
        problems: list[Problem] = []
        monthly: dict[tuple[int, str], list[Decimal]] = {}
        stray: dict[str, Decimal | int] = {}
        for position, column in self.columns.known.items():
            cell = row[position] if position < len(row) else ""
            try:
                value = read(column, cell)
                if column.field == "no":
                    entry.no = self._new(value, line)
                elif value is None:
                    pass
                elif value == MASKED:
                    self.notes["masked"] += 1
                    entry.blotted = cell.strip() if column.field == "name" else entry.blotted
                elif column.month:
                    assert column.year
                    monthly.setdefault((column.year, column.field), []).append(value)
                elif column.year:
                    setattr(entry.years.setdefault(column.year, Purchase()), column.field, value)
                elif column.field in YEARLY:
                    stray[column.field] = value
                else:
                    entry.facts[column.field] = value
            except Wrong as wrong:
                problems.append(Problem(line, column.title, wrong.reason, excerpt(cell), wrong.other))
        problems.extend(self._outside(line, row))
        misread = any(problem.reason == "year" for problem in problems)
        problems.extend(self._by_year(entry, stray, monthly, misread=misread))
        return problems or entry

    def _new(self, no: str | None, line: int) -> str:
        if no is None:
            raise Wrong("missing")
        first = self._seen.setdefault(no, line)
        if first != line:
            raise Wrong("duplicate", first)
        return no

    def _outside(self, line: int, row: list[Cell]) -> Iterator[Problem]:
        """Cells that should not be: behind the last column, or broken ones under a title nobody understands."""
        for cell in row[self.columns.width :]:
            if cell.strip():
                yield Problem(line, "", _endless(cell) or "extra_cells", excerpt(cell))
                return

    def _by_year(
        self, entry: Entry, stray: dict[str, Any], monthly: dict[tuple[int, str], list[Decimal]], *, misread: bool
    ) -> Iterator[Problem]:
        year = entry.facts.pop("year", None)
        if stray and year is None and not misread:
            yield Problem(entry.line, archive_columns.header("year"), "missing", "")
        elif stray and year is not None:
            entry.years[year] = Purchase(**stray)
        for (year, part), values in monthly.items():
            purchase = entry.years.setdefault(year, Purchase())
            if getattr(purchase, part) is None:
                setattr(purchase, part, sum(values, Decimal(0)).quantize(_CENT, ROUND_DOWN))
                if part == "kwh" and purchase.months is None:
                    purchase.months = len(values)  # a month with a reading, 0 as well, is a month in service


MASKED: Final = "*"  # stands for personal data that an export has blotted out


def read(column: Column, cell: Cell) -> Any:
    """The value of a cell, None when it is blank. Raises Wrong."""
    if reason := _endless(cell):
        raise Wrong(reason)
    if isinstance(cell, Fault) or cell.startswith("="):
        raise Wrong("error_value" if cell.startswith("#") else "formula")
    if _CONTROL.search(cell):
        raise Wrong("control")
    text = " ".join(plain(cell).split())
    name = column.field
    if not text:
        if name in ("no", "name"):
            raise Wrong("missing")
        return None
    if (name in ("phone", "contact", "address") and MASKED in text) or (
        name in ("name", "customer") and masks.blotted(text)
    ):
        return MASKED
    if name in _READERS:
        return _READERS[name](text, isinstance(cell, Number), column)
    if isinstance(cell, Number):
        return _trimmed(text)
    if text.startswith("#") and text.endswith(("!", "?", "/A")) and text.isascii():
        raise Wrong("error_value")
    return text


def _endless(cell: Cell) -> str | None:
    if len(cell) <= LONGEST:
        return None
    return "open_quote" if cell.count("\n") > 20 else "too_long"


def excerpt(cell: str) -> str:
    """The beginning of a value, on one line."""
    text = " ".join(_CONTROL.sub("�", cell[: 4 * SHOWN]).split())
    return text if len(text) <= SHOWN and len(cell) <= 4 * SHOWN else f"{text[: SHOWN - 1]}…"


def _narrow(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace(" ", "")


def _trimmed(text: str) -> str:
    """A spreadsheet's number as text: 12.0 is 12."""
    number = Decimal(text)
    return str(int(number)) if number == number.to_integral_value() else text


def _read_no(text: str, numeric: bool, _: Column) -> str:
    text = _narrow(text).removeprefix("'")
    if numeric and _NUMBER.fullmatch(text.lower()):
        text = _trimmed(text)
        if len(text) > 15:
            raise Wrong("precision")  # spreadsheets keep 15 digits of a number, the rest is made up
    elif re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d+", text):
        raise Wrong("notation")
    text = re.sub(r"(?<=\d)\.0+$", "", text)
    if not _NO.fullmatch(text) or not text.isascii():
        raise Wrong("account_no")
    return text


def _decimal(text: str, column: Column, largest: Decimal) -> Decimal:
    text = _narrow(text).lower().strip("¥$").replace(",", "")
    text = re.sub(r"(元|kva|kwh|度|千瓦时|千伏安|个月|月)$", "", text)
    if not _NUMBER.fullmatch(text) or not text.isascii():
        raise Wrong("number")
    number = Decimal(text)
    if len(number.as_tuple().digits) > 15:
        number = Decimal(format(float(number), ".15g"))  # the noise of binary fractions: 0.30000000000000004
    number *= column.unit
    if number < 0:
        raise Wrong("negative")
    if number >= largest:
        raise Wrong("too_large")
    return number


def _read_decimal(text: str, _: bool, column: Column) -> Decimal:
    number = _decimal(text, column, LARGEST.get(column.field, _LARGEST_SUM))
    # months are summed before they are cut; cutting, not rounding, lifts nothing over a limit
    return number if column.month else number.quantize(_CENT, ROUND_DOWN)


def _read_months(text: str, _: bool, column: Column) -> int:
    try:
        number = _decimal(text, column, _LARGEST_SUM)
    except Wrong:
        raise Wrong("months") from None
    if number > 12 or number != number.to_integral_value():
        raise Wrong("months")
    return int(number)


def _read_year(text: str, _: bool, __: Column) -> int:
    found = re.fullmatch(r"(20\d\d)(?:\.0+)?年?度?", _narrow(text))
    if not found or not found[1].isascii():
        raise Wrong("year")
    return int(found[1])


def _read_consent(text: str, numeric: bool, _: Column) -> bool | date:
    """Yes, no, or the day since when."""
    said = archive_columns.meanings("consent").get(archive_columns.bare(text))
    if said:
        return said == "yes"
    if numeric and re.fullmatch(r"[2-7]\d{4}(\.\d+)?", text):
        return _EPOCH + timedelta(days=int(float(text)))
    found = _DATE.fullmatch(unicodedata.normalize("NFKC", text).lower())
    try:
        day = date(*map(int, found.groups())) if found else None
    except ValueError:
        day = None
    if day is None or not 1990 <= day.year <= 2100:
        raise Wrong("date")
    return day


def _read_phone(text: str, numeric: bool, _: Column) -> str:
    text = _trimmed(text) if numeric else _narrow(text)
    text = re.sub(r"[()]", "-", text).strip("-").replace("--", "-")
    digits = re.sub(r"^(\+|00)?86-?(?=[01])", "", text)
    if _MOBILE.fullmatch(digits.replace("-", "")):
        return digits.replace("-", "")
    if not _FIXED.fullmatch(digits) or not digits.isascii():
        raise Wrong("phone")
    return digits


def _read_word(text: str, numeric: bool, column: Column) -> Any:
    text = _trimmed(text) if numeric else text
    code = archive_columns.meanings(column.field).get(archive_columns.bare(text))
    if code is None:
        raise Wrong("word")
    if column.field == "sources":
        return int(code)
    return code == "yes" if column.field == "coal_mine" else code


_READERS: Final = {
    "no": _read_no, "contract_kva": _read_decimal, "running_kva": _read_decimal, "amount": _read_decimal,
    "kwh": _read_decimal, "months": _read_months, "year": _read_year, "consent": _read_consent, "phone": _read_phone,
} | dict.fromkeys(_WORDS, _read_word)  # fmt: skip
