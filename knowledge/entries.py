"""Guide entries: text files that a clerk edits, versioned rows that an answer can pin."""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Integer,
    Text,
    UniqueConstraint,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlmodel import Field as SQLField
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar


class BadEntry(ValueError):
    """An entry file cannot be used. `name` is the file, `problem` says what and where."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"{name}: {problem}")


class English(BaseModel):
    """The English side of an entry."""

    model_config = ConfigDict(extra="forbid")
    title: str = ""
    question: str = ""
    answer: str = ""
    document: str = ""
    article: str = ""


class Draft(BaseModel):
    """The content of one entry, from a file or an import. `question` and `aliases` are ways to ask for it."""

    model_config = ConfigDict(extra="forbid")
    title: str = Field(min_length=1, max_length=200)
    question: str = ""
    answer: str = Field(min_length=1)
    document: str = Field(min_length=1)
    article: str = ""
    tags: list[str] = []
    valid_from: date | None = None
    valid_until: date | None = None
    aliases: list[str] = []
    en: English = English()

    def digest(self) -> str:
        """Changes when the content does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def in_force(self, day: date) -> bool:
        """Whether the entry applies on `day`, both ends inclusive."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day <= self.valid_until
        )


class Entry(Draft):
    """A draft with its key and version: what the search finds and an answer pins."""

    key: str
    version: int = 0

    def said(self, language: str) -> English:
        """Title, answer and source in `language`, falling back to Chinese where no English exists."""
        chinese = English(
            title=self.title,
            question=self.question,
            answer=self.answer,
            document=self.document,
            article=self.article,
        )
        if language != "en":
            return chinese
        return English(**{name: getattr(self.en, name) or value for name, value in chinese.model_dump().items()})


class Standing(StrEnum):
    """Whether a version is shown to customers."""

    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class GuideVersion(SQLModel, table=True):
    """One immutable version of one entry; the highest version of a key is the current one."""

    __tablename__ = "guide_version"
    __table_args__ = (
        UniqueConstraint("key", "version"),
        CheckConstraint("standing IN ('published', 'withdrawn')", name="standing_known"),
    )

    id: int | None = SQLField(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    key: str = SQLField(sa_column=Column(Text, nullable=False))
    version: int = SQLField(sa_column=Column(Integer, nullable=False))
    standing: Standing = SQLField(sa_column=Column(Text, nullable=False))
    digest: str = SQLField(sa_column=Column(Text, nullable=False))
    content: dict[str, Any] = SQLField(sa_column=Column(JSONB, nullable=False))
    valid_from: date | None = SQLField(default=None, sa_column=Column(Date))
    valid_until: date | None = SQLField(default=None, sa_column=Column(Date))
    origin: str = SQLField(sa_column=Column(Text, nullable=False, index=True))
    by: str = SQLField(sa_column=Column(Text, nullable=False))
    at: datetime = SQLField(sa_column=Column(DateTime(timezone=True), nullable=False))

    def entry(self) -> Entry:
        """The content with key and version."""
        return Entry(**self.content, key=self.key, version=self.version)


SEEDS: Final = "seed"
TOPIC: Final = "guide"  # rings when a version is written


def parse(name: str, content: str) -> Draft:
    """Read one entry file. Raises BadEntry with the line or key at fault."""
    try:
        return Draft.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise BadEntry(name, str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise BadEntry(name, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None


def seeds(folder: Traversable | None = None) -> dict[str, Draft]:
    """All entries shipped with the program, by key. Raises BadEntry."""
    folder = folder or resources.files("knowledge") / "guide"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {f.name.removesuffix(".toml"): parse(f.name, f.read_text(encoding="utf-8")) for f in files}


async def current(db: AsyncSession) -> list[GuideVersion]:
    """The current version of every key, withdrawn ones included."""
    return list((await db.exec(_newest())).all())


def _newest() -> SelectOfScalar[GuideVersion]:
    return (
        select(GuideVersion)
        .ext(distinct_on(col(GuideVersion.key)))
        .order_by(col(GuideVersion.key), col(GuideVersion.version).desc())
    )


async def published(db: AsyncSession, *, on: date) -> list[Entry]:
    """The entries customers may be told on that day, in key order.

    A version that is yet to come into force leaves the one before it standing; a withdrawal counts at once.
    """
    begun = or_(
        col(GuideVersion.standing) == Standing.WITHDRAWN,
        col(GuideVersion.valid_from).is_(None),
        col(GuideVersion.valid_from) <= on,
    )
    rows = (await db.exec(_newest().where(begun))).all()
    entries = [row.entry() for row in rows if row.standing == Standing.PUBLISHED]
    return [entry for entry in entries if entry.in_force(on)]


async def pinned(db: AsyncSession, key: str, version: int) -> Entry | None:
    """Exactly the version that an answer used."""
    query = select(GuideVersion).where(col(GuideVersion.key) == key, col(GuideVersion.version) == version)
    found = (await db.exec(query)).first()
    return found.entry() if found else None


async def compare(db: AsyncSession, drafts: dict[str, Draft], *, origin: str) -> dict[str, list[str]]:
    """What publishing a complete set would do: keys that are new, changed, unchanged, withdrawn."""
    known = {row.key: row for row in await current(db)}
    changes: dict[str, list[str]] = {"new": [], "changed": [], "unchanged": []}
    for key, draft in drafts.items():
        old = known.get(key)
        standing = old is not None and old.standing == Standing.PUBLISHED
        same = standing and old is not None and old.digest == _kept(old, draft, origin).digest()
        changes["unchanged" if same else "changed" if standing else "new"].append(key)
    gone = [row for row in known.values() if row.origin == origin and row.key not in drafts]
    return changes | {"withdrawn": [row.key for row in gone if row.standing == Standing.PUBLISHED]}


async def publish(
    db: AsyncSession, drafts: dict[str, Draft], *, origin: str, by: str, at: datetime, complete: bool = False
) -> tuple[int, int]:
    """Write new versions of changed entries. With `complete`, keys of this origin that are missing are withdrawn.

    Returns (written, withdrawn). Unchanged entries get no new version, so repeating it changes nothing.
    """
    # two processes may seed at the same time
    await db.execute(text("SELECT pg_advisory_xact_lock(hashtext('guide'))"))
    known = {row.key: row for row in await current(db)}
    written = 0
    for key, offered in drafts.items():
        old = known.get(key)
        draft = _kept(old, offered, origin)
        digest = draft.digest()
        if old and old.digest == digest and old.standing == Standing.PUBLISHED:
            continue
        # staff edits of a seeded entry stand until its file changes
        if old and origin == SEEDS and old.origin != SEEDS and await _seed_seen(db, key, digest):
            continue
        db.add(_version(key, old, draft, digest, Standing.PUBLISHED, origin, by, at))
        written += 1
    gone = [row for row in known.values() if complete and row.origin == origin and row.key not in drafts]
    gone = [row for row in gone if row.standing == Standing.PUBLISHED]
    for row in gone:
        draft = Draft(**row.content)
        db.add(_version(row.key, row, draft, row.digest, Standing.WITHDRAWN, origin, by, at))
    if written or gone:
        await ring(db)
    return written, len(gone)


async def ring(db: AsyncSession) -> None:
    """Let every running guide be built anew once this transaction commits."""
    await db.execute(text("SELECT pg_notify('greenline', :topic)"), {"topic": TOPIC})


def _kept(old: GuideVersion | None, draft: Draft, origin: str) -> Draft:
    """An imported document has no aliases: those that people have added stay with the article."""
    if origin == SEEDS or old is None or old.origin != origin or draft.aliases:
        return draft
    return draft.model_copy(update={"aliases": list(old.content.get("aliases", []))})


async def _seed_seen(db: AsyncSession, key: str, digest: str) -> bool:
    query = select(GuideVersion.id).where(col(GuideVersion.key) == key, col(GuideVersion.digest) == digest)
    return (await db.exec(query.where(col(GuideVersion.origin) == SEEDS).limit(1))).first() is not None


def _version(
    key: str,
    old: GuideVersion | None,
    draft: Draft,
    digest: str,
    standing: Standing,
    origin: str,
    by: str,
    at: datetime,
) -> GuideVersion:
    return GuideVersion(
        key=key,
        version=old.version + 1 if old else 1,
        standing=standing,
        digest=digest,
        content=json.loads(draft.model_dump_json()),
        valid_from=draft.valid_from,
        valid_until=draft.valid_until,
        origin=origin,
        by=by,
        at=at,
    )


def as_entries(drafts: dict[str, Draft]) -> list[Entry]:
    """Drafts as version 0 entries, for searching without a database."""
    return [Entry(**draft.model_dump(), key=key) for key, draft in drafts.items()]


def texts_to_ask(entry: Draft) -> Sequence[str]:
    """The Chinese ways to ask for an entry, most formal first."""
    return [t for t in dict.fromkeys([entry.question or entry.title, entry.title, *entry.aliases]) if t]


def unique(keys: Iterable[str]) -> list[str]:
    """Keys in order without repeats."""
    return list(dict.fromkeys(keys))
