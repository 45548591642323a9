"""Documents: a txt, md, docx, pdf or html file in, ordered blocks of clean text out."""

import html
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from knowledge.paragraphs import Block, clean, mend, table, without_running_heads

LARGEST: Final = 20_000_000  # bytes of a file
LONGEST: Final = 3_000_000  # characters of its text
_UNPACKED: Final = 300_000_000  # bytes of an unzipped docx

Reason = Literal["unreadable", "empty", "no_articles", "unsupported", "too_large"]


class ImportProblem(Exception):
    """A file cannot be imported. `reason` is a code, `facts` name the file and what was found in it."""

    def __init__(self, reason: Reason, **facts: str | int) -> None:
        self.reason, self.facts = reason, facts
        super().__init__(reason, facts)


@dataclass(frozen=True)
class Document:
    """The blocks of a file in reading order. `title` is what the file says of itself, or empty."""

    name: str
    blocks: tuple[Block, ...]
    title: str = ""


def read(path: Path) -> Document:
    """Read a file, by its content where the extension lies. Raises ImportProblem."""
    facts = {"name": path.name}
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ImportProblem("too_large", **facts, bytes=size, most=LARGEST)
        raw = path.read_bytes()
    except OSError as error:
        raise ImportProblem("unreadable", **facts, error=type(error).__name__) from None
    if not raw.strip():
        raise ImportProblem("empty", **facts)
    form = ""
    try:
        form = _form(raw, path)
        title, blocks = _READERS[form](raw)
        kept = [Block(text, block.level) for block in blocks if (text := clean(block.text))]
    except ImportProblem as problem:
        raise ImportProblem(problem.reason, **(facts | problem.facts)) from None
    except Exception as error:  # the libraries raise anything on damaged files
        raise ImportProblem("unreadable", **facts, form=form, error=type(error).__name__) from error
    characters = sum(len(block.text) for block in kept)
    if characters > LONGEST:
        raise ImportProblem("too_large", **facts, characters=characters, most=LONGEST)
    if not any(c.isalnum() for block in kept for c in block.text):
        raise ImportProblem("empty", **facts, form=form)
    return Document(path.name, tuple(kept), clean(title))


def _form(raw: bytes, path: Path) -> str:
    """The format, by the first bytes, then by the extension."""
    suffix = path.suffix.lower()
    facts = {"name": path.name, "extension": suffix}
    if b"%PDF-" in raw[:1024]:
        return "pdf"
    if raw.startswith(b"PK\x03\x04"):
        if zipfile.is_zipfile(io.BytesIO(raw)):
            with zipfile.ZipFile(io.BytesIO(raw)) as packed:
                if "word/document.xml" not in packed.namelist():
                    raise ImportProblem("unsupported", **facts)
                if (size := sum(item.file_size for item in packed.infolist())) > _UNPACKED:
                    raise ImportProblem("too_large", **facts, bytes=size, most=_UNPACKED)
            return "docx"
        raise ImportProblem("unreadable", **facts)
    if raw.startswith((b"\xd0\xcf\x11\xe0", b"{\\rtf")):
        raise ImportProblem("unsupported", **facts)
    if suffix in {".docx", ".pdf"}:
        raise ImportProblem("unreadable", **facts)
    if suffix not in {".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml"}:
        raise ImportProblem("unsupported", **facts)
    if re.match(
        r"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(!doctype html|html|head|body)\b", _decode(raw)[:2000], re.I | re.S
    ):
        return "html"
    return {".md": "md", ".markdown": "md", ".txt": "txt", ".text": "txt"}.get(suffix, "html")


def _decode(raw: bytes) -> str:
    """Text of unknown encoding. Raises ImportProblem when no encoding gives text."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    if b"\0" in raw:
        wide = max((raw.decode(f"utf-16-{end}", errors="replace") for end in ("le", "be")), key=_plausible)
        if _plausible(wide) >= 0.9:
            return wide
        if raw.count(0) > len(raw) / 500:
            raise ImportProblem("unreadable", error="binary")
        raw = raw.replace(b"\0", b"")
    rough = raw.decode("utf-8-sig", errors="replace")
    if len(re.findall("[\u4e00-\u9fff]", rough)) >= 20 * rough.count("\ufffd") and not rough.isascii():
        return rough
    for encoding in ("utf-8-sig", "gb18030", "cp1252"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        odd_ones = sum(unicodedata.category(c) in {"Co", "Cn"} or "\u0370" <= c <= "\u04ff" for c in text[:100_000])
        if encoding == "gb18030" and odd_ones > min(len(text), 100_000) / 50:
            continue
        if encoding != "cp1252" or sum(c < "\x80" for c in text) > 0.9 * len(text):
            return text
    text = raw.decode("utf-8", errors="replace")
    if text.count("\ufffd") > len(text) / 50:
        raise ImportProblem("unreadable", error="encoding")
    return text


def _plausible(text: str) -> float:
    """The share of characters that Chinese and English texts are made of, by the beginning."""
    return len(re.findall("[\t\r\n -~\u2010-\u2026\u3000-\u303f\u4e00-\u9fff\uff00-\uff5e]", text[:4000])) / len(
        text[:4000]
    )


def _txt(raw: bytes) -> tuple[str, list[Block]]:
    text = _decode(raw).replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n")
    return "", [Block(line) for line in mend([text])]


def _pdf(raw: bytes) -> tuple[str, list[Block]]:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and not reader.decrypt(""):
        raise ImportProblem("unreadable", error="encrypted")
    pages = [page.extract_text().split("\n") for page in reader.pages]
    title = str(reader.metadata.title or "") if reader.metadata else ""
    title = "" if re.search(r"\.(docx?|pdf|wps)$|^untitled$|^Microsoft ", title, re.I) else title
    return title, [Block(line) for line in mend(without_running_heads(pages))]


_INLINE: Final = [
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)|\[([^\]]+)\]\[[^\]]*\]"), r"\1\2"),
    (re.compile(r"<(https?://[^>]+)>"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^>]*>"), ""),
    (re.compile(r"(\*\*|__|~~|`+)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])([*_])(?=\S)([^*_]+?)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])"), r"\1"),
]


def _plain(text: str) -> str:
    """Markdown text without its marks."""
    for pattern, to in _INLINE:
        text = pattern.sub(to, text)
    return html.unescape(text)


def _md(raw: bytes) -> tuple[str, list[Block]]:
    text = _decode(raw).replace("\r\n", "\n").replace("\r", "\n")
    title = ""
    if front := re.match(r"---\n(.*?)\n---\n", text, re.S):
        named = re.search(r"^title:\s*[\"']?(.+?)[\"']?\s*$", front[1], re.M)
        title, text = named[1] if named else "", text[front.end() :]
    text = re.sub(r"<!--.*?-->|<(script|style)\b.*?</\1>", "", text, flags=re.S)
    text = re.sub(r"<br\s*/?>|\\\n| {2,}\n", "\n", text)
    text = re.sub(
        r"^(\S.*)\n(=+|-{3,})[ \t]*$", lambda m: f"{'#' if m[2][0] == '=' else '##'} {m[1]}", text, flags=re.M
    )
    blocks: list[Block] = []
    loose: list[str] = []
    rows: list[list[str]] = []

    def settle() -> None:
        blocks.extend(Block(_plain(line)) for line in mend(loose, soft=True))
        blocks.extend(table(rows, headed=True))
        loose.clear()
        rows.clear()

    for line in (re.sub(r"^\s*(>\s?)+", "", line) for line in text.split("\n")):
        if re.match(r"\s*(```|~~~)|\s*([-*_]\s*){3,}$", line):
            continue
        if re.match(r"\s*([-*+]|\d+\.)\s*\[[^\]]*\]\(#", line):
            continue
        heading = re.match(r"\s{0,3}(#{1,6})\s*(.+?)[\s#]*$", line)
        bold = re.fullmatch(r"\s*(\*\*|__)([^*_]{2,40})\1\s*", line)
        if row := re.fullmatch(r"\s*\|(.*)\|\s*", line):
            if loose:
                settle()
            if not re.fullmatch(r"[\s:|-]+", row[1]):
                rows.append([_plain(cell) for cell in re.split(r"(?<!\\)\|", row[1])])
            continue
        if rows:
            settle()
        if heading or (bold and bold[2][-1] not in "。；：:;."):
            settle()
            blocks.append(Block(_plain(heading[2]), len(heading[1])) if heading else Block(_plain(line), 6))
        else:
            loose.append(re.sub(r"^\s*[-*+]\s+(\[[ xX]\]\s+)?", "- ", line))
    settle()
    return title, blocks


_FURNITURE: Final = re.compile(
    r"(top|main|site|page|left|right|side)?[-_]?(nav|navbar|navigation|menu|crumbs?|breadcrumbs?|sidebar|footer|toc|share"
    r"|pagination|copyright|related)([-_]?(bar|list|wrap|box|links?))?",
    re.I,
)
_PARTS: Final = frozenset(
    [
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "center",
            "dd",
            "details",
            "div",
            "dl",
            "figure",
            "form",
        ),
        *(
            "fieldset",
            "main",
            "ol",
            "p",
            "pre",
            "section",
            "ul",
            "figcaption",
            "hr",
            "header",
            "td",
            "th",
            "tr",
            "tbody",
        ),
    ]
)


class _Page:
    """Walks an HTML tree and collects its blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._words: list[str] = []

    def settle(self, level: int | None = None) -> None:
        """End the current line."""
        text = re.sub(r"(?<=[\u2e80-\uffef])[ \t]*\n\s*(?=[\u2e80-\uffef])", "", "".join(self._words))
        self._words.clear()
        if text.strip():
            self.blocks.append(Block(clean(re.sub(r"\s+", " ", text)), level))

    def walk(self, tag: Any) -> None:
        """Collect the blocks of everything inside `tag`."""
        number = int(start) if tag.name == "ol" and (start := str(tag.get("start", "1"))).isdigit() else 1
        for child in tag.children:
            name = child.name
            if name is None:
                if type(child).__name__ == "NavigableString":
                    self._words.append(str(child))
            elif name in {"h1", "h2", "h3", "h4", "h5", "h6", "summary", "dt"}:
                self.settle()
                self._words.append(child.get_text())
                self.settle(int(name[1]) if name[0] == "h" else 6)
            elif name == "br":
                self.settle()
            elif name == "table" and not child.find(["table", "h1", "h2", "h3", "h4"]):
                self.settle()
                self.blocks.extend(_grid(child))
            elif name == "li":
                self.settle()
                self._words.append(f"{number}. " if tag.name == "ol" else "- ")
                number += 1
                self.walk(child)
                self.settle()
            elif name in _PARTS or name == "table":
                self.settle()
                self.walk(child)
                bold = child.find(["strong", "b"]) if name in {"p", "div"} else None
                alone = bold is not None and bold.get_text(strip=True) == child.get_text(strip=True)
                self.settle(6 if alone and not re.search(r".{40}|[。；：:;.]$", child.get_text(strip=True)) else None)
            else:
                self.walk(child)


def _grid(tag: Any) -> Iterator[Block]:
    """The rows of an HTML table; spanned cells are repeated downwards."""
    rows: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}
    cells_of = [row.find_all(["td", "th"]) for row in tag.find_all("tr")]
    for cells in cells_of:
        row: list[str] = []
        for cell in [*cells, None]:
            while len(row) in below:
                left, text = below.pop(len(row))
                if left > 1:
                    below[len(row)] = (left - 1, text)
                row.append(text)
            if cell is not None:
                down, across = (int(n) if (n := str(cell.get(k, "1"))).isdigit() else 1 for k in ("rowspan", "colspan"))
                if down > 1:
                    below[len(row)] = (down - 1, cell.get_text(" ", strip=True))
                row += [cell.get_text(" ", strip=True), *[""] * (min(across, 50) - 1)]
        rows.append(row)
    named = [[cell.name for cell in cells] for cells in cells_of if cells]
    if named and all(names == ["th", "td"] for names in named):
        yield from (Block(f"{row[0]}：{row[1]}") for row in rows if len(row) > 1)
    else:
        yield from table(rows, headed=bool(named) and set(named[0]) == {"th"})


def _html(raw: bytes) -> tuple[str, list[Block]]:
    from bs4 import BeautifulSoup

    text = re.sub(r"^\s*<\?xml[^>]*>", "", _decode(raw))
    soup = BeautifulSoup(f"<!-- -->{text}", "lxml")
    title = re.split(r"\s[-–—|_]\s|[_|]", soup.title.get_text())[0] if soup.title else ""
    for tag in soup.find_all(
        ["script", "style", "nav", "footer", "aside", "noscript", "template", "iframe", "head", "svg"]
    ):
        tag.decompose()
    whole = len(soup.get_text())
    for tag in soup.find_all(True):
        if tag.decomposed:
            continue
        names = [str(tag.get("id", "")), str(tag.get("role", "")), *(tag.get_attribute_list("class"))]
        marked = any(_FURNITURE.fullmatch(str(name)) for name in names) or (tag.name == "header" and not tag.find("h1"))
        contents = tag.name == "li" and (a := tag.find("a", href=re.compile("^#"))) and a.get_text() == tag.get_text()
        if (marked and len(tag.get_text()) < 0.4 * whole) or contents:
            tag.decompose()
    root = soup.find("main") or soup.find("article")
    page = _Page()
    page.walk(root if root and len(root.get_text()) > 0.5 * len(soup.get_text()) else soup)
    page.settle()
    return title, page.blocks


def _docx(raw: bytes) -> tuple[str, list[Block]]:
    from knowledge.word import docx  # lxml and python-docx load only when needed

    return docx(raw)


_READERS: Final[dict[str, Callable[[bytes], tuple[str, list[Block]]]]] = {
    "txt": _txt,
    "md": _md,
    "html": _html,
    "pdf": _pdf,
    "docx": _docx,
}
