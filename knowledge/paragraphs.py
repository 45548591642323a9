"""Paragraphs: lines as files give them in, clean blocks of text out."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import quantiles
from typing import Final


@dataclass(frozen=True)
class Block:
    """One paragraph, list item or table row on one line. `level` is 0 for a title, 1-6 for headings, else None."""

    text: str
    level: int | None = None


_HIDDEN: Final = re.compile(
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufe00-\ufe0f\ue000-\uf8ff\ufffc\x00-\x08\x0e-\x1f\x7f]"
)
_SPACE: Final = re.compile("[\u00a0\u2000-\u200a\u202f\u3000 \t]+")
# PDF fonts name shapes, not characters: radicals stand for the characters that look the same
_RADICALS: Final = {c: unicodedata.normalize("NFKC", chr(c)) for c in range(0x2F00, 0x2FD6)} | str.maketrans(
    "⼾⺁⺇⺠⺟⻁⻄⻅⻉⻋⻓⻔⻘⻙⻚⻛⻜⻝⻢⻣⻤⻥⻦⻧⻨⻩⻬⻮⻰⻳⺶⺼⺩⺫⻆⻗⻞⻟⻑⻌⻀⺾⻂⺭⺮",
    "户厂几民母虎西见贝车长门青韦页风飞食马骨鬼鱼鸟卤麦黄齐齿龙龟羊月王目角雨食食長辶艹艹衤礻竹",
)
_FEED: Final = "\f"
_NUMERAL: Final = "[0-9０-９零〇一二两三四五六七八九十百千]"
_OPENS: Final = re.compile(
    rf"第\s*{_NUMERAL}+\s*(章|节|编|篇|部分|条(?!的|规定|所[列述]|、|[和及与或至]第|第))|[（(]?[一二三四五六七八九十]+[）)、]"
    r"|[（(]\d{1,2}[）)]|\d{1,2}[）)、.．](?!\d)|\d{1,2}([.．]\d{1,2}){1,4}[.．]?\s|[①-⑳•·●■◆▪○※]|[-*+–—]\s"
    r"|(Chapter|Section|Article|Part|Appendix|Annex)\s+[\dIVXA-Z]+\b(?!\s+[a-z])|(附件|附录|附表)\s*\w{0,2}\b"
    r"|(Q|A|问|答)\s*\d*\s*[:：]|【"
)
_PAGE_NUMBER: Final = re.compile(
    rf"[-—–·\s]*\d{{1,4}}[-—–·\s]*|[-—–\s]*第\s*{_NUMERAL}+\s*页([\s/／,，]*共\s*{_NUMERAL}+\s*页)?[-—–\s]*"
    rf"|共\s*{_NUMERAL}+\s*页|(Page|p\.)\s*\d+(\s*(of|/)\s*\d+)?|\d+\s*[/／]\s*\d+",
    re.I,
)
_LEADERS: Final = re.compile(r"\S.*?[\s]*(…{2,}|\.{4,}|·{4,}|(\.\s){4,}|-{6,}|_{4,}|\t)\s*[-—]?\s*\d{1,4}\s*[-—]?")


def clean(text: str) -> str:
    """One line: no invisible characters, single spaces, real characters for radicals."""
    text = _HIDDEN.sub("", text.replace("\u2011", "-")).translate(_RADICALS)
    return _SPACE.sub(" ", text.replace("\n", " ")).strip()


def _width(text: str) -> int:
    return sum(2 if c > "\u2e80" else 1 for c in text)


def _wrap(lines: list[str]) -> float:
    """The column where lines are broken, in half-width units; infinite when paragraphs stand on one line."""
    widths = [w for line in lines if (w := _width(line)) >= 24]
    if len(widths) < 4:
        return float("inf")
    edge = quantiles(widths, n=20)[17]
    near = sum(0.8 * edge <= w <= 1.1 * edge for w in widths)
    return edge if edge <= 160 and near >= 0.35 * len(widths) else float("inf")


def _goes_on(before: str, width: int, after: str, gap: str, edge: float) -> bool:
    """Whether a line was broken in mid-sentence. `width` is that of the last physical line of `before`."""
    if _OPENS.match(after) or before[-1] in "。！？；：!?;:|":
        return False
    if before[-1] in "，、,（(《“" or after[0] in "，。、；）)》”":
        return width >= 16
    if gap == "blank":
        return False
    if before[-1].isascii() and before[-1].isalpha() and "a" <= after[0] <= "z":
        return width >= 0.5 * min(edge, 80)
    if before[-1] == "." and not before[-2:-1].isdigit():
        return False
    return width >= 0.82 * edge or (gap == "page" and width >= 48)


def _join(before: str, after: str) -> str:
    if re.search("[A-Za-z]-$", before) and "a" <= after[0] <= "z":
        return before[:-1] + after
    ascii_both = before[-1].isascii() and after[0].isascii() and before[-1] not in "-/("
    return f"{before} {after}" if ascii_both else before + after


def mend(raw: Iterable[str], *, soft: bool = False) -> list[str]:
    """Lines to paragraphs: page numbers and dotted contents dropped, broken sentences joined.

    With `soft`, a line break alone means nothing, as in Markdown.
    """
    lines = [line for part in raw for line in re.sub(r"([\f])", r"\n\1\n", part).split("\n")]
    indents = [bool(re.match("  +\\S|\u3000+\\S|\t+\\S", line)) for line in lines]
    by_indent = 0 < sum(indents) < 0.6 * sum(map(bool, lines))
    texts = [
        _FEED if line == _FEED or (line.strip() and _PAGE_NUMBER.fullmatch(clean(line))) else line for line in lines
    ]
    edge = 0 if soft else _wrap([clean(t) for t in texts])
    out: list[str] = []
    gap, width = "", 0
    for line, indented in zip(texts, indents, strict=True):
        text = clean(line)
        if line == _FEED or (len(line) < 200 and _LEADERS.fullmatch(line.strip())):
            gap = "page"
        elif not text:
            gap = gap or "blank"
        else:
            new = by_indent and indented and out and out[-1][-1] not in "，、,"
            if out and not new and "\t" not in line.strip() and _goes_on(out[-1], width, text, gap, edge):
                out[-1] = _join(out[-1], text)
            else:
                out.append(text)
            gap, width = "", _width(text)
    return out


def without_running_heads(pages: list[list[str]]) -> Iterator[str]:
    """The lines of all pages without what is repeated at their edges; pages are parted by a form feed."""

    def key(line: str) -> str:
        return re.sub(rf"{_NUMERAL}+", "#", re.sub(r"\s", "", clean(line)))

    pages = [[line for line in page if line.strip()] for page in pages]
    edges = [{key(line) for line in page[:3] + page[-3:]} for page in pages]
    often = Counter(k for edge in edges for k in edge)
    heads = {k for k, n in often.items() if n >= max(2, len(pages) / 2) and len(k) <= 60 and not k.startswith("第#条")}
    for page in pages:
        for at, line in enumerate(page):
            if not (key(line) in heads and (at < 3 or at >= len(page) - 3)):
                yield line
        yield _FEED


def table(rows: list[list[str]], headed: bool) -> Iterator[Block]:
    """A row as `name：value；name：value`, so that it can be read alone."""
    rows = [[clean(cell) for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    if not rows:
        return
    latin = all(cell.isascii() for row in rows[:1] for cell in row)
    colon, semicolon = (": ", "; ") if latin else ("：", "；")
    head = rows[0]
    plain = not any(re.search(r"\d|[。；]", cell) for cell in head) and all(head)
    if len(rows) > 1 and len(head) > 1 and (headed or plain):
        for row in rows[1:]:
            names = head if len(row) == len(head) else [""] * len(row)
            cells = [f"{n}{colon}{c}" if n else c for n, c in zip(names, row, strict=True) if c]
            yield Block(semicolon.join(cells))
        return
    for row in rows:
        filled = [cell for cell in row if cell]
        yield Block((colon if len(filled) == 2 else semicolon).join(filled))
