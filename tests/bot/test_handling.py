"""What people do in a conversation: what the customer hears of it in both languages, and what is recorded."""

import re
from typing import Final

import httpx
import pytest

from bot import handling
from desk import agent_messages, claims, conversations, presence
from desk.conversations import Channel, Direction
from desk.errors import NewerUnseen, NotYours, TooLate
from desk.presence import Presence
from desk.queue import Act, Status
from desk.ranks import Rank
from desk.staff import Staff
from tests.bot.hall import Hall
from tests.bot.talk import Customer
from tests.desk import floor

HAN: Final = re.compile(r"[\u3400-\u9fff]")


async def pair(hall: Hall, *, language: str = "zh_CN", channel: Channel = Channel.WEB) -> tuple[Staff, Customer, int]:
    """An agent with a customer."""
    staff = await hall.agent()
    person = await hall.customer(channel=channel, language=language)
    return staff, person, await hall.serves(staff, person)


async def release(hall: Hall, talk: int, client_id: str) -> conversations.RecordLine | None:
    """Let a held message leave."""
    async with hall.store.transaction() as db:
        return await handling.release(db, talk, client_id, at=hall.clock.now())


async def consistent(hall: Hall) -> None:
    """Seats, waits and conversations say the same."""
    async with hall.store.transaction() as db:
        await floor.assert_consistent(db)


# -- who is there -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "said"), [("zh_CN", "坐席 {} 已接入"), ("en", "gent {}")])
async def test_the_customer_hears_a_number_and_never_a_name(hall: Hall, language: str, said: str) -> None:
    staff, person, _ = await pair(hall, language=language)
    text = await hall.last(person)
    assert said.format(handling.number(staff.id or 0)) in text and staff.name not in text
    assert (await hall.told(person))[-1] == "agent_joined"
    [claimed] = await hall.happened("queue.claim")
    assert claimed.facts["agent"] == staff.id and claimed.by == staff.name
    await consistent(hall)


async def test_everything_is_said_in_the_language_of_the_customer(hall: Hall) -> None:
    first, person, talk = await pair(hall, language="en")
    lead = await hall.agent()
    async with hall.store.transaction() as db:
        await handling.take_over(db, talk, lead, reason="a", at=hall.clock.now())
    async with hall.store.transaction() as db:
        await handling.transfer(db, talk, lead, None, summary="b", at=hall.clock.now())
    await hall.claims(first)
    hall.clock.forward(seconds=30)
    async with hall.store.transaction() as db:
        await handling.lapse(db, first.id or 0, at=hall.clock.now())
    await beat(hall, lead)
    await hall.claims(lead)
    async with hall.store.transaction() as db:
        await handling.end(db, talk, lead, Act.RETURN, at=hall.clock.now())
    heard = await hall.heard(person)
    assert [line.body["name"] for line in heard[2:]] == [
        "agent_joined", "agent_took_over", "agent_released", "agent_joined", "agent_lapsed", "agent_joined",
        "returned_to_bot",
    ]  # fmt: skip
    assert all(line.text.isascii() or not HAN.search(line.text) for line in heard)


async def test_while_a_person_answers_the_bot_is_silent_but_hears_danger(hall: Hall) -> None:
    _, person, _ = await pair(hall)
    assert await person.says("双电源的供电方案多久能出来?") == ""
    assert await person.says("有人触电了，快来人") == ""
    assert len(await hall.happened("alarm.raised")) == 1


async def test_a_person_takes_over_from_the_bot_by_opening_the_conversation(hall: Hall) -> None:
    staff, person = await hall.agent(), await hall.customer(Rank.B)
    talk = (await hall.talk(person)).id or 0
    async with hall.store.transaction() as db:
        await handling.open_by(db, talk, None, staff, at=hall.clock.now())
    assert (await hall.talk(person)).agent_id == staff.id and (await hall.told(person))[-1] == "agent_joined"
    other = await hall.agent()
    with pytest.raises(NotYours):
        async with hall.store.transaction() as db:
            await handling.open_by(db, talk, None, other, at=hall.clock.now())
    await consistent(hall)


async def test_a_claim_keeps_the_callback_that_was_promised(hall: Hall) -> None:
    staff, person = await hall.agent(), await hall.customer(Rank.B)
    await person.says("转人工")
    await person.taps("给我回电")
    await hall.serves(staff, person)
    [promise] = await hall.promises()
    assert (promise.status, promise.outcome) == ("kept", "served_in_chat")


# -- handing over -----------------------------------------------------------------------------------------------------


async def test_a_transfer_is_heard_of_when_it_is_accepted(hall: Hall) -> None:
    first, person, talk = await pair(hall)
    second = await hall.agent()
    told = len(await hall.told(person))
    async with hall.store.transaction() as db:
        await handling.transfer(db, talk, first, second.id, summary="要增容，已问过户号", at=hall.clock.now())
    assert len(await hall.told(person)) == told and (await hall.talk(person)).agent_id == first.id
    with pytest.raises(NotYours):
        async with hall.store.transaction() as db:
            await handling.accept(db, talk, first, at=hall.clock.now())
    async with hall.store.transaction() as db:
        await handling.accept(db, talk, second, at=hall.clock.now())
    assert f"坐席 {handling.number(second.id or 0)} 接着为您服务" in await hall.last(person)
    assert (await hall.talk(person)).agent_id == second.id
    assert [e.facts["staff"] for e in await hall.happened("conversation.mentioned")] == [second.id]
    assert "要增容" not in "".join(line.text for line in await hall.heard(person))
    await consistent(hall)


async def test_a_transfer_that_is_declined_or_not_accepted_stays_where_it_was(hall: Hall) -> None:
    first, person, talk = await pair(hall)
    second = await hall.agent()
    for decline in (True, False):
        async with hall.store.transaction() as db:
            await handling.transfer(db, talk, first, second.id, summary="a", at=hall.clock.now())
        if decline:
            async with hall.store.transaction() as db:
                await claims.keep(db, talk, by=second.name, at=hall.clock.now(), staff_id=second.id)
        else:
            hall.clock.forward(seconds=31)
            for each in (first, second):
                await beat(hall, each)
            await hall.usher.attend()
        assert (await hall.talk(person)).agent_id == first.id
    assert (await hall.told(person))[-1] == "agent_joined" and len(await hall.happened("queue.keep")) == 2
    await consistent(hall)


async def beat(hall: Hall, staff: Staff) -> None:
    """The console of an agent answers."""
    async with hall.store.transaction() as db:
        await presence.beat(db, staff.id or 0, at=hall.clock.now())


async def test_back_to_the_line_means_the_old_place_and_is_said(hall: Hall) -> None:
    first, person, talk = await pair(hall)
    joined = (await hall.entry(person)).joined_at  # type: ignore[union-attr]
    hall.clock.forward(minutes=2)
    async with hall.store.transaction() as db:
        await handling.transfer(
            db, talk, first, None, summary="要懂报装的同事", skill="application", at=hall.clock.now()
        )
    entry = await hall.entry(person)
    assert entry and (entry.status, entry.joined_at, entry.skill) == (Status.WAITING, joined, "application")
    assert "位置没有变" in await hall.last(person) and (await hall.talk(person)).handler == "queue"
    await consistent(hall)


async def test_a_supervisor_takes_a_conversation_over(hall: Hall) -> None:
    first, person, talk = await pair(hall)
    lead = await hall.agent()
    async with hall.store.transaction() as db:
        await handling.take_over(db, talk, lead, reason="投诉升级", at=hall.clock.now())
    assert (await hall.told(person))[-1] == "agent_took_over" and (await hall.talk(person)).agent_id == lead.id
    [event] = await hall.happened("queue.take_over")
    assert (event.facts["former"], event.facts["agent"], event.facts["reason"]) == (first.id, lead.id, "投诉升级")
    await consistent(hall)


# -- endings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "name", "said"),
    [(Act.CLOSE, "agent_closed", "本次人工服务已结束"), (Act.RETURN, "returned_to_bot", "坐席已把会话交还智能客服")],
)
async def test_an_end_is_said_recorded_and_the_bot_answers_again(hall: Hall, act: Act, name: str, said: str) -> None:
    staff, person, talk = await pair(hall)
    async with hall.store.transaction() as db:
        await handling.end(
            db, talk, staff, act, outcome="resolved", category="application", text="资料已齐", at=hall.clock.now()
        )
    assert said in await hall.last(person) and (await hall.told(person))[-1] == name
    assert "资料已齐" not in "".join(line.text for line in await hall.heard(person))
    assert await hall.entry(person) is None
    assert "二个月" in await person.says("双电源的供电方案多久能出来?")
    [event] = await hall.happened(f"queue.{act}")
    assert (event.facts["outcome"], event.facts["category"]) == ("resolved", "application")
    with pytest.raises(NotYours):
        async with hall.store.transaction() as db:
            await handling.end(db, talk, staff, act, at=hall.clock.now())
    await consistent(hall)


async def test_what_was_still_held_is_sent_before_the_end(hall: Hall) -> None:
    staff, person, talk = await pair(hall)
    await hall.writes(staff, talk, "c1", "我们周三上门")
    async with hall.store.transaction() as db:
        await handling.end(db, talk, staff, Act.CLOSE, at=hall.clock.now())
    assert [line.text for line in await hall.heard(person)][-2] == "我们周三上门"


async def test_an_agent_who_vanishes_loses_all_customers_and_they_keep_their_place(hall: Hall) -> None:
    staff, person, _ = await pair(hall)
    joined = (await hall.entry(person)).joined_at  # type: ignore[union-attr]
    hall.clock.forward(seconds=30)
    async with hall.store.transaction() as db:
        assert await handling.lapse(db, staff.id or 0, at=hall.clock.now()) == 1
    assert "坐席的连接中断了" in await hall.last(person)
    entry = await hall.entry(person)
    assert entry and (entry.status, entry.joined_at, entry.agent_id) == (Status.WAITING, joined, None)
    await consistent(hall)


async def test_who_was_heard_of_meanwhile_has_not_vanished(hall: Hall) -> None:
    staff, person, _ = await pair(hall)
    hall.clock.forward(seconds=30)
    await beat(hall, staff)
    async with hall.store.transaction() as db:
        assert await handling.lapse(db, staff.id or 0, at=hall.clock.now()) == 0
    assert (await hall.talk(person)).agent_id == staff.id


async def test_going_offline_gives_customers_back_and_tells_them(hall: Hall) -> None:
    staff, person, _ = await pair(hall)
    async with hall.store.transaction() as db:
        await handling.set_status(db, staff, Presence.OFFLINE, at=hall.clock.now())
    assert (await hall.told(person))[-1] == "agent_released" and (await hall.talk(person)).handler == "queue"
    await consistent(hall)


# -- held messages ----------------------------------------------------------------------------------------------------


async def test_a_message_leaves_once_and_carries_who_wrote_it(hall: Hall) -> None:
    staff, person, talk = await pair(hall, channel=Channel.TELEGRAM)
    await hall.writes(staff, talk, "c1", "您好，请讲")
    assert await hall.last(person) != "您好，请讲"
    line = await release(hall, talk, "c1")
    assert line and (line.by, line.body["agent"], line.body["client_id"]) == (staff.name, staff.id, "c1")
    assert await release(hall, talk, "c1") is None
    assert (await hall.delivered()).count("您好，请讲") == 1
    states = [event.facts["state"] for event in await hall.happened("conversation.held")]
    assert states == ["held", "released"]


async def test_a_message_sent_twice_is_one(hall: Hall) -> None:
    staff, person, talk = await pair(hall)
    first = await hall.writes(staff, talk, "c1", "您好")
    again = await hall.writes(staff, talk, "c1", "您好，再说一遍")
    assert first.id == again.id
    await release(hall, talk, "c1")
    assert [line.text for line in await hall.heard(person)].count("您好") == 1


async def test_a_message_can_be_taken_back_while_it_is_held_and_not_afterwards(hall: Hall) -> None:
    staff, person, talk = await pair(hall)
    for client_id, undone in (("c1", True), ("c2", False)):
        await hall.writes(staff, talk, client_id, client_id)
        if undone:
            async with hall.store.transaction() as db:
                undo = await agent_messages.undo(db, talk, staff.id or 0, client_id, by=staff.name, at=hall.clock.now())
                assert undo.text == "c1"
        assert (await release(hall, talk, client_id) is None) == undone
    with pytest.raises(TooLate):
        async with hall.store.transaction() as db:
            await agent_messages.undo(db, talk, staff.id or 0, "c2", by=staff.name, at=hall.clock.now())
    assert [line.text for line in await hall.heard(person)][-1] == "c2"


async def test_what_was_written_before_a_transfer_was_accepted_does_not_leave_after_it(hall: Hall) -> None:
    first, person, talk = await pair(hall)
    second = await hall.agent()
    async with hall.store.transaction() as db:
        await handling.transfer(db, talk, first, second.id, summary="a", at=hall.clock.now())
    await hall.writes(first, talk, "c1", "最后一句")
    async with hall.store.transaction() as db:
        await handling.accept(db, talk, second, at=hall.clock.now())
    assert await release(hall, talk, "c1") is None
    assert "最后一句" not in [line.text for line in await hall.heard(person)]
    assert [event.facts["state"] for event in await hall.happened("conversation.held")] == ["held", "refused"]
    with pytest.raises(NotYours):
        await hall.writes(first, talk, "c2", "还有一句")


async def test_nothing_is_sent_past_a_message_that_was_not_seen(hall: Hall) -> None:
    staff, person, talk = await pair(hall)
    seen = (await person.sends("第一句")).line.id or 0
    newest = (await person.sends("第二句")).line.id or 0
    with pytest.raises(NewerUnseen) as unseen:
        await hall.writes(staff, talk, "c1", "答第一句", seen=seen)
    assert unseen.value.facts == {"newest": newest}
    assert await hall.writes(staff, talk, "c1", "都看到了", seen=newest)


async def test_what_an_agent_writes_is_sent_as_it_is(hall: Hall) -> None:
    staff, person, talk = await pair(hall)
    await hall.writes(staff, talk, "c1", "{{ 7*7 }} <b>原样</b>")
    await release(hall, talk, "c1")
    assert await hall.last(person) == "{{ 7*7 }} <b>原样</b>"


# -- notes ------------------------------------------------------------------------------------------------------------


async def test_a_note_never_reaches_the_customer(hall: Hall, client: httpx.AsyncClient) -> None:
    staff, telegram, talk = await pair(hall, channel=Channel.TELEGRAM)
    begun = (await client.post("/api/v1/chat/sessions")).json()
    web = begun["conversation"]["id"]
    for number, whisper in ((talk, False), (web, True)):
        async with hall.store.transaction() as db:
            line = await handling.note(
                db, number, staff, "客户情绪激动，慎重", mentions=[], whisper=whisper, at=hall.clock.now()
            )
            assert line.direction == Direction.NOTE
    assert "客户情绪激动" not in "".join(await hall.delivered())
    assert "客户情绪激动" not in "".join(line.text for line in await hall.heard(telegram))
    shown = await client.get("/api/v1/chat/messages", headers={"Authorization": f"Bearer {begun['token']}"})
    assert shown.status_code == 200 and "客户情绪激动" not in shown.text
