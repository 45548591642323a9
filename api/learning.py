"""The learning list over HTTP: questions without a good answer, and what is made of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from api.callers import STORABLE, Caller, requires
from api.pages import language_of
from api.problems import RESPONSES
from api.services import Services, Tx, Use
from bot.trials import TASK
from desk import jobs
from desk.conversations import Direction, RecordLine
from desk.errors import (
    AlreadyDecided,
    BadInput,
    BreaksAnswers,
    DeskError,
    FourEyes,
    NoQuestion,
    NotPermitted,
    ReasonMissing,
    StillTrying,
    UnknownChange,
    UnknownEntry,
    UnknownQuestion,
)
from desk.permissions import Permission
from knowledge import learning
from knowledge.learning import CannotLearn, Cluster, LearningChange, LearningItem, Outcome, Stage, Trouble, Why
from knowledge.search import Decision

router = APIRouter(prefix="/api/v1/guide", tags=["guide"], responses=RESPONSES)
Finder = Annotated[Caller, requires(Permission.GUIDE_GAP)]
Learner = Annotated[Caller, requires(Permission.GUIDE_LEARN)]
Number = Annotated[int, Path(ge=1, lt=2**63)]
Words = Annotated[str, Field(max_length=2_000, pattern=STORABLE)]
ERRORS: Final[dict[Trouble, type[DeskError]]] = {
    Trouble.UNKNOWN_ITEM: UnknownQuestion,
    Trouble.UNKNOWN_CHANGE: UnknownChange,
    Trouble.TAKEN: AlreadyDecided,
    Trouble.NOT_TRIED: StillTrying,
    Trouble.OWN_WORK: FourEyes,
    Trouble.BREAKS: BreaksAnswers,
    Trouble.NO_QUESTION: NoQuestion,
    Trouble.NO_REASON: ReasonMissing,
}


class Gap(BaseModel):
    """A question that is not in the guide: a line of a conversation, or its words."""

    conversation_line: int | None = Field(default=None, ge=1, lt=2**63)
    question: Words = ""
    note: Words = ""


class Noted(BaseModel):
    """Whether it was added; it was not if the same line stands there already."""

    noted: bool


class ItemView(BaseModel):
    """One question, numbers blotted out, and the entries the guide offered then, best first."""

    id: int
    question: str
    why: Why
    remark: str
    by: str
    at: datetime
    offered: list[str]


class ClusterView(BaseModel):
    """Questions that ask the same. `key` is the number of the oldest."""

    key: int
    size: int
    asked_at: datetime
    offered: list[str]
    items: list[ItemView]


class NewChange(BaseModel):
    """What to make of some questions. `questions` are their words as edited; `entry` is for aliases, the rest for a
    new entry."""

    kind: Outcome
    items: list[Annotated[int, Field(ge=1, lt=2**63)]] = Field(min_length=1, max_length=500)
    questions: list[Words] = Field(default=[], max_length=500)
    entry: Annotated[str, Field(max_length=200, pattern=STORABLE)] = ""
    title: Annotated[str, Field(max_length=200, pattern=STORABLE)] = ""
    answer: Annotated[str, Field(max_length=20_000, pattern=STORABLE)] = ""
    document: Annotated[str, Field(max_length=200, pattern=STORABLE)] = ""
    article: Annotated[str, Field(max_length=200, pattern=STORABLE)] = ""

    def draft(self) -> dict[str, Any]:
        """The content of a new entry."""
        return {name: getattr(self, name) for name in ("title", "answer", "document", "article")}


class Shown(BaseModel):
    """What a customer would see: the decision and the entries, best first."""

    decision: Decision
    entries: list[str]


class CaseView(BaseModel):
    """A question whose answer changes; `right` are the entries that answer it, none = the guide must stay silent."""

    question: str
    right: list[str]
    before: Shown
    after: Shown


class Report(BaseModel):
    """What a trial showed; `top1` and `handled` before and after, in percent of the regression questions."""

    questions: int
    top1: tuple[float, float]
    handled: tuple[float, float]
    own: list[CaseView]
    worse: list[CaseView]
    better: list[CaseView]
    other: list[CaseView]


class ChangeView(BaseModel):
    """A change, how far its trial is, and what became of it."""

    id: int
    kind: Outcome
    stage: Stage
    entry: str
    questions: list[str]
    content: dict[str, Any] | None
    done: int
    total: int
    report: Report | None
    reason: str
    by: str
    at: datetime
    settled_by: str | None
    settled_at: datetime | None


class Refusal(BaseModel):
    """Why a change is refused."""

    reason: Words


@contextmanager
def understood() -> Iterator[None]:
    """What cannot be learned as errors of the desk."""
    try:
        yield
    except CannotLearn as error:
        if error.trouble == Trouble.UNKNOWN_ENTRY:
            raise UnknownEntry(key=error.about) from None
        if error.trouble == Trouble.BAD_DRAFT:
            raise BadInput(problems=[(error.about, "missing", None)]) from None
        raise ERRORS[error.trouble]() from None


async def propose(db: Tx, new: NewChange, *, caller: Caller, at: datetime) -> LearningChange:
    """A change, and the job that tries it, in one transaction. Raises DeskError."""
    with understood():
        change = await learning.propose(
            db, new.kind, new.items, by=caller.name, at=at, entry=new.entry, questions=new.questions, draft=new.draft()
        )
    await jobs.defer(db, TASK, change=change.id)
    return change


async def publish(db: Tx, number: int, *, caller: Caller, at: datetime) -> LearningChange:
    """Put a tried change into force. Raises DeskError."""
    with understood():
        return await learning.publish(
            db, number, by=caller.name, at=at, reviewer=caller.may(Permission.GUIDE_REVIEW)
        )  # fmt: skip


async def refuse(db: Tx, number: int, *, reason: str, caller: Caller, at: datetime) -> LearningChange:
    """Give a change back: a reviewer any, everybody their own. Raises DeskError."""
    with understood():
        change = await learning.change_of(db, number, lock=True)
        if change.by != caller.name and not caller.may(Permission.GUIDE_REVIEW):
            raise NotPermitted(permission=Permission.GUIDE_REVIEW)
        return await learning.refuse(db, number, reason=reason, by=caller.name, at=at)


def _item(item: LearningItem) -> ItemView:
    plain = {name: getattr(item, name) for name in ItemView.model_fields if name != "offered"}
    return ItemView(**plain, offered=[key for key, _ in item.offered])


def _cluster(cluster: Cluster) -> ClusterView:
    offered, items = [key for key, _ in cluster.offered], [_item(item) for item in cluster.items]
    return ClusterView(key=cluster.key, size=len(items), asked_at=cluster.asked_at, offered=offered, items=items)


def shown(change: LearningChange) -> ChangeView:
    """A change as it is shown."""
    return ChangeView.model_validate({name: getattr(change, name) for name in ChangeView.model_fields})


@router.post("/gaps", status_code=201)
async def gap(new: Gap, caller: Finder, use: Use, db: Tx) -> Noted:
    """Say that a question is not in the guide. Give a line that a customer wrote, or the question itself."""
    question, at = new.question, use.clock.now()
    if new.conversation_line is not None:
        line = await db.get(RecordLine, new.conversation_line)
        if line is None or line.direction != Direction.IN or not line.text.strip():
            raise UnknownQuestion()
        question = question or line.text
    finding = await use.mind.find(question) if question.strip() else None
    noted = await learning.note(
        db, question, Why.MARKED, line=new.conversation_line, finding=finding, by=caller.name, at=at, remark=new.note
    )
    if not noted and new.conversation_line is None:
        raise NoQuestion()
    return Noted(noted=noted)


@router.get("/learning")
async def listed(caller: Learner, use: Use, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> list[ClusterView]:
    """Open questions, grouped by what they ask, the largest groups first."""
    async with use.store.transaction() as db:
        items = await learning.open_items(db)
    return [_cluster(cluster) for cluster in (await learning.grouped(items))[:limit]]


@router.post("/learning/changes", status_code=202)
async def begin(new: NewChange, caller: Learner, use: Use, db: Tx) -> ChangeView:
    """Take questions off the list into a change, which is then tried on the regression questions."""
    return shown(await propose(db, new, caller=caller, at=use.clock.now()))


@router.get("/learning/changes")
async def waiting(caller: Learner, db: Tx, settled: bool = False) -> list[ChangeView]:
    """Changes that wait, the oldest first, or that are done, the latest first; at most a hundred."""
    return [shown(change) for change in await learning.changes(db, settled=settled)]


@router.get("/learning/changes/{number}")
async def one(number: Number, caller: Learner, db: Tx) -> ChangeView:
    """How far the trial of a change is, and what it showed."""
    with understood():
        return shown(await learning.change_of(db, number))


@router.post("/learning/changes/{number}/publish")
async def put_into_force(number: Number, caller: Learner, use: Use, db: Tx) -> ChangeView:
    """Publish a tried change; running guides follow within seconds."""
    return shown(await publish(db, number, caller=caller, at=use.clock.now()))


@router.post("/learning/changes/{number}/refuse")
async def give_back(number: Number, why: Refusal, caller: Learner, use: Use, db: Tx) -> ChangeView:
    """Refuse a change with the reason; its questions are on the list again."""
    return shown(await refuse(db, number, reason=why.reason, caller=caller, at=use.clock.now()))


def titles(use: Services, keys: Sequence[str], request: Request) -> dict[str, str]:
    """What entries are called in the reader's language; a key that is gone is its own title."""
    language = language_of(request)
    found = {key: use.mind.guide.entry(key) for key in keys}
    return {key: entry.said(language).title if entry else key for key, entry in found.items()}
