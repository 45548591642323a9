"""How long personal data are kept, and how they are erased while the ledger stays (电力客服管理制度 第十四条).

Erasing takes away names, phones, addresses, words and files. What remains says that something was done, when and by
whom: events, deliveries, access log, tiers and purchases of an account.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, not_, or_, text
from sqlalchemy.orm import aliased
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import access, customers, erasures, events, jobs, policy
from desk.access import AccessLine
from desk.agent_messages import AgentMessage
from desk.archive_runs import ArchiveRun
from desk.attachments import Attachment, Storage
from desk.binding import BindCode, BindLink, BindTry
from desk.conversations import Address, Channel, Contact, Conversation, RecordLine, mark_unreachable
from desk.customers import Account, AccountContact, Customer
from desk.deliveries import Act, Delivery, Fate
from desk.erasures import Part
from desk.errors import UnknownContact
from desk.passwords import SignInTries
from desk.promises import Attempt, Promise
from desk.staff import StaffSession
from desk.store import Store

FORGET: Final = "forget_learned"  # the job that takes erased words off the learning list
ERASED: Final = "[…]"  # stands where words or a name stood; no language
_BATCH: Final = 200  # rows or contacts a transaction


def _spoken() -> ColumnElement[bool]:
    said: ColumnElement[bool] = col(RecordLine.body).op("?")("erased").is_(False)
    return said


async def _wipe(db: AsyncSession, lines: Sequence[int | None]) -> None:
    silent: dict[str, Any] = {"text": ERASED, "body": {"erased": True}}
    await db.exec(update(RecordLine).where(col(RecordLine.id).in_(lines)).values(**silent))
    await db.exec(update(AgentMessage).where(col(AgentMessage.line_id).in_(lines)).values(**silent))
    if lines:
        # the learning list belongs to the guide, which this package does not know
        await jobs.defer(db, FORGET, lines=[number for number in lines if number is not None])


async def _wipe_promises(db: AsyncSession, which: ColumnElement[bool]) -> None:
    silent: dict[str, Any] = {"data": {"erased": True}, "outcome": ERASED, "note": ""}
    kept = col(Promise.data).op("?")("erased").is_(False)
    await db.exec(update(Promise).where(which, kept).values(**silent))
    tries = select(Promise.id).where(which)
    await db.exec(update(Attempt).where(col(Attempt.promise_id).in_(tries)).values(note=""))


async def _drop(db: AsyncSession, storage: Storage, files: Sequence[Attachment]) -> None:
    # bytes first: if the transaction fails, doing it again finds the rows and nothing personal is left behind
    for file in files:
        await storage.delete(file.id)
        await db.delete(file)


# -- erasing ----------------------------------------------------------------------------------------------------------


async def erase_contact(
    db: AsyncSession, storage: Storage, contact_id: int, *, reason: str, by: str, at: datetime
) -> bool:
    """Erase a person: name, phone, addresses, words, files, bindings; False if nothing was left to erase.

    Whoever writes from the same chat afterwards is somebody new. Raises UnknownContact.
    """
    contact = (await db.exec(select(Contact).where(col(Contact.id) == contact_id).with_for_update())).first()
    if contact is None:
        raise UnknownContact()
    talks = select(Conversation).where(col(Conversation.contact_id) == contact_id).order_by(col(Conversation.id))
    conversations = (await db.exec(talks.with_for_update())).all()  # no message is handled meanwhile
    numbers = [conversation.id for conversation in conversations]
    spoken = select(RecordLine.id).where(col(RecordLine.conversation_id).in_(numbers), _spoken())
    lines = (await db.exec(spoken)).all()
    files = (await db.exec(select(Attachment).where(col(Attachment.conversation_id).in_(numbers)))).all()
    reached = select(Address).where(col(Address.contact_id) == contact_id)
    addresses = (await db.exec(reached.where(not_(col(Address.external_id).startswith("erased:"))))).all()
    held = select(AccountContact).where(col(AccountContact.contact_id) == contact_id)
    bindings = (await db.exec(held.where(col(AccountContact.ended_at).is_(None)))).all()
    if not (lines or files or addresses or bindings or contact.name or contact.phone):
        return False
    await _mark(db, contact, at=at)
    contact.name = contact.phone = ""
    db.add(contact)
    for conversation in conversations:
        conversation.state, conversation.account_id = {}, None
        db.add(conversation)
    await _wipe(db, lines)
    unsent = update(AgentMessage).where(col(AgentMessage.conversation_id).in_(numbers))
    await db.exec(unsent.values(text=ERASED, body={"erased": True}))
    await _wipe_promises(db, col(Promise.contact_id) == contact_id)
    for address in addresses:
        await _silence(db, address, at=at)
    for binding in bindings:
        binding.ended_at = at
        db.add(binding)
    await db.flush()
    for number in {binding.account_id for binding in bindings}:
        await _search_anew(db, await db.get_one(Account, number))
    facts = {"reason": reason, "lines": len(lines), "files": len(files), "addresses": len(addresses)}
    await _written_down(db, f"contact:{contact_id}", reason=reason, by=by, at=at, facts=facts)
    await db.flush()
    await _drop(db, storage, files)
    return True


async def erase_account(db: AsyncSession, storage: Storage, no: str, *, reason: str, by: str, at: datetime) -> bool:
    """Erase who holds an account, and the contacts who speak for no other; False if nothing was left to erase.

    Number, tier, purchases and their history stay. Raises UnknownAccount.
    """
    account = await customers.account(db, no, lock=True)
    held = select(AccountContact.contact_id).where(col(AccountContact.account_id) == account.id)
    people = set((await db.exec(held)).all())
    elsewhere = select(AccountContact.contact_id).where(col(AccountContact.contact_id).in_(people))
    elsewhere = elsewhere.where(col(AccountContact.account_id) != account.id, col(AccountContact.ended_at).is_(None))
    erased = 0
    for contact_id in sorted(people - set((await db.exec(elsewhere)).all())):
        erased += await erase_contact(db, storage, contact_id, reason=reason, by=by, at=at)
    left = select(AccountContact).where(col(AccountContact.account_id) == account.id)
    bindings = (await db.exec(left.where(col(AccountContact.ended_at).is_(None)))).all()
    for binding in bindings:  # of people who speak for other accounts too
        await _mark(db, await db.get_one(Contact, binding.contact_id), account, at=at)
        binding.ended_at = at
        db.add(binding)
    if account.name == ERASED and not account.address and not erased and not bindings:
        return False
    if account.name != ERASED:
        erasures.mark(db, account.id or 0, Part.HOLDER, account.name, at=at)
    account.name, account.initials, account.address = ERASED, "", ""
    others = select(Account.id).where(col(Account.customer_id) == account.customer_id, col(Account.id) != account.id)
    if not (await db.exec(others.where(col(Account.name) != ERASED).limit(1))).first():
        customer = await db.get_one(Customer, account.customer_id)
        customer.name, customer.initials = ERASED, ""
        db.add(customer)
    db.add(account)
    await db.flush()
    await _search_anew(db, account)
    facts = {"reason": reason, "contacts": erased}
    await _written_down(db, f"account:{account.no}", reason=reason, by=by, at=at, facts=facts)
    return True


async def _mark(db: AsyncSession, contact: Contact, account: Account | None = None, *, at: datetime) -> None:
    """Let no import bring a contact back, to this account or to any they spoke for."""
    held = select(AccountContact.account_id).where(col(AccountContact.contact_id) == contact.id)
    accounts = set((await db.exec(held)).all()) if account is None else {account.id or 0}
    for number in sorted(accounts):
        erasures.mark(db, number, Part.PHONE, contact.phone, at=at)
        erasures.mark(db, number, Part.CONTACT, contact.name, at=at)


async def _silence(db: AsyncSession, address: Address, *, at: datetime) -> None:
    """Forget where somebody was reached; what waits for them is cancelled."""
    waiting = select(Delivery).where(col(Delivery.address_id) == address.id, col(Delivery.fate) == Fate.QUEUED)
    for delivery in (await db.exec(waiting.order_by(col(Delivery.id)).with_for_update())).all():
        delivery.move(Act.CANCEL)
        delivery.settled_at, delivery.cause = at, "erased"
        db.add(delivery)
        facts = {"cause": "erased"}
        await events.record(db, "delivery.cancelled", f"delivery:{delivery.id}", by="erasure", at=at, **facts)
    for table in (BindCode, BindTry):
        await db.exec(delete(table).where(col(table.address_id) == address.id))
    await mark_unreachable(db, address, cause="erased", at=at)
    address.external_id = f"erased:{address.id}"
    db.add(address)


async def _search_anew(db: AsyncSession, account: Account) -> None:
    """Let a search find an account by what is left of it."""
    query = select(Contact).join(AccountContact, col(AccountContact.contact_id) == col(Contact.id))
    query = query.where(col(AccountContact.account_id) == account.id, col(AccountContact.ended_at).is_(None))
    left = (await db.exec(query.order_by(col(AccountContact.id)).limit(1))).first()
    customer = await db.get_one(Customer, account.customer_id)
    names = [name if name != ERASED else "" for name in (account.name, customer.name)]
    contact = (left.name, left.phone) if left else ("", "")
    name, holder = names
    account.haystack = customers.haystack(account.no, account.old_no, name, holder, account.address, *contact)
    db.add(account)


async def _written_down(
    db: AsyncSession, subject: str, *, reason: str, by: str, at: datetime, facts: dict[str, Any]
) -> None:
    await events.record(db, f"{subject.partition(':')[0]}.erased", subject, by=by, at=at, **facts)
    await access.log(db, by=by, role="", action="erase", subject=subject, reason=reason, at=at)


# -- the nightly job --------------------------------------------------------------------------------------------------


async def tidy(store: Store, storage: Storage, *, at: datetime) -> dict[str, int]:
    """Take away what the policy says has been kept long enough; how much of each kind. Again finds nothing."""
    async with store.transaction() as db:
        periods = (await policy.current(db, at=at)).retention
    before = {kind: at - timedelta(days=days) for kind, days in periods.model_dump().items()}
    done: Counter[str] = Counter()
    for kind, work in (
        ("web_chats", _tidy_visitors),
        ("record_lines", _tidy_lines),
        ("record_lines", _tidy_files),
        ("bad_rows", _tidy_imports),
    ):
        while True:
            async with store.transaction() as db:
                count = await work(db, storage, before[kind], at)
            done[kind] += count
            if count < _BATCH:
                break
    async with store.transaction() as db:
        for kind, table, old in _outlived(before):
            done[kind] += (await db.exec(delete(table).where(old))).rowcount
        parked: Any = await db.execute(_PARKED, {"before": before["parked_updates"]})
        done["parked_updates"] += parked.rowcount
        if found := {kind: count for kind, count in done.items() if count}:
            await events.record(db, "retention.tidied", "retention", by="greenline", at=at, **found)
    return found


async def _tidy_visitors(db: AsyncSession, storage: Storage, before: datetime, at: datetime) -> int:
    """Contacts who are known only from the web chat, speak for no account and have been silent since `before`."""
    talked = select(Conversation.contact_id).join(Address, col(Address.id) == col(Conversation.address_id))
    talked = talked.where(col(Address.channel) == Channel.WEB, not_(col(Address.external_id).startswith("erased:")))
    talked = talked.where(col(Conversation.created_at) < before)
    bound = select(AccountContact.contact_id).where(col(AccountContact.contact_id) == col(Conversation.contact_id))
    elsewhere = select(Address.id).where(col(Address.contact_id) == col(Conversation.contact_id))
    elsewhere = elsewhere.where(col(Address.channel) != Channel.WEB).correlate(Conversation)
    other = aliased(Conversation)
    lately = select(other.id).where(col(other.contact_id) == col(Conversation.contact_id))
    lately = lately.where(or_(col(other.created_at) >= before, col(other.last_inbound_at) >= before))
    idle = talked.where(not_(bound.exists()), not_(elsewhere.exists()), not_(lately.correlate(Conversation).exists()))
    idle = idle.order_by(col(Conversation.contact_id))
    found = (await db.exec(idle.distinct().limit(_BATCH))).all()
    for contact_id in found:
        await erase_contact(db, storage, contact_id, reason="retention", by="greenline", at=at)
    return len(found)


async def _tidy_lines(db: AsyncSession, storage: Storage, before: datetime, at: datetime) -> int:
    old = select(RecordLine.id).where(col(RecordLine.at) < before, _spoken()).order_by(col(RecordLine.id))
    found = (await db.exec(old.limit(_BATCH).with_for_update(skip_locked=True))).all()
    await _wipe(db, found)
    await _wipe_promises(db, col(Promise.ended_at) < before)
    return len(found)


async def _tidy_files(db: AsyncSession, storage: Storage, before: datetime, at: datetime) -> int:
    old = select(Attachment).where(col(Attachment.created_at) < before).order_by(col(Attachment.created_at))
    found = (await db.exec(old.limit(_BATCH).with_for_update(skip_locked=True))).all()
    await _drop(db, storage, found)
    return len(found)


async def _tidy_imports(db: AsyncSession, storage: Storage, before: datetime, at: datetime) -> int:
    """Rows that an import refused, and a file that no import ever took in; that it was imported stays."""
    begun = select(ArchiveRun).where(
        col(ArchiveRun.created_at) < before, col(ArchiveRun.report).op("?")("tidied").is_(False)
    )
    found = (await db.exec(begun.order_by(col(ArchiveRun.created_at)).limit(_BATCH).with_for_update())).all()
    for run in found:
        for number in (run.id, run.bad_rows):
            await storage.delete(number)
        run.report = {**run.report, "problems": [], "tidied": True}
        db.add(run)
    return len(found)


# the table belongs to the channel, which this package does not know
_PARKED: Final = text("DELETE FROM parked_update WHERE at < :before")


def _outlived(before: dict[str, datetime]) -> list[tuple[str, type[Any], ColumnElement[bool]]]:
    """Kinds whose rows simply go."""
    session, binding = before["sessions"], before["binding"]
    return [
        ("sessions", StaffSession, or_(col(StaffSession.expires_at) < session, col(StaffSession.revoked_at) < session)),
        ("sign_in_tries", SignInTries, col(SignInTries.at) < before["sign_in_tries"]),
        ("binding", BindLink, col(BindLink.expires_at) < binding),
        ("binding", BindCode, col(BindCode.expires_at) < binding),
        ("binding", BindTry, col(BindTry.at) < binding),
        ("access_log", AccessLine, col(AccessLine.at) < before["access_log"]),
    ]
