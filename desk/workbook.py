"""Excel workbooks as a stream of rows: .xlsx is parsed as it is unpacked, older kinds are left to calamine.

calamine alone would not do: it holds the whole sheet in memory and turns #REF! into an empty cell.
"""

import re
import tempfile
import zipfile
from array import array
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final
from xml.parsers import expat

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from desk.errors import UnreadableSheet

LARGEST: Final = 2 << 30  # bytes that a workbook may unpack to
WIDEST: Final = 2_000  # columns looked at; a sheet may have 16,384
ENDLESS: Final = 250  # pieces of about 8 kB until the rest of a cell is let go
_CHUNK: Final = 1 << 16
_COLUMN: Final = re.compile(r"([A-Z]{1,3})(\d{1,7})")


class Number(str):
    """A cell that the sheet marks as a number, as written there."""

    __slots__ = ()


class Fault(str):
    """A cell without a value: an error such as #REF!, a formula that was never computed, an endless cell."""

    __slots__ = ()


Cell = str | Number | Fault


def height(path: Path) -> int | None:
    """How many rows the first sheet says it has."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_first_sheet(archive)) as sheet:
            found = re.search(rb'<dimension ref="[A-Z]+\d+:[A-Z]+(\d+)"', sheet.read(4096))
            return int(found[1]) if found else None
    except (zipfile.BadZipFile, KeyError, OSError, expat.ExpatError):
        return None


def rows(path: Path, name: str) -> Generator[tuple[int, list[Cell]]]:
    """Rows of the first sheet with their numbers. Raises UnreadableSheet(name, problem)."""
    with path.open("rb") as file:
        modern = file.read(2) == b"PK"
    try:
        if modern:
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > LARGEST:
                    raise UnreadableSheet(name=name, problem="too_large")
                if "xl/workbook.xml" in archive.namelist():
                    yield from _stream(archive)
                    return
        yield from _older(path)
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError, OSError, expat.ExpatError, CalamineError):
        raise UnreadableSheet(name=name, problem="damaged") from None
    except (PasswordError, RuntimeError):  # zipfile says so of encrypted members
        raise UnreadableSheet(name=name, problem="password") from None


def _older(path: Path) -> Iterator[tuple[int, list[Cell]]]:
    sheet = CalamineWorkbook.from_path(path).get_sheet_by_index(0)
    for line, row in enumerate(sheet.iter_rows(), (sheet.start or (0, 0))[0] + 1):
        yield line, [Number(repr(cell)) if type(cell) in (int, float) else str(cell) for cell in row]


def _parser(**handlers: Any) -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise ValueError("workbooks declare no document types")  # a bomb of nested entities would

    parser.StartDoctypeDeclHandler = refuse
    for name, handler in handlers.items():
        setattr(parser, name, handler)
    return parser


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]


def _first_sheet(archive: zipfile.ZipFile) -> str:
    """The path of the sheet whose tab comes first."""
    sheets: list[str] = []
    targets: dict[str, str] = {}

    def sheet(tag: str, facts: dict[str, str]) -> None:
        if _local(tag) == "sheet":
            sheets.extend(value for key, value in facts.items() if _local(key) == "id" and ":" in key)

    def relation(tag: str, facts: dict[str, str]) -> None:
        if _local(tag) == "Relationship":
            targets[facts["Id"]] = facts["Target"]

    _parser(StartElementHandler=sheet).Parse(archive.read("xl/workbook.xml"), True)
    _parser(StartElementHandler=relation).Parse(archive.read("xl/_rels/workbook.xml.rels"), True)
    target = targets[sheets[0]]
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


class _Shared:
    """The strings that cells refer to by number, kept in a temporary file."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed by close()
        self._ends = array("Q", [0])
        if "xl/sharedStrings.xml" in archive.namelist():
            self._fill(archive)
        self.get = lru_cache(4096)(self._get)

    def _fill(self, archive: zipfile.ZipFile) -> None:
        parts: list[str] = []
        state = {"text": False, "phonetic": False}

        def start(tag: str, _: object) -> None:
            tag = _local(tag)
            if tag == "si":
                parts.clear()
            elif tag == "rPh":
                state["phonetic"] = True
            state["text"] = tag == "t" and not state["phonetic"]

        def data(text: str) -> None:
            if state["text"] and len(parts) < ENDLESS:
                parts.append(text)

        def end(tag: str) -> None:
            tag = _local(tag)
            state["text"] = False
            if tag == "rPh":
                state["phonetic"] = False
            elif tag == "si":
                packed = "".join(parts).encode()
                self._file.write(packed)
                self._ends.append(self._ends[-1] + len(packed))

        parser = _parser(StartElementHandler=start, CharacterDataHandler=data, EndElementHandler=end)
        with archive.open("xl/sharedStrings.xml") as source:
            while chunk := source.read(_CHUNK):
                parser.Parse(chunk, False)
            parser.Parse(b"", True)

    def _get(self, number: int) -> str:
        begin, end = self._ends[number], self._ends[number + 1]
        self._file.seek(begin)
        return self._file.read(end - begin).decode()

    def close(self) -> None:
        self._file.close()


class _Rows:
    """Collects the rows that expat has seen so far."""

    def __init__(self, shared: _Shared) -> None:
        self.ready: list[tuple[int, list[Cell]]] = []
        self._shared = shared
        self._line = 0
        self._row: list[Cell] = []
        self._column = 0
        self._kind = "n"
        self._formula: list[str] = []
        self._value: list[str] = []
        self._into: list[str] | None = None
        self._phonetic = False

    def start(self, tag: str, facts: dict[str, str]) -> None:
        tag = _local(tag)
        if tag == "c":
            place = _COLUMN.fullmatch(facts.get("r", ""))
            self._column = _number(place[1]) if place else len(self._row)
            self._kind = facts.get("t", "n")
            self._value, self._formula = [], []
        elif tag == "row":
            self._line = int(facts.get("r", self._line + 1))
            self._row = []
        elif tag == "rPh":
            self._phonetic = True
        elif tag == "f":
            self._formula.append("=")
            self._into = self._formula
        elif tag == "v" or (tag == "t" and not self._phonetic):
            self._into = self._value

    def data(self, text: str) -> None:
        if self._into is not None and len(self._into) < ENDLESS:
            self._into.append(text)

    def end(self, tag: str) -> None:
        tag = _local(tag)
        if tag in ("v", "t", "f"):
            self._into = None
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "c" and self._column < WIDEST:
            cell = self._cell()
            if cell:
                self._row.extend([""] * (self._column - len(self._row)))
                self._row[self._column :] = [cell]
        elif tag == "row":
            self.ready.append((self._line, self._row))

    def _cell(self) -> Cell:
        text = "".join(self._value)
        if not text:
            return Fault("".join(self._formula)) if self._formula else ""
        if self._kind == "s":
            return self._shared.get(int(text))
        if self._kind == "e":
            return Fault(text)
        return Number(text) if self._kind == "n" else text


def _number(letters: str) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return column - 1


def _stream(archive: zipfile.ZipFile) -> Iterator[tuple[int, list[Cell]]]:
    shared = _Shared(archive)
    try:
        found = _Rows(shared)
        parser = _parser(StartElementHandler=found.start, CharacterDataHandler=found.data, EndElementHandler=found.end)
        with archive.open(_first_sheet(archive)) as source:
            while chunk := source.read(_CHUNK):
                parser.Parse(chunk, False)
                yield from found.ready
                found.ready.clear()
            parser.Parse(b"", True)
            yield from found.ready
    finally:
        shared.close()
