"""Replies and notices through Telegram: each settled once with its fate, whatever the network and Telegram do."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, NetworkError, RetryAfter, TimedOut

from api.services import Services
from bot.sender import Doubtful, NotSent, Refused, Sent, Unreachable
from bot.telegram.carrier import classify
from desk import conversations, deliveries
from desk.conversations import Channel, Direction
from desk.deliveries import Delivery, Fate, Lane
from desk.errors import DatabaseDown
from tests.conftest import SetClock
from tests.telegram.botapi import BotApi
from tests.telegram.world import QUESTION, T, World


async def settled(world: World, *fates: Fate) -> list[Delivery]:
    """All deliveries, once they have these fates."""

    async def all_so() -> list[Delivery] | None:
        found = await world.deliveries()
        return found if [delivery.fate for delivery in found] == list(fates) else None

    return await world.until(all_so)


# -- one send ---------------------------------------------------------------------------------------------------------


async def test_a_reply_that_may_have_arrived_is_repeated_once_and_counted(polled: World) -> None:
    lin = polled.person()
    polled.api.fail("sendMessage", "after", hang=False)
    await lin.say(QUESTION)
    await lin.wait(lambda inbox: len(inbox) == 2, T)
    [delivery] = await settled(polled, Fate.SENT)
    assert delivery.doubts == 1
    assert lin.inbox[0].text == lin.inbox[1].text
    assert len(await polled.events("delivery.repeated")) == len(await polled.events("delivery.sent")) == 1
    async with polled.store.transaction() as db:
        assert (await deliveries.count_by_fate(db, channel=Channel.TELEGRAM))["doubted"] == 1


async def test_a_reply_in_doubt_twice_is_not_tried_a_third_time(polled: World) -> None:
    lin = polled.person()
    polled.api.fail("sendMessage", "after", times=5)
    await lin.say(QUESTION)
    [delivery] = await settled(polled, Fate.UNKNOWN)
    assert delivery.doubts == 2 and len(lin.inbox) == 2
    polled.api.faults.clear()
    await polled.answered(lin, "/help")


async def test_a_notice_in_doubt_is_not_repeated(polled: World) -> None:
    polled.person()
    polled.api.fail("sendMessage", "after")
    await polled.notices([7])
    [delivery] = await settled(polled, Fate.UNKNOWN)
    assert delivery.doubts == 1 and len(polled.person().inbox) == 1
    assert [event.subject for event in await polled.events("delivery.unknown")] == [f"delivery:{delivery.id}"]


async def test_a_server_error_leaves_doubt_and_no_connection_leaves_none(
    api: BotApi, equipped: Callable[..., Services], clock: SetClock
) -> None:
    world = World(api, equipped(telegram_api_url="http://127.0.0.1:1"), clock)
    world.person()
    sending = asyncio.create_task(world.service.sender.run())
    try:
        await world.notices([7])

        async def tried() -> Delivery | None:
            [delivery] = await world.deliveries()
            return delivery if delivery.cause and delivery.fate == Fate.QUEUED else None

        delivery = await world.until(tried)
        assert (delivery.doubts, delivery.cause) == (0, "ConnectError")
        assert delivery.due_at == clock.now() + timedelta(seconds=1)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def test_what_errors_mean() -> None:
    def caused(error: NetworkError, cause: Exception) -> NetworkError:
        error.__cause__ = cause
        return error

    assert classify(RetryAfter(7)) == NotSent("flood limit", 7.0)
    assert classify(RetryAfter(timedelta(seconds=7))) == NotSent("flood limit", 7.0)
    assert classify(Forbidden("bot was blocked by the user")) == Unreachable("bot was blocked by the user")
    assert isinstance(classify(BadRequest("Chat not found")), Unreachable)
    assert isinstance(classify(ChatMigrated(-100)), NotSent)
    assert classify(BadRequest("Message is not modified: …")) == Sent(None)
    assert isinstance(classify(BadRequest("Message is too long")), Refused)
    assert isinstance(classify(InvalidToken()), NotSent)
    assert isinstance(classify(TimedOut()), Doubtful)
    assert isinstance(classify(NetworkError("Bad Gateway")), Doubtful)
    assert isinstance(classify(caused(TimedOut("Pool timeout"), httpx.PoolTimeout(""))), NotSent)
    assert isinstance(classify(caused(TimedOut(), httpx.ConnectTimeout(""))), NotSent)
    assert isinstance(classify(caused(NetworkError(""), httpx.ConnectError(""))), NotSent)
    assert isinstance(classify(caused(TimedOut(), httpx.ReadTimeout(""))), Doubtful)
    assert isinstance(classify(caused(NetworkError(""), httpx.WriteError(""))), Doubtful)


async def test_refused_markup_is_sent_as_plain_text(polled: World) -> None:
    lin = polled.person()
    polled.api.fail("sendMessage", "before", code=400, description="Bad Request: can't parse entities: oops")
    said = await polled.answered(lin, QUESTION)
    assert "二个月" in said and "第" in said and not lin.inbox[0].entities and lin.inbox[0].buttons
    [delivery] = await settled(polled, Fate.SENT)
    assert delivery.doubts == 0


async def test_a_refused_reply_does_not_hold_up_the_next(polled: World) -> None:
    lin = polled.person()
    polled.api.fail("sendMessage", "before", code=400, description="Bad Request: something is wrong")
    await lin.say("/start")
    await settled(polled, Fate.FAILED)
    await polled.answered(lin, "/help")
    assert [event.facts for event in await polled.events("delivery.failed")] == [{"cause": "Something is wrong"}]


async def test_a_reply_that_cannot_be_put_into_words_does_not_hold_up_the_next(
    polled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lin = polled.person()
    with monkeypatch.context() as broken:
        broken.setattr("bot.telegram.carrier.parts", lambda *_: 1 / 0)
        await lin.say("/start")
        [delivery] = await settled(polled, Fate.FAILED)
    assert "ZeroDivisionError" in (delivery.cause or "")
    await polled.answered(lin, "/help")


async def test_signs_and_emoji_at_the_limit_arrive_whole_and_in_order(polled: World) -> None:
    lin = polled.person()
    long = "<&😀>" * 819 + "<&" + "电" * 4096 + "末"
    await polled.notices([7], long)
    await lin.wait(lambda inbox: "末" in (inbox[-1].text if inbox else ""), T)
    assert "".join(shown.text for shown in lin.inbox) == f"{long} 7"


async def test_a_long_reply_goes_on_behind_the_part_that_arrived(polled: World) -> None:
    lin = polled.person()
    send = "a" * 4000 + "\n" + "b" * 4000
    await polled.notices([7], send)
    await lin.wait(lambda inbox: inbox, T)
    polled.api.fail("sendMessage", "flood", retry_after=2)

    async def postponed() -> Delivery | None:
        [delivery] = await polled.deliveries()
        return delivery if delivery.cause else None

    delivery = await polled.until(postponed)
    assert (delivery.fate, delivery.parts_sent) == (Fate.QUEUED, 1)
    await polled.forward(seconds=3)
    await lin.wait(lambda inbox: len(inbox) == 2, T)
    assert [shown.text[0] for shown in lin.inbox] == ["a", "b"]
    await settled(polled, Fate.SENT)


# -- addresses --------------------------------------------------------------------------------------------------------


async def test_a_blocked_bot_stops_trying_until_the_person_comes_back(polled: World) -> None:
    lin = polled.person()
    await polled.answered(lin, "/start")
    lin.chat.blocked = True
    await polled.notices([7, 7, 7])
    found = await settled(polled, Fate.SENT, *[Fate.UNREACHABLE] * 3)
    assert [delivery.attempts for delivery in found] == [1, 1, 0, 0]
    assert len(await polled.events("delivery.unreachable")) == 3
    await polled.notices([7])
    assert (await settled(polled, Fate.SENT, *[Fate.UNREACHABLE] * 4))[-1].attempts == 0
    lin.chat.blocked = False
    await polled.answered(lin, "/start")
    await polled.notices([7])
    await settled(polled, Fate.SENT, *[Fate.UNREACHABLE] * 4, Fate.SENT, Fate.SENT)


async def test_who_writes_while_a_refusal_is_under_way_is_reachable(polled: World) -> None:
    lin = polled.person()
    await polled.answered(lin, "/help")
    [first] = await settled(polled, Fate.SENT)
    async with polled.store.transaction() as db:
        await db.execute(text("UPDATE delivery SET fate = 'sending'"))
        await db.execute(text("UPDATE conversation SET last_inbound_at = last_inbound_at + interval '1 minute'"))
        assert first.id
        await deliveries.lose_address(
            db, first.id, cause="blocked", at=polled.clock.now(), asked_at=polled.clock.now() + timedelta(seconds=59)
        )
    await settled(polled, Fate.SENT)
    assert not await polled.events("address.unreachable")


async def test_a_notice_to_a_group_that_moved_follows_it(polled: World) -> None:
    group = polled.api.group(-500)
    polled.api.chats[-500].moved_to = -1000000000500
    moved = polled.api.group(-1000000000500)
    await polled.notices([-500])

    async def known() -> bool:
        async with polled.store.transaction() as db:
            return await conversations.find(db, Channel.TELEGRAM, "-1000000000500") is not None

    await polled.until(known)
    await polled.forward(seconds=2)
    await settled(polled, Fate.SENT)
    assert len(moved.inbox) == 1 and not group.inbox


async def test_what_waits_for_a_moved_group_goes_to_its_known_new_number(polled: World) -> None:
    polled.api.group(-500).moved_to = -1000000000500
    moved = polled.api.group(-1000000000500)
    await polled.person().say("/help", moved)
    await polled.until(lambda: moved.inbox)
    await polled.notices([-500, -500])
    await polled.until(lambda: polled.events("address.unreachable"))
    await polled.forward(seconds=2)
    await settled(polled, Fate.SENT, Fate.SENT, Fate.SENT)
    assert len(moved.inbox) == 3


# -- many sends -------------------------------------------------------------------------------------------------------


async def test_a_broadcast_drains_at_the_permitted_rate_and_replies_overtake_it(polled: World) -> None:
    polled.api.limits = True
    chats = list(range(1000, 1150))
    for chat in chats:
        polled.person(chat)
    await polled.notices(chats)
    asking = [polled.person(number) for number in range(10)]
    for person in asking:
        await polled.answered(person, "/help")
    replied = len([call for call in polled.api.calls if call.method == "sendMessage"])
    assert replied < 150, "the replies came before the end of the broadcast"
    await polled.until(lambda: all(polled.api.people[chat].inbox for chat in chats), 2 * T)
    found = await polled.until(lambda: _all(polled, Fate.SENT))
    assert {delivery.attempts for delivery in found} == {1}, "no send met a limit"
    assert {len(polled.api.people[chat].inbox) for chat in chats} == {1}
    times = [call.at for call in polled.api.calls if call.method == "sendMessage"]
    # the way from here to the server takes now longer, now shorter: a few hundredths of a second
    assert max(sum(at <= other < at + 0.9 for other in times) for at in times) <= 30


async def _all(world: World, fate: Fate) -> list[Delivery] | None:
    found = await world.deliveries()
    return found if all(delivery.fate == fate for delivery in found) else None


async def test_a_flood_limit_in_a_broadcast_stops_the_notices_and_not_the_replies(polled: World) -> None:
    chats = list(range(1000, 1040))
    for chat in chats:
        polled.person(chat)
    polled.api.fail("sendMessage", "flood", times=1, retry_after=5)
    await polled.notices(chats)

    async def paused() -> bool:
        async with polled.store.transaction() as db:
            return await deliveries.paused_until(db, Channel.TELEGRAM) is not None

    await polled.until(paused)
    for number in range(3):
        await polled.answered(polled.person(number), "/help")
    waiting = [delivery for delivery in await polled.deliveries() if delivery.fate == Fate.QUEUED]
    assert len(waiting) >= 30 and {delivery.lane for delivery in waiting} == {Lane.NOTICE}
    await polled.forward(seconds=6)
    await polled.until(lambda: _all(polled, Fate.SENT))
    assert all(len(polled.api.people[chat].inbox) == 1 for chat in chats)


async def test_when_replies_to_two_people_meet_the_flood_limit_everything_waits(polled: World) -> None:
    lin, wang, zhao = (polled.person(number) for number in (1, 2, 3))
    polled.api.fail("sendMessage", "flood", times=2, retry_after=1)
    await lin.say("/help")
    await polled.until(lambda: _flooded(polled, 1))
    await wang.say("/help")
    await polled.until(lambda: _flooded(polled, 2))
    calls = [call for call in polled.api.calls if call.method == "sendMessage"]
    halted = calls[-1].at
    await polled.answered(zhao, "/help")
    await polled.forward(seconds=2)
    await asyncio.gather(lin.wait(lambda inbox: inbox, T), wang.wait(lambda inbox: inbox, T))
    calls = [call for call in polled.api.calls if call.method == "sendMessage"]
    assert calls[2].at - halted > 0.9
    assert {delivery.doubts for delivery in await settled(polled, *[Fate.SENT] * 3)} == {0}


async def _flooded(world: World, count: int) -> bool:
    return sum(delivery.cause == "flood limit" for delivery in await world.deliveries()) == count


async def test_one_chats_messages_keep_their_order(polled: World) -> None:
    lin = polled.person()
    await polled.answered(lin, "/help")
    polled.api.fail("sendMessage", "flood", retry_after=1, chat_id=7)
    await lin.say("/start")
    await polled.until(lambda: _flooded(polled, 1))
    await lin.say("/menu")
    await polled.until(lambda: _count(polled, 3))
    await polled.forward(seconds=2)
    await lin.wait(lambda inbox: len(inbox) == 3, T)
    assert [shown.text for shown in lin.inbox] == [line.text for line in await polled.lines(Direction.OUT)]


async def _count(world: World, number: int) -> bool:
    return len(await world.deliveries()) == number


async def test_notices_in_a_slow_network_leave_room_for_replies(polled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.sender.NOTICES_IN_FLIGHT", 2)
    monkeypatch.setattr("bot.sender.LANDING", 0.1)
    for chat in range(1000, 1006):
        polled.person(chat)
        polled.api.fail("sendMessage", "delay", seconds=60, chat_id=chat)
    await polled.notices(list(range(1000, 1006)))
    for number in range(3):
        await polled.answered(polled.person(number), "/help")
    fates = Counter(delivery.fate for delivery in await polled.deliveries() if delivery.lane == Lane.NOTICE)
    assert fates[Fate.SENDING] == 2 and fates[Fate.QUEUED] == 4


async def test_an_idle_sender_hardly_looks(polled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, hand_over = Counter[str](), deliveries.hand_over

    async def counted(*given: Any, **named: Any) -> list[deliveries.Parcel]:
        looks["all"] += 1
        return await hand_over(*given, **named)

    monkeypatch.setattr(deliveries, "hand_over", counted)
    for number in range(3):
        await polled.answered(polled.person(number), "/help")
    assert looks["all"] < 60


# -- who may send -----------------------------------------------------------------------------------------------------


async def test_a_sender_whose_lock_was_lost_hands_over_without_losing_or_doubling(
    polled: World, equipped: Callable[..., Services]
) -> None:
    lin, wang = polled.person(7), polled.person(8)
    await polled.answered(lin, "/help")
    polled.api.fail("sendMessage", "delay", seconds=1, chat_id=7)
    await lin.say("/menu")
    await polled.until(lambda: _sending(polled, 1))
    second = equipped().telegram
    assert second
    standing_by = asyncio.create_task(second.sender.run())
    try:
        async with polled.store.transaction() as db:
            await db.execute(_CUT_LEADERS)
        assert "二个月" in await polled.answered(wang, QUESTION)
        await polled.until(lambda: _all(polled, Fate.SENT))
    finally:
        standing_by.cancel()
        await asyncio.gather(standing_by, return_exceptions=True)
    doubts = sum(delivery.doubts for delivery in await polled.deliveries())
    assert doubts <= 1 and len(lin.inbox) <= 2 + doubts and len(wang.inbox) == 1


_CUT_LEADERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()"
)


async def _sending(world: World, count: int) -> bool:
    return sum(delivery.fate == Fate.SENDING for delivery in await world.deliveries()) == count


async def test_an_orderly_end_lets_sends_land(api: BotApi, equipped: Callable[..., Services], clock: SetClock) -> None:
    world = World(api, equipped(), clock)
    lin = world.person()
    api.fail("sendMessage", "delay", seconds=0.5)
    async with world.service.running():
        await lin.say("/help")
        await world.until(lambda: _sending(world, 1))
    [delivery] = await world.deliveries()
    assert (delivery.fate, delivery.doubts) == (Fate.SENT, 0) and len(lin.inbox) == 1


async def test_a_database_that_is_away_delays_the_settling_and_causes_no_doubt(
    polled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm, failures = deliveries.confirm, iter([DatabaseDown(), RuntimeError("deadlock")])

    async def unlucky(*given: Any, **named: Any) -> None:
        if error := next(failures, None):
            raise error
        await confirm(*given, **named)

    monkeypatch.setattr(deliveries, "confirm", unlucky)
    await polled.answered(polled.person(), "/help")
    [delivery] = await settled(polled, Fate.SENT)
    assert delivery.doubts == 0


async def test_a_delivery_that_nobody_sends_is_found_and_repeated(
    polled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.sender.SWEEP", 0.2)
    monkeypatch.setattr("bot.sender.IDLE", 0.1)
    lin = polled.person()
    await polled.answered(lin, "/help")
    await settled(polled, Fate.SENT)
    async with polled.store.transaction() as db:
        await db.execute(text("UPDATE delivery SET fate = 'sending'"))
    await polled.until(lambda: polled.events("delivery.repeated"))
    await lin.wait(lambda inbox: len(inbox) == 2, T)
