"""Binding a chat to an account: three ways to prove it, and nothing that a stranger learns by trying."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest
from sqlalchemy import event, text
from sqlmodel import col, select

from desk import access, binding, conversations, customers, events
from desk.binding import BindCode, BindLink, BindTry, Proof
from desk.conversations import Address, Channel, Contact, Conversation
from desk.customers import Account, AccountContact, How, Standing
from desk.errors import UnknownAccount
from desk.store import Store
from tests.conftest import MONDAY
from tests.desk.purchases import Buyer, no, stock

PHONE: Final = "13800001234"
NOBODY: Final = "999999999999"  # an account number that does not exist
Chat = Callable[..., Awaitable[Address]]


@pytest.fixture
async def archive(store: Store) -> None:
    """Three accounts: the first with a mobile phone, the second with a fixed line, the third without any."""
    await stock(store, [Buyer(1)] * 3)
    await register(store, 1, PHONE, "0515-8888666")
    await register(store, 2, "0515-8888777")


async def register(store: Store, number: int, *phones: str) -> None:
    """Contacts as the archive has them."""
    async with store.transaction() as db:
        account = await customers.account(db, no(number))
        for phone in phones:
            person = Contact(name="王芳", phone=phone, created_at=MONDAY)
            db.add(person)
            await db.flush()
            values: dict[str, Any] = {"account_id": account.id, "contact_id": person.id, "how": How.ARCHIVE}
            db.add(AccountContact(**values, since=MONDAY))


@pytest.fixture
def chat(store: Store) -> Chat:
    """Somebody's chat: `await chat("a")`."""

    async def opened(name: str = "a") -> Address:
        async with store.transaction() as db:
            _, address = await conversations.open_at(db, Channel.WEB, name, name="", language="zh_CN", at=MONDAY)
            return address

    return opened


async def start(store: Store, address: Address, number: str, **later: float) -> Proof:
    async with store.transaction() as db:
        return await binding.start_code(db, address, number, at=MONDAY + timedelta(**later))


async def make(store: Store, number: str, **later: float) -> tuple[str, str] | None:
    """What the job for the latest code does."""
    async with store.transaction() as db:
        latest = (await db.exec(select(BindCode.id).order_by(col(BindCode.id).desc()).limit(1))).one()
        assert latest is not None
        return await binding.make_code(db, latest, number, at=MONDAY + timedelta(**later))


async def confirm(store: Store, address: Address, number: str, digits: str, **later: float) -> Proof:
    async with store.transaction() as db:
        proof, account = await binding.confirm_code(db, address, number, digits, at=MONDAY + timedelta(**later))
        assert (account is not None) == (proof is Proof.BOUND)
        return proof


async def name(
    store: Store, address: Address, number: str, holder: str = "wrong", last4: str = "0000", **later: float
) -> Proof:
    async with store.transaction() as db:
        at = MONDAY + timedelta(**later)
        return (await binding.prove_by_name(db, address, number, holder, last4, at=at))[0]


async def link(store: Store, number: int = 1, **more: Any) -> str:
    async with store.transaction() as db:
        account = await customers.account(db, no(number))
        return (await binding.make_link(db, account, by="Li", at=MONDAY, **more))[1]


async def follow(store: Store, address: Address, token: str, **later: float) -> Proof:
    async with store.transaction() as db:
        return (await binding.use_link(db, address, token, at=MONDAY + timedelta(**later)))[0]


async def bound(store: Store, address: Address) -> list[str]:
    async with store.transaction() as db:
        return [held.no for held in await binding.accounts_of(db, address.contact_id)]


async def kinds(store: Store, beginning: str = "") -> list[str]:
    async with store.transaction() as db:
        return [each.kind for each in await events.read(db, limit=500) if each.kind.startswith(beginning)]


async def tries(store: Store) -> int:
    async with store.transaction() as db:
        return len((await db.exec(select(BindTry).where(col(BindTry.how) != binding.REQUEST))).all())


async def log(store: Store) -> list[tuple[str, str, str]]:
    async with store.transaction() as db:
        return [(line.action, line.subject, line.reason) for line in await access.read(db)]


def other(digits: str) -> str:
    """Six digits that are not these."""
    return f"{(int(digits) + 1) % 1_000_000:06}"


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("3201000021", "3201000021"), (" 3201 0000 21 ", "3201000021"), ("户号：3201-0000-21，谢谢", "3201000021"),
        ("３２０１００００２１", "3201000021"), ("1" * 16, "1" * 16), ("3201000021 3201000021", None),
        ("1" * 17, None), ("123456789", None), ("没有", None), ("甲3201000021乙3201000022", None),
        ("甲3201000021乙3201000021", "3201000021"),
    ],
)  # fmt: skip
def test_a_number_is_understood_as_people_type_it(said: str, number: str | None) -> None:
    assert binding.normal_no(said) == number


# -- by link ----------------------------------------------------------------------------------------------------------


async def test_a_link_binds_once_and_only_its_hash_is_kept(store: Store, archive: None, chat: Chat) -> None:
    token = await link(store)
    assert re.fullmatch(r"[A-Za-z0-9_-]{20,59}", token)  # with `bind-` before it at most 64
    async with store.transaction() as db:
        [kept] = (await db.exec(select(BindLink))).all()
    assert token not in str(kept.model_dump()) and kept.expires_at == MONDAY + timedelta(hours=72)
    first, second = await chat("a"), await chat("b")
    assert await follow(store, first, token) is Proof.BOUND
    assert await follow(store, second, token) is Proof.WRONG
    assert (await bound(store, first), await bound(store, second)) == ([no(1)], [])
    assert await follow(store, first, token) is Proof.BOUND  # a second click of the same person
    assert (await kinds(store, "account.")).count("account.bound") == 1


@pytest.mark.parametrize(("hours", "after", "proof"), [(1, 0.99, Proof.BOUND), (1, 1, Proof.WRONG)])
async def test_a_link_expires(store: Store, archive: None, chat: Chat, hours: int, after: float, proof: Proof) -> None:
    token = await link(store, hours=hours)
    assert await follow(store, await chat(), token, hours=after) is proof


async def test_a_link_does_not_bind_again_what_was_unbound(store: Store, archive: None, chat: Chat) -> None:
    token, address = await link(store), await chat()
    await follow(store, address, token)
    async with store.transaction() as db:
        account = await customers.account(db, no(1))
        assert await binding.unbind(db, account, address.contact_id, by="customer", at=MONDAY)
    assert await follow(store, address, token) is Proof.WRONG
    assert await bound(store, address) == []


async def test_a_wrong_link_is_written_down(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    assert await follow(store, address, "guessed") is Proof.WRONG
    assert await log(store) == [("binding.link", f"address:{address.id}", "wrong")]
    assert await kinds(store, "binding.") == ["binding.wrong"]


async def test_of_twenty_who_use_a_link_at_once_one_wins(store: Store, archive: None, chat: Chat) -> None:
    token = await link(store)
    addresses = [await chat(str(number)) for number in range(20)]
    proofs = await asyncio.gather(*(follow(store, address, token) for address in addresses))
    assert sorted(proofs) == [Proof.BOUND, *[Proof.WRONG] * 19]
    assert sum([len(await bound(store, address)) for address in addresses]) == 1


# -- by code ----------------------------------------------------------------------------------------------------------


async def test_the_code_that_came_to_the_registered_phone_binds(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    assert await start(store, address, no(1)) is Proof.ASKED
    made = await make(store, no(1))
    assert made is not None
    phone, digits = made
    assert phone == PHONE and re.fullmatch(r"\d{6}", digits)
    assert await confirm(store, address, no(1), digits, minutes=9) is Proof.BOUND
    assert await bound(store, address) == [no(1)]
    assert await confirm(store, address, no(1), digits) is Proof.WRONG  # once
    assert await kinds(store, "account.") == ["account.bound"]


async def test_asking_for_a_code_is_the_same_for_every_number(store: Store, archive: None, chat: Chat) -> None:
    """Not only the answer: the rows that are written and the statements that run."""
    seen = []
    for number in (no(1), no(2), no(3), NOBODY):
        address = await chat(number)
        proof = await start(store, address, number)
        async with store.transaction() as db:
            rows = (await db.exec(select(BindCode).where(col(BindCode.address_id) == address.id))).all()
            jobs = await db.execute(text("SELECT task_name FROM procrastinate_jobs ORDER BY id DESC LIMIT 1"))
        seen.append((proof, [(row.account_id, row.digest, row.tries) for row in rows], jobs.scalar()))
    assert seen == [(Proof.ASKED, [(None, "", 0)], binding.SEND)] * 4
    assert len(set(await kinds(store, "binding."))) == 1


async def test_the_same_statements_run_for_every_number(store: Store, archive: None, chat: Chat) -> None:
    """No difference in what is asked of the database, so none in time either."""
    said: list[str] = []
    listen = partial(event.listen, store.engine.sync_engine, "before_cursor_execute")
    listen(lambda *about: said.append(about[2]))
    seen = []
    for number in (no(1), no(2), no(3), NOBODY):
        address = await chat(number)
        said.clear()
        await start(store, address, number)
        await confirm(store, address, number, "123456")
        await name(store, address, number)
        seen.append(list(said))
    assert len(seen[0]) > 10 and seen[0] == seen[1] == seen[2] == seen[3]


async def test_no_secret_stands_in_the_job_or_the_table(store: Store, archive: None, chat: Chat) -> None:
    await start(store, await chat(), no(1))
    made = await make(store, no(1))
    async with store.transaction() as db:
        jobs = (await db.execute(text("SELECT args FROM procrastinate_jobs"))).scalars().all()
        [code] = (await db.exec(select(BindCode))).all()
    assert made and made[1] not in str(jobs) and made[1] not in str(code.model_dump())
    assert PHONE not in str(jobs)


@pytest.mark.parametrize("number", [no(2), no(3), NOBODY])
async def test_nobody_gets_a_code_where_there_is_no_mobile_phone(
    store: Store, archive: None, chat: Chat, number: str
) -> None:
    address = await chat()
    await start(store, address, number)
    assert await make(store, number) is None
    for digits in ("000000", "", "123456"):
        assert await confirm(store, address, number, digits) is Proof.WRONG


async def test_a_closed_account_is_like_none(store: Store, archive: None, chat: Chat) -> None:
    async with store.transaction() as db:
        account = await customers.account(db, no(1))
        account.standing = Standing.CLOSED
        db.add(account)
    address = await chat()
    await start(store, address, no(1))
    assert await make(store, no(1)) is None
    assert await name(store, address, no(1), f"Account {no(1)}", "1234") is Proof.WRONG


async def test_a_code_lasts_ten_minutes_and_the_job_makes_none_later(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    await start(store, address, no(1))
    made = await make(store, no(1))
    assert made and await confirm(store, address, no(1), made[1], minutes=10) is Proof.WRONG
    assert await make(store, no(1), minutes=10) is None


async def test_a_code_allows_five_tries(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    await start(store, address, no(1))
    made = await make(store, no(1))
    assert made
    for _ in range(5):
        assert await confirm(store, address, no(1), other(made[1])) is Proof.WRONG
    assert await confirm(store, address, no(1), made[1]) is Proof.THROTTLED
    async with store.transaction() as db:  # the code itself is used up, even where the chat may try again
        await db.execute(text("DELETE FROM bind_try"))
    assert await confirm(store, address, no(1), made[1]) is Proof.WRONG


async def test_a_new_code_takes_the_place_of_the_old_one(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    await start(store, address, no(1))
    first = await make(store, no(1))
    again = await make(store, no(1))  # the job is done again
    assert first and again
    if first[1] != again[1]:
        assert await confirm(store, address, no(1), first[1]) is Proof.WRONG
    assert await confirm(store, address, no(1), again[1]) is Proof.BOUND


async def test_somebody_elses_code_opens_nothing(store: Store, archive: None, chat: Chat) -> None:
    owner, stranger = await chat("a"), await chat("b")
    await start(store, owner, no(1))
    made = await make(store, no(1))
    assert made and await confirm(store, stranger, no(1), made[1]) is Proof.WRONG
    assert await confirm(store, owner, no(1), made[1]) is Proof.BOUND


# -- by name ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holder", "last4", "proof"),
    [
        (f"Account {no(1)}", "1234", Proof.BOUND), (f"ａｃｃｏｕｎｔ（{no(1)}）", "8666", Proof.BOUND),
        ("holder", "1234", Proof.BOUND), (f"Account {no(1)}", "9999", Proof.WRONG), ("Account", "1234", Proof.WRONG),
        ("", "1234", Proof.WRONG), (f"Account {no(1)}", "", Proof.WRONG),
    ],
)  # fmt: skip
async def test_number_name_and_digits_must_belong_together(
    store: Store, archive: None, chat: Chat, holder: str, last4: str, proof: Proof
) -> None:
    address = await chat()
    assert await name(store, address, no(1), holder, last4) is proof
    assert await bound(store, address) == ([no(1)] if proof is Proof.BOUND else [])


async def test_a_phone_of_somebody_who_only_bound_a_chat_proves_nothing(
    store: Store, archive: None, chat: Chat
) -> None:
    address = await chat()
    await follow(store, address, await link(store, 3))
    async with store.transaction() as db:
        person = await db.get_one(Contact, address.contact_id)
        person.phone = PHONE
        db.add(person)
    assert await name(store, await chat("b"), no(3), f"Account {no(3)}", "1234") is Proof.WRONG


# -- throttle ---------------------------------------------------------------------------------------------------------


async def test_one_chat_has_five_wrong_tries_an_hour(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    for _ in range(5):
        assert await name(store, address, NOBODY) is Proof.WRONG
    right = (no(1), f"Account {no(1)}", "1234")
    assert await name(store, address, *right, minutes=59) is Proof.THROTTLED
    assert await start(store, address, no(1)) is Proof.THROTTLED
    assert await confirm(store, address, no(1), "123456") is Proof.THROTTLED
    assert await name(store, await chat("b"), *right) is Proof.BOUND  # nobody else is slowed down
    assert await name(store, address, *right, hours=1) is Proof.BOUND
    assert (await kinds(store, "binding.")).count("binding.throttled") == 3


async def test_one_chat_may_ask_for_five_codes_an_hour(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    proofs = [await start(store, address, number) for number in (no(1), no(2), no(3), NOBODY, "1234567890", no(1))]
    assert proofs == [Proof.ASKED] * 5 + [Proof.THROTTLED]
    assert await start(store, address, no(1), hours=1) is Proof.ASKED


@pytest.mark.parametrize("number", [no(1), NOBODY])
async def test_one_number_has_ten_tries_a_day_whoever_makes_them(
    store: Store, archive: None, chat: Chat, number: str
) -> None:
    proofs = [await name(store, await chat(str(each)), number) for each in range(11)]
    assert proofs == [Proof.WRONG] * 10 + [Proof.THROTTLED]
    assert await name(store, await chat("z"), number, hours=23) is Proof.THROTTLED
    assert await name(store, await chat("z"), number, hours=24) is Proof.WRONG


async def test_a_link_still_works_for_somebody_who_is_throttled(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    for _ in range(6):
        await name(store, address, no(1))
    assert await follow(store, address, await link(store)) is Proof.BOUND


async def test_thirty_tries_for_one_number_at_once_are_counted_one_by_one(
    store: Store, archive: None, chat: Chat
) -> None:
    addresses = [await chat(str(number)) for number in range(30)]
    proofs = await asyncio.gather(*(name(store, address, NOBODY) for address in addresses))
    assert sorted(proofs) == [Proof.THROTTLED] * 20 + [Proof.WRONG] * 10
    assert await tries(store) == 10


async def test_thirty_tries_of_one_chat_at_once_are_counted_one_by_one(store: Store, archive: None, chat: Chat) -> None:
    address = await chat()
    proofs = await asyncio.gather(*(name(store, address, f"{number:012}") for number in range(30)))
    assert sorted(proofs) == [Proof.THROTTLED] * 25 + [Proof.WRONG] * 5
    assert await tries(store) == 5


async def test_every_wrong_try_and_every_throttle_is_logged_alike(store: Store, archive: None, chat: Chat) -> None:
    for number in (no(1), NOBODY):
        address = await chat(number)
        for _ in range(6):
            await name(store, address, number)
    lines = await log(store)
    for number in (no(1), NOBODY):
        mine = [line for line in lines if line[1] == f"account:{number}"]
        assert [reason for _, _, reason in mine] == ["throttled", *["wrong"] * 5]  # the latest first
    assert await kinds(store, "binding.") == [*["binding.wrong"] * 5, "binding.throttled"] * 2
    async with store.transaction() as db:  # what others may read does not name the number
        told = [each for each in await events.read(db, limit=500) if each.kind.startswith("binding.")]
    assert all(number not in f"{each.facts} {each.subject}" for each in told for number in (no(1), NOBODY))


# -- what a contact speaks for ----------------------------------------------------------------------------------------


async def test_a_contact_speaks_for_several_accounts_and_talks_about_one(
    store: Store, archive: None, chat: Chat
) -> None:
    address = await chat()
    for number in (1, 2):
        await follow(store, address, await link(store, number))
    assert await bound(store, address) == [no(1), no(2)]
    async with store.transaction() as db:
        conversation = (await db.exec(select(Conversation))).one()
        held = await binding.accounts_of(db, address.contact_id)
        assert binding.current(conversation, held) == held[1]
        await binding.choose(db, conversation, held[0], at=MONDAY)
        await binding.choose(db, conversation, held[0], at=MONDAY)
        assert binding.current(conversation, held) == held[0]
    async with store.transaction() as db:
        stranger: Account = await customers.account(db, no(3))
        with pytest.raises(UnknownAccount):
            await binding.choose(db, conversation, stranger, at=MONDAY)
    assert (await kinds(store, "conversation.account")) == ["conversation.account_chosen"]


async def test_what_is_unbound_is_no_longer_talked_about_and_stays_as_history(
    store: Store, archive: None, chat: Chat
) -> None:
    address = await chat()
    await follow(store, address, await link(store))
    async with store.transaction() as db:
        account = await customers.account(db, no(1))
        conversation = (await db.exec(select(Conversation))).one()
        await binding.choose(db, conversation, account, at=MONDAY)
    async with store.transaction() as db:
        assert await binding.unbind(db, account, address.contact_id, by="customer", at=MONDAY)
        assert not await binding.unbind(db, account, address.contact_id, by="customer", at=MONDAY)
    async with store.transaction() as db:
        assert (await db.exec(select(Conversation.account_id))).one() is None
        kept = select(AccountContact).where(col(AccountContact.contact_id) == address.contact_id)
        assert (await db.exec(kept)).one().ended_at == MONDAY
    assert await bound(store, address) == []
    assert await follow(store, address, await link(store)) is Proof.BOUND
