"""Sheets: rows of a CSV or spreadsheet file, read and written as a stream, so that size costs time and not memory.

A cell is text. What a spreadsheet marks as a number is a `Number` (as it stands in the file, maybe 1.2E+12), what it
marks as an error, or as a formula nobody has computed, is a `Fault`.
"""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from desk import workbook
from desk.errors import UnreadableSheet
from desk.workbook import Cell

WIDEST: Final = 2_000_000  # characters of one CSV cell until the rest of its line is given up
PIECE: Final = 64_000  # characters of a file that is sent in pieces
_CHUNK: Final = 1 << 20
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_SPREADSHEETS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_DELIMITERS: Final = ",;\t|"


@dataclass
class Sheet:
    """An open file: its rows with their line numbers, from 1, and about how many there are."""

    rows: Iterator[tuple[int, list[Cell]]]
    lines: int | None
    encoding: str | None


@contextmanager
def reading(path: Path, *, name: str | None = None) -> Iterator[Sheet]:
    """The first sheet of a file, whatever it is called. Raises UnreadableSheet(name, problem)."""
    name = name or path.name
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        raise UnreadableSheet(name=name, problem="empty")
    if head in _SPREADSHEETS:
        with closing(workbook.rows(path, name)) as rows:
            yield Sheet(rows, workbook.height(path), None)
        return
    encoding, lines = _encoding(path, name)
    with path.open(encoding=encoding, newline="") as text:
        yield Sheet(_csv_rows(text), lines, encoding)


def _encoding(path: Path, name: str) -> tuple[str, int]:
    """The encoding in which the whole file makes sense, and its number of lines."""
    with path.open("rb") as file:
        head = file.read(4096)
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            candidates = [encoding]
            break
    else:
        # Latin letters, digits and separators leave every other byte empty
        even, odd = head[::2].count(0), head[1::2].count(0)
        wide = ["utf-16-be"] if even > odd else ["utf-16-le"]
        candidates = wide if even + odd > len(head) // 10 else ["utf-8", "gb18030"]
    for encoding in candidates:
        lines = _lines(path, encoding)
        if lines is not None:
            return encoding, lines
    raise UnreadableSheet(name=name, problem="encoding")


def _lines(path: Path, encoding: str) -> int | None:
    decoder, lines = codecs.getincrementaldecoder(encoding)(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                lines += decoder.decode(chunk).count("\n")
            decoder.decode(b"", final=True)
    except UnicodeError:
        return None
    return lines


def _csv_rows(text: io.TextIOWrapper) -> Iterator[tuple[int, list[Cell]]]:
    csv.field_size_limit(WIDEST)
    first = text.readline(WIDEST)
    offset = 0
    if first.lower().startswith("sep="):
        delimiter, offset = first[4:5] or ",", 1
    else:
        delimiter = max(_DELIMITERS, key=first.count) if first else ","
        text.seek(0)
    reader = csv.reader(text, delimiter=delimiter)
    line = 1 + offset
    while True:
        try:
            cells: list[Cell] = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # a cell beyond all measure; the reader goes on with the next line
            cells = [workbook.Fault("…" * (WIDEST // 1000))]
        yield line, cells
        line = reader.line_num + 1 + offset


class CsvText:
    """A CSV file for spreadsheet programs in the making: UTF-8 with a mark, nothing in it is run as a formula."""

    def __init__(self) -> None:
        self._buffer = io.StringIO("\ufeff", newline="")
        self._buffer.seek(1)
        self._writer = csv.writer(self._buffer)

    def row(self, cells: Iterable[object]) -> int:
        """Add a row; how many characters wait to be taken."""
        self._writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in cells])
        return self._buffer.tell()

    def taken(self) -> bytes:
        """What has been added since the last time."""
        taken = self._buffer.getvalue().encode()
        self._buffer.seek(0)
        self._buffer.truncate()
        return taken


def harmless(cell: str) -> str:
    """The cell as text even where a spreadsheet program would take it for a formula; `plain` undoes it."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else cell


def plain(cell: str) -> str:
    """What `harmless` was given."""
    return cell[1:] if cell.startswith(("'=", "'+", "'-", "'@", "'\t", "'\r", "''")) else cell
