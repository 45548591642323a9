"""Staff sign in, manage their own second factor and sessions; administrators manage staff and tokens."""

from datetime import datetime
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field, SecretStr

from api.callers import STORABLE, Caller, address_of, forget, in_person, remember, requires, same_origin, signed_in
from api.services import Services, Tx, Use
from desk import passwords, staff
from desk.errors import UnknownStaff, WrongSignIn
from desk.passwords import Passwords, Vault
from desk.permissions import ALLOWED, Level, Permission, Role
from desk.settings import secret_key
from desk.staff import ApiToken, Staff, StaffSession

router = APIRouter(prefix="/api/v1", tags=["staff"])


@cache
def _hashes() -> Passwords:
    return Passwords()


async def hashes() -> Passwords:
    """How passwords are hashed in this process."""
    return _hashes()


async def vault(use: Use) -> Vault:
    """Encrypts second factors."""
    return Vault(secret_key(use.settings), "totp")


Hashes = Annotated[Passwords, Depends(hashes)]
Codes = Annotated[Vault, Depends(vault)]
Anybody = Annotated[Caller, signed_in]
Person = Annotated[Caller, in_person]
StaffAdmin = Annotated[Caller, requires(Permission.STAFF_MANAGE)]
TokenAdmin = Annotated[Caller, requires(Permission.TOKENS_MANAGE)]
Key = Annotated[int, Path(ge=1, lt=2**62)]


class SignIn(BaseModel):
    """What proves who signs in."""

    name: str = Field(min_length=1, max_length=200, pattern=STORABLE)
    password: SecretStr = Field(max_length=1000)
    code: str = Field(default="", max_length=20)


class Me(BaseModel):
    """Who is signed in and what they may do."""

    name: str
    role: Role
    language: str | None
    permissions: list[Permission]


class StaffView(BaseModel):
    """A member of staff."""

    id: int
    name: str
    role: Role
    level: Level  # of a manager
    phone: str
    language: str
    second_factor: bool
    service: bool  # signs in through the sign-in service
    locked_until: datetime | None
    disabled_at: datetime | None
    created_at: datetime


class StaffPage(BaseModel):
    """Members of staff; `next` goes into `after`."""

    staff: list[StaffView]
    next: str | None


class NewStaff(BaseModel):
    """A member to add. Without a password one is generated and shown once; with `service` there is none."""

    name: str = Field(min_length=1, max_length=60, pattern=STORABLE)
    role: Role
    level: Level = Level.AREA
    password: SecretStr | None = Field(default=None, max_length=1000)
    service: bool = False
    subject: str | None = Field(default=None, min_length=1, max_length=255, pattern=STORABLE)
    phone: str = Field(default="", max_length=30, pattern=STORABLE)
    language: str = Field(default="zh_CN", pattern="^(zh_CN|en)$")


class NewLevel(BaseModel):
    """How far a manager answers: for areas of their own, or for the whole company."""

    level: Level


class Added(BaseModel):
    """The new member and, if it was generated, the password, which cannot be shown again."""

    staff: StaffView
    password: str | None = None


class NewPassword(BaseModel):
    """A password to set for somebody; without one it is generated and shown once."""

    password: SecretStr | None = Field(default=None, max_length=1000)


class OwnPassword(BaseModel):
    """A change of the own password."""

    current: SecretStr = Field(max_length=1000)
    password: SecretStr = Field(max_length=1000)


class Code(BaseModel):
    """Six digits from an authenticator app."""

    code: str = Field(max_length=20)


class Invitation(BaseModel):
    """For an authenticator app: the secret to type, or the address for a QR code. Confirm it with a code."""

    secret: str
    uri: str


class SessionView(BaseModel):
    """A browser that is signed in."""

    id: int
    staff_id: int
    name: str
    device: str
    address: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool


class Sessions(BaseModel):
    """Browsers that are signed in, the latest used first."""

    sessions: list[SessionView]


class TokenView(BaseModel):
    """A program's token, without its text."""

    id: int
    name: str
    role: Role
    by: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


class Tokens(BaseModel):
    """Tokens that are not revoked."""

    tokens: list[TokenView]


class NewToken(BaseModel):
    """A token to make; without days it does not expire."""

    name: str = Field(min_length=1, max_length=60, pattern=STORABLE)
    role: Role
    days: int | None = Field(default=None, ge=1, le=3660)


class MadeToken(TokenView):
    """The token with its text, which cannot be shown again."""

    token: str


# -- signing in and out -----------------------------------------------------------------------------------------------


async def enter(
    request: Request, use: Services, hashes: Passwords, vault: Vault, *, name: str, password: str, code: str = ""
) -> tuple[str, Staff]:
    """Sign in: the cookie for `remember`, and who it is.

    Raises WrongSignIn, CodeNeeded, SignInLocked, ForeignOrigin.
    """
    same_origin(request, use, silent=True)
    return await staff.sign_in(
        use.store, hashes, vault, name=name, password=password, code=code,
        address=address_of(request), device=request.headers.get("user-agent", ""), at=use.clock.now(),
    )  # fmt: skip


def _me(name: str, role: Role, language: str | None) -> Me:
    return Me(name=name, role=role, language=language, permissions=[p for p in Permission if role in ALLOWED[p]])


@router.post("/sessions", status_code=201)
async def sign_in(wanted: SignIn, request: Request, response: Response, use: Use, hashing: Hashes, codes: Codes) -> Me:
    """Sign in with name, password and, where it is set up, a code; the session is in the cookie."""
    password = wanted.password.get_secret_value()
    cookie, member = await enter(request, use, hashing, codes, name=wanted.name, password=password, code=wanted.code)
    remember(response, request, use, cookie)
    return _me(member.name, Role(member.role), member.language)


@router.get("/sessions/current")
async def me(caller: Anybody) -> Me:
    """Who is signed in."""
    return _me(caller.name, caller.role, caller.language)


@router.delete("/sessions/current", status_code=204)
async def sign_out(request: Request, response: Response, caller: Person, use: Use, db: Tx) -> None:
    """Sign out here."""
    await staff.sign_out(db, caller.session_id or 0, owner=_own(caller), by=caller.name, at=use.clock.now())
    forget(response, request, use)


def _session(session: StaffSession, member: Staff, caller: Caller) -> SessionView:
    return SessionView(**session.model_dump(), name=member.name, current=session.id == caller.session_id)


@router.get("/sessions")
async def own_sessions(caller: Person, use: Use, db: Tx) -> Sessions:
    """Where I am signed in."""
    found = await staff.sessions(db, _own(caller), at=use.clock.now())
    return Sessions(sessions=[_session(*each, caller) for each in found])


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session_id: Key, caller: Person, use: Use, db: Tx) -> None:
    """End a session of one's own."""
    await staff.sign_out(db, session_id, by=caller.name, at=use.clock.now(), owner=_own(caller))


def _own(caller: Caller) -> int:
    assert caller.staff_id is not None
    return caller.staff_id


# -- one's own password and second factor -----------------------------------------------------------------------------


@router.put("/staff/me/password", status_code=204)
async def change_password(wanted: OwnPassword, request: Request, caller: Person, use: Use, hashing: Hashes) -> None:
    """Change the own password; every other session ends."""
    own, at = _own(caller), use.clock.now()
    hashed = await hashing.hash(wanted.password.get_secret_value())
    # a stolen session must not be a way to guess the password
    await staff.count_try(use.store, caller.name, address_of(request), at=at)
    async with use.store.transaction() as db:
        kept = (await staff.member(db, own)).password
    if not await hashing.verify(wanted.current.get_secret_value(), kept):
        raise WrongSignIn()
    async with use.store.transaction() as db:
        member = await staff.member(db, own)
        await passwords.give_back(db, passwords.of_address(address_of(request)))
        await staff.set_password(db, member, hashed, by=caller.name, at=at, keep=caller.session_id)


@router.post("/staff/me/totp", status_code=201)
async def enrol(caller: Person, use: Use, db: Tx, codes: Codes) -> Invitation:
    """Begin a second factor; it counts once a code of it is confirmed."""
    member = await staff.member(db, _own(caller))
    secret = await staff.enrol(db, member, codes, by=caller.name, at=use.clock.now())
    return Invitation(secret=secret, uri=passwords.invitation(secret, member.name))


@router.post("/staff/me/totp/confirmation", status_code=204)
async def confirm(wanted: Code, request: Request, caller: Person, use: Use, codes: Codes) -> None:
    """From now on a code is asked for at every sign-in."""
    own, at = _own(caller), use.clock.now()
    await staff.count_try(use.store, caller.name, address_of(request), at=at)
    async with use.store.transaction() as db:
        await staff.confirm(db, await staff.member(db, own), wanted.code, codes, by=caller.name, at=at)
        await _forgive(db, request, caller)


@router.delete("/staff/me/totp", status_code=204)
async def drop_code(wanted: Code, request: Request, caller: Person, use: Use, codes: Codes) -> None:
    """Sign in without a code again; needs one last code."""
    own, at = _own(caller), use.clock.now()
    await staff.count_try(use.store, caller.name, address_of(request), at=at)
    async with use.store.transaction() as db:
        member = await staff.member(db, own)
        if member.totp_step is not None:
            staff.use_code(member, wanted.code, codes, at=at)
        await staff.drop_code(db, member, by=caller.name, at=at)
        await _forgive(db, request, caller)


async def _forgive(db: Tx, request: Request, caller: Caller) -> None:
    await passwords.forgive(db, passwords.of_name(caller.name))
    await passwords.give_back(db, passwords.of_address(address_of(request)))


# -- administration ---------------------------------------------------------------------------------------------------


async def _shown(db: Tx, member: Staff, use: Services) -> StaffView:
    locked = await passwords.locked_until(db, passwords.of_name(member.name), at=use.clock.now())
    return StaffView(
        id=member.id or 0, name=member.name, role=Role(member.role), level=Level(member.level), phone=member.phone,
        language=member.language, second_factor=member.totp_step is not None, service=member.password is None,
        locked_until=locked, disabled_at=member.disabled_at, created_at=member.created_at,
    )  # fmt: skip


@router.get("/staff")
async def members(
    caller: StaffAdmin, use: Use, db: Tx, after: Annotated[int, Query(ge=0, lt=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> StaffPage:  # fmt: skip
    """Everybody, disabled members too."""
    found = await staff.members(db, after=after, limit=limit)
    shown = [await _shown(db, member, use) for member in found]
    return StaffPage(staff=shown, next=str(shown[-1].id) if len(shown) == limit else None)


@router.post("/staff", status_code=201)
async def add(wanted: NewStaff, caller: StaffAdmin, use: Use, db: Tx, hashing: Hashes) -> Added:
    """Add a member."""
    made = None
    hashed = None
    if not wanted.service:
        made = passwords.generated() if wanted.password is None else None
        hashed = await hashing.hash(made or (wanted.password.get_secret_value() if wanted.password else ""))
    member = await staff.add(
        db, wanted.name, wanted.role, hashed=hashed, by=caller.name, at=use.clock.now(),
        subject=wanted.subject, phone=wanted.phone, language=wanted.language, level=wanted.level,
    )  # fmt: skip
    return Added(staff=await _shown(db, member, use), password=made)


@router.post("/staff/{staff_id}/disable")
async def disable(staff_id: Key, caller: StaffAdmin, use: Use, db: Tx) -> StaffView:
    """Nobody signs in as this member any more."""
    member = await staff.member(db, staff_id)
    await staff.disable(db, member, by=caller.name, at=use.clock.now())
    return await _shown(db, member, use)


@router.post("/staff/{staff_id}/enable")
async def enable(staff_id: Key, caller: StaffAdmin, use: Use, db: Tx) -> StaffView:
    """A disabled member may sign in again."""
    member = await staff.member(db, staff_id)
    await staff.enable(db, member, by=caller.name, at=use.clock.now())
    return await _shown(db, member, use)


@router.put("/staff/{staff_id}/level")
async def set_level(staff_id: Key, wanted: NewLevel, caller: StaffAdmin, use: Use, db: Tx) -> StaffView:
    """Let a manager answer for the whole company, or for areas of their own only."""
    member = await staff.member(db, staff_id)
    await staff.set_level(db, member, wanted.level, by=caller.name, at=use.clock.now())
    return await _shown(db, member, use)


@router.post("/staff/{staff_id}/unlock")
async def unlock(staff_id: Key, caller: StaffAdmin, use: Use, db: Tx) -> StaffView:
    """Forget wrong tries."""
    member = await staff.member(db, staff_id)
    await staff.unlock(db, member, by=caller.name, at=use.clock.now())
    return await _shown(db, member, use)


@router.post("/staff/{staff_id}/password")
async def set_password(
    staff_id: Key, wanted: NewPassword, caller: StaffAdmin, use: Use, db: Tx, hashing: Hashes
) -> Added:
    """Set somebody's password, given or generated; their sessions end."""
    made = passwords.generated() if wanted.password is None else None
    hashed = await hashing.hash(made or (wanted.password.get_secret_value() if wanted.password else ""))
    member = await staff.member(db, staff_id)
    await staff.set_password(db, member, hashed, by=caller.name, at=use.clock.now())
    return Added(staff=await _shown(db, member, use), password=made)


@router.delete("/staff/{staff_id}/totp")
async def recover(staff_id: Key, caller: StaffAdmin, use: Use, db: Tx) -> StaffView:
    """Take away the second factor of somebody who lost it; their sessions end."""
    member = await staff.member(db, staff_id)
    await staff.drop_code(db, member, by=caller.name, at=use.clock.now())
    await staff.end_sessions(db, member, at=use.clock.now())
    return await _shown(db, member, use)


@router.get("/staff/{staff_id}/sessions")
async def sessions_of(staff_id: Key, caller: StaffAdmin, use: Use, db: Tx) -> Sessions:
    """Where somebody is signed in."""
    if await db.get(Staff, staff_id) is None:
        raise UnknownStaff(name=str(staff_id))
    found = await staff.sessions(db, staff_id, at=use.clock.now())
    return Sessions(sessions=[_session(*each, caller) for each in found])


@router.delete("/staff/{staff_id}/sessions/{session_id}", status_code=204)
async def end_session_of(staff_id: Key, session_id: Key, caller: StaffAdmin, use: Use, db: Tx) -> None:
    """End somebody's session."""
    await staff.sign_out(db, session_id, by=caller.name, at=use.clock.now(), owner=staff_id)


def _token(token: ApiToken) -> TokenView:
    return TokenView.model_validate(token, from_attributes=True)


@router.get("/tokens")
async def tokens(caller: TokenAdmin, db: Tx) -> Tokens:
    """The tokens of programs."""
    return Tokens(tokens=[_token(token) for token in await staff.tokens(db)])


@router.post("/tokens", status_code=201)
async def create_token(wanted: NewToken, caller: TokenAdmin, use: Use, db: Tx) -> MadeToken:
    """Make a token; its text is in this answer and nowhere else."""
    at = use.clock.now()
    token, plain = await staff.create_token(db, wanted.name, wanted.role, by=caller.name, at=at, days=wanted.days)
    return MadeToken(**_token(token).model_dump(), token=plain)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_token(token_id: Key, caller: TokenAdmin, use: Use, db: Tx) -> None:
    """A token stops working at once."""
    await staff.revoke_token(db, token_id, by=caller.name, at=use.clock.now())
