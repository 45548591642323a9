"""What is kept how long, and erasing: the personal part goes, the ledger stays, twice changes nothing."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from desk import (
    access,
    archive_runs,
    attachments,
    conversations,
    customers,
    deliveries,
    events,
    passwords,
    policy,
    promises,
    retention,
    staff,
)
from desk.agent_messages import AgentMessage
from desk.archive_runs import ArchiveRun
from desk.attachments import Attachment, Folder
from desk.conversations import Address, Channel, Contact, Conversation, Direction, RecordLine
from desk.customers import Account, AccountContact, Customer, How
from desk.deliveries import Delivery, Fate
from desk.errors import UnknownAccount, UnknownAttachment, UnknownContact
from desk.permissions import Role
from desk.retention import ERASED
from desk.store import Store
from tests.conftest import SetClock

PRIVATE = ("周文彬", "13800138000", "滨江路", "滨江纺织", "zwb", "我家电表")


class Archive:
    """Accounts, people and what they said."""

    def __init__(self, store: Store, clock: SetClock, storage: Folder) -> None:
        self.store, self.clock, self.storage = store, clock, storage

    async def account(self, no: str, *, customer: int | None = None, name: str = "滨江纺织") -> Account:
        async with self.store.transaction() as db:
            if customer is None:
                firm = Customer(name=name, initials="bjfz", created_at=self.clock.now())
                db.add(firm)
                await db.flush()
                customer = firm.id
            assert customer is not None
            account = Account(
                no=no, customer_id=customer, name=name, address="滨江路 8 号", updated_at=self.clock.now(),
                haystack=customers.haystack(no, None, name, name, "滨江路 8 号", "周文彬", "13800138000"),
            )  # fmt: skip
            db.add(account)
        return account

    async def person(
        self, *accounts: Account, chat: str = "chat-1", channel: Channel = Channel.WEB, say: str = "我家电表转得快"
    ) -> int:
        """Somebody who wrote, got an answer that is still to be delivered, and sent a file; bound to the accounts."""
        async with self.store.transaction() as db:
            conversation, address = await conversations.open_at(
                db, channel, chat, name="周文彬", language="zh_CN", at=self.clock.now()
            )
            contact = await db.get_one(Contact, conversation.contact_id)
            contact.phone = "13800138000"
            conversation.state, conversation.last_inbound_at = {"said": say}, self.clock.now()
            db.add_all([contact, conversation])
            file = await attachments.keep(
                db, self.storage, conversation.id or 0, name="周文彬.jpg", media_type="image/jpeg", content=b"face",
                at=self.clock.now(),
            )  # fmt: skip
            asked = RecordLine(
                conversation_id=conversation.id or 0, channel=channel, direction=Direction.IN, external_id=f"{conversation.id}:1",
                by="customer", text=say, body={"attachments": [{"id": file.id}]}, at=self.clock.now(),
            )  # fmt: skip
            await conversations.write(db, asked)
            answer = RecordLine(
                conversation_id=conversation.id or 0, channel=channel, direction=Direction.OUT, by="bot",
                text=f"周文彬,{say}", body={"name": "answer", "in_reply_to": asked.id}, at=self.clock.now(),
            )  # fmt: skip
            await conversations.write(db, answer)
            db.add(
                Delivery(line_id=answer.id or 0, address_id=address.id or 0, channel=channel, due_at=self.clock.now())
            )
            for account in accounts:
                db.add(
                    AccountContact(
                        account_id=account.id or 0, contact_id=contact.id or 0, how=How.CODE, since=self.clock.now()
                    )
                )
        return contact.id or 0

    async def erase(self, contact: int) -> bool:
        async with self.store.transaction() as db:
            return await retention.erase_contact(
                db, self.storage, contact, reason="asked by letter", by="boss", at=self.clock.now()
            )

    async def erase_account(self, no: str) -> bool:
        async with self.store.transaction() as db:
            return await retention.erase_account(
                db, self.storage, no, reason="moved away", by="boss", at=self.clock.now()
            )

    async def tidy(self) -> dict[str, int]:
        return await retention.tidy(self.store, self.storage, at=self.clock.now())

    async def everything(self) -> str:
        """The whole database as text."""
        async with self.store.transaction() as db:
            names = (await db.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))).scalars()
            kept = [name for name in names if name != "guide_version" and not name.startswith("procrastinate")]
            rows = [(await db.execute(text(f'SELECT t::text FROM "{name}" t'))).scalars().all() for name in kept]
        return "\n".join(row for part in rows for row in part)

    async def all(self, table: Any) -> list[Any]:
        async with self.store.transaction() as db:
            return list((await db.exec(select(table).order_by(col(table.id)))).all())

    async def happened(self, kind: str) -> list[events.Event]:
        async with self.store.transaction() as db:
            return [event for event in await events.read(db, limit=1000) if event.kind == kind]

    def files(self) -> list[Path]:
        return [path for path in self.storage._root.rglob("*") if path.is_file()]


@pytest.fixture
def archive(store: Store, clock: SetClock, tmp_path: Path) -> Archive:
    return Archive(store, clock, Folder(tmp_path / "attachments"))


# -- erasing ----------------------------------------------------------------------------------------------------------


async def test_nothing_personal_of_an_erased_contact_is_left_anywhere(archive: Archive) -> None:
    contact = await archive.person()
    assert "周文彬" in await archive.everything() and len(archive.files()) == 1
    assert await archive.erase(contact)
    left = await archive.everything()
    assert [word for word in (*PRIVATE, "chat-1,") if word in left] == []
    assert archive.files() == []
    assert await archive.all(Attachment) == []
    assert [conversation.state for conversation in await archive.all(Conversation)] == [{}]


async def test_promises_and_what_agents_wrote_lose_their_words_too(archive: Archive) -> None:
    contact = await archive.person()
    at = archive.clock.now()
    async with archive.store.transaction() as db:
        member = await staff.add(db, "agent", Role.AGENT, hashed=None, by="boss", at=at)
        [talk] = (await db.exec(select(Conversation))).all()
        promise = await promises.make(
            db, promises.Kind.CALLBACK, "queue:1", conversation_id=talk.id or 0, contact_id=contact, account_id=None,
            data={"name": "周文彬", "phone": "13800138000", "last": ["我家电表转得快"]}, by="greenline", at=at,
            zone=ZoneInfo("Asia/Shanghai"),
        )  # fmt: skip
        await promises.attempt(db, promise.id or 0, promises.Result.NO_ANSWER, note="周文彬 没接", by="agent", at=at)
        db.add(
            AgentMessage(
                conversation_id=talk.id or 0, staff_id=member.id or 0, client_id="1", text="周文彬您好",
                created_at=at, release_at=at,
            )
        )  # fmt: skip
    assert await archive.erase(contact)
    left = await archive.everything()
    assert [word for word in PRIVATE if word in left] == []
    [kept] = await archive.all(promises.Promise)
    assert (kept.status, kept.data) == (promises.Status.OPEN, {"erased": True})


async def test_the_ledger_of_an_erased_contact_stays(archive: Archive) -> None:
    contact = await archive.person()
    before = await archive.happened("conversation.begun")
    await archive.erase(contact)
    lines = await archive.all(RecordLine)
    assert [(line.direction, line.by, line.text, line.body) for line in lines] == [
        (Direction.IN, "customer", ERASED, {"erased": True}),
        (Direction.OUT, "bot", ERASED, {"erased": True}),
    ]
    assert await archive.happened("conversation.begun") == before
    [delivery] = await archive.all(Delivery)
    assert (delivery.fate, delivery.cause, delivery.settled_at) == (Fate.CANCELLED, "erased", archive.clock.now())
    [event] = await archive.happened("contact.erased")
    assert event.facts == {"reason": "asked by letter", "lines": 2, "files": 1, "addresses": 1}
    assert (event.by, event.subject) == ("boss", f"contact:{contact}")
    async with archive.store.transaction() as db:
        [line] = await access.read(db)
    assert (line.by, line.action, line.subject, line.reason) == ("boss", "erase", event.subject, "asked by letter")


async def test_erasing_a_contact_again_changes_nothing(archive: Archive) -> None:
    contact = await archive.person()
    assert await archive.erase(contact)
    before = await archive.everything()
    archive.clock.forward(days=1)
    assert not await archive.erase(contact)
    assert await archive.everything() == before


async def test_who_writes_again_from_the_same_chat_is_somebody_new(archive: Archive) -> None:
    contact = await archive.person(channel=Channel.TELEGRAM)
    await archive.erase(contact)
    assert await archive.person(channel=Channel.TELEGRAM, chat="chat-1", say="又是我") != contact
    assert len(await archive.all(Address)) == 2


async def test_a_contact_nobody_knows_is_refused(archive: Archive) -> None:
    with pytest.raises(UnknownContact):
        await archive.erase(4711)
    with pytest.raises(UnknownAccount):
        await archive.erase_account("4711000000")


async def test_an_erased_contact_is_no_longer_found_and_the_account_still_is(archive: Archive) -> None:
    account = await archive.account("1234567890")
    contact = await archive.person(account)
    await archive.erase(contact)
    async with archive.store.transaction() as db:
        assert await customers.find(db, "13800138000") == []
        assert [found.no for found in await customers.find(db, "滨江纺织")] == ["1234567890"]
    [binding] = await archive.all(AccountContact)
    assert binding.ended_at == archive.clock.now()


async def test_an_erased_account_keeps_its_number_and_tier_only(archive: Archive) -> None:
    account = await archive.account("1234567890")
    async with archive.store.transaction() as db:
        fresh = await customers.account(db, account.no)
        await customers.set_tier(db, fresh, customers.Tier.A, reason="grows", by="boss", at=archive.clock.now())
    await archive.person(account)
    assert await archive.erase_account("1234567890")
    left = await archive.everything()
    assert [word for word in PRIVATE if word in left] == []
    [account] = await archive.all(Account)
    assert (account.no, account.tier, account.name, account.address) == ("1234567890", "A", ERASED, "")
    assert account.haystack == "1234567890"
    assert [event.facts["reason"] for event in await archive.happened("account.tier_changed")] == ["grows"]
    assert len(await archive.happened("account.erased")) == 1
    before = await archive.everything()
    assert not await archive.erase_account("1234567890")
    assert await archive.everything() == before


async def test_people_and_firms_with_another_account_stay(archive: Archive) -> None:
    one = await archive.account("1234567890")
    two = await archive.account("1234567891", customer=one.customer_id, name="滨江二厂")
    contact = await archive.person(one, two)
    await archive.erase_account(one.no)
    assert [person.name for person in await archive.all(Contact)] == ["周文彬"]
    assert [firm.name for firm in await archive.all(Customer)] == ["滨江纺织"]
    assert [binding.ended_at is None for binding in await archive.all(AccountContact)] == [False, True]
    await archive.erase_account(two.no)
    assert [person.name for person in await archive.all(Contact)] == [""]
    assert [firm.name for firm in await archive.all(Customer)] == [ERASED]
    assert not await archive.erase(contact)


async def test_a_failing_erasure_leaves_no_half_and_can_be_repeated(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = await archive.person()
    before = await archive.everything()

    async def broken(key: str) -> None:
        raise OSError("disk on fire")

    with monkeypatch.context() as patch:
        patch.setattr(archive.storage, "delete", broken)
        with pytest.raises(OSError, match="disk on fire"):
            await archive.erase(contact)
    assert await archive.everything() == before
    assert await archive.erase(contact)
    assert archive.files() == []


# -- the nightly job --------------------------------------------------------------------------------------------------


async def test_a_silent_visitor_of_the_web_chat_is_erased_after_a_year_and_nobody_else(archive: Archive) -> None:
    visitor = await archive.person(chat="visitor")
    bound = await archive.person(await archive.account("1234567890"), chat="bound")
    telegram = await archive.person(chat="telegram", channel=Channel.TELEGRAM)
    archive.clock.forward(days=365)
    assert await archive.tidy() == {}
    recent = await archive.person(chat="recent")
    archive.clock.forward(seconds=1)
    assert await archive.tidy() == {"web_chats": 1}
    names = {person.id: person.name for person in await archive.all(Contact)}
    assert names == {visitor: "", bound: "周文彬", telegram: "周文彬", recent: "周文彬"}
    assert [event.by for event in await archive.happened("contact.erased")] == ["greenline"]
    before = await archive.everything()
    assert await archive.tidy() == {}
    assert await archive.everything() == before


async def test_words_and_files_go_after_three_years_the_lines_stay(archive: Archive) -> None:
    await archive.person(await archive.account("1234567890"))
    archive.clock.forward(days=3 * 365)
    await archive.person(chat="chat-2", channel=Channel.TELEGRAM)
    assert await archive.tidy() == {}
    archive.clock.forward(seconds=1)
    assert await archive.tidy() == {"record_lines": 3}  # two lines and a file
    assert [line.text == ERASED for line in await archive.all(RecordLine)] == [True, True, False, False]
    assert len(archive.files()) == len(await archive.all(Attachment)) == 1
    assert [event.facts for event in await archive.happened("retention.tidied")] == [{"record_lines": 3}]
    assert await archive.tidy() == {}


async def test_more_than_a_batch_goes_in_one_night(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    for n in range(5):
        await archive.person(chat=f"chat-{n}")
    archive.clock.forward(days=4 * 365)
    assert await archive.tidy() == {"web_chats": 5}


async def test_sessions_tries_and_access_lines_go_each_after_its_time(archive: Archive) -> None:
    at = archive.clock.now()
    async with archive.store.transaction() as db:
        member = await staff.add(db, "林岚", Role.AGENT, hashed=None, by="boss", at=at)
        await staff.open_session(db, member, address="", device="", at=at)
        await passwords.reserve(db, passwords.of_name("林岚"), limit=5, at=at)
        await access.log(db, by="林岚", role="agent", action="x", subject="account:1", reason="why", at=at)

    async def gone_after(**amount: float) -> dict[str, int]:
        archive.clock.at = at + timedelta(**amount)
        assert await archive.tidy() == {}
        archive.clock.forward(seconds=1)
        return await archive.tidy()

    assert await gone_after(days=7) == {"sign_in_tries": 1}
    assert await gone_after(days=7 + 90) == {"sessions": 1}
    assert await gone_after(days=5 * 365) == {"access_log": 1}


async def test_a_published_policy_says_how_long_the_nightly_job_keeps_things(archive: Archive) -> None:
    await archive.person(chat="visitor")
    async with archive.store.transaction() as db:
        changes = {"retention": {"web_chats": 30}}
        await policy.publish(db, changes, version=0, note="shorter", by="boss", at=archive.clock.now())
    archive.clock.forward(days=30)
    assert await archive.tidy() == {}
    archive.clock.forward(seconds=1)
    assert await archive.tidy() == {"web_chats": 1}


async def test_refused_rows_of_imports_and_parked_messages_go_after_their_time(archive: Archive) -> None:
    at = archive.clock.now()
    problems = [{"line": 2, "column": "电话", "reason": "phone", "value": "138周文彬", "other": None}]
    run = ArchiveRun(name="old.csv", dry_run=False, by="boss", created_at=at, report={"bad": 1, "problems": problems})
    await archive.storage.put(run.bad_rows, b"{}")
    async with archive.store.transaction() as db:
        parked = "INSERT INTO parked_update (external_id, error, content, at) VALUES ('1', 'x', '{}', :at)"
        await db.execute(text(parked), {"at": at})
        db.add(run)
    archive.clock.forward(days=90)
    assert await archive.tidy() == {}
    archive.clock.forward(seconds=1)
    assert await archive.tidy() == {"bad_rows": 1, "parked_updates": 1}
    [left] = await archive.all(ArchiveRun)
    assert (left.report["bad"], left.report["problems"], archive.files()) == (1, [], [])
    assert await archive_runs.bad_rows(archive.storage, left) == []
    assert await archive.tidy() == {}


async def test_a_missing_file_is_no_obstacle(archive: Archive) -> None:
    contact = await archive.person()
    for path in archive.files():
        path.unlink()
    assert await archive.erase(contact)
    with pytest.raises(UnknownAttachment):
        await archive.storage.get("0" * 32)


async def test_the_counters_of_deliveries_still_add_up(archive: Archive) -> None:
    contact = await archive.person()
    await archive.erase(contact)
    async with archive.store.transaction() as db:
        assert (await deliveries.count_by_fate(db, channel=Channel.WEB))["cancelled"] == 1
