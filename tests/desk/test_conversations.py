"""Contacts, addresses, conversations and their record, under real races."""

import asyncio
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from desk import conversations, events
from desk.conversations import Address, Channel, Contact, Conversation, Direction, RecordLine
from desk.store import Store
from tests.conftest import MONDAY


async def opened(store: Store, external_id: str = "v", channel: Channel = Channel.WEB) -> Conversation:
    async with store.transaction() as db:
        conversation, _ = await conversations.open_at(db, channel, external_id, name="Li", language="zh_CN", at=MONDAY)
        return conversation


def line(conversation: Conversation, **more: Any) -> RecordLine:
    values: dict[str, Any] = {
        "conversation_id": conversation.id,
        "channel": Channel.WEB,
        "direction": Direction.IN,
        "by": "customer",
        "text": "hello",
        "at": MONDAY,
    }
    return RecordLine(**values | more)


async def test_racing_first_messages_begin_one_conversation(store: Store) -> None:
    found = await asyncio.gather(*(opened(store) for _ in range(10)))
    assert len({conversation.id for conversation in found}) == 1
    async with store.transaction() as db:
        assert len((await db.exec(select(Address))).all()) == 1
        [contact] = (await db.exec(select(Contact))).all()
        [conversation] = (await db.exec(select(Conversation))).all()
        begun = [event.kind for event in await events.read(db)]
    assert conversation.contact_id == contact.id and contact.name == "Li"
    assert begun == ["conversation.begun"]


async def test_the_same_address_on_two_channels_is_two_conversations(store: Store) -> None:
    web, telegram = await opened(store), await opened(store, channel=Channel.TELEGRAM)
    assert web.id != telegram.id


async def test_a_conversation_is_locked_until_the_transaction_ends(store: Store) -> None:
    await opened(store)
    order: list[str] = []
    inside, release = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with store.transaction() as db:
            await conversations.open_at(db, Channel.WEB, "v", name="", language="en", at=MONDAY)
            inside.set()
            await release.wait()
            order.append("first")

    async def second() -> None:
        await inside.wait()
        async with store.transaction() as db:
            waiting = asyncio.create_task(
                conversations.open_at(db, Channel.WEB, "v", name="", language="en", at=MONDAY)
            )
            async with store.transaction() as free:  # looking needs no lock
                assert await conversations.find(free, Channel.WEB, "v") is not None
            assert not waiting.done()
            release.set()
            await waiting
            order.append("second")

    await asyncio.gather(first(), second())
    assert order == ["first", "second"]


async def test_an_external_id_is_recorded_once_per_channel(store: Store) -> None:
    conversation = await opened(store)
    async with store.transaction() as db:
        first = await conversations.write(db, line(conversation, external_id="1"))
        await conversations.write(db, line(conversation, external_id="1", direction=Direction.OUT))
        await conversations.write(db, line(conversation, external_id="1", channel=Channel.TELEGRAM))
        found = await conversations.seen(db, Channel.WEB, "1")
        assert found is not None and found.id == first.id
        assert await conversations.seen(db, Channel.WEB, "2") is None
    with pytest.raises(IntegrityError):
        async with store.transaction() as db:
            await conversations.write(db, line(conversation, external_id="1"))


async def test_lines_are_read_in_order_behind_a_place(store: Store) -> None:
    mine, other = await opened(store), await opened(store, "other")
    async with store.transaction() as db:
        written = [await conversations.write(db, line(mine, text=str(number))) for number in range(5)]
        await conversations.write(db, line(other))
        number = mine.id or 0
        assert [each.text for each in await conversations.lines(db, number)] == ["0", "1", "2", "3", "4"]
        assert [each.text for each in await conversations.lines(db, number, after=written[2].id or 0)] == ["3", "4"]
        assert [each.text for each in await conversations.lines(db, number, limit=2)] == ["0", "1"]
        assert [each.text for each in await conversations.latest(db, number, limit=2)] == ["3", "4"]


async def test_replies_are_found_by_what_they_answer(store: Store) -> None:
    mine, other = await opened(store), await opened(store, "other")
    async with store.transaction() as db:
        asked = await conversations.write(db, line(mine))
        for conversation, to in ((mine, asked.id), (mine, None), (mine, 999), (other, asked.id)):
            await conversations.write(
                db, line(conversation, direction=Direction.OUT, text=f"{to}", body={"in_reply_to": to})
            )
        assert [reply.text for reply in await conversations.replies_to(db, asked.id or 0)] == [f"{asked.id}"]


async def test_losing_and_finding_an_address_is_told_once_each(store: Store) -> None:
    async with store.transaction() as db:
        _, address = await conversations.open_at(db, Channel.TELEGRAM, "v", name="", language="en", at=MONDAY)
        for _ in range(2):
            await conversations.mark_unreachable(db, address, cause="blocked", at=MONDAY)
        assert address.unreachable_cause == "blocked"
        for _ in range(2):
            await conversations.mark_reachable(db, address, at=MONDAY)
    async with store.transaction() as db:
        found = (await db.exec(select(Address).where(col(Address.id) == address.id))).one()
        assert (found.unreachable_at, found.unreachable_cause) == (None, None)
        kinds = [event.kind for event in await events.read(db)]
    assert kinds == ["conversation.begun", "address.unreachable", "address.reachable"]


@pytest.mark.parametrize(("table", "wrong"), [(Address, {"channel": "pigeon"}), (RecordLine, {"direction": "up"})])
async def test_the_database_refuses_unknown_words(store: Store, table: type, wrong: dict[str, str]) -> None:
    conversation = await opened(store)
    row = (
        Address(contact_id=conversation.contact_id, external_id="x", created_at=MONDAY, **wrong)
        if table is Address
        else line(conversation, **wrong)
    )
    with pytest.raises(IntegrityError):
        async with store.transaction() as db:
            db.add(row)
