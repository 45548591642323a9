"""Members of staff, wrong tries, one-time codes, sessions and tokens, on the real database."""

import asyncio
import json
from datetime import timedelta

import pyotp
import pytest

from desk import events, passwords, staff
from desk.errors import (
    BadName,
    CodeNeeded,
    DeskError,
    LastAdmin,
    MoveNotAllowed,
    NameTaken,
    NotSignedIn,
    SignInLocked,
    UnknownSignIn,
    UnknownStaff,
    UnknownToken,
    UnlinkedSignIn,
    WeakPassword,
    WrongSignIn,
)
from desk.passwords import Passwords, Vault
from desk.permissions import Role
from desk.staff import Staff
from desk.store import Store
from tests.conftest import SetClock

RIGHT = "correct horse battery"
VAULT = Vault("a secret of this test", "totp")


@pytest.fixture
def hashes() -> Passwords:
    """Argon2 with parameters that cost nothing."""
    return Passwords(rounds=1, kibibytes=8, threads=1)


class Desk:
    """Short words for what every test does."""

    def __init__(self, store: Store, clock: SetClock, hashes: Passwords) -> None:
        self.store, self.clock, self.hashes = store, clock, hashes

    async def hire(self, name: str, role: Role = Role.AGENT, *, password: str | None = RIGHT) -> Staff:
        hashed = await self.hashes.hash(password) if password else None
        async with self.store.transaction() as db:
            return await staff.add(db, name, role, hashed=hashed, by="test", at=self.clock.now())

    async def enters(
        self, name: str = "林岚", password: str = RIGHT, code: str = "", *, address: str = "192.0.2.1"
    ) -> str:
        cookie, _ = await staff.sign_in(
            self.store, self.hashes, VAULT, name=name, password=password, code=code,
            address=address, device="a browser", at=self.clock.now(),
        )  # fmt: skip
        return cookie

    async def fails(self, *given: str, address: str = "192.0.2.1") -> type[DeskError]:
        with pytest.raises(DeskError) as failure:
            await self.enters(*given, address=address)
        return type(failure.value)

    async def who(self, cookie: str) -> str:
        async with self.store.transaction() as db:
            member, _ = await staff.of_session(db, cookie, at=self.clock.now())
        return member.name

    async def kinds(self) -> list[str]:
        async with self.store.transaction() as db:
            return [event.kind for event in await events.read(db, limit=1000) if not event.kind.startswith("guide")]

    async def second_factor(self, name: str) -> pyotp.TOTP:
        """Set up and confirmed with the code of a minute ago, so that the present one is still unused."""
        async with self.store.transaction() as db:
            member = await staff.member(db, (await staff.by_name(db, name)).id or 0)
            secret = await staff.enrol(db, member, VAULT, by=name, at=self.clock.now())
            codes = pyotp.TOTP(secret)
            await staff.confirm(db, member, codes.at(self.clock.now()), VAULT, by=name, at=self.clock.now())
        self.clock.forward(seconds=60)
        return codes


@pytest.fixture
def desk(store: Store, clock: SetClock, hashes: Passwords) -> Desk:
    return Desk(store, clock, hashes)


# -- members ----------------------------------------------------------------------------------------------------------


async def test_names_are_found_in_any_case_and_given_once(desk: Desk) -> None:
    await desk.hire("Lin")
    with pytest.raises(NameTaken):
        await desk.hire("lin")
    async with desk.store.transaction() as db:
        assert (await staff.by_name(db, " LIN ")).name == "Lin"
        with pytest.raises(UnknownStaff):
            await staff.by_name(db, "Lim")


@pytest.mark.parametrize("name", ["", " Lin", "Lin ", "a:b", "two\nlines", "x" * 61, "nul\x00"])
async def test_names_that_would_confuse_the_record_are_refused(desk: Desk, name: str) -> None:
    with pytest.raises(BadName):
        await desk.hire(name)


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaaaaaa", "x" * 201])
async def test_easy_passwords_are_refused(hashes: Passwords, password: str) -> None:
    with pytest.raises(WeakPassword):
        await hashes.hash(password)


def test_generated_passwords_are_acceptable_and_never_alike() -> None:
    made = {passwords.generated() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        passwords.acceptable(password)


async def test_a_disabled_member_is_out_at_once_and_cannot_come_back(desk: Desk) -> None:
    await desk.hire("林岚")
    cookie = await desk.enters()
    async with desk.store.transaction() as db:
        member = await staff.by_name(db, "林岚")
        await staff.disable(db, member, by="boss", at=desk.clock.now())
    with pytest.raises(NotSignedIn):
        await desk.who(cookie)
    assert await desk.fails("林岚") is WrongSignIn
    async with desk.store.transaction() as db:
        await staff.enable(db, await staff.by_name(db, "林岚"), by="boss", at=desk.clock.now())
    with pytest.raises(NotSignedIn):  # the old session stays ended
        await desk.who(cookie)
    assert await desk.who(await desk.enters()) == "林岚"


async def test_two_last_admins_cannot_disable_each_other_at_once(desk: Desk) -> None:
    one, two = await desk.hire("one", Role.ADMIN), await desk.hire("two", Role.ADMIN)

    async def disable(victim: Staff) -> None:
        async with desk.store.transaction() as db:
            await staff.disable(db, await staff.member(db, victim.id or 0), by="other", at=desk.clock.now())

    results = await asyncio.gather(disable(one), disable(two), return_exceptions=True)
    async with desk.store.transaction() as db:
        left = [member for member in await staff.members(db) if not member.disabled_at]
    assert len(left) == 1
    assert [type(result) for result in results if result] == [LastAdmin]


# -- wrong tries ------------------------------------------------------------------------------------------------------


async def test_five_wrong_tries_lock_a_name_for_a_minute_even_for_the_right_password(desk: Desk) -> None:
    await desk.hire("林岚")
    assert [await desk.fails("林岚", "wrong") for _ in range(6)] == [WrongSignIn] * 5 + [SignInLocked]
    assert await desk.fails("林岚", RIGHT) is SignInLocked
    desk.clock.forward(seconds=59)
    assert await desk.fails("林岚", RIGHT) is SignInLocked
    desk.clock.forward(seconds=1)
    assert await desk.who(await desk.enters()) == "林岚"
    # and then the count begins anew
    assert [await desk.fails("林岚", "wrong") for _ in range(5)] == [WrongSignIn] * 5


async def test_every_further_wrong_try_doubles_the_lock_up_to_an_hour(desk: Desk) -> None:
    for _ in range(4):
        await desk.fails("林岚", "wrong", address="198.51.100.1")
    waited = []
    for number in range(9):
        assert await desk.fails("林岚", "wrong", address=f"198.51.100.{number + 10}") is WrongSignIn
        with pytest.raises(SignInLocked) as lock:
            await desk.enters(address=f"198.51.100.{number + 10}")
        waited.append(lock.value.facts["retry_after"] // 60)
        desk.clock.forward(seconds=lock.value.facts["retry_after"])
    assert waited == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    desk.clock.forward(hours=25)
    assert await desk.fails("林岚", "wrong") is WrongSignIn
    assert await desk.fails("林岚", "wrong") is WrongSignIn  # a day later it is forgotten


async def test_a_name_nobody_has_locks_the_same_way(desk: Desk) -> None:
    assert [await desk.fails("nobody", "wrong") for _ in range(6)] == [WrongSignIn] * 5 + [SignInLocked]


async def test_an_unknown_name_costs_one_hash_like_a_known_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.hire("林岚")
    await desk.hire("only by service", password=None)
    checked: list[str] = []
    real = desk.hashes._hashes.verify
    monkeypatch.setattr(desk.hashes._hashes, "verify", lambda p, h: checked.append(h) or real(p, h))
    for name in ("林岚", "nobody", "only by service"):
        assert await desk.fails(name, "wrong") is WrongSignIn
    assert len(checked) == 3 and all(h.startswith("$argon2id$v=19$m=8,t=1,p=1$") for h in checked)


async def test_twenty_parallel_wrong_tries_check_no_more_than_five_passwords(desk: Desk) -> None:
    await desk.hire("林岚")
    for round_ in range(5):
        failures = await asyncio.gather(
            *(desk.fails("林岚", f"wrong {n}", address=f"198.51.{round_}.{n}") for n in range(20))
        )
        assert sorted(kind.__name__ for kind in failures) == ["SignInLocked"] * 15 + ["WrongSignIn"] * 5
        async with desk.store.transaction() as db:
            await staff.unlock(db, await staff.by_name(db, "林岚"), by="boss", at=desk.clock.now())


async def test_one_address_cannot_try_many_names(desk: Desk) -> None:
    failures = await asyncio.gather(*(desk.fails(f"name {n}", "wrong") for n in range(30)))
    assert sorted(kind.__name__ for kind in failures) == ["SignInLocked"] * 10 + ["WrongSignIn"] * 20
    await desk.hire("林岚")
    assert await desk.fails("林岚") is SignInLocked
    assert await desk.who(await desk.enters(address="192.0.2.2")) == "林岚"


@pytest.mark.parametrize(
    ("addresses", "locked"),
    [
        ([f"2001:db8:1:1::{n}" for n in range(21)], True),  # one network of one household
        ([f"2001:db8:1:{n}::1" for n in range(21)], False),
        (["127.0.0.1"] * 21, False),  # a proxy here that names no client must not lock everybody out
    ],
)
async def test_addresses_are_counted_by_network_and_never_this_machine(
    desk: Desk, addresses: list[str], locked: bool
) -> None:
    failures = [await desk.fails(f"name {n}", "wrong", address=address) for n, address in enumerate(addresses)]
    assert failures == [WrongSignIn] * 20 + [SignInLocked if locked else WrongSignIn]


async def test_an_own_account_does_not_clear_the_tries_of_its_address(desk: Desk) -> None:
    await desk.hire("林岚")
    for n in range(19):
        await desk.fails(f"name {n}", "wrong")
        await desk.enters(address="192.0.2.2")
    await desk.enters()
    assert await desk.fails("name 19", "wrong") is WrongSignIn
    assert await desk.fails("name 20", "wrong") is SignInLocked


async def test_many_people_behind_one_address_sign_in_all_day(desk: Desk) -> None:
    await desk.hire("林岚")
    for _ in range(45):
        await desk.enters()


# -- second factor ----------------------------------------------------------------------------------------------------


async def test_a_code_is_asked_for_once_confirmed_and_works_once(desk: Desk) -> None:
    await desk.hire("林岚")
    codes = await desk.second_factor("林岚")
    code = codes.at(desk.clock.now())
    assert await desk.fails("林岚", RIGHT) is CodeNeeded
    assert await desk.who(await desk.enters(code=code)) == "林岚"
    assert await desk.fails("林岚", RIGHT, code) is WrongSignIn
    desk.clock.forward(seconds=30)
    assert await desk.fails("林岚", RIGHT, code) is WrongSignIn
    assert await desk.who(await desk.enters(code=codes.at(desk.clock.now()))) == "林岚"


async def test_the_same_code_in_parallel_lets_one_in(desk: Desk) -> None:
    await desk.hire("林岚")
    code = (await desk.second_factor("林岚")).at(desk.clock.now())
    results = await asyncio.gather(*(desk.enters(code=code) for _ in range(4)), return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["WrongSignIn"] * 3 + ["str"]


async def test_a_clock_may_be_one_step_off_but_not_two(desk: Desk) -> None:
    await desk.hire("林岚")
    codes = await desk.second_factor("林岚")
    desk.clock.forward(minutes=5)
    now = desk.clock.now()
    assert await desk.fails("林岚", RIGHT, codes.at(now - timedelta(seconds=60))) is WrongSignIn
    assert await desk.fails("林岚", RIGHT, codes.at(now + timedelta(seconds=60))) is WrongSignIn
    assert await desk.enters(code=codes.at(now - timedelta(seconds=30)))
    assert await desk.enters(code=codes.at(now + timedelta(seconds=30)))
    assert await desk.fails("林岚", RIGHT, codes.at(now)) is WrongSignIn  # behind the last one used


async def test_knowing_the_password_does_not_forgive_wrong_codes(desk: Desk) -> None:
    await desk.hire("林岚")
    await desk.second_factor("林岚")
    for _ in range(5):
        assert await desk.fails("林岚", RIGHT) is CodeNeeded  # asks, and counts nothing
        assert await desk.fails("林岚", RIGHT, "000000") is WrongSignIn
    assert await desk.fails("林岚", RIGHT) is SignInLocked


async def test_an_unconfirmed_secret_is_not_asked_for_and_a_confirmed_one_not_replaced(desk: Desk) -> None:
    member = await desk.hire("林岚")
    async with desk.store.transaction() as db:
        member = await staff.member(db, member.id or 0)
        with pytest.raises(MoveNotAllowed):
            await staff.confirm(db, member, "000000", VAULT, by="林岚", at=desk.clock.now())
        secret = await staff.enrol(db, member, VAULT, by="林岚", at=desk.clock.now())
        with pytest.raises(WrongSignIn):
            await staff.confirm(db, member, "000000", VAULT, by="林岚", at=desk.clock.now())
    assert await desk.enters()
    async with desk.store.transaction() as db:
        member = await staff.member(db, member.id or 0)
        code = pyotp.TOTP(secret).at(desk.clock.now())
        await staff.confirm(db, member, f"{code[:3]} {code[3:]}", VAULT, by="林岚", at=desk.clock.now())
        with pytest.raises(MoveNotAllowed):
            await staff.enrol(db, member, VAULT, by="林岚", at=desk.clock.now())
        await staff.drop_code(db, member, by="boss", at=desk.clock.now())
    assert await desk.enters()


async def test_the_secret_is_unreadable_in_the_database_and_with_another_key(desk: Desk) -> None:
    await desk.hire("林岚")
    codes = await desk.second_factor("林岚")
    async with desk.store.transaction() as db:
        kept = (await staff.by_name(db, "林岚")).totp or ""
    assert codes.secret not in kept
    assert VAULT.unlock(kept) == codes.secret
    assert Vault("another secret altogether", "totp").unlock(kept) is None
    assert Vault("a secret of this test", "another purpose").unlock(kept) is None
    assert VAULT.unlock(kept[:-4] + "AAA=") is None


# -- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_session_ends_after_twelve_idle_hours(desk: Desk) -> None:
    await desk.hire("林岚")
    cookie = await desk.enters()
    for _ in range(3):
        desk.clock.forward(hours=11, minutes=59)
        assert await desk.who(cookie) == "林岚"
    desk.clock.forward(hours=12)
    with pytest.raises(NotSignedIn):
        await desk.who(cookie)


async def test_a_session_in_constant_use_ends_after_seven_days(desk: Desk) -> None:
    await desk.hire("林岚")
    cookie = await desk.enters()
    for _ in range(27):
        desk.clock.forward(hours=6)
        assert await desk.who(cookie) == "林岚"
    desk.clock.forward(hours=6)
    with pytest.raises(NotSignedIn):
        await desk.who(cookie)


async def test_a_member_ends_own_sessions_only(desk: Desk) -> None:
    lin, wu = await desk.hire("林岚"), await desk.hire("吴桐")
    cookie, other = await desk.enters(), await desk.enters("吴桐")
    async with desk.store.transaction() as db:
        [(session, owner)] = await staff.sessions(db, wu.id, at=desk.clock.now())
        assert (owner.name, session.device, session.address) == ("吴桐", "a browser", "192.0.2.1")
        with pytest.raises(UnknownSignIn):
            await staff.sign_out(db, session.id or 0, owner=lin.id or 0, by="林岚", at=desk.clock.now())
        await staff.sign_out(db, session.id or 0, owner=wu.id or 0, by="吴桐", at=desk.clock.now())
        with pytest.raises(UnknownSignIn):
            await staff.sign_out(db, session.id or 0, owner=wu.id or 0, by="吴桐", at=desk.clock.now())
    assert await desk.who(cookie) == "林岚"
    with pytest.raises(NotSignedIn):
        await desk.who(other)


async def test_a_new_password_ends_the_other_sessions_and_unlocks(desk: Desk) -> None:
    await desk.hire("林岚")
    here, elsewhere = await desk.enters(), await desk.enters()
    for _ in range(5):
        await desk.fails("林岚", "wrong")
    async with desk.store.transaction() as db:
        member, session = await staff.of_session(db, here, at=desk.clock.now())
        hashed = await desk.hashes.hash("another good password")
        await staff.set_password(db, member, hashed, by="林岚", at=desk.clock.now(), keep=session.id)
    assert await desk.who(here) == "林岚"
    with pytest.raises(NotSignedIn):
        await desk.who(elsewhere)
    assert await desk.fails("林岚", RIGHT) is WrongSignIn
    assert await desk.enters(password="another good password")


# -- the sign-in service ----------------------------------------------------------------------------------------------


async def test_the_service_is_known_by_subject_and_links_a_name_only_without_a_password(desk: Desk) -> None:
    await desk.hire("boss", Role.ADMIN)
    await desk.hire("林岚", password=None)

    async def recognise(subject: str, name: str, roles: list[str] | None = None) -> Staff:
        async with desk.store.transaction() as db:
            return await staff.recognise(db, subject=subject, name=name, roles=roles, at=desk.clock.now())

    with pytest.raises(UnlinkedSignIn):  # an administrator with a password is not taken over by a name
        await recognise("s-1", "boss")
    with pytest.raises(UnlinkedSignIn):
        await recognise("s-1", "nobody")
    assert (await recognise("s-2", "林岚")).name == "林岚"
    assert (await recognise("s-2", "a new name")).name == "林岚"
    with pytest.raises(UnlinkedSignIn):  # linked once, so the name opens nothing to another subject
        await recognise("s-3", "林岚")
    assert (await recognise("s-2", "林岚", ["x", "manager"])).role == Role.MANAGER
    for roles in ([], ["x"], ["agent", "admin"]):
        with pytest.raises(UnlinkedSignIn):
            await recognise("s-2", "林岚", roles)
    assert (await recognise("s-2", "林岚", ["admin", "manager"])).role == Role.MANAGER


# -- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_token_works_until_it_expires_or_is_revoked_and_is_nowhere_in_the_database(desk: Desk) -> None:
    async with desk.store.transaction() as db:
        token, plain = await staff.create_token(db, "meter", Role.HALL, by="boss", at=desk.clock.now(), days=30)
        forever, second = await staff.create_token(db, "meter", Role.ADMIN, by="boss", at=desk.clock.now())
    assert plain.startswith("gl_") and len(plain) > 40 and plain not in repr(token)
    desk.clock.forward(days=29, hours=23)
    async with desk.store.transaction() as db:
        found = await staff.of_token(db, plain, at=desk.clock.now())
        assert (found.role, found.used_at) == (Role.HALL, desk.clock.now())
        assert len(await staff.tokens(db)) == 2
    desk.clock.forward(hours=1)
    async with desk.store.transaction() as db:
        with pytest.raises(NotSignedIn):
            await staff.of_token(db, plain, at=desk.clock.now())
        assert (await staff.of_token(db, second, at=desk.clock.now())).role == Role.ADMIN
        assert not await staff.still_in(db, session_id=None, token_id=token.id, at=desk.clock.now())
        assert await staff.still_in(db, session_id=None, token_id=forever.id, at=desk.clock.now())
        await staff.revoke_token(db, forever.id or 0, by="boss", at=desk.clock.now())
        with pytest.raises(UnknownToken):
            await staff.revoke_token(db, forever.id or 0, by="boss", at=desk.clock.now())
        with pytest.raises(NotSignedIn):
            await staff.of_token(db, second, at=desk.clock.now())
        with pytest.raises(BadName):
            await staff.create_token(db, "a:b", Role.HALL, by="boss", at=desk.clock.now())


async def test_everything_leaves_an_event_and_no_event_holds_a_secret(desk: Desk) -> None:
    await desk.hire("boss", Role.ADMIN)
    await desk.hire("林岚")
    codes = await desk.second_factor("林岚")
    used = codes.at(desk.clock.now())
    cookie = await desk.enters(code=used)
    for _ in range(5):
        await desk.fails("林岚", "a wrong password")
    async with desk.store.transaction() as db:
        member, session = await staff.of_session(db, cookie, at=desk.clock.now())
        at = desk.clock.now()
        await staff.sign_out(db, session.id or 0, owner=member.id or 0, by="林岚", at=at)
        await staff.unlock(db, member, by="boss", at=at)
        await staff.set_password(db, member, await desk.hashes.hash("another good one"), by="boss", at=at)
        await staff.drop_code(db, member, by="boss", at=at)
        for _ in range(2):
            await staff.disable(db, member, by="boss", at=at)
        await staff.enable(db, member, by="boss", at=at)
        token, plain = await staff.create_token(db, "meter", Role.HALL, by="boss", at=at)
        await staff.revoke_token(db, token.id or 0, by="boss", at=at)
        for _ in range(2):  # again changes nothing and says nothing
            await staff.enable(db, member, by="boss", at=at)
            await staff.drop_code(db, member, by="boss", at=at)
    assert await desk.kinds() == [
        "staff.added", "staff.added", "staff.totp_begun", "staff.totp_on", "staff.signed_in", "staff.locked",
        "staff.signed_out", "staff.unlocked", "staff.password_set", "staff.totp_off", "staff.disabled",
        "staff.enabled", "token.created", "token.revoked",
    ]  # fmt: skip
    async with desk.store.transaction() as db:
        said = json.dumps([[e.by, e.subject, e.facts] for e in await events.read(db, limit=1000)])
    for secret in (RIGHT, "a wrong password", "another good one", "argon2", codes.secret, cookie, plain):
        assert secret not in said
