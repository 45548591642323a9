"""What proves who signs in: passwords, one-time codes, and how guessing is slowed down."""

import asyncio
import base64
import hashlib
import ipaddress
import secrets
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import pyotp
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import Column, SmallInteger, Text, case, or_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from desk.columns import moment
from desk.errors import SignInLocked, WeakPassword

SHORTEST: Final = 10  # characters of a password
LONGEST: Final = 200
STEP: Final = 30  # seconds a one-time code stands for
PER_NAME: Final = 5  # wrong tries until a name is locked
PER_ADDRESS: Final = 20  # the same for one client address, which many people may share
FIRST_LOCK: Final = timedelta(minutes=1)  # doubles with every further wrong try
LONGEST_LOCK: Final = timedelta(hours=1)
FORGOTTEN: Final = timedelta(hours=24)  # wrong tries older than this no longer count


def acceptable(password: str) -> None:
    """Raises WeakPassword when it is too short, too long or a single repeated character."""
    if not SHORTEST <= len(password) <= LONGEST or len(set(password)) < 4:
        raise WeakPassword(shortest=SHORTEST)


def generated() -> str:
    """A password of 100 bits that can be read out over the phone: lower case, without look-alikes."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


class Passwords:
    """Argon2 hashes, made and checked outside the event loop. The defaults are those of pwdlib (64 MiB, 3 rounds)."""

    def __init__(self, *, rounds: int = 3, kibibytes: int = 65536, threads: int = 4) -> None:
        self._hashes = PasswordHash((Argon2Hasher(time_cost=rounds, memory_cost=kibibytes, parallelism=threads),))
        # so many at once, so that a flood of tries takes neither all memory nor all threads
        self._turn = asyncio.Semaphore(4)

    @cached_property
    def _nobody(self) -> str:
        return self._hashes.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The hash to keep. Raises WeakPassword."""
        acceptable(password)
        async with self._turn:
            return await asyncio.to_thread(self._hashes.hash, password)

    async def verify(self, password: str, kept: str | None) -> bool:
        """Whether it is the password; takes the same time when there is none (`kept` None)."""

        def work() -> bool:
            return self._hashes.verify(password[:LONGEST], kept or self._nobody) and kept is not None

        async with self._turn:
            return await asyncio.to_thread(work)


class Vault:
    """Encrypts small secrets for one purpose with the installation's key."""

    def __init__(self, secret: str, purpose: str) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=f"greenline {purpose}".encode()).derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def lock(self, plain: str) -> str:
        """The encrypted text."""
        return self._fernet.encrypt(plain.encode()).decode()

    def unlock(self, kept: str, *, within: timedelta | None = None) -> str | None:
        """The plain text; None if it was made with another key, changed, or is older than `within`."""
        try:
            return self._fernet.decrypt(kept, ttl=int(within.total_seconds()) if within else None).decode()
        except InvalidToken:
            return None


# -- one-time codes ---------------------------------------------------------------------------------------------------


def new_secret() -> str:
    """A secret to share with an authenticator app."""
    return pyotp.random_base32()


def invitation(secret: str, name: str) -> str:
    """The address behind the QR code that an authenticator app reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Greenline")


def step_of(code: str, secret: str, *, after: int | None, at: datetime) -> int | None:
    """The time step whose code this is, one step early or late included; None if wrong or not behind `after`."""
    now = int(at.timestamp()) // STEP
    code = code.replace(" ", "")
    found = None
    for step in (now - 1, now, now + 1):
        right = pyotp.utils.strings_equal(code, pyotp.HOTP(secret).at(step))
        if right and (after is None or step > after):
            found = step
    return found


# -- slowing down guesses ---------------------------------------------------------------------------------------------


class SignInTries(SQLModel, table=True):
    """Wrong tries in a row for one name or client address; `subject` is a hash: people mistype passwords there."""

    __tablename__ = "sign_in_tries"

    subject: str = Field(sa_column=Column("subject", Text, primary_key=True))
    wrong: int = Field(sa_column=Column(SmallInteger, nullable=False))
    locked_until: datetime | None = Field(default=None, sa_column=moment(nullable=True))
    at: datetime = Field(sa_column=moment())


def of_name(name: str) -> str:
    """The subject that counts tries for a name, whether anybody has it or not."""
    return hashlib.sha256(f"name:{name.strip().lower()}".encode()).hexdigest()


def of_address(address: str) -> str | None:
    """The subject that counts tries from a client address, of IPv6 from its network.

    None for this machine, where a proxy that names no client may stand for everybody.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if parsed.is_loopback:
        return None
    shared = ipaddress.ip_network((parsed, 64), strict=False) if parsed.version == 6 else parsed
    return hashlib.sha256(f"address:{shared}".encode()).hexdigest()


async def reserve(db: AsyncSession, subject: str | None, *, limit: int, at: datetime) -> bool:
    """Count a try as wrong before it is checked, so that parallel tries cannot exceed the limit.

    Must be committed before the check. True if this try locked the subject. Raises SignInLocked.
    """
    if subject is None:
        return False
    kept = SignInTries.__table__.c  # type: ignore[attr-defined]
    wrong = case((kept.at < at - FORGOTTEN, 1), else_=kept.wrong + 1)
    locks = [(wrong >= limit + power, at + min(FIRST_LOCK * 2**power, LONGEST_LOCK)) for power in range(6, -1, -1)]
    put = insert(SignInTries).values(subject=subject, wrong=1, at=at)
    put = put.on_conflict_do_update(
        index_elements=["subject"],
        set_={"wrong": wrong, "locked_until": case(*locks, else_=None), "at": at},
        where=or_(kept.locked_until.is_(None), kept.locked_until <= at),
    )
    counted = (await db.execute(put.returning(kept.wrong))).scalar()
    if counted is None:
        query = select(SignInTries.locked_until).where(col(SignInTries.subject) == subject)
        until = (await db.exec(query)).one() or at
        raise SignInLocked(retry_after=max(1, round((until - at).total_seconds())))
    return bool(counted >= limit)


async def give_back(db: AsyncSession, subject: str | None) -> None:
    """The reserved try was not wrong after all; earlier wrong ones still count."""
    back: dict[str, Any] = {"wrong": SignInTries.wrong - 1, "locked_until": None}
    await db.exec(update(SignInTries).where(col(SignInTries.subject) == subject).values(**back))


async def forgive(db: AsyncSession, subject: str) -> None:
    """Forget all wrong tries and unlock."""
    await db.exec(delete(SignInTries).where(col(SignInTries.subject) == subject))


async def locked_until(db: AsyncSession, subject: str, *, at: datetime) -> datetime | None:
    """Until when the subject is locked, if it is."""
    query = select(SignInTries.locked_until).where(col(SignInTries.subject) == subject)
    until = (await db.exec(query)).first()
    return until if until and until > at else None
