"""The learning list: questions the guide could not answer, and what becomes of them, without a restart.

An item is one such question. A change is what a person makes of some items: aliases for an entry, a new entry, or
"out of scope". Every change is tried on the regression questions before anybody can publish it (`knowledge.trial`).
A learned question is what a published change leaves behind: what it must find from now on, or that it must find
nothing.
"""

import asyncio
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import numpy as np
from pydantic import ValidationError
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import Field, SQLModel, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge import encoders, entries
from knowledge import text as words
from knowledge.clusters import Said, clusters
from knowledge.encoders import Vectors, unit
from knowledge.entries import Draft, Entry, Standing
from knowledge.search import Finding

ORIGIN: Final = "learning"  # of versions of shipped entries that got aliases here, and of new entries
OPEN_AT_ONCE: Final = 5_000  # items that are grouped together, the latest first
LONGEST: Final = 500  # characters of a question that are kept
_NUMBER: Final = re.compile(r"\d(?:[ \-]?\d){5,}|[零〇一二三四五六七八九幺]{7,}")


class Why(StrEnum):
    """How a question came onto the list."""

    ABSTAINED = "abstained"  # the guide had no answer
    THIRD = "third"  # the customer chose what stood third
    MARKED = "marked"  # a member of staff said that it is not in the guide
    WRONG = "wrong"  # the customer said that nothing shown was meant


class Outcome(StrEnum):
    """What becomes of items: aliases of an entry, a new entry, or nothing the guide should know."""

    ALIAS = "alias"
    ENTRY = "entry"
    OUT_OF_SCOPE = "out_of_scope"


class Stage(StrEnum):
    """Where a change stands."""

    TRYING = "trying"
    TRIED = "tried"
    PUBLISHED = "published"
    REFUSED = "refused"


class Trouble(StrEnum):
    """Why something cannot be done."""

    UNKNOWN_ITEM = "unknown_item"
    UNKNOWN_CHANGE = "unknown_change"
    UNKNOWN_ENTRY = "unknown_entry"
    TAKEN = "taken"  # somebody has settled it, or is about to
    NOT_TRIED = "not_tried"  # the trial has not ended
    OWN_WORK = "own_work"  # a new entry needs a second pair of eyes
    BREAKS = "breaks"  # answers get worse: only a reviewer may publish that
    NO_QUESTION = "no_question"
    BAD_DRAFT = "bad_draft"
    NO_REASON = "no_reason"


class CannotLearn(ValueError):
    """Something on the learning list cannot be done. `trouble` says why, `about` which item, change or entry."""

    def __init__(self, trouble: Trouble, about: str = "") -> None:
        self.trouble, self.about = trouble, about
        super().__init__(f"{trouble}: {about}")


class LearningChange(SQLModel, table=True):
    """What somebody wants to make of some items, with what the trial on the regression questions showed."""

    __tablename__ = "learning_change"
    __table_args__ = (
        CheckConstraint(f"kind IN ({', '.join(repr(str(o)) for o in Outcome)})", name="kind_known"),
        CheckConstraint(f"stage IN ({', '.join(repr(str(s)) for s in Stage)})", name="stage_known"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    kind: Outcome = Field(sa_column=Column(Text, nullable=False))
    stage: Stage = Field(default=Stage.TRYING, sa_column=Column(Text, nullable=False))
    entry: str = Field(default="", sa_column=Column(Text, nullable=False))  # the key; of a new entry once published
    questions: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    content: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))  # of a new entry
    done: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    total: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    report: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))  # of the trial
    reason: str = Field(default="", sa_column=Column(Text, nullable=False))  # why it was refused
    by: str = Field(sa_column=Column(Text, nullable=False))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    settled_by: str | None = Field(default=None, sa_column=Column(Text))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))

    @property
    def breaks(self) -> int:
        """How many regression questions it makes worse, as far as it has been tried."""
        return len((self.report or {}).get("worse", []))


class LearningItem(SQLModel, table=True):
    """One question that the guide could not answer, or not well; numbers of six digits and more are blotted out."""

    __tablename__ = "learning_item"
    __table_args__ = (
        UniqueConstraint("line_id", "why"),
        CheckConstraint(f"why IN ({', '.join(repr(str(w)) for w in Why)})", name="why_known"),
        CheckConstraint(f"outcome IN ({', '.join(repr(str(o)) for o in Outcome)})", name="outcome_known"),
        Index("learning_item_open", "id", postgresql_where=text("settled_at IS NULL")),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    line_id: int | None = Field(default=None, sa_column=Column(BigInteger))  # of the contact record, which is not ours
    why: Why = Field(sa_column=Column(Text, nullable=False))
    question: str = Field(sa_column=Column(Text, nullable=False))
    bare: str = Field(sa_column=Column(Text, nullable=False))
    vector: bytes = Field(sa_column=Column(LargeBinary, nullable=False))  # lite, 8-bit numbers
    offered: list[tuple[str, float]] = Field(sa_column=Column(JSONB, nullable=False))  # keys and scores then
    by: str = Field(sa_column=Column(Text, nullable=False))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    remark: str = Field(default="", sa_column=Column(Text, nullable=False))
    change_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("learning_change.id"), index=True)
    )
    outcome: Outcome | None = Field(default=None, sa_column=Column(Text))
    entry: str | None = Field(default=None, sa_column=Column(Text))
    settled_by: str | None = Field(default=None, sa_column=Column(Text))
    settled_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True)))

    def said(self) -> Said:
        """As it is grouped."""
        vector: Vectors = unit(np.frombuffer(self.vector, np.int8).astype(np.float32)[None])[0]
        return Said(self.bare, vector, [(key, score) for key, score in self.offered])


class LearnedQuestion(SQLModel, table=True):
    """A question about which people have decided: the entry it must find, or None = it is out of scope."""

    __tablename__ = "learned_question"

    bare: str = Field(sa_column=Column(Text, primary_key=True))
    question: str = Field(sa_column=Column(Text, nullable=False))
    entry: str | None = Field(default=None, sa_column=Column(Text))
    by: str = Field(sa_column=Column(Text, nullable=False))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


@dataclass(frozen=True)
class Cluster:
    """Open items that ask the same, the latest first. Its key is the number of the oldest."""

    items: Sequence[LearningItem]

    @property
    def key(self) -> int:
        """Stays the same while it only grows."""
        return min(item.id or 0 for item in self.items)

    @property
    def asked_at(self) -> datetime:
        """When it was asked last."""
        return max(item.at for item in self.items)

    @property
    def offered(self) -> list[tuple[str, int]]:
        """Which entries the guide offered first, and how often."""
        first: dict[str, int] = defaultdict(int)
        for item in self.items:
            if item.offered:
                first[item.offered[0][0]] += 1
        return sorted(first.items(), key=lambda pair: -pair[1])


@dataclass(frozen=True)
class Learned:
    """What people have decided: questions of each entry, and questions that must find nothing."""

    asked: dict[str, list[str]]
    negatives: tuple[str, ...]


def masked(question: str) -> str:
    """A question on one line with numbers of telephones, accounts and the like blotted out."""
    plain = unicodedata.normalize("NFKC", " ".join(question.split()))[:LONGEST]
    return _NUMBER.sub(lambda found: "*" * len(found[0]), plain)


# -- where items come from --------------------------------------------------------------------------------------------


async def note(
    db: AsyncSession, question: str, why: Why, *, line: int | None, finding: Finding | None, by: str, at: datetime,
    remark: str = "", offered: Sequence[tuple[str, float]] = (),
) -> bool:  # fmt: skip
    """Put a question on the list with what a finding, or else `offered`, showed; again for the same line and reason
    changes nothing. False = nothing was added."""
    kept = masked(question)
    bare = words.bare(words.clean(kept))
    if not bare:
        return False
    # the search has just encoded the same text, so this is mostly a look-up
    vector = (await asyncio.to_thread(encoders.lite().encode, [bare]))[0]
    row = insert(LearningItem).values(
        line_id=line, why=why, question=kept, bare=bare, vector=np.round(vector * 127).astype(np.int8).tobytes(),
        offered=[(match.entry.key, match.score) for match in finding.matches] if finding else list(offered),
        by=by, at=at, remark=masked(remark),
    )  # fmt: skip
    added = await db.execute(row.on_conflict_do_nothing().returning(col(LearningItem.id)))
    return added.first() is not None


async def forget(db: AsyncSession, line_ids: Sequence[int]) -> int:
    """Erase the words of items that came from these lines: open ones go, of settled ones stays what was decided."""
    here = col(LearningItem.line_id).in_(line_ids)
    gone = await db.exec(delete(LearningItem).where(here, col(LearningItem.change_id).is_(None)))
    blank: dict[str, Any] = {"question": "", "bare": "", "vector": b"", "remark": "", "line_id": None}
    silent: dict[str, Any] = {"questions": [], "content": None, "report": None}
    whose = select(LearningItem.change_id).where(here)
    done = col(LearningChange.settled_at).is_not(None)
    await db.exec(update(LearningChange).where(col(LearningChange.id).in_(whose), done).values(**silent))
    blanked = await db.exec(update(LearningItem).where(here).values(**blank))
    return int(gone.rowcount + blanked.rowcount)


# -- reading ----------------------------------------------------------------------------------------------------------


async def open_items(db: AsyncSession) -> list[LearningItem]:
    """Items that nobody has dealt with, the latest first."""
    query = select(LearningItem).where(col(LearningItem.settled_at).is_(None), col(LearningItem.change_id).is_(None))
    return list((await db.exec(query.order_by(col(LearningItem.id).desc()).limit(OPEN_AT_ONCE))).all())


async def grouped(items: Sequence[LearningItem]) -> list[Cluster]:
    """Items grouped by what they ask, the largest groups first, of equal ones the latest; off the event loop."""
    groups = await asyncio.to_thread(lambda: clusters([item.said() for item in items]))
    found = [Cluster([items[place] for place in group]) for group in groups]
    return sorted(found, key=lambda cluster: (-len(cluster.items), -cluster.asked_at.timestamp()))


async def items_of(db: AsyncSession, change: LearningChange) -> list[LearningItem]:
    """The items of a change, oldest first."""
    query = select(LearningItem).where(col(LearningItem.change_id) == change.id).order_by(col(LearningItem.id))
    return list((await db.exec(query)).all())


async def change_of(db: AsyncSession, number: int, *, lock: bool = False) -> LearningChange:
    """One change. Raises CannotLearn."""
    query = select(LearningChange).where(col(LearningChange.id) == number)
    found = (await db.exec(query.with_for_update() if lock else query)).first()
    if found is None:
        raise CannotLearn(Trouble.UNKNOWN_CHANGE, str(number))
    return found


async def changes(db: AsyncSession, *, settled: bool, limit: int = 100) -> list[LearningChange]:
    """Changes that are done, the latest first, or that wait, the oldest first."""
    query = select(LearningChange).where(col(LearningChange.settled_at).is_not(None) == settled)
    order = col(LearningChange.settled_at).desc() if settled else col(LearningChange.id)
    return list((await db.exec(query.order_by(order).limit(limit))).all())


async def learned(db: AsyncSession) -> Learned:
    """Everything people have decided about questions."""
    rows = (await db.exec(select(LearnedQuestion).order_by(col(LearnedQuestion.bare)))).all()
    asked: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.entry is not None:
            asked[row.entry].append(row.question)
    return Learned(dict(asked), tuple(row.question for row in rows if row.entry is None))


# -- proposing and publishing -----------------------------------------------------------------------------------------


def cleaned(questions: Sequence[str]) -> list[str]:
    """Questions on one line each, numbers blotted out, without those that say the same once more."""
    found: dict[str, str] = {}
    for question in questions:
        kept = masked(question).strip()
        if bare := words.bare(words.clean(kept)):
            found.setdefault(bare, kept)
    return list(found.values())


async def propose(
    db: AsyncSession, kind: Outcome, items: Sequence[int], *, by: str, at: datetime, entry: str = "",
    questions: Sequence[str] = (), draft: dict[str, Any] | None = None,
) -> LearningChange:  # fmt: skip
    """Take items off the list into a change to be tried. `questions` are their words as edited, by default their own;
    `draft` is the content of a new entry. Raises CannotLearn."""
    wanted = set(items)
    query = select(LearningItem).where(col(LearningItem.id).in_(wanted)).order_by(col(LearningItem.id))
    taken = (await db.exec(query.with_for_update())).all()
    if not wanted or len(taken) != len(wanted):
        raise CannotLearn(Trouble.UNKNOWN_ITEM)
    if any(item.settled_at or item.change_id for item in taken):
        raise CannotLearn(Trouble.TAKEN)
    said = cleaned(questions or [item.question for item in taken])
    if not said:
        raise CannotLearn(Trouble.NO_QUESTION)
    if kind == Outcome.ALIAS:
        await _standing(db, entry)
    content = _content(draft or {}, said) if kind == Outcome.ENTRY else None
    change = LearningChange(
        kind=kind, entry=entry if kind == Outcome.ALIAS else "", questions=said, content=content, by=by, at=at
    )
    db.add(change)
    await db.flush()
    for item in taken:
        item.change_id = change.id
        db.add(item)
    return change


def _content(draft: dict[str, Any], questions: Sequence[str]) -> dict[str, Any]:
    stripped = {name: value.strip() if isinstance(value, str) else value for name, value in draft.items()}
    try:
        made = Draft(**{**stripped, "question": stripped.get("question") or questions[0], "aliases": list(questions)})
    except ValidationError as error:
        raise CannotLearn(Trouble.BAD_DRAFT, str(error.errors()[0]["loc"][0])) from None
    return made.model_dump(mode="json")


async def _standing(db: AsyncSession, key: str) -> entries.GuideVersion:
    found = next((row for row in await entries.current(db) if row.key == key), None)
    if found is None or found.standing != Standing.PUBLISHED:
        raise CannotLearn(Trouble.UNKNOWN_ENTRY, key)
    return found


def key_of(change: LearningChange) -> str:
    """The key of the entry that a change is about."""
    return f"learned-{change.id}" if change.kind == Outcome.ENTRY else change.entry


def with_aliases(draft: Draft, questions: Sequence[str]) -> Draft:
    """The entry with further ways to ask for it, none of them twice."""
    known = {words.bare(words.clean(t)) for t in (draft.title, draft.question, *draft.aliases)}
    new = [question for question in questions if words.bare(words.clean(question)) not in known]
    return draft.model_copy(update={"aliases": [*draft.aliases, *new]})


def changed(change: LearningChange, published: Sequence[Entry]) -> list[Entry]:
    """The guide as it would be with the change; as it is, if the entry is gone."""
    key = key_of(change)
    if change.kind == Outcome.ENTRY:
        return [*published, Entry(**(change.content or {}), key=key)]
    if change.kind == Outcome.OUT_OF_SCOPE:
        return list(published)
    return [
        Entry(**with_aliases(Draft(**entry.model_dump(exclude={"key", "version"})), change.questions).model_dump(),
              key=key, version=entry.version)
        if entry.key == key else entry
        for entry in published
    ]  # fmt: skip


async def publish(db: AsyncSession, number: int, *, by: str, at: datetime, reviewer: bool) -> LearningChange:
    """Put a tried change into force in this transaction: a new version, or learned negatives, and its items settled.

    A new entry, and a change that makes answers worse, take a reviewer; nobody reviews an entry of their own.
    Running guides follow by NOTIFY. Raises CannotLearn.
    """
    change = await _ready(db, number)
    if change.kind == Outcome.ENTRY and (change.by == by or not reviewer):
        raise CannotLearn(Trouble.OWN_WORK, str(number))
    if change.breaks and not reviewer:
        raise CannotLearn(Trouble.BREAKS, str(number))
    change.entry = key_of(change)
    if change.kind == Outcome.ENTRY:
        await entries.publish(db, {change.entry: Draft(**(change.content or {}))}, origin=ORIGIN, by=by, at=at)
    elif change.kind == Outcome.ALIAS:
        row = await _standing(db, change.entry)
        draft = with_aliases(Draft(**row.content), change.questions)
        # an imported entry stays with its document, whose next edition may withdraw it
        origin = ORIGIN if row.origin == entries.SEEDS else row.origin
        await entries.publish(db, {row.key: draft}, origin=origin, by=by, at=at)
    await _learn(db, change, by=by, at=at)
    await _settle(db, change, Stage.PUBLISHED, by=by, at=at)
    for item in await items_of(db, change):
        item.outcome, item.entry, item.settled_by, item.settled_at = change.kind, change.entry or None, by, at
        db.add(item)
    return change


async def refuse(db: AsyncSession, number: int, *, reason: str, by: str, at: datetime) -> LearningChange:
    """Give a change back with the reason; its items are on the list again. Raises CannotLearn."""
    change = await _ready(db, number, tried=False)
    if not reason.strip():
        raise CannotLearn(Trouble.NO_REASON)
    change.reason = reason.strip()
    await _settle(db, change, Stage.REFUSED, by=by, at=at)
    await db.exec(update(LearningItem).where(col(LearningItem.change_id) == number).values(change_id=None))
    return change


async def _ready(db: AsyncSession, number: int, *, tried: bool = True) -> LearningChange:
    change = await change_of(db, number, lock=True)
    if change.settled_at:
        raise CannotLearn(Trouble.TAKEN, str(number))
    if tried and change.stage != Stage.TRIED:
        raise CannotLearn(Trouble.NOT_TRIED, str(number))
    return change


async def _settle(db: AsyncSession, change: LearningChange, stage: Stage, *, by: str, at: datetime) -> None:
    change.stage, change.settled_by, change.settled_at = stage, by, at
    db.add(change)
    await db.flush()


async def _learn(db: AsyncSession, change: LearningChange, *, by: str, at: datetime) -> None:
    """Remember what these questions must find; the latest decision counts."""
    for question in change.questions:
        values = {"question": question, "entry": change.entry or None, "by": by, "at": at}
        row = insert(LearnedQuestion).values(bare=words.bare(words.clean(question)), **values)
        await db.execute(row.on_conflict_do_update(index_elements=["bare"], set_=values))
    await entries.ring(db)
