"""Which documents a project needs: a decision table, asked step by step (大客户用电申请服务指南 第四条)."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


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


@dataclass(frozen=True)
class ProjectType:
    """One kind of project with its documents."""

    key: str
    name: Words
    entries: tuple[str, ...]
    always: tuple[Words, ...]
    conditions: tuple[Condition, ...]

    def next_question(self, answers: Sequence[bool]) -> Condition | None:
        """The condition still to be asked after `answers`, or None when all are known."""
        return self.conditions[len(answers)] if len(answers) < len(self.conditions) else None

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
    types: dict[str, ProjectType]

    def of_entry(self, entry: str) -> ProjectType | None:
        """The project type that a guide entry is about."""
        return next((t for t in self.types.values() if entry in t.entries), None)


@cache
def load() -> Checklists:
    """The table shipped with the program."""
    data = tomllib.loads((resources.files("knowledge") / "checklists.toml").read_text(encoding="utf-8"))
    types = [_type(row) for row in data["type"]]
    return Checklists(
        document=Words(data["document"], data["en_document"]),
        article=Words(data["article"], data["en_article"]),
        types={t.key: t for t in types},
    )


def _type(row: dict[str, Any]) -> ProjectType:
    return ProjectType(
        key=row["key"],
        name=Words(row["name"], row["en"]),
        entries=tuple(row["entries"]),
        always=_documents(row["always"]),
        conditions=tuple(
            Condition(Words(c["ask"], c["en"]), _documents(c["yes"]), _documents(c["no"]))
            for c in row.get("condition", [])
        ),
    )


def _documents(rows: list[list[str]]) -> tuple[Words, ...]:
    return tuple(Words(zh, en) for zh, en in rows)
