"""Staff page of canned texts: what agents send often, added, changed and taken away."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ValidationError

from api.callers import Caller, requires
from api.frame import back, complaint, render, written
from api.promises import CannedIn
from api.queue import Number
from api.services import Services, Tx, Use
from desk import canned
from desk.errors import BadInput, NameTaken
from desk.permissions import Permission

pages = APIRouter(include_in_schema=False)
Server = Annotated[Caller, requires(Permission.QUEUE_SERVE)]


@pages.get("/desk/canned")
async def listed(request: Request, use: Use, caller: Server) -> Response:
    """All canned texts, and a form for one more."""
    return await _page(request, use, caller)


@pages.get("/desk/canned/{number}")
async def one(number: Number, request: Request, use: Use, caller: Server) -> Response:
    """One canned text, to be changed or taken away."""
    return await _page(request, use, caller, number)


async def _page(
    request: Request, use: Services, caller: Caller, number: int | None = None, *,
    errors: dict[str, str] | None = None, typed: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    async with use.store.transaction() as db:
        reply = await canned.reply(db, number) if number else None
        rows = await canned.replies(db) if reply is None else []
    facts = typed if typed is not None else reply.model_dump() if reply else {}
    return render(
        request, use, caller, "canned", rows=rows, reply=reply, typed=facts, errors=errors or {},
        status=422 if errors else 200,
    )  # fmt: skip


@pages.post("/desk/canned")
async def add(request: Request, use: Use, caller: Server) -> Response:
    """One more."""
    return await _put(request, use, caller)


@pages.post("/desk/canned/{number}")
async def change(number: Number, request: Request, use: Use, caller: Server) -> Response:
    """Other words, another shortcut or another language."""
    return await _put(request, use, caller, number)


async def _put(request: Request, use: Services, caller: Caller, number: int | None = None) -> Response:
    form = await written(request)
    given = {name: form.get(name, "") for name in CannedIn.model_fields}
    given["shortcut"] = given["shortcut"].removeprefix("/")  # as it is typed in the console
    given["text"] = given["text"].replace("\r\n", "\n")  # browsers end lines of a form as if it were mail
    errors: dict[str, str] = {}
    try:
        wanted = CannedIn.model_validate(given)
    except ValidationError as error:
        for found in error.errors():
            kind = "missing" if not given[str(found["loc"][0])] else found["type"]
            limit = (found.get("ctx") or {}).get("max_length")
            errors[str(found["loc"][0])] = complaint(request, BadInput(problems=[("", kind, limit)]))
    else:
        try:
            async with use.store.transaction() as db:
                at = use.clock.now()
                await canned.put(db, number, **wanted.model_dump(), by=caller.name, at=at)
        except NameTaken:
            errors["shortcut"] = "taken"
    if errors:
        return await _page(request, use, caller, number, errors=errors, typed=given)
    return back("/desk/canned", "changed" if number else "added")


@pages.post("/desk/canned/{number}/delete")
async def drop(number: Number, caller: Server, db: Tx) -> Response:
    """Take one away."""
    await canned.drop(db, number)
    return back("/desk/canned", "gone")
