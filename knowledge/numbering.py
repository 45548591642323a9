"""Numbering: which lines of a document open a chapter or an article, and which only mention one."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from knowledge.paragraphs import Block

NUMERAL: Final = "[0-9零〇一二两三四五六七八九十百千]{1,7}"
HAN_NUMERAL: Final = "[零一二三四五六七八九十百]{1,5}"
# what follows a number that is only mentioned
_MENTION: Final = (
    r"\s*(的|所[列述称指规]|之规定|规定[的，,办执处]|中[的所规明约，,]|[、，,。；）)]|[款项]|[和及与或]本"
    rf"|[和及与或至到]?第\s*{NUMERAL})"
)
_AMOUNT: Final = r"\s*([元米倍万亿年月日天号个次户条人份%‰℃吨]|公里|千瓦|千米|立方|平方|小时|分钟|毫米|兆|度[以及，。])"
FIXED: Final = ("bian", "zhang", "jie", "tiao")
_PATTERNS: Final = [
    ("tiao", rf"第\s*({NUMERAL})\s*条(?:\s*之\s*([一二三四五六七八九十]))?"),
    ("zhang", rf"第\s*({NUMERAL})\s*章"),
    ("jie", rf"第\s*({NUMERAL})\s*节"),
    ("bian", rf"第\s*({NUMERAL})\s*(?:编|篇|部分|卷)"),
    ("annex", r"(?:附件|附录|附表|Appendix|Annex)\s*([\dA-Z一二三四五六七八九十]{0,2})(?=[\s:：.、]|$)"),
    ("chapter", r"(?:Chapter|CHAPTER|Part|PART)\s+(\d{1,3}|[IVXL]+|[A-Z])\b"),
    ("article", r"(?:Article|ARTICLE|Clause|Rule)\s+(\d{1,3}(?:\.\d{1,3})*|[IVXL]+)\b"),
    ("section", r"(?:Section|SECTION|Sec\.|§)\s*(\d{1,3}(?:\.\d{1,3})*|[IVXL]+)\b"),
    ("q", r"(?:\d{1,3}\s*[.、]\s*)?(?:Q|问题?|Question)\s*(\d{0,3})\s*(?=[:：.、])"),
    ("a", r"(?:A|答|Answer|回答)\s*(\d{0,3})\s*(?=[:：])"),
    ("dec", r"(\d{1,3}(?:\.\d{1,3}){1,4})(?=\.?\s|[、.]?[\u3400-\u9fffA-Z(（“《【])"),
    ("dec", r"(\d{1,3})(?=\s*[.、](?!\d)|\s*[)）])"),
    ("han", rf"({HAN_NUMERAL})(?=\s*[、.])"),
    ("hanparen", rf"[（(]({HAN_NUMERAL})[）)]"),
    ("paren", r"[（(]([0-9]{1,2}|[a-z])[）)]|([①-⑳])|([a-z])(?=[.)]\s)"),
]
_MARKS: Final = [(kind, re.compile(pattern)) for kind, pattern in _PATTERNS]
_BARE: Final = re.compile(r"(\d{1,3})(?=\s+[\u3400-\u9fffA-Z])")
_AFTER: Final = re.compile(r"[\s:：.、．,)）\-–—|]*")
_GLUED: Final = re.compile(rf"第\s*{NUMERAL}\s*[编章节条]|(?<![一二三四五六七八九十周期]){HAN_NUMERAL}、")
_ASCII: Final = {0xFF01 + i: 0x21 + i for i in range(94) if chr(0x21 + i).isalnum() or chr(0x21 + i) == "."}
_STOPS: Final = re.compile(r"[，。；：、！？,;!?]|: |\. ")
NAMED: Final = re.compile(
    r"(制度|办法|规定|规则|细则|指南|须知|章程|条例|措施|方法|手册|规范|守则|公约|准则|规程|指引|管理|协议|合同|承诺|标准|问答|流程|及管理)"
    r"(（.{1,20}）|\(.{1,20}\))?$|\b(?i:Guide|Rules|Regulations?|Handbook|Manual|Terms|Policy|Policies|Code|Tariff|FAQ)\b"
)
_CONTENTS: Final = re.compile(r"目\s*[录次]|(table of )?contents", re.I)
_DEBRIS: Final = re.compile(
    r"(合集下载|相关文档|最新文档|(谢谢您?的?观看|thanks?)[!！]?)|.*(下载文档前请|仅部分预览|侵犯您的权益).*|\d{1,3}",
    re.I,
)
_DIGITS: Final = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_ROMAN: Final = {"I": 1, "V": 5, "X": 10, "L": 50}


@dataclass(frozen=True)
class Mark:
    """A number at the beginning of a line: its kind, its value, as it is written, and the text after it."""

    kind: str
    at: tuple[int, ...]
    label: str
    rest: str
    doubtful: bool = False


@dataclass
class Line:
    """A line of a document. `glued` lines followed on the one before without a break."""

    text: str
    level: int | None = None
    mark: Mark | None = None
    glued: bool = False

    def short(self, most: int = 40) -> bool:
        """Whether this can be a heading or a title rather than a sentence."""
        return 2 <= len(self.text) <= (most if re.search("[\u3400-\u9fff]", self.text) else 2 * most) and (
            not re.search(r"[，。；：！？,;:!?]$|[。；！？，]", self.text) and not self.text.startswith("- ")
        )


def value(numeral: str) -> int:
    """A Chinese, Arabic or Roman numeral or a single letter as a number; 0 for anything else."""
    if numeral.isascii() and numeral.isdigit():
        return int(numeral)
    if re.fullmatch("[IVXL]+", numeral):
        parts = [_ROMAN[c] for c in numeral]
        return sum(-n if n < after else n for n, after in zip(parts, [*parts[1:], 0], strict=True))
    if re.fullmatch("[A-Za-z]", numeral):
        return ord(numeral.lower()) - 96
    if re.fullmatch("[①-⑳]", numeral):
        return ord(numeral) - 0x2460 + 1
    if numeral and all(c in _DIGITS for c in numeral):
        return int("".join(str(_DIGITS[c]) for c in numeral))
    total = digit = 0
    for c in numeral:
        if c in _DIGITS or c.isdigit():
            digit = _DIGITS[c] if c in _DIGITS else int(c)
        else:
            total, digit = total + (digit or 1) * {"十": 10, "百": 100, "千": 1000}.get(c, 0), 0
    return total + digit


def mark(text: str, level: int | None = None) -> Mark | None:
    """The number a line begins with, if any."""
    plain = text.translate(_ASCII)
    found = next(((kind, m) for kind, p in _MARKS if (m := p.match(plain))), None)
    if found is None and (bare := _BARE.match(plain)):
        found = ("dec", bare)
    if found is None:
        return None
    kind, match = found
    numerals = [g for g in match.groups() if g]
    at = tuple(value(n) for group in numerals for n in group.split("."))
    after = plain[match.end() :]
    doubtful = False
    if kind in FIXED:
        doubtful = bool(re.match(_MENTION, after))
    elif kind in {"article", "section", "chapter"}:
        doubtful = bool(re.match(r"\s+[a-z(]|,", after))
    elif kind == "dec":
        kind = f"dec{len(at)}"
        bare_number = match.re is _BARE
        doubtful = level is None and (bare_number or (len(at) > 1 and bool(re.match(_AMOUNT, after))))
        if bare_number and level is None and (re.match(_AMOUNT, after) or len(text) > 40):
            return None
    elif kind == "annex" and (len(text) > 40 or re.search("[。；，]", text)):
        return None
    label = text[: match.end()]
    label = re.sub(r"(?<=[第条章节编篇零-龥])\s+|\s+(?=[条章节编篇])", "", label) if kind in FIXED else label
    rest = text[match.end() :]
    rest = rest.lstrip() if kind in {"hanparen", "paren"} else _AFTER.sub("", rest, count=1)
    return Mark(kind, at, label.strip(), rest, doubtful)


def _pieces(text: str) -> list[str]:
    """A paragraph cut where further chapters and articles follow on the same line."""
    plain, cuts = text.translate(_ASCII), [0]
    for found in _GLUED.finditer(plain, 1):
        before, opened = plain[cuts[-1] : found.start()].rstrip(), mark(text[found.start() :])
        if not before or opened is None or (opened.doubtful and opened.kind in FIXED):
            continue
        head = mark(before)
        after_heading = head is not None and head.kind in {"bian", "zhang", "jie"} and len(before) <= 30
        after_title = cuts == [0] and opened.at == (1,) and head is None and 4 <= len(before) <= 40
        after_title = after_title and (opened.kind in {"bian", "zhang"} or bool(NAMED.search(before)))
        flows = not _STOPS.search(before)
        if before[-1] in "。；！？;!?”)）" or (flows and (after_title or (after_heading and opened.kind in FIXED))):
            cuts.append(found.start())
    return [text[a:b].strip() for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def lines(blocks: Iterable[Block]) -> list[Line]:
    """Blocks to lines that begin with at most one number each; contents lists and download-site debris are dropped."""
    found: list[Line] = []
    for block in blocks:
        if block.level is None and _DEBRIS.fullmatch(block.text):
            continue
        first, *others = _pieces(block.text)
        found.append(Line(first, block.level, mark(first, block.level)))
        found += [Line(piece, None, mark(piece), glued=True) for piece in others]
    return list(_without_contents(found))


def _key(text: str) -> str:
    return re.sub(r"[\s.·…\-—]+\d*$|\W", "", text.removeprefix("- "))


def _without_contents(found: list[Line]) -> Iterator[Line]:
    """A contents list is a run of short lines that ends where its first entry comes again."""
    skip = 0
    for at, line in enumerate(found):
        if at < skip:
            continue
        if not _CONTENTS.fullmatch(line.text):
            yield line
            continue
        run = next((i for i in range(at + 1, len(found)) if len(found[i].text) > 60), len(found))
        first = _key(found[at + 1].text) if at + 1 < len(found) else ""
        skip = next((i for i in range(at + 2, run) if first and _key(found[i].text).startswith(first)), at + 1)


def follows(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Whether `new` is the number after `old`: 3 → 4, 1.9 → 1.10 or 2.1, 12 → 12.1."""
    if len(new) > len(old) and new[: len(old)] == old:
        return all(n == 1 for n in new[len(old) :])
    for k, n in enumerate(new):
        if k >= len(old) or n != old[k]:
            return k < len(old) and n == old[k] + 1 and all(later <= 1 for later in new[k + 1 :])
    return False


def _step(old: tuple[int, ...], new: tuple[int, ...], parted: bool) -> float:
    """How believable `new` is after `old`; `parted` when a heading stands between them."""
    if follows(old, new) or (parted and all(n == 1 for n in new)):
        return 2
    if new > old:
        first = next((n - o for n, o in zip(new, old, strict=False) if n != o), 1)
        return -min(0.5 * (first - 1), 2.5)
    if new == old:
        return 0 if parted else -2
    return -1 if parted else -9


def chain(found: Sequence[Line], kind: str, resets: Iterable[int] = ()) -> list[int]:
    """The lines whose numbers of this kind count up, as positions; mentions of other articles fall out.

    Numbers may start again after each position in `resets`.
    """
    at = [i for i, line in enumerate(found) if line.mark and line.mark.kind == kind]
    parting = set(resets)
    parts, count = [], 0
    for i in range(len(found)):
        count += i in parting
        parts.append(count)
    scores: list[float] = []
    back: list[int | None] = []
    for b, i in enumerate(at):
        line, number = found[i], _mark(found[i])
        own = (1.0 if line.glued else 4.0 if line.level is not None else 3.0) - (4 if number.doubtful else 0)
        best, link = own + (1 if number.at[-1:] == (1,) else -1), None
        for a in range(max(0, b - 60), b):
            score = scores[a] + own + _step(_mark(found[at[a]]).at, number.at, parts[at[a]] != parts[i])
            if score > best:
                best, link = score, a
        scores.append(best)
        back.append(link)
    end = max(range(len(at)), key=lambda b: scores[b], default=None)
    kept: list[int] = []
    while end is not None:
        kept.append(at[end])
        end = back[end]
    return kept[::-1]


def _mark(line: Line) -> Mark:
    assert line.mark is not None
    return line.mark
