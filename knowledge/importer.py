"""Importer: a document in, one draft per numbered article out."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain as chain_of
from itertools import count
from typing import Final

from knowledge import text as words
from knowledge.documents import Document, ImportProblem, read
from knowledge.entries import Draft, English
from knowledge.numbering import FIXED, HAN_NUMERAL, Line, Mark, chain, follows, lines, mark
from knowledge.outline import Plan, parts, plan
from knowledge.pinyin import syllable

__all__ = ["Document", "Drafted", "ImportProblem", "read", "split"]

LONG: Final = 1200  # characters of an answer; longer articles are cut at their sub-items
SHORT: Final = 10  # characters
TITLE: Final = 24  # Han characters of a title made from a sentence
_HAN: Final = re.compile("[\u3400-\u9fff]")
_ITEM: Final = re.compile(r"(?<=[。；;：:，])\s*(?=[（(][一二三四五六七八九十]{1,3}[）)])|(?<=[。；;：:])\s*(?=[①-⑳])")
_LED: Final = re.compile(r"([\u3400-\u9fff、]{2,16})(?=[（(]一[）)])")
_ANSWER: Final = re.compile(r"(?:^|\n|(?<=[。？?！!\s]))\s*(?:A|答|Answer|回答)\s*\d{0,3}\s*[:：]\s*")
_BRACKETED: Final = re.compile(
    r"[【\[〔]([^】\]〕]{2,24})[】\]〕]\s*|[（(](?![一二三四五六七八九十]+[）)])([\u3400-\u9fff]{2,16})[）)](?=[\u3400-\u9fff])"
)
_SPACED: Final = re.compile(r"([\u3400-\u9fff、]{2,14})\s+(?![的应可不须是为和或在由])(?=[\u3400-\u9fff“《].{14})()")
_SUBJECT: Final = re.compile(
    r"(?:客户|用户|乘客|业主|公司|本公司|(?:供电|供水|供气|供热|燃气|物业服务)?企业)(?:应当|应该|应|可以|可|须|必须|需要|需|不得)(?=.{4})"
    r"|为了?(?=规范|加强|保障|提高|维护|方便|促进)|请问"
)
_PREDICATE: Final = re.compile(r"(.{6,22}?)(?:应当|应该|应|是指|是|为|由|不得|必须|可以|包括|每|按照?)")


@dataclass(frozen=True)
class Drafted:
    """A draft with its key. `warnings` are codes: number_gap, duplicate_number, very_short, very_long."""

    draft: Draft
    key: str
    chapter: str
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Chapter:
    label: str = ""
    title: str = ""
    at: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.label} {self.title}".strip()


@dataclass
class _Unit:
    """An article on its way to a draft; `loose` text stands in a chapter before or without articles."""

    mark: Mark | None
    heading: str
    body: list[str]
    chapter: _Chapter
    scope: _Chapter | None = None
    loose: bool = False
    question: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        own = self.mark.label if self.mark and (self.mark.kind != "q" or self.mark.at) else ""
        gap = "、" if self.scope and re.fullmatch(HAN_NUMERAL, self.scope.label) else "" if _HAN.search(own) else " "
        return f"{self.scope.label}{gap}{own}".strip() if self.scope else own


def split(document: Document) -> list[Drafted]:
    """One draft per article in document order; keys are unique. Raises ImportProblem when there is no article."""
    drafted: list[Drafted] = []
    taken: set[str] = set()
    for name, part in parts(lines(document.blocks), document):
        chosen = plan(part)
        if chosen is None:
            continue
        english = words.mostly_latin("".join(line.text for line in part).lower())
        for unit in _checked(_units(part, chosen)):
            for draft in _drafts(unit, name, english):
                keys = chain_of((draft.key,), (f"{draft.key[:18]}x{n}" for n in count(2)))
                drafted.append(replace(draft, key=next(key for key in keys if key not in taken)))
                taken.add(drafted[-1].key)
    if not drafted:
        raise ImportProblem("no_articles", name=document.name, blocks=len(document.blocks))
    return drafted


def _units(part: list[Line], outline: Plan) -> list[_Unit]:
    """The articles, and whatever stands in a chapter outside its articles."""
    units: list[_Unit] = []
    starts, chapter = set(outline.starts), _Chapter()
    for i, line in enumerate(part):
        rest = line.mark.rest if line.mark else line.text
        if i in starts:
            heading = rest if line.level is not None else ""
            scope = chapter if outline.restarts and str(chapter) else None
            units.append(_Unit(line.mark, heading, [] if heading or not rest else [rest], chapter, scope))
        elif i in outline.containers:
            chapter = _Chapter(line.mark.label if line.mark else "", rest, line.mark.at if line.mark else ())
            units.append(_Unit(line.mark, rest, [], chapter, loose=True))
        elif units and line.glued and units[-1].body:
            units[-1].body[-1] += line.text
        elif units:
            units[-1].body.append(line.text)
    units = [unit for unit in units if not unit.loose or sum(map(len, unit.body)) >= 2 * SHORT]
    for unit in units:
        _settle(unit)
    return units


def _settle(unit: _Unit) -> None:
    """Give sub-items their own lines; find the heading and the question."""
    if unit.mark and unit.mark.kind == "q":
        asked, *answer = [unit.heading, *unit.body] if unit.heading else _ANSWER.split("\n".join(unit.body), maxsplit=1)
        if not answer and "\n" in asked:
            asked, *answer = asked.split("\n", 1)
        unit.question, unit.body = asked.replace("\n", " ").strip(), "\n".join(answer).split("\n")
    if unit.body and (led := _LED.match(unit.body[0])):
        unit.body[:1] = [led[1], unit.body[0][led.end() :]]
    unit.body = [piece for line in unit.body for piece in _ITEM.split(line) if piece.strip()]
    if unit.heading.endswith(("?", "？")):
        unit.question = unit.heading
    if unit.question and unit.body:
        unit.body[0] = _ANSWER.sub("", unit.body[0], count=1) if _ANSWER.match(unit.body[0]) else unit.body[0]
    if len(unit.heading) > 100:
        unit.heading, unit.body = "", [unit.heading, *unit.body]
    if unit.heading or unit.question or not unit.body:
        return
    first, *others = unit.body
    if titled := _BRACKETED.match(first) or _SPACED.match(first):
        unit.heading = titled[1] or titled[2]
        unit.body[0] = first[titled.end() :]
    elif others and Line(first).short(TITLE + 6):
        unit.heading, unit.body = first, others


def _checked(units: list[_Unit]) -> list[_Unit]:
    """Add the warnings about numbers."""
    seen: set[str] = set()
    before: tuple[int, ...] = ()
    for unit in units:
        number = unit.mark.at if unit.mark and not unit.loose else ()
        if not number or number == (0,):
            continue
        name = f"{unit.scope or ''} {unit.label}"
        if name in seen:
            unit.warnings.append("duplicate_number")
        elif number > before and not follows(before, number):
            unit.warnings.append("number_gap")
        seen.add(name)
        before = number
    return units


def _drafts(unit: _Unit, document: str, english: bool) -> Iterator[Drafted]:
    """The draft of an article, or of each sub-item of a very long one."""
    heading = unit.heading or phrase(unit.question or " ".join(unit.body[:1]), english)
    for label, suffix, body in _cut(unit.body):
        answer = "\n".join(body).strip() or heading or unit.label
        item = next((line for line in body if mark(line)), "")
        title = phrase(item, english) if suffix else heading.rstrip("：:。？?") or answer[:TITLE]
        text = English(
            title=title, question=unit.question, answer=answer, document=document, article=unit.label + label
        )
        tags = [tag for tag in (unit.chapter.title, heading if suffix else "") if tag and not unit.loose]
        warnings = [*unit.warnings, *["very_short"] * (len(answer) < SHORT), *["very_long"] * (len(answer) > LONG)]
        draft = Draft(**text.model_dump(), tags=tags, en=text if english else English())
        yield Drafted(draft, (_slug(document) + "-" + _number(unit) + suffix)[:24], str(unit.chapter), warnings)


def _cut(body: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """The parts of an article with the ends of their labels and keys: one part, or one per sub-item when it is long."""
    inner = [Line(text, None, mark(text)) for text in body]
    kinds = dict.fromkeys(line.mark.kind for line in inner if line.mark)
    items = next((on for kind in kinds if len(on := chain(inner, kind)) > 1), [])
    if sum(map(len, body)) <= LONG or not items:
        yield "", "", body
        return
    lead = sum(map(len, body[: items[0]]))
    if lead > 4 * SHORT:
        yield "", "", body[: items[0]]
    for nth, (a, b) in enumerate(zip(items, [*items[1:], len(body)], strict=True)):
        own = inner[a].mark
        assert own is not None
        number = ".".join(map(str, own.at))
        label = own.label if own.kind in {"hanparen", "paren"} else f"({own.label})"
        yield label, f"-{number}", body[0 if nth == 0 and lead <= 4 * SHORT else a : b]


def phrase(text: str, english: bool = False) -> str:
    """The beginning of a sentence as a title: nothing is added, only cut."""
    text = text.split("\n", maxsplit=1)[0].removeprefix("- ")
    own = mark(text)
    text = own.rest if own and own.rest and own.kind not in FIXED else text
    if english:
        clause = re.split(r"[.;:?!(](?=\s|$)|,\s", text)[0]
        return clause if len(clause) <= 60 else clause[:60].rsplit(" ", 1)[0]
    if named := re.match(r"([^，。；：！？,;:]{2,14})。.", text):
        return named[1]
    text = _SUBJECT.sub("", text, count=1) if _SUBJECT.match(text) else text
    pieces = re.split(r"([，。；：！？;!?（(）)]|(?<!\d)[,:]|[,:](?!\d))", text)
    phrase = pieces[0]
    for sign, more in zip(pieces[1::2], pieces[2::2], strict=False):
        if len(phrase) >= 4:
            break
        phrase += sign + more
    if len(phrase) > TITLE and (subject := _PREDICATE.match(phrase)):
        phrase = subject[1]
    elif len(phrase) > TITLE:
        phrase = phrase[:TITLE].rsplit("、", 1)[0] if "、" in phrase[4:TITLE] else phrase[:TITLE]
    for pair in ("“”", "《》", "（）", "()"):
        if phrase.count(pair[0]) != phrase.count(pair[1]):
            phrase = phrase.replace(pair[0], "").replace(pair[1], "")
    return phrase.strip(" 、，,：:") or text[:TITLE]


def _hash(text: str, length: int) -> str:
    return hashlib.sha256(re.sub(r"\s", "", text).encode()).hexdigest()[:length]


@cache
def _slug(document: str) -> str:
    """Initials of the first characters or words, and a hash: short, ASCII, the same in every import."""
    sounds = [syllable(c) for c in _HAN.findall(document)[:4]] or re.findall("[a-z]+", document.lower())[:4]
    return "".join(sound[0] for sound in sounds if "a" <= sound[0] <= "z") + _hash(document, 6)


def _number(unit: _Unit) -> str:
    """The number of an article for its key; a hash of its heading where it has none."""
    numbers = unit.mark.at if unit.mark else ()
    own = ".".join(map(str, numbers)) if any(numbers) else _hash(unit.question or unit.heading, 5)
    if unit.loose:
        return f"c{own}"
    if unit.scope is None:
        return own
    return f"{'.'.join(map(str, unit.scope.at)) or _hash(unit.scope.title, 4)}-{own}"
