"""The console of agents and the floor of supervisors: the pages, and the customer beside a conversation."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlmodel import col, select

import templates
from api.callers import Caller, requires, signed_in
from api.frame import complaint, moments, render, written
from api.pages import language_of, static
from api.services import Services, Tx, Use
from desk import access, areas, classification, customers, masks, promises, queue
from desk.areas import Area
from desk.conversations import Address, Contact, Conversation
from desk.customers import Account, AccountContact
from desk.errors import ReasonMissing, UnknownConversation
from desk.permissions import Permission
from desk.queue import QueueEntry

pages = APIRouter(include_in_schema=False)
Server = Annotated[Caller, requires(Permission.QUEUE_SERVE)]
Anybody = Annotated[Caller, signed_in]
Number = Annotated[int, Path(ge=1, lt=2**63)]
SHORT: Final = 8  # earlier matters


@pages.get("/desk")
async def console(request: Request, use: Use, caller: Anybody) -> Response:
    """Where agents work; everything in it comes by the API and the agent's stream. Others are shown their home."""
    if not caller.may(Permission.QUEUE_SERVE):
        return RedirectResponse("/desk/home" + (f"?{request.url.query}" if request.url.query else ""))
    return render(request, use, caller, "console")


@pages.get("/desk/floor")
async def floor(request: Request, use: Use, caller: Annotated[Caller, requires(Permission.FLOOR_LEAD)]) -> Response:
    """Who works, how much they have, who waits and for how long."""
    return render(request, use, caller, "floor")


@pages.get("/desk/conversations/{number}/panel")
async def panel(number: Number, request: Request, use: Use, caller: Server, db: Tx) -> Response:
    """What is known about the customer of a conversation, personal data masked; a fragment of the console."""
    return await _panel(number, request, use, caller, db)


@pages.post("/desk/conversations/{number}/panel")
async def reveal(
    number: Number, request: Request, use: Use, caller: Annotated[Caller, requires(Permission.CUSTOMERS_REVEAL)]
) -> Response:
    """The same with the personal data of one account; the look is in the access log before it leaves."""
    form = await written(request)
    reason, no = form.get("reason", ""), form.get("no", "")
    if len(reason) < 4:
        async with use.store.transaction() as db:
            return await _panel(
                number, request, use, caller, db, errors={no: complaint(request, ReasonMissing())}, typed=reason
            )
    async with use.store.transaction() as db:
        at = use.clock.now()
        await access.reveal(db, no, reason=reason, by=caller.name, role=caller.role, at=at)
    async with use.store.transaction() as db:
        return await _panel(number, request, use, caller, db, revealed=no)


async def _panel(
    number: int, request: Request, use: Services, caller: Caller, db: Tx, *, revealed: str = "",
    errors: dict[str, str] | None = None, typed: str = "",
) -> Response:  # fmt: skip
    conversation = await db.get(Conversation, number)
    if conversation is None:
        raise UnknownConversation()
    contact = await db.get(Contact, conversation.contact_id)
    assert contact is not None
    language = language_of(request)
    held = select(Account, AccountContact).join(AccountContact, col(AccountContact.account_id) == col(Account.id))
    held = held.where(col(AccountContact.contact_id) == contact.id, col(AccountContact.ended_at).is_(None))
    rows = (await db.exec(held.order_by(col(Account.id) != conversation.account_id, col(Account.id)))).all()
    holdings = [
        await _holding(db, account, link, language, revealed=account.no == revealed)
        for account, link in rows
    ]  # fmt: skip
    others = select(Conversation, Address).join(Address, col(Address.id) == col(Conversation.address_id))
    others = others.where(col(Conversation.contact_id) == contact.id).order_by(col(Conversation.id))
    talks = {talk.id or 0: address for talk, address in (await db.exec(others)).all()}
    ended = select(QueueEntry).where(col(QueueEntry.conversation_id).in_(talks), col(QueueEntry.ended_at).is_not(None))
    ended = ended.order_by(col(QueueEntry.ended_at).desc()).limit(SHORT)
    at = use.clock.now()
    promised = [each for talk in talks for each in await promises.find(db, at=at, conversation_id=talk)]
    facts: dict[str, Any] = {
        "conversation": conversation, "contact": contact, "name": masks.person(contact.name), "talks": talks,
        "phone": contact.phone if revealed else masks.phone(contact.phone), "holdings": holdings,
        "promised": promised, "matters": list((await db.exec(ended)).all()), "revealed": revealed,
        "wait": await queue.open_entry(db, number), "moment": moments(use), "mask": masks.holder, "may": caller.may,
        "static": static, "errors": errors or {}, "typed": typed, "now": at,
    }  # fmt: skip
    html = templates.page("staff/_console_panel", language, **facts)
    return HTMLResponse(html, status_code=200)


async def _holding(db: Tx, account: Account, link: AccountContact, language: str, *, revealed: bool) -> dict[str, Any]:
    """An account of the contact: tier and why, who is responsible, and its people."""
    line = await classification.line_of(db, account)
    said = templates.render_text("tier_explained", language, **classification.explain(line)) if line else ""
    query = select(Contact, AccountContact).join(AccountContact, col(AccountContact.contact_id) == col(Contact.id))
    query = query.where(col(AccountContact.account_id) == account.id, col(AccountContact.ended_at).is_(None))
    people = [
        {
            "name": person.name if revealed else masks.person(person.name),
            "phone": person.phone if revealed else masks.phone(person.phone), "role": each.role,
        }
        for person, each in (await db.exec(query.order_by(col(AccountContact.id)))).all()
    ]  # fmt: skip
    return {
        "account": account, "name": account.name if revealed else masks.holder(account.name), "how": link.how,
        "explained": said, "manager": await areas.manager_of(db, account), "people": people, "revealed": revealed,
        "area": await db.get(Area, account.area_id) if account.area_id is not None else None,
        "designation": await customers.designation(db, account),
    }  # fmt: skip
