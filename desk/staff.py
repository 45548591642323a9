"""Members of staff, how they sign in, and the tokens of programs that act for them."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, Column, Index, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import events, passwords
from desk.columns import key, moment, one_of, ref, words
from desk.errors import (
    BadName,
    CodeNeeded,
    LastAdmin,
    MoveNotAllowed,
    NameTaken,
    NotSignedIn,
    UnknownSignIn,
    UnknownStaff,
    UnknownToken,
    UnlinkedSignIn,
    WrongRole,
    WrongSignIn,
)
from desk.passwords import Passwords, Vault
from desk.permissions import Level, Role
from desk.store import Store

IDLE: Final = timedelta(hours=12)  # a session ends when nobody used it for so long
LONGEST: Final = timedelta(days=7)  # and at the latest now
_FRESH: Final = timedelta(minutes=1)  # how exactly we note when something was used
# a colon marks programs and kinds of subjects in events
_NAME: Final = re.compile(r"(?!\s)[^:\x00-\x1f\x7f]{1,60}(?<!\s)")


class Staff(SQLModel, table=True):
    """A member of staff. `name` is what they sign in with and what the record shows."""

    __table_args__ = (
        one_of("role", Role),
        one_of("level", Level),
        Index("staff_name", text("lower(name)"), unique=True),
    )

    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=words())
    role: Role = Field(sa_column=words())
    level: Level = Field(default=Level.AREA, sa_column=words(default="area"))  # of a manager
    phone: str = Field(default="", sa_column=words(default=""))
    language: str = Field(default="zh_CN", sa_column=words(default="zh_CN"))
    password: str | None = Field(default=None, sa_column=words(nullable=True))  # argon2 hash; None = only by OIDC
    totp: str | None = Field(default=None, sa_column=words(nullable=True))  # second factor, encrypted
    # time step of the last code used, for each works once; None = the second factor is not confirmed yet
    totp_step: int | None = Field(default=None, sa_column=Column(BigInteger))
    subject: str | None = Field(default=None, sa_column=Column("subject", words().type, unique=True))  # OIDC
    created_at: datetime = Field(sa_column=moment())
    disabled_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class StaffSession(SQLModel, table=True):
    """A browser that is signed in; only the hash of its cookie is kept."""

    __tablename__ = "staff_session"

    id: int | None = Field(default=None, sa_column=key())
    staff_id: int = Field(sa_column=ref("staff.id"))
    digest: str = Field(sa_column=Column("digest", words().type, nullable=False, unique=True))
    device: str = Field(default="", sa_column=words(default=""))
    address: str = Field(default="", sa_column=words(default=""))
    created_at: datetime = Field(sa_column=moment())
    seen_at: datetime = Field(sa_column=moment())
    expires_at: datetime = Field(sa_column=moment())
    revoked_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


class ApiToken(SQLModel, table=True):
    """A program's key with a role and an expiry; only its hash is kept."""

    __tablename__ = "api_token"
    __table_args__ = (one_of("role", Role),)

    id: int | None = Field(default=None, sa_column=key())
    name: str = Field(sa_column=words())
    role: Role = Field(sa_column=words())
    digest: str = Field(sa_column=Column("digest", words().type, nullable=False, unique=True))
    by: str = Field(sa_column=words())
    created_at: datetime = Field(sa_column=moment())
    expires_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    used_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=moment(nullable=True))


def digest(secret: str) -> str:
    """What is stored of a cookie or token."""
    return hashlib.sha256(secret.encode()).hexdigest()


# -- members ----------------------------------------------------------------------------------------------------------


async def by_name(db: AsyncSession, name: str) -> Staff:
    """The member with this name, upper or lower case. Raises UnknownStaff."""
    found = (await db.exec(select(Staff).where(func.lower(col(Staff.name)) == name.strip().lower()))).first()
    if found is None:
        raise UnknownStaff(name=name)
    return found


async def member(db: AsyncSession, staff_id: int) -> Staff:
    """The member with this id, the row locked for a change. Raises UnknownStaff."""
    found = (await db.exec(select(Staff).where(col(Staff.id) == staff_id).with_for_update())).first()
    if found is None:
        raise UnknownStaff(name=str(staff_id))
    return found


async def members(db: AsyncSession, *, after: int = 0, limit: int = 200) -> list[Staff]:
    """All members behind this id, disabled ones too."""
    return list((await db.exec(select(Staff).where(col(Staff.id) > after).order_by(col(Staff.id)).limit(limit))).all())


async def add(
    db: AsyncSession, name: str, role: Role, *, hashed: str | None, by: str, at: datetime,
    subject: str | None = None, phone: str = "", language: str = "zh_CN", level: Level = Level.AREA,
) -> Staff:  # fmt: skip
    """A new member; without a password hash they sign in through the sign-in service only.

    Raises BadName, NameTaken, WrongRole when a level other than that of an area is given to anybody but a manager.
    """
    if not _NAME.fullmatch(name):
        raise BadName()
    if level != Level.AREA and role != Role.MANAGER:
        raise WrongRole(name=name)
    values = {
        "name": name, "role": role, "level": level, "password": hashed, "subject": subject, "phone": phone,
        "language": language, "created_at": at,
    }  # fmt: skip
    new = (await db.execute(insert(Staff).values(**values).on_conflict_do_nothing().returning(col(Staff.id)))).scalar()
    if new is None:
        raise NameTaken(name=name)
    await events.record(db, "staff.added", f"staff:{new}", by=by, at=at, name=name, role=role, level=level)
    return await db.get_one(Staff, new)


async def behind(db: AsyncSession, name: str, role: Role, *, at: datetime) -> Staff:
    """The member that a program's token stands for at the desk: of this name and role, or a new one without a sign-in.

    Raises NameTaken when the name belongs to somebody with another role.
    """
    query = select(Staff).where(func.lower(Staff.name) == name.lower())
    found = (await db.exec(query)).first()
    if found is None:
        return await add(db, name, role, hashed=None, by=f"token:{name}", at=at)
    if found.role != role or found.disabled_at is not None:
        raise NameTaken(name=name)
    return found


async def set_level(db: AsyncSession, member: Staff, level: Level, *, by: str, at: datetime) -> bool:
    """How far a manager answers (公司大客户管理 第五条); False when it is so already. Raises WrongRole."""
    if member.role != Role.MANAGER:
        raise WrongRole(name=member.name)
    if member.level == level:
        return False
    facts = {"before": member.level, "level": level}
    member.level = level
    db.add(member)
    await events.record(db, "staff.level_set", f"staff:{member.id}", by=by, at=at, **facts)
    return True


async def disable(db: AsyncSession, member: Staff, *, by: str, at: datetime) -> None:
    """Nobody signs in as this member any more, and every session ends. Raises LastAdmin."""
    if member.disabled_at:
        return
    # one after the other, so that two administrators cannot disable each other at once; their rows are not locked for
    # that, because the caller holds one of them already
    await db.execute(text("SELECT pg_advisory_xact_lock(hashtext('greenline last admin'))"))
    admins = select(Staff.id).where(col(Staff.role) == Role.ADMIN, col(Staff.disabled_at).is_(None))
    if list((await db.exec(admins)).all()) == [member.id]:
        raise LastAdmin()
    member.disabled_at = at
    db.add(member)
    await end_sessions(db, member, at=at)
    await events.record(db, "staff.disabled", f"staff:{member.id}", by=by, at=at, name=member.name)


async def enable(db: AsyncSession, member: Staff, *, by: str, at: datetime) -> None:
    """A disabled member may sign in again."""
    if not member.disabled_at:
        return
    member.disabled_at = None
    db.add(member)
    await events.record(db, "staff.enabled", f"staff:{member.id}", by=by, at=at, name=member.name)


async def set_password(
    db: AsyncSession, member: Staff, hashed: str, *, by: str, at: datetime, keep: int | None = None
) -> None:
    """A new password: unlocks the member and ends every session but the one to `keep`."""
    member.password = hashed
    db.add(member)
    await passwords.forgive(db, passwords.of_name(member.name))
    await end_sessions(db, member, at=at, keep=keep)
    await events.record(db, "staff.password_set", f"staff:{member.id}", by=by, at=at)


async def unlock(db: AsyncSession, member: Staff, *, by: str, at: datetime) -> None:
    """Forget the wrong tries."""
    await passwords.forgive(db, passwords.of_name(member.name))
    await events.record(db, "staff.unlocked", f"staff:{member.id}", by=by, at=at)


# -- second factor ----------------------------------------------------------------------------------------------------


async def enrol(db: AsyncSession, member: Staff, vault: Vault, *, by: str, at: datetime) -> str:
    """A secret for an authenticator app; counts once a code of it is confirmed. Raises MoveNotAllowed."""
    if member.totp_step is not None:
        raise MoveNotAllowed(state="confirmed", action="enrol")
    secret = passwords.new_secret()
    member.totp = vault.lock(secret)
    db.add(member)
    await events.record(db, "staff.totp_begun", f"staff:{member.id}", by=by, at=at)
    return secret


async def confirm(db: AsyncSession, member: Staff, code: str, vault: Vault, *, by: str, at: datetime) -> None:
    """The authenticator app works: from now on its codes are asked for. Raises WrongSignIn, MoveNotAllowed."""
    if member.totp is None or member.totp_step is not None:
        raise MoveNotAllowed(state="confirmed" if member.totp else "off", action="confirm")
    use_code(member, code, vault, at=at)
    db.add(member)
    await events.record(db, "staff.totp_on", f"staff:{member.id}", by=by, at=at)


async def drop_code(db: AsyncSession, member: Staff, *, by: str, at: datetime) -> None:
    """Sign in without a second factor again: wanted by its owner, or recovery by an administrator."""
    if member.totp is None:
        return
    member.totp = member.totp_step = None
    db.add(member)
    await events.record(db, "staff.totp_off", f"staff:{member.id}", by=by, at=at)


def use_code(member: Staff, code: str, vault: Vault, *, at: datetime) -> None:
    """Accept a code, once. Raises WrongSignIn."""
    secret = vault.unlock(member.totp or "")
    step = passwords.step_of(code, secret, after=member.totp_step, at=at) if secret else None
    if step is None:
        raise WrongSignIn()
    member.totp_step = step


# -- sessions ---------------------------------------------------------------------------------------------------------


async def sign_in(
    store: Store, hashes: Passwords, vault: Vault, *, name: str, password: str, code: str = "",
    address: str, device: str, at: datetime,
) -> tuple[str, Staff]:  # fmt: skip
    """A new session: its cookie and whose it is.

    Raises WrongSignIn without saying what was wrong, CodeNeeded, SignInLocked.
    """
    counted = await count_try(store, name, address, at=at)
    async with store.transaction() as db:
        query = select(Staff).where(func.lower(col(Staff.name)) == name.strip().lower())
        found = (await db.exec(query.where(col(Staff.disabled_at).is_(None)))).first()
    right = await hashes.verify(password, found.password if found else None)
    if not right or found is None or found.id is None:
        if found and counted:
            async with store.transaction() as db:
                await events.record(db, "staff.locked", f"staff:{found.id}", by=found.name, at=at, address=address)
        raise WrongSignIn()
    async with store.transaction() as db:
        fresh = await member(db, found.id)
        if fresh.disabled_at or fresh.password != found.password:
            raise WrongSignIn()
        if fresh.totp_step is not None and code:
            use_code(fresh, code, vault, at=at)
            db.add(fresh)
        asked = fresh.totp_step is not None and not code
        if asked:
            # a password alone must not forgive wrong codes
            await passwords.give_back(db, passwords.of_name(name))
        else:
            await passwords.forgive(db, passwords.of_name(name))
        await passwords.give_back(db, passwords.of_address(address))
        cookie = "" if asked else await open_session(db, fresh, address=address, device=device, at=at)
    if asked:
        raise CodeNeeded()
    return cookie, fresh


async def count_try(store: Store, name: str, address: str, *, at: datetime) -> bool:
    """Count a try for a name and an address before it is checked; True if it locks the name. Raises SignInLocked."""
    async with store.transaction() as db:
        locks = await passwords.reserve(db, passwords.of_name(name), limit=passwords.PER_NAME, at=at)
        await passwords.reserve(db, passwords.of_address(address), limit=passwords.PER_ADDRESS, at=at)
    return locks


async def open_session(db: AsyncSession, member: Staff, *, address: str, device: str, at: datetime) -> str:
    """A session for somebody who has proved who they are; gives its cookie."""
    assert member.id is not None
    cookie = secrets.token_urlsafe(32)
    db.add(
        StaffSession(
            staff_id=member.id, digest=digest(cookie), device=device[:200], address=address,
            created_at=at, seen_at=at, expires_at=at + LONGEST,
        )
    )  # fmt: skip
    await events.record(db, "staff.signed_in", f"staff:{member.id}", by=member.name, at=at, address=address)
    return cookie


async def recognise(db: AsyncSession, *, subject: str, name: str, roles: list[str] | None, at: datetime) -> Staff:
    """The member whom the sign-in service means; `roles` None = it does not say what they may do.

    By subject; or by name, once, for a member who was added without a password. Raises UnlinkedSignIn.
    """
    found = (await db.exec(select(Staff).where(col(Staff.subject) == subject).with_for_update())).first()
    if found is None:
        unlinked = select(Staff).where(func.lower(col(Staff.name)) == name.lower(), col(Staff.subject).is_(None))
        found = (await db.exec(unlinked.where(col(Staff.password).is_(None)).with_for_update())).first()
    if found is None or found.disabled_at:
        raise UnlinkedSignIn(name=name)
    if found.subject is None:
        found.subject = subject
        await events.record(db, "staff.linked", f"staff:{found.id}", by=found.name, at=at)
    if roles is not None:
        known = sorted({Role(role) for role in roles if role in list(Role)})
        if found.role not in known:
            if len(known) != 1:
                raise UnlinkedSignIn(name=name)
            facts = {"before": found.role, "role": known[0]}
            found.role = known[0]
            await events.record(db, "staff.role_set", f"staff:{found.id}", by=found.name, at=at, **facts)
    db.add(found)
    return found


async def of_session(db: AsyncSession, cookie: str, *, at: datetime) -> tuple[Staff, StaffSession]:
    """Who signed in with this cookie; notes that the session is in use. Raises NotSignedIn."""
    query = select(Staff, StaffSession).join(StaffSession, col(StaffSession.staff_id) == col(Staff.id))
    query = query.where(col(StaffSession.digest) == digest(cookie), col(StaffSession.revoked_at).is_(None))
    query = query.where(col(StaffSession.expires_at) > at, col(StaffSession.seen_at) > at - IDLE)
    found = (await db.exec(query.where(col(Staff.disabled_at).is_(None)))).first()
    if found is None:
        raise NotSignedIn()
    member, session = found
    if at - session.seen_at >= _FRESH:
        session.seen_at = at
        db.add(session)
    return member, session


async def sessions(db: AsyncSession, member: int | None = None, *, at: datetime) -> list[tuple[StaffSession, Staff]]:
    """Sessions that are open, of one member or of all, the most recently used first."""
    query = select(StaffSession, Staff).join(Staff, col(StaffSession.staff_id) == col(Staff.id))
    query = query.where(col(StaffSession.revoked_at).is_(None), col(StaffSession.expires_at) > at)
    query = query.where(col(StaffSession.seen_at) > at - IDLE)
    if member is not None:
        query = query.where(col(StaffSession.staff_id) == member)
    return list((await db.exec(query.order_by(col(StaffSession.seen_at).desc(), col(StaffSession.id)))).all())


async def sign_out(db: AsyncSession, session_id: int, *, owner: int, by: str, at: datetime) -> None:
    """End a session of the member `owner`. Raises UnknownSignIn."""
    query = select(StaffSession).where(col(StaffSession.id) == session_id, col(StaffSession.revoked_at).is_(None))
    found = (await db.exec(query.with_for_update())).first()
    if found is None or found.staff_id != owner:
        raise UnknownSignIn()
    found.revoked_at = at
    db.add(found)
    await events.record(db, "staff.signed_out", f"staff:{found.staff_id}", by=by, at=at)


async def end_sessions(db: AsyncSession, member: Staff, *, at: datetime, keep: int | None = None) -> None:
    """End every session of a member, but the one to `keep`."""
    ended = update(StaffSession).where(col(StaffSession.staff_id) == member.id, col(StaffSession.revoked_at).is_(None))
    await db.exec(ended.where(col(StaffSession.id).is_distinct_from(keep)).values(revoked_at=at))


async def still_in(db: AsyncSession, *, session_id: int | None, token_id: int | None, at: datetime) -> bool:
    """Whether a session or token works still; a stream that outlives one request asks again and again."""
    if token_id is not None:
        token = await db.get(ApiToken, token_id)
        return token is not None and not token.revoked_at and (not token.expires_at or token.expires_at > at)
    session = await db.get(StaffSession, session_id)
    return session is not None and not session.revoked_at and session.expires_at > at


# -- tokens of programs -----------------------------------------------------------------------------------------------


async def create_token(
    db: AsyncSession, name: str, role: Role, *, by: str, at: datetime, days: int | None = None
) -> tuple[ApiToken, str]:
    """A new token and its text, which is shown this once. Raises BadName."""
    if not _NAME.fullmatch(name):
        raise BadName()
    plain = "gl_" + secrets.token_urlsafe(32)
    expires_at = at + timedelta(days=days) if days else None
    token = ApiToken(name=name, role=role, digest=digest(plain), by=by, created_at=at, expires_at=expires_at)
    db.add(token)
    await db.flush()
    await events.record(db, "token.created", f"token:{token.id}", by=by, at=at, name=name, role=role, days=days)
    return token, plain


async def tokens(db: AsyncSession) -> list[ApiToken]:
    """All tokens that are not revoked, expired ones too."""
    query = select(ApiToken).where(col(ApiToken.revoked_at).is_(None)).order_by(col(ApiToken.id))
    return list((await db.exec(query)).all())


async def revoke_token(db: AsyncSession, token_id: int, *, by: str, at: datetime) -> None:
    """A token stops working at once. Raises UnknownToken."""
    query = select(ApiToken).where(col(ApiToken.id) == token_id, col(ApiToken.revoked_at).is_(None))
    found = (await db.exec(query.with_for_update())).first()
    if found is None:
        raise UnknownToken()
    found.revoked_at = at
    db.add(found)
    await events.record(db, "token.revoked", f"token:{token_id}", by=by, at=at, name=found.name)


async def of_token(db: AsyncSession, token: str, *, at: datetime) -> ApiToken:
    """The program behind this token; notes that it was used. Raises NotSignedIn."""
    found = (await db.exec(select(ApiToken).where(col(ApiToken.digest) == digest(token)))).first()
    if found is None or found.revoked_at or (found.expires_at and found.expires_at <= at):
        raise NotSignedIn()
    if found.used_at is None or at - found.used_at >= _FRESH:
        found.used_at = at
        db.add(found)
    return found
