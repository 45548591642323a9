"""Outline: which documents a file holds, and which of their numbers or headings open an article."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from statistics import median
from typing import Final

from knowledge.documents import Document
from knowledge.numbering import FIXED, NAMED, Line, chain

_USUAL: Final = range(20, 601)  # characters of a typical article
_ANY: Final = range(1, 10**9)
_STRONG: Final = frozenset([*FIXED, "chapter", "article", "section"])
_MINOR: Final = frozenset(["hanparen", "paren", "a", "annex"])
_LAST_ARTICLE: Final = re.compile(r"起(正式)?(施行|执行|实施|生效|试行)|解释")
_STRICT: Final = re.compile("(制度|办法|规定|规则|细则|指南|须知|章程|条例|手册|规范|守则|规程)$")


@dataclass(frozen=True)
class Plan:
    """Which lines open articles, which open chapters, and whether numbers start again in each chapter."""

    starts: list[int]
    containers: set[int]
    restarts: bool = False


def parts(found: list[Line], document: Document) -> Iterator[tuple[str, list[Line]]]:
    """The documents in one file: a title line, then numbering from the beginning."""
    edges = [0]
    last: dict[str, int] = {}
    for i, line in enumerate(found):
        start = i
        if line.mark is None:
            new = _opens_document(found, i, edges[-1], bool(last))
        elif line.mark.kind in _STRONG and line.mark.at == (1,) and line.mark.kind in last and not line.mark.doubtful:
            while start > last[line.mark.kind] + 1 and i - start < 6 and _titular(found[start - 1]):
                start -= 1
            inside = [found[j].mark for j in range(last[line.mark.kind] + 1, i)]
            explained = any(m and (m.kind in FIXED or m.kind == "chapter") and m.at != (1,) for m in inside)
            levels = [each.level for each in found[edges[-1] : start] if each.level is not None and each.mark is None]
            below = [each.level for each in found[start:i] if each.level is not None]
            new = start < i and not explained and not (below and levels and min(below) > min(levels))
        else:
            new = False
        if new:
            edges.append(start)
            last = {}
        if line.mark and not line.mark.doubtful:
            last[line.mark.kind] = i
    for a, b in zip(edges, [*edges[1:], len(found)], strict=True):
        yield _name(found[a:b], document, first=a == 0)


def _titular(line: Line) -> bool:
    return line.mark is None and not line.glued and (line.level is not None or line.short())


def _opens_document(found: list[Line], i: int, edge: int, numbered: bool) -> bool:
    """Whether an unnumbered line is the title of another document: said twice, or a name before a list from 1."""
    line = found[i]
    if not line.short() or not NAMED.search(line.text) or i + 1 >= len(found):
        return False
    if found[i + 1].text == line.text:
        return i > edge and any(each.text != line.text for each in found[edge:i])
    opened = found[i + 1].mark
    if not numbered or line.level is not None or opened is None or opened.kind not in {"dec1", "han"}:
        return False
    ahead = {each.mark.at for each in found[i + 1 : i + 80] if each.mark and each.mark.kind == opened.kind}
    counts = opened.at == (1,) and {(2,), (3,)} <= ahead
    return counts and bool(_STRICT.search(line.text) or _LAST_ARTICLE.search(found[i - 1].text))


def _name(part: list[Line], document: Document, *, first: bool) -> tuple[str, list[Line]]:
    """The name of a document and its lines without the title."""
    opening = next((i for i, line in enumerate(part) if line.mark), len(part))
    levels = Counter(line.level for line in part if line.level is not None)
    top = min(levels, default=-1)
    heads = [line for line in part if line.level == top and line.mark is None] if levels[top] == 1 else []
    short = [line for line in part[:opening] if line.level is None and line.short()]
    titles = [line for line in short if not re.match("[（(《]", line.text)]
    named = [line for line in titles[:8] if NAMED.search(line.text)]
    chosen = next(iter(heads or named or ([] if document.title and first else titles[:1])), None)
    name = chosen.text if chosen else document.title or PurePath(document.name).stem
    return name[:120], [line for line in part if line is not chosen]


def plan(part: list[Line]) -> Plan | None:
    """The level of this document whose units are its articles."""
    order = list(dict.fromkeys(line.mark.kind for line in part if line.mark and line.level is None))
    order = [*FIXED, "chapter", *(kind for kind in order if kind not in {*FIXED, "chapter"})]
    decimals = sorted(kind for kind in order if kind.startswith("dec"))
    order = [kind for kind in order if kind not in decimals[1:]]
    for after, kind in zip(decimals, decimals[1:], strict=False):
        order.insert(order.index(after) + 1, kind)
    total = sum(len(line.text) for line in part)
    annexes = {i for i, line in enumerate(part) if line.mark and line.mark.kind == "annex"}
    headings = {i for i, line in enumerate(part) if line.level is not None}
    above, plans = headings | annexes, {}
    for kind in order:
        on = chain(part, kind, above)
        resets = [i for i in on[1:] if (own := part[i].mark) and own.at == (1,)]
        plans[kind] = Plan(on, _containers(part, set(on), above), bool(resets))
        if kind not in _MINOR and kind != "q":
            above = above | set(on)

    def good(plan: Plan, *, least: float = 0.6, usual: range = _USUAL) -> bool:
        sizes = _sizes(part, plan)
        numbers = {own.at for i in plan.starts if (own := part[i].mark)}
        repeats = 1 < len([n for n in numbers if n]) < 0.7 * len(sizes) and part[plan.starts[0]].level is None
        return (
            len(sizes) > 1
            and (plan.restarts or not repeats)
            and sum(sizes) >= least * total
            and int(median(sizes)) in usual
        )

    if good(plans["tiao"], least=0.3, usual=_ANY):
        return plans["tiao"]
    if "q" in plans and good(plans["q"], least=0.5, usual=_ANY):
        return plans["q"]
    levels = sorted({line.level for line in part if line.level is not None}, reverse=True)
    by_level = []
    for level in levels:
        starts = [i for i in sorted(headings) if part[i].level == level]
        by_level.append(Plan(starts, {i for i in (headings | annexes) - set(starts) if (part[i].level or 0) < level}))
    headed = next((plan for plan in by_level if good(plan)), None)
    plain = [plans[kind] for kind in reversed(order) if kind not in _MINOR and kind not in {"tiao", "q"}]
    for plan in plain:
        on_headings = sum(part[i].level is not None for i in plan.starts) > len(plan.starts) / 2
        if on_headings or not good(plan):
            continue
        if not plan.restarts or (headed is None and _only_headings(part, plan) and good(plan, usual=range(40, 601))):
            return plan
    if headed:
        # some sections of a document have their numbers on headings, others in the text
        kinds = Counter(own.kind for i in headed.starts if (own := part[i].mark))
        kind, times = next(iter(kinds.most_common(1)), ("", 0))
        if times > len(headed.starts) / 2 and kind in {"article", "section", *decimals} & plans.keys() - {"dec1"}:
            starts = sorted({*headed.starts, *plans[kind].starts})
            return Plan(starts, headed.containers - set(starts))
        return headed
    for plan in [*by_level, *(p for p in plain if not p.restarts), *plain]:
        if good(plan, least=0.5, usual=range(10, 10**9)):
            return plan
    return None


def _containers(part: Sequence[Line], starts: set[int], above: set[int]) -> set[int]:
    """The lines above the articles: no headings below an article's own, no bold line inside one."""
    own = min((level for i in starts if (level := part[i].level) is not None), default=9)

    def opens(i: int) -> bool:
        level = part[i].level
        return level is None or (level < 6 and level <= own) or i + 1 in above or i + 1 in starts

    return {i for i in above - starts if opens(i)}


def _sizes(part: Sequence[Line], plan: Plan) -> list[int]:
    """Characters of each article."""
    sizes: list[int] = []
    starts, inside = set(plan.starts), False
    for i, line in enumerate(part):
        if i in starts:
            sizes.append(0)
        inside = i in starts or (inside and i not in plan.containers)
        if inside:
            sizes[-1] += len(line.text)
    return sizes


def _only_headings(part: Sequence[Line], plan: Plan) -> bool:
    """Whether the lines above the articles are mere headings, so that the articles are no sub-items of them."""
    above = [part[i] for i in plan.containers]
    return bool(above) and sum(line.short() for line in above) >= 0.7 * len(above)
