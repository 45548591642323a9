"""Messages through Telegram, by polling and by webhook: each handled once, in order, and answered."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import select
from telegram.error import Conflict

from api.app import create_app
from api.services import Services
from bot.assistant import Received
from bot.inbound import Inbound
from bot.telegram.service import ParkedUpdate
from desk.conversations import Address, Direction, RecordLine
from desk.errors import DatabaseDown
from tests.conftest import SetClock
from tests.telegram.botapi import BotApi
from tests.telegram.conftest import a_bot, secret_of, working
from tests.telegram.world import QUESTION, SECRET, T, World, update

HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"


async def test_a_question_of_the_guide_is_answered_with_its_article(world: World) -> None:
    said = await world.answered(world.person(), QUESTION)
    assert "二个月" in said and "大客户用电申请服务指南" in said and "四" in said


async def test_what_the_guide_does_not_say_is_not_invented(world: World) -> None:
    lin = world.person()
    await world.answered(lin, "低压居民要多久?")
    [line] = await world.lines(Direction.OUT)
    assert line.body["name"] == "silent" and not line.body["sources"]
    assert lin.inbox[-1].text == line.text


async def test_a_repeated_update_is_answered_once(world: World) -> None:
    lin = world.person()
    number = await lin.say(QUESTION)
    await lin.wait(lambda inbox: inbox)
    world.api.redeliver(number)
    await world.answered(lin, "/help")
    assert len(await world.lines(Direction.IN)) == 2
    assert len(lin.inbox) == 2


async def test_what_cannot_be_committed_stays_with_telegram_and_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, failures = world.services.assistant.receive, iter([DatabaseDown(), DatabaseDown()])

    async def unlucky(inbound: Inbound) -> Received | None:
        if error := next(failures, None):
            raise error
        return await receive(inbound)

    monkeypatch.setattr(world.services.assistant, "receive", unlucky)
    assert "二个月" in await world.answered(world.person(), QUESTION)
    assert len(await world.lines(Direction.IN)) == 1


async def test_an_update_that_fails_again_and_again_is_parked_and_its_sender_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = world.services.assistant.receive

    async def allergic(inbound: Inbound) -> Received | None:
        if inbound.text == "poison":
            raise ZeroDivisionError
        return await receive(inbound)

    monkeypatch.setattr(world.services.assistant, "receive", allergic)
    lin, wang = world.person(7), world.person(8)
    number = await lin.say("poison")
    assert "二个月" in await world.answered(wang, QUESTION)
    [sorry] = await lin.wait(lambda inbox: inbox, T)
    assert "出了点问题" in sorry.text
    await world.until(lambda: not world.api.updates.pending or world.service.by_webhook is False)
    async with world.store.transaction() as db:
        [parked] = (await db.exec(select(ParkedUpdate))).all()
    assert parked.attempts == 3 and "ZeroDivisionError" in parked.error
    assert parked.content["update_id"] == number
    assert [line.text for line in await world.lines(Direction.IN, chat=7)] == ["poison"]
    assert "二个月" in await world.answered(lin, QUESTION)


async def test_a_tap_and_a_text_at_once_are_answered_one_after_the_other(world: World) -> None:
    people = [world.person(number) for number in range(20, 26)]
    await asyncio.gather(*(world.answered(person, "/menu") for person in people))
    for person in people:
        await person.tap("v1:topics:apply")
        await person.say(QUESTION)
        await person.tap("v1:person")
    for person in people:
        await person.wait(lambda inbox: len(inbox) == 4, T)
        spoken = await world.lines(chat=person.user["id"])
        assert [line.direction for line in spoken] == [Direction.IN, Direction.OUT] * 4
        assert [line.body["in_reply_to"] for line in spoken[1::2]] == [line.id for line in spoken[::2]]
        assert [shown.text.split("\n")[0] for shown in person.inbox] == [
            line.text.split("\n")[0] for line in spoken[1::2]
        ]


async def test_an_album_is_one_report(polled: World) -> None:
    lin = polled.person()
    async with working(polled):
        await lin.send_album([b"one", b"two", b"three"], caption="现场照片")
        [reply] = await lin.wait(lambda inbox: inbox, 2 * T)
        await polled.until(lambda: _files_kept(polled, 3), 2 * T)
    assert "3" in reply.text
    assert len(await polled.lines(Direction.IN)) == 3
    assert len(await polled.lines(Direction.OUT)) == 1


async def _files_kept(world: World, count: int) -> list[bytes] | None:
    files = [file for line in await world.lines(Direction.IN) for file in line.body.get("attachments", [])]
    if len(files) < count or not all(file["id"] for file in files):
        return None
    return [await world.services.storage.get(file["id"]) for file in files]


async def test_files_are_brought_into_our_storage(polled: World) -> None:
    lin = polled.person()
    await lin.send_document(b"%PDF", name="bill.pdf")
    await lin.send_photo(b"picture", caption="看这里")
    await lin.send_document(b"MZ", name="setup.exe")
    async with working(polled):
        lines = await polled.until(lambda: _settled_files(polled, 3), 2 * T)
    document, photo, program = (line.body["attachments"][0] for line in lines)
    assert await polled.services.storage.get(document["id"]) == b"%PDF" and document["name"] == "bill.pdf"
    assert await polled.services.storage.get(photo["id"]) == b"picture" and photo["size"] == 7
    assert program["id"] is None and program["remote"] is None


async def _settled_files(world: World, count: int) -> list[RecordLine] | None:
    lines = [line for line in await world.lines(Direction.IN) if line.body.get("attachments")]
    done = all(file["id"] or not file["remote"] for line in lines for file in line.body["attachments"])
    return lines if len(lines) == count and done else None


async def test_fetching_files_twice_keeps_them_once(polled: World) -> None:
    lin = polled.person()
    await lin.send_photo(b"picture")
    [line] = await polled.until(lambda: polled.lines(Direction.IN))
    assert line.id
    await polled.service.fetch_files(line.id)
    [first] = await polled.lines(Direction.IN)
    await polled.service.fetch_files(line.id)
    [second] = await polled.lines(Direction.IN)
    assert first.body["attachments"] == second.body["attachments"] and first.body["attachments"][0]["id"]


async def test_a_file_too_large_to_be_had_is_refused_in_words(polled: World) -> None:
    lin = polled.person()
    await lin.send_document(b"x", file_size=21 * 2**20)
    [reply] = await lin.wait(lambda inbox: inbox, T)
    assert "20 MB" in reply.text


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"photo": [{"file_id": "p", "file_unique_id": "p", "width": 1, "height": 1}]}, "file_received"),
        ({"document": {"file_id": "d", "file_unique_id": "d"}}, "file_received"),
        ({"voice": {"file_id": "v", "file_unique_id": "v", "duration": 2}}, "file_received"),
        ({"video": {"file_id": "v", "file_unique_id": "v", "duration": 2, "width": 1, "height": 1}}, "file_received"),
        ({"location": {"latitude": 31.2, "longitude": 121.5}}, "location_received"),
        (
            {"venue": {"location": {"latitude": 31.2, "longitude": 121.5}, "title": "t", "address": "a"}},
            "location_received",
        ),
        ({"dice": {"emoji": "🎲", "value": 3}}, "wordless"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_every_kind_of_message_gets_a_useful_reply(polled: World, content: dict[str, Any], name: str) -> None:
    lin = polled.person()
    polled.api.emit("message", polled.api.add_message(lin.chat, lin.user, content).data)
    [reply] = await lin.wait(lambda inbox: inbox, T)
    [line] = await polled.lines(Direction.OUT)
    assert line.body["name"] == name and reply.buttons


async def test_stickers_and_shared_contacts_get_a_reply_too(polled: World) -> None:
    sticker = {"file_id": "s", "file_unique_id": "s", "width": 1, "height": 1, "type": "regular"}
    contents: list[dict[str, Any]] = [
        {"sticker": sticker | {"is_animated": False, "is_video": False}},
        {"contact": {"phone_number": "+861380000", "first_name": "Wang"}},
    ]
    for number, content in enumerate(contents):
        someone = polled.person(30 + number)
        polled.api.emit("message", polled.api.add_message(someone.chat, someone.user, content).data)
        await someone.wait(lambda inbox: inbox, T)
    [contact] = await polled.lines(Direction.IN, chat=31)
    assert "+861380000" in contact.text


async def test_what_is_no_message_is_passed_over(polled: World) -> None:
    lin = polled.person()
    polled.api.emit("message", polled.api.add_message(lin.chat, lin.user, {"new_chat_title": "x"}).data)
    await polled.answered(lin, "/help")
    assert len(await polled.lines(Direction.IN)) == 1


async def test_commands_and_languages(polled: World) -> None:
    wanted = {"/start": "greeting", "/help": "help", "/menu": "menu", "/lang": "choose_language"}
    wanted |= {"/cancel": "nothing_to_cancel", "/lang en": "language_set", "/nonsense": "unknown_command"}
    people = {command: polled.person(40 + number) for number, command in enumerate(wanted)}
    await asyncio.gather(*(polled.answered(person, command) for command, person in people.items()))
    for command, person in people.items():
        [line] = await polled.lines(Direction.OUT, chat=person.user["id"])
        assert line.body["name"] == wanted[command]
    english = polled.person(60, language_code="en")
    await polled.answered(english, "/start")
    [line] = await polled.lines(Direction.OUT, chat=60)
    assert "Greenline" in english.inbox[0].text or english.inbox[0].text.isascii()


async def test_the_menu_of_commands_is_told_in_every_language(polled: World) -> None:
    await polled.until(lambda: len(polled.api.commands) == 3)
    scope = '{"type": "default"}'
    told = {code: polled.api.commands[scope, code] for code in ("", "zh", "en")}
    assert [command["command"] for command in told["en"]] == ["menu", "help", "lang", "cancel"]
    assert told[""] == told["zh"] != told["en"]


async def test_a_double_tap_is_answered_once_and_both_taps_stop_spinning(world: World) -> None:
    lin = world.person()
    await world.answered(lin, "/menu")
    await lin.tap("v1:topics:apply")
    await lin.tap("v1:topics:apply")
    await lin.wait(lambda inbox: len(inbox) == 2, T)
    await world.until(lambda: [tap.answered for tap in world.api.taps.values()] == [True, True])
    assert len(await world.lines(Direction.OUT)) == 2


async def test_unknown_and_stale_buttons_get_the_menu(polled: World) -> None:
    people = [polled.person(50 + number) for number in range(4)]
    for person, data in zip(people, ("v0:menu", "v1:nonsense", "v1:ask:gone", "v1:\x00"), strict=True):
        await polled.answered(person, "/help")
        polled.api.tapped(person, person.inbox[-1], data)
    for person in people:
        await person.wait(lambda inbox: len(inbox) == 2 and inbox[-1].buttons, T)
        assert (await polled.lines(Direction.OUT, chat=person.user["id"]))[-1].body["name"] == "stale_choice"


async def test_a_tap_that_expired_is_answered_all_the_same(polled: World) -> None:
    lin = polled.person()
    await polled.answered(lin, "/help")
    await lin.tap("v1:menu")
    polled.clock.forward(seconds=151)
    await lin.wait(lambda inbox: len(inbox) == 2, T)
    assert [tap.answered for tap in polled.api.taps.values()] == [False]


async def test_a_slow_answer_to_a_tap_holds_up_nobody(polled: World) -> None:
    lin, wang = polled.person(7), polled.person(8)
    await polled.answered(lin, "/help")
    polled.api.fail("answerCallbackQuery", "delay", seconds=60)
    await lin.tap("v1:menu")
    await polled.answered(wang, "/help")
    assert not any(tap.answered for tap in polled.api.taps.values())


async def test_blocking_and_coming_back(world: World) -> None:
    lin = world.person()
    await world.answered(lin, "/start")
    await lin.block()
    await world.until(lambda: world.events("address.unreachable"))
    await lin.unblock()
    await world.until(lambda: world.events("address.reachable"))
    assert "二个月" in await world.answered(lin, QUESTION)


async def test_a_question_in_a_group_is_answered_in_the_group(polled: World) -> None:
    group, lin = polled.api.group(-500), polled.person()
    await lin.say(QUESTION, group)
    await polled.until(lambda: group.inbox)
    assert "二个月" in group.inbox[0].text and not lin.inbox


async def test_a_group_that_moved_keeps_its_conversation(polled: World) -> None:
    group, lin = polled.api.group(-500), polled.person()
    await lin.say("/start", group)
    await polled.until(lambda: group.inbox)
    moved = polled.api.migrate(-500, -1000000000500)
    await lin.say(QUESTION, moved)
    await polled.until(lambda: any("二个月" in shown.text for shown in moved.inbox))
    async with polled.store.transaction() as db:
        [address] = (await db.exec(select(Address))).all()
    assert address.external_id == "-1000000000500"


async def test_text_that_no_database_can_store_is_stored_without_it(polled: World) -> None:
    await polled.answered(polled.person(), "双电源的供电方案\x00多久能出来?")
    [line] = await polled.lines(Direction.IN)
    assert line.text == "双电源的供电方案多久能出来?"


async def test_a_second_program_with_the_token_is_waited_out(polled: World) -> None:
    await polled.until(lambda: polled.api.updates.polled)
    async with a_bot(polled.api) as rival:
        with contextlib.suppress(Conflict):
            await rival.get_updates(timeout=1)
        assert "二个月" in await polled.answered(polled.person(), QUESTION)


async def test_a_webhook_that_somebody_else_set_is_removed(polled: World) -> None:
    await polled.until(lambda: polled.api.updates.polled)
    async with a_bot(polled.api) as rival:
        await rival.set_webhook("https://elsewhere.test/hook")
    assert "二个月" in await polled.answered(polled.person(), QUESTION)


async def test_trouble_while_fetching_updates_passes(polled: World) -> None:
    await polled.until(lambda: polled.api.updates.polled)
    polled.api.fail("getUpdates", "reset")
    polled.api.fail("getMe", "before", code=502, description="Bad Gateway")
    polled.api.fail("setMyCommands", "before", code=400, description="Bad Request: BOT_COMMAND_INVALID")
    await polled.answered(polled.person(7), "/help")
    polled.api.fail("getUpdates", "flood", retry_after=1)
    await polled.answered(polled.person(8), "/help")
    await polled.answered(polled.person(9), "/help")


async def test_a_database_pause_while_handling_is_survived(polled: World) -> None:
    lin = polled.person()
    await polled.answered(lin, "/start")
    async with polled.store.transaction() as db:
        # every connection of the bot is cut
        await db.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert "二个月" in await polled.answered(lin, QUESTION)


# -- the webhook's door -----------------------------------------------------------------------------------------------


async def test_only_the_right_secret_opens_the_webhook(hooked: World) -> None:
    await hooked.person().say("/help")
    content = update(hooked, next(iter(hooked.api.updates.history)))
    await hooked.until(lambda: hooked.lines(Direction.IN))
    content["update_id"] += 1
    for headers in ({}, {HEADER: "wrong"}, {HEADER: SECRET + "x"}, {HEADER: ""}):
        assert (await posted(hooked, content, headers)).status_code in (401, 403)
    assert len(await hooked.lines(Direction.IN)) == 1
    assert (await posted(hooked, content, {HEADER: SECRET})).status_code == 200
    assert len(await hooked.lines(Direction.IN)) == 2


async def test_half_a_character_does_not_block_the_queue(hooked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await hooked.person().say("/help")
    content = update(hooked, 5001)
    await hooked.until(lambda: hooked.lines(Direction.IN))
    content["update_id"], content["message"]["text"] = 6001, "双电源\ud83d\x00"
    assert (await posted(hooked, content, {HEADER: SECRET})).status_code == 200
    assert [line.text for line in await hooked.lines(Direction.IN)] == ["/help", "双电源?"]

    async def failing(inbound: Inbound) -> None:
        raise ZeroDivisionError("\ud83d\x00")

    monkeypatch.setattr(hooked.services.assistant, "receive", failing)
    content["update_id"] = 6002
    statuses = [(await posted(hooked, content, {HEADER: SECRET})).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]


async def test_a_huge_body_is_dropped_without_reading_it_all(hooked: World) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(64):
            read += 2**18
            yield b" " * 2**18

    assert await hooked.service.webhook(SECRET, body()) is True
    assert read <= 2**20 + 2**18
    assert not await hooked.lines()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b'{"update_id": 1}', b"\xff", b'{"message": {}}'])
async def test_what_is_no_update_is_answered_and_forgotten(hooked: World, content: bytes) -> None:
    assert (await posted(hooked, content, {HEADER: SECRET})).status_code == 200
    assert not await hooked.lines()


async def test_a_process_that_only_serves_http_handles_the_webhook(
    api: BotApi, equipped: Callable[..., Services], clock: SetClock
) -> None:
    services = equipped(telegram_webhook_secret=secret_of(SECRET), public_url="https://greenline.test")
    world = World(api, services, clock)
    lin = world.person()
    await lin.say(QUESTION)
    assert (await posted(world, update(world, 5001), {HEADER: SECRET})).status_code == 200
    assert [delivery.fate for delivery in await world.deliveries()] == ["queued"]


async def posted(world: World, content: bytes | dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    transport = httpx.ASGITransport(create_app(world.services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://greenline.test") as client:
        return await client.post("/telegram/webhook", content=body, headers=headers)
