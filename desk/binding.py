"""Binding a chat to an account: by one-time link, by code to the registered phone, or by name and last digits.

Nothing it says tells whether an account exists (电力客服管理制度 第十四条). Wrong tries are answered, not raised, so
that the transaction that counts them commits.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Column, SmallInteger, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import access, events, jobs
from desk.columns import key, moment, ref, words
from desk.conversations import Address, Contact, Conversation
from desk.customers import Account, AccountContact, Customer, How, Standing, account
from desk.errors import UnknownAccount

HOURS: Final = 72  # a link works so long unless staff say otherwise
CODE_LASTS: Final = timedelta(minutes=10)
CODE_TRIES: Final = 5
WRONG: Final = (5, timedelta(hours=1))  # tries of one chat address
ASKED: Final = (5, timedelta(hours=1))  # codes that one chat address may ask for
CLAIMED: Final = (10, timedelta(days=1))  # tries and codes for one claimed number, whoever makes them
SEND: Final = "send_bind_code"  # the job that makes a code and sends it
REQUEST: Final = "request"  # a code asked for: counted beside the wrong tries, but none itself
_MOBILE: Final = re.compile(r"(?:\+?86)?1[3-9]\d{9}")


class Proof(StrEnum):
    """What became of a try to prove that somebody speaks for an account."""

    BOUND = "bound"
    ASKED = "asked"  # a code is on its way, if there is anywhere to send it
    WRONG = "wrong"
    THROTTLED = "throttled"


class BindLink(SQLModel, table=True):
    """A one-time deep link made by staff; only its hash is kept."""

    __tablename__ = "bind_link"

    id: int | None = Field(default=None, sa_column=key())
    digest: str = Field(sa_column=Column("digest", words().type, nullable=False, unique=True))
    account_id: int = Field(sa_column=ref("account.id"))
    by: str = Field(sa_column=words())
    created_at: datetime = Field(sa_column=moment())
    expires_at: datetime = Field(sa_column=moment())
    used_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    used_by: int | None = Field(default=None, sa_column=ref("contact.id", index=False, nullable=True))


class BindCode(SQLModel, table=True):
    """A one-time code on its way to a registered phone; `account_id` is None when nothing was sent."""

    __tablename__ = "bind_code"

    id: int | None = Field(default=None, sa_column=key())
    address_id: int = Field(sa_column=ref("address.id"))
    account_id: int | None = Field(default=None, sa_column=ref("account.id", nullable=True))
    digest: str = Field(sa_column=words())
    tries: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default=text("0")))
    created_at: datetime = Field(sa_column=moment())
    expires_at: datetime = Field(sa_column=moment())
    used_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class BindTry(SQLModel, table=True):
    """One wrong try, counted per chat address and per claimed number (its hash), to slow guessing down."""

    __tablename__ = "bind_try"

    id: int | None = Field(default=None, sa_column=key())
    address_id: int = Field(sa_column=ref("address.id"))
    claimed: str = Field(sa_column=Column("claimed", words().type, nullable=False, index=True))
    how: str = Field(sa_column=words())
    at: datetime = Field(sa_column=moment())


def normal_no(said: str) -> str | None:
    """The account number in what somebody typed: full width, spaces and hyphens do not matter. None = there is none."""
    joined = re.sub(r"(?<=\d)[\s\-_.·]+(?=\d)", "", unicodedata.normalize("NFKC", said))
    found = re.findall(r"(?<!\d)\d{10,16}(?!\d)", joined)
    return found[0] if len(set(found)) == 1 else None


# -- by link ----------------------------------------------------------------------------------------------------------


async def make_link(
    db: AsyncSession, account: Account, *, by: str, at: datetime, hours: int = HOURS
) -> tuple[BindLink, str]:
    """A link that binds one chat to this account, and its token: 43 of A-Z a-z 0-9 _ -, shown this once only."""
    assert account.id is not None
    token = secrets.token_urlsafe(32)
    expires = at + timedelta(hours=hours)
    link = BindLink(digest=_hash(token), account_id=account.id, by=by, created_at=at, expires_at=expires)
    db.add(link)
    await db.flush()
    await events.record(
        db, "account.link_made", f"account:{account.no}", by=by, at=at, link=link.id, expires_at=expires.isoformat()
    )
    return link, token


async def use_link(db: AsyncSession, address: Address, token: str, *, at: datetime) -> tuple[Proof, Account | None]:
    """Bind the chat to the account of a link. Of two who use it at once one wins; the same person may use it again.

    Never throttled, for nobody guesses 256 bits; a wrong one is written down all the same.
    """
    digest = _hash(token)
    used = update(BindLink).where(col(BindLink.digest) == digest, col(BindLink.used_at).is_(None))
    used = used.where(col(BindLink.expires_at) > at).values(used_at=at, used_by=address.contact_id)
    number = (await db.exec(used.returning(col(BindLink.account_id)))).scalar()
    if number is None:
        again = select(BindLink.account_id).where(col(BindLink.digest) == digest)
        again = again.where(col(BindLink.used_by) == address.contact_id, col(BindLink.expires_at) > at)
        number = (await db.exec(again)).first()
        mine = {held.id for held in await accounts_of(db, address.contact_id)}
        if number not in mine:  # also when it was unbound since: a link works once
            await _count(db, address, digest, How.LINK, at)
            await _write_down(db, address, How.LINK, Proof.WRONG, subject=f"address:{address.id}", at=at)
            return Proof.WRONG, None
    return Proof.BOUND, await _bind(db, address, await db.get_one(Account, number), How.LINK, at=at)


# -- by code ----------------------------------------------------------------------------------------------------------


async def start_code(db: AsyncSession, address: Address, no: str, *, at: datetime) -> Proof:
    """Have a code sent to the phone that is registered for this number: ASKED or THROTTLED.

    Whether there is such an account, or a phone, is looked up by the job, so that neither the answer nor the time it
    takes depends on it.
    """
    if await _too_many(db, address, no, at=at, asking=True):
        return await _throttled(db, address, How.CODE, no, at=at)
    assert address.id is not None
    await _count(db, address, _hash(no), REQUEST, at)
    code = BindCode(address_id=address.id, digest="", created_at=at, expires_at=at + CODE_LASTS)
    db.add(code)
    await db.flush()
    await events.record(db, "binding.code_asked", f"address:{address.id}", by="customer", at=at)
    await jobs.defer(db, SEND, code=code.id, no=no)
    return Proof.ASKED


async def make_code(db: AsyncSession, number: int, no: str, *, at: datetime) -> tuple[str, str] | None:
    """What the job does: phone and digits of a code that was asked for. None = nobody gets one.

    Doing it again makes another code, which takes the place of the first.
    """
    code = (await db.exec(select(BindCode).where(col(BindCode.id) == number).with_for_update())).first()
    if code is None or code.used_at or code.expires_at <= at:
        return None
    held = await _supplied(db, no)
    phones = [phone for phone in await registered_phones(db, held) if _MOBILE.fullmatch(phone)]
    if held is None or not phones:
        return None
    digits = f"{secrets.randbelow(1_000_000):06}"
    code.account_id, code.digest = held.id, _hash(f"{code.id}:{digits}")
    db.add(code)
    return phones[0], digits


async def confirm_code(
    db: AsyncSession, address: Address, no: str, digits: str, *, at: datetime
) -> tuple[Proof, Account | None]:
    """Bind the chat if these are the digits of the latest code that it asked for: BOUND, WRONG or THROTTLED."""
    if await _too_many(db, address, no, at=at):
        return await _throttled(db, address, How.CODE, no, at=at), None
    latest = select(BindCode).where(col(BindCode.address_id) == address.id).order_by(col(BindCode.id).desc()).limit(1)
    code = (await db.exec(latest.with_for_update())).first()
    alive = code is not None and code.used_at is None and code.expires_at > at and code.tries < CODE_TRIES
    right = hmac.compare_digest(code.digest if code else "", _hash(f"{code.id if code else 0}:{digits}"))
    if code and alive and right and code.account_id is not None:
        code.used_at = at
        db.add(code)
        return Proof.BOUND, await _bind(db, address, await db.get_one(Account, code.account_id), How.CODE, at=at)
    if code:
        code.tries += 1
        db.add(code)
    return await _wrong(db, address, How.CODE, no, at=at), None


# -- by name and last digits ------------------------------------------------------------------------------------------


async def prove_by_name(
    db: AsyncSession, address: Address, no: str, name: str, last4: str, *, at: datetime
) -> tuple[Proof, Account | None]:
    """Bind the chat if number, registered name and the end of a registered phone belong together.

    BOUND, WRONG or THROTTLED; the same queries run whether or not there is such an account.
    """
    if await _too_many(db, address, no, at=at):
        return await _throttled(db, address, How.NAME, no, at=at), None
    held = await _supplied(db, no)
    customer = await db.get(Customer, held.customer_id if held else 0)
    phones = await registered_phones(db, held)
    known = {_plain(held.name if held else ""), _plain(customer.name if customer else "")} - {""}
    named, ended = _plain(name) in known, last4 in {phone[-4:] for phone in phones}
    if held and named and ended:
        return Proof.BOUND, await _bind(db, address, held, How.NAME, at=at)
    return await _wrong(db, address, How.NAME, no, at=at), None


# -- what a contact speaks for ----------------------------------------------------------------------------------------


async def accounts_of(db: AsyncSession, contact_id: int) -> list[Account]:
    """The accounts that a contact speaks for, in the order of binding."""
    query = select(Account).join(AccountContact, col(AccountContact.account_id) == col(Account.id))
    query = query.where(col(AccountContact.contact_id) == contact_id, col(AccountContact.ended_at).is_(None))
    return list((await db.exec(query.order_by(col(AccountContact.id)))).all())


def current(conversation: Conversation, bound: Sequence[Account]) -> Account | None:
    """The account talked about: the one that was chosen, if it is still bound, or else the latest."""
    chosen = (held for held in bound if held.id == conversation.account_id)
    return next(chosen, bound[-1] if bound else None)


async def choose(db: AsyncSession, conversation: Conversation, account: Account, *, at: datetime) -> None:
    """Talk about this account from now on. Raises UnknownAccount when the contact does not speak for it."""
    if account.id not in {held.id for held in await accounts_of(db, conversation.contact_id)}:
        raise UnknownAccount()
    if conversation.account_id == account.id:
        return
    conversation.account_id = account.id
    db.add(conversation)
    subject = f"conversation:{conversation.id}"
    await events.record(db, "conversation.account_chosen", subject, by="customer", at=at, account=account.no)


async def unbind(db: AsyncSession, account: Account, contact_id: int, *, by: str, at: datetime) -> bool:
    """End that a contact speaks for an account, and forget it as the one talked about; False when it was not bound."""
    ended = update(AccountContact).where(col(AccountContact.account_id) == account.id)
    ended = ended.where(col(AccountContact.contact_id) == contact_id, col(AccountContact.ended_at).is_(None))
    if not (await db.exec(ended.values(ended_at=at))).rowcount:
        return False
    talked = update(Conversation).where(col(Conversation.contact_id) == contact_id)
    await db.exec(talked.where(col(Conversation.account_id) == account.id).values(account_id=None))
    await events.record(db, "account.unbound", f"account:{account.no}", by=by, at=at, contact=contact_id)
    return True


async def _bind(db: AsyncSession, address: Address, account: Account, how: How, *, at: datetime) -> Account:
    values = {"account_id": account.id, "contact_id": address.contact_id, "how": how, "since": at}
    made = insert(AccountContact).values(**values).on_conflict_do_nothing().returning(col(AccountContact.id))
    if (await db.execute(made)).scalar() is not None:
        facts = {"contact": address.contact_id, "how": how}
        await events.record(db, "account.bound", f"account:{account.no}", by="customer", at=at, **facts)
    return account


# -- slowing down who guesses -----------------------------------------------------------------------------------------


async def _too_many(db: AsyncSession, address: Address, no: str, *, at: datetime, asking: bool = False) -> bool:
    """Whether this chat or this number has had its tries. Whoever asks holds both until the transaction ends."""
    for name in (f"bind:address:{address.id}", f"bind:number:{_hash(no)}"):  # always in this order
        await db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
    mine, request = col(BindTry.address_id) == address.id, col(BindTry.how) == REQUEST
    limits = [((mine, ~request), WRONG), ((col(BindTry.claimed) == _hash(no),), CLAIMED)]
    if asking:
        limits.append(((mine, request), ASKED))
    too_many = False
    for conditions, (most, within) in limits:
        query = select(func.count(col(BindTry.id))).where(*conditions, col(BindTry.at) > at - within)
        too_many |= (await db.exec(query)).one() >= most
    return too_many


async def _count(db: AsyncSession, address: Address, claimed: str, how: str, at: datetime) -> None:
    assert address.id is not None
    db.add(BindTry(address_id=address.id, claimed=claimed, how=how, at=at))
    await db.flush()


async def _wrong(db: AsyncSession, address: Address, how: How, no: str, *, at: datetime) -> Proof:
    await _count(db, address, _hash(no), how, at)
    return await _write_down(db, address, how, Proof.WRONG, subject=f"account:{no}", at=at)


async def _throttled(db: AsyncSession, address: Address, how: How, no: str, *, at: datetime) -> Proof:
    return await _write_down(db, address, how, Proof.THROTTLED, subject=f"account:{no}", at=at)


async def _write_down(
    db: AsyncSession, address: Address, how: How, proof: Proof, *, subject: str, at: datetime
) -> Proof:
    """The access log names what was claimed, as it was typed; the event, which others may read, does not."""
    who = f"address:{address.id}"
    await access.log(db, by=who, role="customer", action=f"binding.{how}", subject=subject, reason=proof, at=at)
    await events.record(db, f"binding.{proof}", who, by="customer", at=at, how=how)
    return proof


# -- the archive's side -----------------------------------------------------------------------------------------------


async def _supplied(db: AsyncSession, no: str) -> Account | None:
    try:
        held = await account(db, no)
    except UnknownAccount:
        return None
    return held if held.standing == Standing.ACTIVE else None


async def registered_phones(db: AsyncSession, account: Account | None) -> list[str]:
    """The phones that the archive has for an account; those of people who bound a chat prove nothing."""
    query = select(Contact.phone).join(AccountContact, col(AccountContact.contact_id) == col(Contact.id))
    query = query.where(col(AccountContact.account_id) == (account.id if account else 0), col(Contact.phone) != "")
    query = query.where(col(AccountContact.how) == How.ARCHIVE, col(AccountContact.ended_at).is_(None))
    return [re.sub(r"\D", "", phone) for phone in (await db.exec(query.order_by(col(AccountContact.id)))).all()]


def _plain(name: str) -> str:
    """A name as it is compared: width, case, spaces and marks do not matter."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name)).casefold()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
