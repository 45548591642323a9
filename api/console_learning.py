"""Staff pages of the learning list: what customers asked in vain, what is made of it, and who has decided."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import learning as over_http
from api.callers import Caller
from api.frame import back, complaint, render, written
from api.learning import Learner, NewChange, Number, titles, understood
from api.services import Services, Use
from desk.errors import BadInput, DeskError, UnknownQuestion
from desk.permissions import Permission
from knowledge import learning
from knowledge.learning import Cluster, LearningChange, Outcome, Stage

pages = APIRouter(include_in_schema=False)
SHOWN: Final = 50  # groups of a list, questions of a group
FIELDS: Final = ("entry", "title", "answer", "document", "article")
VIEWS: Final = ("open", "waiting", "done")
View = Annotated[str, Query(max_length=20)]


@pages.get("/desk/learning")
async def listed(request: Request, use: Use, caller: Learner, view: View = "open") -> Response:
    """Groups of open questions, changes that wait, or what is done."""
    view = view if view in VIEWS else "open"
    async with use.store.transaction() as db:
        items = await learning.open_items(db)
        waiting = await learning.changes(db, settled=False)
        done = await learning.changes(db, settled=True) if view == "done" else []
    found = await learning.grouped(items) if view == "open" else []
    keys = {key for cluster in found[:SHOWN] for key, _ in cluster.offered} | {each.entry for each in (*waiting, *done)}
    return render(
        request, use, caller, "learning", view=view, clusters=found[:SHOWN], more=max(len(found) - SHOWN, 0),
        questions=len(items), waiting=waiting, done=done, titles=titles(use, sorted(keys), request),
    )  # fmt: skip


@pages.get("/desk/learning/{number}")
async def cluster(number: Number, request: Request, use: Use, caller: Learner) -> Response:
    """One group of questions and what can be made of them."""
    return await _cluster(request, use, caller, number)


async def _cluster(
    request: Request, use: Services, caller: Caller, number: int, *, typed: dict[str, str] | None = None, **facts: Any
) -> Response:
    async with use.store.transaction() as db:
        items = await learning.open_items(db)
    groups = await learning.grouped(items)
    found = next((group for group in groups if any(item.id == number for item in group.items)), None)
    if found is None:
        raise UnknownQuestion()
    guide = use.mind.guide
    offered = [key for key, _ in found.offered if guide.entry(key)]
    keys = [*offered, *(entry.key for entry in guide.index.entries if entry.key not in offered)]
    return render(
        request, use, caller, "learning_cluster", cluster=Cluster(found.items[:SHOWN]), size=len(found.items),
        number=number, offered=offered, titles=titles(use, keys, request), typed=typed or {}, **facts,
    )  # fmt: skip


@pages.post("/desk/learning/{number}")
async def propose(number: Number, request: Request, use: Use, caller: Learner) -> Response:
    """Make something of the chosen questions; it is tried before it can be published."""
    form = await written(request)
    chosen = [name.removeprefix("item-") for name in form if name.startswith("item-")]
    items = [int(item) for item in chosen if item.isdecimal() and item.isascii() and len(item) < 19]
    kind = form.get("kind", "")
    try:
        if not items or kind not in list(Outcome):
            raise UnknownQuestion()
        said = [form[f"words-{item}"] for item in items if form.get(f"words-{item}")]
        new = NewChange(
            kind=Outcome(kind), items=items[:500], questions=said[:500],
            **{name: form.get(name, "")[:200 if name != "answer" else 20_000] for name in FIELDS},
        )  # fmt: skip
        async with use.store.transaction() as db:
            change = await over_http.propose(db, new, caller=caller, at=use.clock.now())
    except DeskError as error:
        place = str(error.facts["problems"][0][0]) if isinstance(error, BadInput) else "questions"
        errors = {place: complaint(request, error)}
        return await _cluster(request, use, caller, number, typed=form, status=422, errors=errors)
    return back(f"/desk/learning/changes/{change.id}")


@pages.get("/desk/learning/changes/{number}")
async def change(number: Number, request: Request, use: Use, caller: Learner) -> Response:
    """How far the trial of a change is, what it showed, and the decision."""
    return await _change(request, use, caller, number)


async def _change(request: Request, use: Services, caller: Caller, number: int, **facts: Any) -> Response:
    async with use.store.transaction() as db:
        with understood():
            found = await learning.change_of(db, number)
    view = over_http.shown(found)
    cases = [case for part in ("own", "worse", "better", "other") for case in getattr(view.report, part, [])]
    keys = {view.entry} | {key for case in cases for key in (*case.right, *case.before.entries, *case.after.entries)}
    named = titles(use, sorted(keys), request)
    if found.kind == Outcome.ENTRY and found.content:
        named.setdefault(learning.key_of(found), "")
        named[learning.key_of(found)] = found.content["title"]
    return render(
        request, use, caller, "learning_change", change=view, titles=named, under_way=view.stage == Stage.TRYING,
        allowed=_allowed(found, caller), mine=found.by == caller.name, **facts,
    )  # fmt: skip


def _allowed(change: LearningChange, caller: Caller) -> bool:
    """Whether this caller may publish the change as it was tried."""
    reviewer = caller.may(Permission.GUIDE_REVIEW)
    if change.kind == Outcome.ENTRY:
        return reviewer and change.by != caller.name
    return reviewer or not change.breaks


@pages.post("/desk/learning/changes/{number}/publish")
async def publish(number: Number, request: Request, use: Use, caller: Learner) -> Response:
    """Put a change into force."""
    try:
        async with use.store.transaction() as db:
            await over_http.publish(db, number, caller=caller, at=use.clock.now())
    except DeskError as error:
        return await _change(request, use, caller, number, status=409, errors={"publish": complaint(request, error)})
    return back(f"/desk/learning/changes/{number}", "published")


@pages.post("/desk/learning/changes/{number}/refuse")
async def refuse(number: Number, request: Request, use: Use, caller: Learner) -> Response:
    """Give a change back with the reason."""
    reason = (await written(request)).get("reason", "")
    try:
        async with use.store.transaction() as db:
            await over_http.refuse(db, number, reason=reason, caller=caller, at=use.clock.now())
    except DeskError as error:
        return await _change(request, use, caller, number, status=422, errors={"reason": complaint(request, error)})
    return back(f"/desk/learning/changes/{number}", "refused")
