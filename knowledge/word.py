"""Word: the paragraphs of a docx file, with the numbers that Word only draws."""

import io
import re
from collections.abc import Iterator
from typing import Any, Final

from docx import Document as open_word

from knowledge.paragraphs import Block, clean, table

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def docx(raw: bytes) -> tuple[str, list[Block]]:
    """The title in the properties and the blocks of a Word file. Damaged files raise whatever python-docx raises."""
    word = open_word(io.BytesIO(raw))
    return str(word.core_properties.title or ""), list(_Word(word).blocks(word.element.body))


class _Word:
    """Walks the body of a Word file; numbers that Word would draw are written out."""

    def __init__(self, word: Any) -> None:
        self._styles = {style.style_id: style for style in word.styles}
        self._counts: dict[str, list[int]] = {}
        self._lists: dict[str, Any] = {}
        self._numbers: dict[str, tuple[str, dict[str, int]]] = {}
        part = next((r.target_part for r in word.part.rels.values() if r.reltype.endswith("/numbering")), None)
        if part is not None:
            for item in part.element.iter(f"{_W}abstractNum"):
                self._lists[item.get(f"{_W}abstractNumId")] = item
            for item in part.element.iter(f"{_W}num"):
                starts = {
                    o.get(f"{_W}ilvl"): int(_value(o, "startOverride") or 1) for o in item.iter(f"{_W}lvlOverride")
                }
                self._numbers[item.get(f"{_W}numId")] = (_value(item, "abstractNumId"), starts)

    def blocks(self, parent: Any) -> Iterator[Block]:
        """The blocks below an element, tables and content controls included."""
        for element in parent:
            kind = str(element.tag).removeprefix(_W)
            if kind == "p":
                yield from self._paragraph(element)
            elif kind == "tbl":
                yield from self._table(element)
            elif kind in {"sdt", "sdtContent", "ins", "smartTag", "customXml"}:
                gallery = element.find(f"{_W}sdtPr//{_W}docPartGallery")
                if gallery is None or "Contents" not in gallery.get(f"{_W}val", ""):
                    yield from self.blocks(element)

    def _chain(self, paragraph: Any) -> Iterator[tuple[str, Any]]:
        """Name and properties: the paragraph's own, then those of its style and the styles that one is based on."""
        own = paragraph.find(f"{_W}pPr")
        yield "", own
        style = self._styles.get(_value(own, "pStyle")) if own is not None else None
        while style is not None:
            yield str(style.name), style.element.find(f"{_W}pPr")
            style = style.base_style

    def _paragraph(self, paragraph: Any) -> Iterator[Block]:
        lines = _runs(paragraph).split("\n")
        level, number, numbered = None, "", False
        for name, properties in self._chain(paragraph):
            if re.match(r"toc\b|目录", name, re.I):
                return
            if level is None and (found := re.fullmatch(r"(?:heading|标题)\s*([1-6])", name, re.I)):
                level = int(found[1])
            elif level is None and name in {"Title", "标题"}:
                level = 0
            outline = _value(properties, "outlineLvl")
            level = int(outline) + 1 if level is None and outline in set("012345") else level
            if not numbered and properties is not None and (own := properties.find(f"{_W}numPr")) is not None:
                numbered = True
                number = self._number(
                    _value(own, "numId"), _value(own, "ilvl"), _value(paragraph.find(f"{_W}pPr"), "pStyle")
                )
        if not any(map(str.strip, lines)):
            return
        runs = [r for r in paragraph.iter(f"{_W}r") if "".join(r.itertext()).strip()]
        bold = all(
            r.find(f"{_W}rPr/{_W}b") is not None and _value(r.find(f"{_W}rPr"), "b") not in {"0", "false"} for r in runs
        )
        text = "".join(lines).strip()
        if level is None and bold and len(lines) == 1 and not re.search(r".{40}|[。；：:;.]$", text):
            level = 6
        if level and len(text) > 60 and text[-1] in "。；.":
            level = None
        yield Block(number + lines[0], level)
        yield from (Block(line, None) for line in lines[1:])

    def _number(self, num: str, depth: str, style: str) -> str:
        """The next number of a list as Word draws it, or `- ` for a bullet."""
        abstract, starts = self._numbers.get(num, ("", {}))
        if abstract not in self._lists:
            return ""
        levels = list(self._lists[abstract].iter(f"{_W}lvl"))
        linked = next((i for i, each in enumerate(levels) if style and _value(each, "pStyle") == style), 0)
        at = int(depth) if depth.isdigit() else linked
        if at >= len(levels):
            return ""
        first = [int(_value(each, "start") or 1) for each in levels]
        counts = self._counts.setdefault(num if starts else f"a{abstract}", [])
        for i in range(len(counts), at + 1):
            counts.append(starts.get(str(i), first[i]) - (i == at))
        counts[at] += 1
        del counts[at + 1 :]
        if _value(levels[at], "numFmt") == "bullet":
            return "- "
        text = _value(levels[at], "lvlText")
        for i, count in enumerate(counts):
            text = text.replace(f"%{i + 1}", drawn(count, _value(levels[i], "numFmt")))
        return f"{text} " if text else ""

    def _table(self, element: Any) -> Iterator[Block]:
        rows: list[list[str]] = []
        above: dict[int, str] = {}
        for row in element.iter(f"{_W}tr"):
            cells: list[str] = []
            for cell in row.iter(f"{_W}tc"):
                merged = cell.find(f"{_W}tcPr/{_W}vMerge")
                text = clean(" ".join(_runs(p) for p in cell.iter(f"{_W}p")))
                if merged is not None and merged.get(f"{_W}val") != "restart":
                    text = above.get(len(cells), "")
                above[len(cells)] = text
                span = _value(cell.find(f"{_W}tcPr"), "gridSpan")
                cells += [text, *[""] * (min(int(span or 1), 50) - 1)]
            rows.append(cells)
        if len(rows) == 1 or max(map(len, rows), default=0) == 1:
            for cell in element.iter(f"{_W}tc"):
                yield from self.blocks(cell)
        else:
            yield from table(rows, headed=True)


def _value(element: Any, name: str) -> str:
    """The value of a child element, or empty."""
    child = element.find(f"{_W}{name}") if element is not None else None
    return "" if child is None else str(child.get(f"{_W}val", ""))


def _runs(paragraph: Any) -> str:
    """All text of a paragraph, inserted text and links included."""
    signs = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
    parts: list[str] = []
    for item in paragraph.iter():
        kind = str(item.tag).removeprefix(_W)
        parts.append(
            (item.text or "") if kind == "t" else signs.get(kind, "") if item.getparent().tag == f"{_W}r" else ""
        )
    return "".join(parts)


def drawn(count: int, form: str) -> str:
    """A list number as a Word number format draws it; unknown formats are decimal."""
    if form.startswith(("chinese", "ideograph", "japanese", "taiwanese")) and 0 < count < 1000:
        hundreds, tens, ones = (" 一二三四五六七八九"[d] for d in (count // 100, count // 10 % 10, count % 10))
        text = f"{hundreds}百{tens}十{ones}" if count > 99 else f"{tens}十{ones}"
        text = text.replace(" 十", "零" if ones != " " and count > 99 else "").replace(" ", "")
        return text[1:] if 9 < count < 20 else text
    if form in {"lowerLetter", "upperLetter"} and 0 < count <= 26:
        return chr((97 if form[0] == "l" else 65) + count - 1)
    if form.endswith("Roman") and 0 < count < 40:
        roman = "X" * (count // 10) + ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"][count % 10]
        return roman.lower() if form[0] == "l" else roman
    if form.startswith("decimalEnclosedCircle") and 0 < count <= 20:
        return chr(0x2460 + count - 1)
    return "" if form == "none" else str(count)
