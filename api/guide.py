"""The guide over HTTP: ask it without a conversation, read an entry as it was cited."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from api import guard
from api.chat import SourceView
from api.guard import Limited
from api.pages import language_of
from api.problems import RESPONSES
from api.services import Tx, Use
from bot import dialogue
from desk.errors import UnknownEntry
from knowledge import entries
from knowledge.search import Decision

router = APIRouter(prefix="/api/v1/guide", tags=["guide"], responses=RESPONSES)


class Question(BaseModel):
    """A question in any of the languages people type."""

    question: str = Field(min_length=1, max_length=20_000)


class MatchView(BaseModel):
    """An entry that may answer, with its share of the probability."""

    entry: str
    score: float
    title: str


class AnswerView(BaseModel):
    """What the guide says. `answer` is null unless `decision` is `answer`."""

    decision: Decision
    confidence: float
    matches: list[MatchView]
    answer: str | None
    sources: list[SourceView]


class EntryView(BaseModel):
    """One version of one entry."""

    entry: str
    version: int
    title: str
    question: str
    answer: str
    document: str
    article: str


@router.post("/questions")
async def ask(question: Question, request: Request, use: Use, limits: Limited) -> AnswerView:
    """Search the guide; no conversation is involved."""
    limits.take_from("questions", request, guard.QUESTIONS)
    language = language_of(request)
    finding = await use.mind.find(question.question)
    answered = finding.decision is Decision.ANSWER
    best = finding.matches[0].entry if answered else None
    return AnswerView(
        decision=finding.decision,
        confidence=finding.confidence,
        matches=[
            MatchView(entry=m.entry.key, score=m.score, title=m.entry.said(language).title) for m in finding.matches
        ],
        answer=best.said(language).answer.strip() if best else None,
        sources=[SourceView(**vars(dialogue.source(best, language)))] if best else [],
    )


@router.get("/entries/{key}")
async def entry(
    key: Annotated[str, Path(max_length=200, pattern=r"^[^\x00]+$")],
    request: Request,
    db: Tx,
    use: Use,
    version: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> EntryView:
    """An entry: the current version, or exactly the one that an answer cited."""
    found = await entries.pinned(db, key, version) if version else use.mind.guide.entry(key)
    if found is None:
        raise UnknownEntry(key=key)
    said = found.said(language_of(request))
    return EntryView(entry=found.key, version=found.version, **said.model_dump())
