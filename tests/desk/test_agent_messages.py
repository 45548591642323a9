"""What agents write: held, taken back, or sent exactly once; refused when somebody else answers by then."""

import asyncio
from typing import Any

import pytest

from desk import agent_messages, claims, conversations
from desk.agent_messages import AgentMessage
from desk.conversations import Channel, Direction, RecordLine
from desk.errors import EmptyMessage, NewerUnseen, NotYours, TooLate
from desk.queue import Act
from desk.store import Store
from tests.conftest import MONDAY
from tests.desk import floor
from tests.desk.floor import after


async def in_talk(store: Store) -> tuple[int, int]:
    """A conversation and the agent who holds it."""
    number = await floor.join(store, floor.Rank.B)
    agent = await floor.agent(store)
    await floor.claim(store, agent)
    return (await floor.entry(store, number)).conversation_id, agent


async def write(store: Store, talk: int, direction: Direction = Direction.IN) -> int:
    async with store.transaction() as db:
        line = RecordLine(
            conversation_id=talk, channel=Channel.WEB, direction=direction, by="customer", text="hello", at=MONDAY
        )
        return (await conversations.write(db, line)).id or 0


async def hold(store: Store, talk: int, agent: int, client_id: str = "m1", **more: Any) -> AgentMessage:
    facts: dict[str, Any] = {
        "words": "Good morning",
        "body": {},
        "seen": 0,
        "undo_s": 5,
        "by": "x",
        "at": MONDAY,
    } | more
    words, body = facts.pop("words"), facts.pop("body")
    async with store.transaction() as db:
        conversation = await claims.held(db, talk)
        return await agent_messages.hold(db, conversation, agent, client_id, words, body, **facts)


async def undo(store: Store, talk: int, agent: int, client_id: str = "m1") -> AgentMessage:
    async with store.transaction() as db:
        return await agent_messages.undo(db, talk, agent, client_id, by="x", at=after(1))


async def release(store: Store, talk: int, client_id: str = "m1") -> AgentMessage | None:
    """What the desk does when the time has come: the message becomes a line."""
    async with store.transaction() as db:
        conversation = await claims.held(db, talk)
        message = await agent_messages.release(db, conversation, client_id, at=after(5))
        if message is not None:
            line = RecordLine(
                conversation_id=talk,
                channel=Channel.WEB,
                direction=Direction.OUT,
                by="x",
                text=message.text,
                at=after(5),
            )
            await conversations.write(db, line, conversation)
            await agent_messages.released(db, message, line, by="x", at=after(5))
        return message


async def due(store: Store, seconds: float) -> list[tuple[int, str]]:
    async with store.transaction() as db:
        return [tuple(each) for each in await agent_messages.due(db, at=after(seconds))]  # type: ignore[misc]


async def said(store: Store, talk: int) -> list[str]:
    async with store.transaction() as db:
        return [line.text for line in await conversations.lines(db, talk) if line.direction == Direction.OUT]


async def test_a_message_is_held_then_sent_once(store: Store) -> None:
    talk, agent = await in_talk(store)
    message = await hold(store, talk, agent)
    assert (message.state, message.release_at) == ("held", after(5))
    async with store.transaction() as db:
        assert await agent_messages.next_due(db) == after(5)
        assert [each.client_id for each in await agent_messages.held(db, talk)] == ["m1"]
    assert await due(store, 4) == [] and await due(store, 5) == [(talk, "m1")]
    assert await said(store, talk) == []
    sent = await release(store, talk)
    assert sent is not None and sent.state == "released" and sent.line_id is not None
    assert await release(store, talk) is None and await due(store, 99) == []
    assert await said(store, talk) == ["Good morning"]
    async with store.transaction() as db:
        assert await agent_messages.next_due(db) is None and await agent_messages.held(db, talk) == []


async def test_a_repeated_client_id_gives_the_first_message(store: Store) -> None:
    talk, agent = await in_talk(store)
    first = await hold(store, talk, agent)
    again = await hold(store, talk, agent, words="something else")
    assert (again.id, again.text) == (first.id, "Good morning")
    await release(store, talk)
    assert (await hold(store, talk, agent)).state == "released"
    assert await said(store, talk) == ["Good morning"]


async def test_the_same_client_id_from_two_tabs_at_once_is_one_message(store: Store) -> None:
    talk, agent = await in_talk(store)
    found = await asyncio.gather(*(hold(store, talk, agent) for _ in range(5)))
    assert len({each.id for each in found}) == 1


async def test_messages_leave_in_the_order_in_which_they_were_written(store: Store) -> None:
    talk, agent = await in_talk(store)
    for n in range(3):
        await hold(store, talk, agent, f"m{n}")
    assert await due(store, 5) == [(talk, "m0"), (talk, "m1"), (talk, "m2")]


async def test_a_message_taken_back_never_leaves(store: Store) -> None:
    talk, agent = await in_talk(store)
    await hold(store, talk, agent)
    assert (await undo(store, talk, agent)).state == "undone"
    assert (await undo(store, talk, agent)).state == "undone"
    assert await release(store, talk) is None and await said(store, talk) == []


async def test_what_has_left_cannot_be_taken_back(store: Store) -> None:
    talk, agent = await in_talk(store)
    await hold(store, talk, agent)
    await release(store, talk)
    with pytest.raises(TooLate):
        await undo(store, talk, agent)


async def test_nobody_takes_back_what_another_wrote(store: Store) -> None:
    talk, agent = await in_talk(store)
    await hold(store, talk, agent)
    for staff_id, client_id in ((agent + 1, "m1"), (agent, "m2")):
        with pytest.raises(NotYours):
            await undo(store, talk, staff_id, client_id)


async def test_undo_against_send_has_one_winner(store: Store) -> None:
    talk, agent = await in_talk(store)
    for n in range(30):
        await hold(store, talk, agent, f"m{n}")
        undone, sent = await asyncio.gather(
            undo(store, talk, agent, f"m{n}"), release(store, talk, f"m{n}"), return_exceptions=True
        )
        assert isinstance(undone, TooLate) == (sent is not None)
    assert len(await said(store, talk)) <= 30


async def test_only_whoever_answers_may_write(store: Store) -> None:
    talk, agent = await in_talk(store)
    with pytest.raises(NotYours):
        await hold(store, talk, await floor.agent(store))
    await floor.end(store, talk, agent)
    with pytest.raises(NotYours):
        await hold(store, talk, agent)


async def test_a_message_needs_words_or_something_else(store: Store) -> None:
    talk, agent = await in_talk(store)
    with pytest.raises(EmptyMessage):
        await hold(store, talk, agent, words="  \n")
    assert (await hold(store, talk, agent, words="", body={"attachments": ["a"]})).state == "held"


async def test_nothing_is_sent_past_what_the_customer_has_just_written(store: Store) -> None:
    talk, agent = await in_talk(store)
    newest = await write(store, talk)
    await write(store, talk, Direction.OUT)
    with pytest.raises(NewerUnseen) as error:
        await hold(store, talk, agent, seen=newest - 1)
    assert error.value.facts == {"newest": newest}
    assert (await hold(store, talk, agent, seen=newest)).state == "held"


@pytest.mark.parametrize("act", [Act.CLOSE, Act.RELEASE])
async def test_what_was_held_when_the_conversation_went_elsewhere_is_refused(store: Store, act: Act) -> None:
    talk, agent = await in_talk(store)
    await hold(store, talk, agent)
    if act is Act.CLOSE:
        await floor.end(store, talk, agent)
    else:
        async with store.transaction() as db:
            await claims.give_back_all(db, agent, act, by="x", at=after(2))
    assert await release(store, talk) is None
    assert await due(store, 99) == [] and await said(store, talk) == []
    with pytest.raises(TooLate):
        await undo(store, talk, agent)
