"""Which documents a project needs: a decision table, asked step by step (大客户用电申请服务指南 第四条)."""

import re
import tomllib
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from knowledge import text as normal

_CLAUSE: Final = re.compile(r"[^0-9a-z\u3400-\u9fff' ]+")
_FILLER: Final = re.compile(
    r"[的了啊呀吧呢哦噢哈嘛也都还就只和与及或]|暂时|目前|现在|我们|这边|这里|项目|里面?|两[个样种]|一[个张份]"
)
_YES: Final = re.compile(r"(?:是|有|对|嗯|好|要|需|包括|包含|含|行|可以)+")
_NO: Final = re.compile(r"(?:没有?|无|否|木有|未|不)+(?:有|是|对|要|需|包括|包含|含|用|行)*")
_ENGLISH_YES: Final = frozenset(
    re.findall(r"\w+", "yes y yeah yep yup sure correct right have has do does is are both it")
)
_ENGLISH_NO: Final = frozenset(re.findall(r"\w+", "no n nope none not don doesn isn aren neither without"))
_ENGLISH_FILLER: Final = frozenset(re.findall(r"\w+", "we there the a an any t one in our project of them yet works"))
_NAMING: Final = re.compile(
    r"我们?|这[里边个]?|是|属于|一?个|的|项目|工程|[类型吧了]|\b(?:we|are|it|is|s|an?|the|our|project)\b| "
)
_LACKING: Final = r"(?:没有?|无|不含|不包括|缺少?|without|no|not have|don t have(?: an?| the)?)"
_LACKED: Final = r"(?:没有?|还没|拿不出|提供不了|不能提供|画不出)"
_ASKED: Final = re.compile(
    r"(?:带|交|备|提供|拿|报|要|缺|需).{0,8}(?:什么|啥|哪|资料|材料|图|文件|清单|手续|东西)|(?:资料|材料|图纸|清单)"
    r"|(?:what|which).*(?:document|paper|drawing|need|bring|provide|submit)|checklist|list of documents"
)


@dataclass(frozen=True)
class Words:
    """The same in Chinese and English."""

    zh: str
    en: str

    def said(self, language: str) -> str:
        """In the language asked for."""
        return self.en if language == "en" else self.zh


@dataclass(frozen=True)
class Condition:
    """A yes-or-no question that decides about further documents."""

    ask: Words
    yes: tuple[Words, ...]
    no: tuple[Words, ...]
    about: tuple[str, ...]
    mentioned: bool  # whether naming it in a question says yes

    def answered(self, text: str) -> bool | None:
        """Yes or no as an answer to this question, in free words; None = it is something else.

        Of several clauses one yes is enough: the conditions ask whether there is any.
        """
        heard = [self._clause(part) for part in _CLAUSE.split(normal.clean(text)) if part.strip()]
        return None if not heard or None in heard else any(heard)

    def _clause(self, clause: str) -> bool | None:
        for topic in self.about:
            clause = clause.replace(topic, " ")
        if normal.has_han(clause):
            rest = _FILLER.sub("", normal.bare(clause)).replace(" ", "")
            return False if _NO.fullmatch(rest) else True if _YES.fullmatch(rest) else None
        said = set(normal.bare(clause).split()) - _ENGLISH_FILLER
        if not said or said - _ENGLISH_YES - _ENGLISH_NO:
            return None
        return not said & _ENGLISH_NO

    def told(self, text: str) -> bool | None:
        """What a question says about this condition in passing; None = nothing."""
        bare = normal.bare(normal.clean(text))
        topic = f"(?:{'|'.join(self.about)})"
        lacking = re.compile(f"{_LACKING} ?(?:{topic}[和或与]?)+|{topic}.{{0,2}}{_LACKED}")
        rest = lacking.sub("", bare)
        if re.search(topic if self.mentioned else f"(?<!没)有 ?{topic}|have an? {topic}", rest):
            return True
        return False if rest != bare else None


@dataclass(frozen=True)
class ProjectType:
    """One kind of project with its documents."""

    key: str
    name: Words
    said: tuple[str, ...]
    entries: tuple[str, ...]
    always: tuple[Words, ...]
    conditions: tuple[Condition, ...]

    def next_question(self, answers: Sized) -> Condition | None:
        """The condition still to be asked after `answers`, or None when all are known."""
        return self.conditions[len(answers)] if len(answers) < len(self.conditions) else None

    def told(self, text: str) -> list[bool]:
        """The answers that a question gives by itself, up to the first condition it leaves open."""
        answers: list[bool] = []
        for condition in self.conditions:
            told = condition.told(text)
            if told is None:
                break
            answers.append(told)
        return answers

    def documents(self, answers: Sequence[bool]) -> list[Words]:
        """Exactly the documents that apply. Raises ValueError while a condition is open or there are too many."""
        if len(answers) != len(self.conditions):
            raise ValueError("one answer per condition")
        extra = [c.yes if yes else c.no for c, yes in zip(self.conditions, answers, strict=True)]
        return [*self.always, *(words for part in extra for words in part)]


@dataclass(frozen=True)
class Checklists:
    """All project types and where the table stands in the guide."""

    document: Words
    article: Words
    application: tuple[str, ...]  # entries on the application itself: where, and what to write
    types: dict[str, ProjectType]

    def of_entry(self, entry: str) -> ProjectType | None:
        """The project type that a guide entry is about."""
        return next((t for t in self.types.values() if entry in t.entries), None)

    def chosen(self, text: str) -> ProjectType | None:
        """The project type that a text names and nothing else, as an answer to which it is."""
        found = self.named(text)
        rest = normal.bare(normal.clean(text))
        for word in sorted(found.said if found else (), key=len, reverse=True):
            rest = rest.replace(word, "")
        return None if found and _NAMING.sub("", rest).strip() else found

    def named(self, text: str) -> ProjectType | None:
        """The one project type that a text names; None when it names none or several."""
        bare = normal.bare(normal.clean(text))
        found = [t for t in self.types.values() if any(word in bare for word in t.said)]
        return found[0] if len(found) == 1 else None

    def asked_for(self, text: str) -> ProjectType | None:
        """The project type whose documents a question asks for."""
        return self.named(text) if _ASKED.search(normal.bare(normal.clean(text))) else None


@cache
def load() -> Checklists:
    """The table shipped with the program."""
    data = tomllib.loads((resources.files("knowledge") / "checklists.toml").read_text(encoding="utf-8"))
    types = [_type(row) for row in data["type"]]
    return Checklists(
        document=Words(data["document"], data["en_document"]),
        article=Words(data["article"], data["en_article"]),
        application=tuple(data["application"]),
        types={t.key: t for t in types},
    )


def _type(row: dict[str, Any]) -> ProjectType:
    return ProjectType(
        key=row["key"],
        name=Words(row["name"], row["en"]),
        said=tuple(row["said"]),
        entries=tuple(row["entries"]),
        always=_documents(row["always"]),
        conditions=tuple(
            Condition(
                Words(c["ask"], c["en"]),
                _documents(c["yes"]),
                _documents(c["no"]),
                about=tuple(c["about"]),
                mentioned=c.get("mentioned", False),
            )
            for c in row.get("condition", [])
        ),
    )


def _documents(rows: list[list[str]]) -> tuple[Words, ...]:
    return tuple(Words(zh, en) for zh, en in rows)
