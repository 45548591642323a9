"""The Bot API double, driven by the real python-telegram-bot."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    ReplyKeyboardMarkup,
)
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TimedOut,
)
from telegram.request import HTTPXRequest

from tests.telegram.botapi import BotApi
from tests.telegram.botapi_text import Json, render, utf16
from tests.telegram.pictures import picture

pytestmark = pytest.mark.anyio
TOKEN = "4711:test-token"
PIXEL, OTHER = picture(), picture("JPEG")
YES = InlineKeyboardMarkup(
    [[InlineKeyboardButton("Yes", callback_data="v1:yes"), InlineKeyboardButton("No", callback_data="v1:no")]]
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def whole_timedeltas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "true")


class SetClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 8, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class World:
    """A served double and a bot talking to it."""

    def __init__(self, api: BotApi, bot: Bot, url: str, clock: SetClock) -> None:
        self.api, self.bot, self.url, self.clock = api, bot, url, clock
        self.lin = api.person(7, "Lin")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = SetClock()
    api = BotApi(TOKEN, clock, webhook_backoff=0.01)
    async with api.serve() as url, a_bot(url) as bot:
        yield World(api, bot, url, clock)


def a_bot(url: str, token: str = TOKEN) -> Bot:
    requests = [HTTPXRequest(httpx_kwargs={"verify": False, "trust_env": False}) for _ in range(2)]
    return Bot(token, f"{url}/bot", f"{url}/file/bot", request=requests[0], get_updates_request=requests[1])


class Hook:
    """The bot's webhook endpoint, answering as told."""

    def __init__(self, answers: Callable[[Json], int] = lambda update: 200) -> None:
        self.seen: list[Json] = []
        self.secrets: list[str | None] = []
        self._answers = answers
        self.app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        update = await request.json()
        self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
        status = self._answers(update)
        if status == 200:
            self.seen.append(update)
        return Response(status_code=status)


async def until(api: BotApi, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await api.changed()


# -- identity and envelope --------------------------------------------------------------------------------------------


async def test_the_bot_knows_who_it_is(world: World) -> None:
    assert (world.bot.id, world.bot.username, world.bot.bot.is_bot) == (4711, "test_bot", True)


async def test_a_wrong_token_is_unauthorized(world: World) -> None:
    stranger = a_bot(world.url, "4711:other")
    with pytest.raises(InvalidToken):
        await stranger.get_me()
    await stranger.request.shutdown()


async def test_an_unknown_method_is_not_found_and_the_status_is_the_error_code(world: World) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{world.url}/bot{TOKEN}/sendCarrierPigeon")
    assert answer.status_code == answer.json()["error_code"] == 404
    assert answer.json()["ok"] is False


async def test_json_urlencoded_and_query_requests_are_equal(world: World) -> None:
    params: Json = {
        "chat_id": 7,
        "text": "x",
        "reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "b"}]]},
    }
    flat = params | {"reply_markup": json.dumps(params["reply_markup"])}
    async with httpx.AsyncClient(base_url=f"{world.url}/bot{TOKEN}") as client:
        answers = [
            await client.post("/sendMessage", json=params),
            await client.post("/SENDMESSAGE", data=flat),
            await client.get("/sendmessage", params=flat),
        ]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [shown.buttons for shown in world.lin.inbox] == [[{"text": "a", "callback_data": "b"}]] * 3


# -- polling ----------------------------------------------------------------------------------------------------------


async def test_the_offset_acknowledges(world: World) -> None:
    first, second = await world.lin.say("one"), await world.lin.say("two")
    assert [update.update_id for update in await world.bot.get_updates()] == [first, second]
    assert [update.update_id for update in await world.bot.get_updates(offset=second)] == [second]
    assert await world.bot.get_updates(offset=second + 1) == ()
    assert world.api.updates.pending == []


async def test_a_text_arrives_with_person_date_and_command_entity(world: World) -> None:
    await world.lin.say("😀 /start abc")
    (update,) = await world.bot.get_updates()
    message = update.message
    assert message and message.from_user and message.date == world.clock.now()
    assert (message.from_user.language_code, message.chat.type) == ("zh-hans", "private")
    assert list(message.parse_entities().values()) == ["/start"]


async def test_a_waiting_poll_wakes_on_a_new_update(world: World) -> None:
    started = time.monotonic()
    poll = asyncio.create_task(world.bot.get_updates(timeout=20))
    await until(world.api, lambda: world.api.updates.polled)
    await world.lin.say("hello")
    (update,) = await poll
    assert update.message and update.message.text == "hello"
    assert time.monotonic() - started < 5


async def test_a_poll_ends_empty_after_its_timeout(world: World) -> None:
    started = time.monotonic()
    assert await world.bot.get_updates(timeout=1) == ()
    assert time.monotonic() - started >= 0.9


async def test_a_second_poller_ends_the_first_with_a_conflict(world: World) -> None:
    first = asyncio.create_task(world.bot.get_updates(timeout=20))
    await until(world.api, lambda: world.api.updates.polled)
    async with a_bot(world.url) as other:
        second = asyncio.create_task(other.get_updates(timeout=20))
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await first
        await world.lin.say("hello")
        assert len(await second) == 1


async def test_polling_conflicts_with_a_webhook(world: World) -> None:
    await world.bot.set_webhook("https://bot.example.com/hook")
    with pytest.raises(Conflict, match="webhook is active"):
        await world.bot.get_updates()
    await world.bot.delete_webhook()
    assert await world.bot.get_updates() == ()


async def test_an_acknowledged_update_can_come_again(world: World) -> None:
    number = await world.lin.say("once")
    await world.bot.get_updates()
    assert await world.bot.get_updates(offset=number + 1) == ()
    world.api.redeliver(number)
    again = await world.bot.get_updates(offset=number + 1)
    assert [update.update_id for update in again] == [number]
    assert await world.bot.get_updates(offset=number + 1) == ()


async def test_only_allowed_updates_arrive(world: World) -> None:
    await world.bot.get_updates(allowed_updates=["message"])
    await world.lin.block()
    await world.lin.unblock()
    await world.lin.say("hello")
    assert [bool(update.message) for update in await world.bot.get_updates()] == [True]


# -- webhook ----------------------------------------------------------------------------------------------------------


async def test_updates_are_pushed_in_order_with_the_secret(world: World) -> None:
    hook = Hook()
    world.api.updates.transport = httpx.ASGITransport(app=hook.app)
    sent = [await world.lin.say("before")]
    await world.bot.set_webhook("https://bot.example.com/hook", secret_token="s3cret_-")
    sent += [await world.lin.say(str(number)) for number in range(5)]
    await until(world.api, lambda: not world.api.updates.pending)
    assert [update["update_id"] for update in hook.seen] == sent
    assert set(hook.secrets) == {"s3cret_-"}


async def test_a_failed_push_is_repeated_and_told_in_the_webhook_info(world: World) -> None:
    broken = [503, 500]
    hook = Hook(lambda update: broken.pop() if broken else 200)
    world.api.updates.transport = httpx.ASGITransport(app=hook.app)
    await world.bot.set_webhook("https://bot.example.com/hook")
    first, second = await world.lin.say("one"), await world.lin.say("two")
    assert (await world.bot.get_webhook_info()).pending_update_count == 2
    await until(world.api, lambda: not world.api.updates.pending)
    info = await world.bot.get_webhook_info()
    assert [update["update_id"] for update in hook.seen] == [first, second]
    assert (info.pending_update_count, info.last_error_date) == (0, world.clock.now())
    assert info.last_error_message == "Wrong response from the webhook: 503 Service Unavailable"


async def test_an_update_that_cannot_be_handled_blocks_only_its_chat(world: World) -> None:
    hook = Hook(lambda update: 500 if update["message"]["chat"]["id"] == 7 else 200)
    world.api.updates.transport = httpx.ASGITransport(app=hook.app)
    await world.bot.set_webhook("https://bot.example.com/hook")
    await world.lin.say("poison")
    other = await world.api.person(8, "Wu").say("hello")
    await until(world.api, lambda: hook.seen)
    assert [update["update_id"] for update in hook.seen] == [other]


async def test_updates_are_pushed_over_real_http_and_survive_an_absent_bot(world: World) -> None:
    other = BotApi("1:x")  # any server that answers
    async with other.serve() as url:
        pass
    await world.bot.set_webhook(f"{url}/hook")
    await world.lin.say("hello")
    await until(world.api, lambda: world.api.updates.webhook and world.api.updates.webhook.error)
    assert (await world.bot.get_webhook_info()).last_error_message == "Connection refused"
    await world.bot.delete_webhook(drop_pending_updates=True)
    assert await world.bot.get_updates() == ()


async def test_a_webhook_secret_with_other_characters_is_refused(world: World) -> None:
    with pytest.raises(BadRequest, match="unallowed characters"):
        await world.bot.set_webhook("https://bot.example.com/hook", secret_token="geheim!")
    with pytest.raises(BadRequest, match=r"(?i)HTTPS URL must be provided"):
        await world.bot.set_webhook("http://bot.example.com/hook")


# -- texts ------------------------------------------------------------------------------------------------------------


async def test_html_becomes_text_and_entities(world: World) -> None:
    sent = await world.bot.send_message(
        7, "😀 <b>a &lt; b</b> &amp; <a href='https://x.org/?a=1&amp;b=2&copy=3'>c</a>", "HTML"
    )
    (shown,) = world.lin.inbox
    assert shown.text == sent.text == "😀 a < b & c"
    assert shown.entities[0] == {"type": "bold", "offset": 3, "length": 5}
    assert list(sent.parse_entities().values()) == ["a < b", "c"]
    assert sent.entities[1].url == "https://x.org/?a=1&b=2&copy=3"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("a <br> b", 'Unsupported start tag "br" at byte offset 2'),
        ("负荷 < 5 > 3", 'Unsupported start tag "" at byte offset 7'),
        ("1 <2", "Unclosed start tag at byte offset 2"),
        ("<b", "Unclosed start tag at byte offset 0"),
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b><i>x</b></i>", 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("<a href>x</a>", 'Expected equal sign in declaration of an attribute of the tag "a" at byte offset 0'),
    ],
)
async def test_broken_html_is_refused(world: World, source: str, error: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await world.bot.send_message(7, source, "HTML")
    assert refused.value.message.lower() == f"can't parse entities: {error}".lower()
    assert world.lin.inbox == []


@pytest.mark.parametrize(
    ("source", "text", "types"),
    [
        ("a & b &copy; &quot;&#128512;&#x1F600;", 'a & b &copy; "😀😀', []),
        ("<B>x</B><i></i>", "x", ["bold"]),
        ("<b>x <i>y</i></b>", "x y", ["bold", "italic"]),
        ("<blockquote expandable>q</blockquote>", "q", ["expandable_blockquote"]),
        (
            "<span class='tg-spoiler'>s</span><pre><code class=\"language-py\">c</code></pre>",
            "sc",
            ["spoiler", "code", "pre"],
        ),
        ("<a>no link</a>", "no link", []),
        ("5 > 3", "5 > 3", []),
    ],
)
def test_what_html_means(source: str, text: str, types: list[str]) -> None:
    shown, entities = render(source)
    assert shown == text
    assert sorted(entity["type"] for entity in entities) == sorted(types)


async def test_the_length_limit_counts_utf16_units_after_parsing(world: World) -> None:
    fits = "&lt;" * 2000 + "&amp;" * 96 + "😀" * 1000
    assert utf16(render(fits)[0]) == 4096
    assert utf16((await world.bot.send_message(7, f"<b>{fits}</b>", "HTML")).text or "") == 4096
    with pytest.raises(BadRequest, match="Message is too long"):
        await world.bot.send_message(7, f"<b>{fits}x</b>", "HTML")
    with pytest.raises(BadRequest, match="Message caption is too long"):
        await world.bot.send_photo(7, PIXEL, caption="😀" * 513)


async def test_an_empty_text_is_refused_and_white_space_cut_off(world: World) -> None:
    with pytest.raises(BadRequest, match="Message text is empty"):
        await world.bot.send_message(7, " <b> </b> ", "HTML")
    sent = await world.bot.send_message(7, "\n <b> a</b>\n", "HTML")
    assert (sent.text, sent.entities[0].offset, sent.entities[0].length) == ("a", 0, 1)


# -- buttons ----------------------------------------------------------------------------------------------------------


async def test_a_tap_reaches_the_bot_and_is_answered_once(world: World) -> None:
    await world.bot.send_message(7, "Sure?", reply_markup=YES)
    await world.lin.tap("Yes")
    (update,) = await world.bot.get_updates()
    query = update.callback_query
    assert query and query.message and query.chat_instance
    assert (query.data, query.message.message_id) == ("v1:yes", world.lin.inbox[0].message_id)
    assert await query.answer("Done") is True
    assert world.lin.notices == ["Done"]
    with pytest.raises(BadRequest, match="Query is too old and response timeout expired or query id is invalid"):
        await query.answer()


async def test_a_tap_expires(world: World) -> None:
    await world.bot.send_message(7, "Sure?", reply_markup=YES)
    await world.lin.tap("v1:no")
    (update,) = await world.bot.get_updates()
    world.clock.at += timedelta(seconds=151)
    assert update.callback_query
    with pytest.raises(BadRequest, match="Query is too old"):
        await update.callback_query.answer()


async def test_only_buttons_that_exist_can_be_tapped(world: World) -> None:
    sent = await world.bot.send_message(7, "Sure?", reply_markup=YES)
    shown = world.lin.inbox[0]
    with pytest.raises(LookupError, match="no button 'Maybe'"):
        await world.lin.tap("Maybe")
    await world.bot.edit_message_reply_markup(7, sent.message_id)
    with pytest.raises(LookupError):
        await world.lin.tap("Yes", shown)


async def test_a_double_tap_is_two_queries_and_an_old_message_can_be_tapped(world: World) -> None:
    for text in ("old", "new"):
        await world.bot.send_message(7, text, reply_markup=YES)
    old = world.lin.inbox[0]
    await world.lin.tap("Yes", old)
    await world.lin.tap("Yes", old)
    queries = [update.callback_query for update in await world.bot.get_updates()]
    assert len({query.id for query in queries if query}) == 2
    assert {query.message.message_id for query in queries if query and query.message} == {old.message_id}


async def test_a_reply_keyboard_button_says_its_label(world: World) -> None:
    sent = await world.bot.send_message(7, "Choose", reply_markup=ReplyKeyboardMarkup([["Bill", "Outage"]]))
    assert sent.reply_markup is None
    await world.lin.tap("Outage")
    (update,) = await world.bot.get_updates()
    assert update.message and update.message.text == "Outage"


async def test_callback_data_is_limited_in_bytes(world: World) -> None:
    def keyboard(data: str) -> InlineKeyboardMarkup:
        return InlineKeyboardMarkup([[InlineKeyboardButton("x", callback_data=data)]])

    await world.bot.send_message(7, "x", reply_markup=keyboard("电" * 21 + "x"))
    with pytest.raises(BadRequest, match="Button_data_invalid"):
        await world.bot.send_message(7, "x", reply_markup=keyboard("电" * 22))


# -- editing ----------------------------------------------------------------------------------------------------------


async def test_an_edit_shows_and_repeating_it_is_refused(world: World) -> None:
    sent = await world.bot.send_message(7, "one", reply_markup=YES)
    edited = await world.bot.edit_message_text("<b>two</b>", 7, sent.message_id, parse_mode="HTML", reply_markup=YES)
    assert not isinstance(edited, bool) and edited.edit_date
    shown = world.lin.inbox[0]
    assert (shown.text, shown.edited, len(shown.buttons)) == ("two", True, 2)
    with pytest.raises(BadRequest, match="Message is not modified: specified new message content"):
        await world.bot.edit_message_text("<b>two</b>", 7, sent.message_id, parse_mode="HTML", reply_markup=YES)
    with pytest.raises(BadRequest, match="Message is not modified"):
        await world.bot.edit_message_reply_markup(7, sent.message_id, reply_markup=YES)
    await world.bot.edit_message_text("two", 7, sent.message_id)
    assert world.lin.inbox[0].buttons == []


async def test_what_cannot_be_edited_or_deleted(world: World) -> None:
    photo = await world.bot.send_photo(7, PIXEL)
    await world.lin.say("mine")
    (update,) = await world.bot.get_updates()
    assert update.message
    with pytest.raises(BadRequest, match="There is no text in the message to edit"):
        await world.bot.edit_message_text("x", 7, photo.message_id)
    with pytest.raises(BadRequest, match="Message can't be edited"):
        await world.bot.edit_message_text("x", 7, update.message.message_id)
    assert await world.bot.delete_message(7, photo.message_id) is True
    assert world.lin.inbox == []
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await world.bot.delete_message(7, photo.message_id)
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await world.bot.edit_message_text("x", 7, photo.message_id)


# -- files ------------------------------------------------------------------------------------------------------------


async def test_a_photo_goes_out_and_its_bytes_can_be_fetched(world: World) -> None:
    sent = await world.bot.send_photo(7, PIXEL, caption="<i>meter</i>", parse_mode="HTML")
    assert (world.lin.inbox[0].kind, world.lin.inbox[0].text) == ("photo", "meter")
    file = await world.bot.get_file(sent.photo[-1].file_id)
    assert bytes(await file.download_as_bytearray()) == PIXEL
    again = await world.bot.send_photo(7, sent.photo[-1].file_id)
    assert again.photo[-1].file_id == sent.photo[-1].file_id


async def test_a_document_comes_in_with_its_name_and_bytes(world: World) -> None:
    await world.lin.send_document(b"%PDF", "the bill", "账单.pdf")
    (update,) = await world.bot.get_updates()
    assert update.message and update.message.document
    document = update.message.document
    assert (document.file_name, document.mime_type, document.file_size) == ("账单.pdf", "application/pdf", 4)
    assert update.message.caption == "the bill"
    file = await document.get_file()
    assert bytes(await file.download_as_bytearray()) == b"%PDF"


async def test_what_cannot_be_fetched_or_sent(world: World) -> None:
    await world.lin.send_document(b"x", file_size=21 * 2**20)
    (update,) = await world.bot.get_updates()
    assert update.message and update.message.document
    with pytest.raises(BadRequest, match="File is too big"):
        await update.message.document.get_file()
    with pytest.raises(BadRequest, match="Wrong file_id"):
        await world.bot.get_file("nothing")
    with pytest.raises(BadRequest, match="File must be non-empty"):
        await world.bot.send_document(7, b"")


async def test_albums_in_both_directions_share_a_group(world: World) -> None:
    sent = await world.bot.send_media_group(
        7, [InputMediaPhoto(PIXEL, caption="<b>both</b>", parse_mode="HTML"), InputMediaPhoto(OTHER)]
    )
    assert len({message.media_group_id for message in sent}) == 1
    assert [shown.text for shown in world.lin.inbox] == ["both", ""]
    file = await world.bot.get_file(sent[1].photo[-1].file_id)
    assert bytes(await file.download_as_bytearray()) == OTHER
    await world.lin.send_album([b"1", b"2", b"3"], "damage")
    messages = [update.message for update in await world.bot.get_updates()]
    assert [message.caption for message in messages if message] == ["damage", None, None]
    assert len({message.media_group_id for message in messages if message}) == 1


async def test_locations_in_both_directions(world: World) -> None:
    await world.bot.send_location(7, 31.2, 121.5)
    assert world.lin.inbox[0].data["location"] == {"latitude": 31.2, "longitude": 121.5}
    await world.lin.send_location(22.5, 114.1)
    (update,) = await world.bot.get_updates()
    assert update.message and update.message.location and update.message.location.latitude == 22.5


# -- chats and settings -----------------------------------------------------------------------------------------------


async def test_an_unknown_chat_is_not_found(world: World) -> None:
    with pytest.raises(BadRequest, match="Chat not found"):
        await world.bot.send_message(99, "x")


async def test_block_and_unblock(world: World) -> None:
    await world.lin.block()
    with pytest.raises(Forbidden, match="Forbidden: bot was blocked by the user"):
        await world.bot.send_message(7, "x")
    await world.lin.unblock()
    await world.bot.send_message(7, "x")
    statuses = [
        update.my_chat_member.new_chat_member.status
        for update in await world.bot.get_updates()
        if update.my_chat_member
    ]
    assert statuses == ["kicked", "member"]


async def test_a_migrated_group_names_its_new_number(world: World) -> None:
    world.api.group(-50, "Plant")
    await world.bot.send_message(-50, "x")
    group = world.api.migrate(-50, -1000000000050)
    with pytest.raises(ChatMigrated) as moved:
        await world.bot.send_message(-50, "x")
    await world.bot.send_message(moved.value.new_chat_id, "y")
    assert [shown.text for shown in group.inbox if shown.kind == "text"] == ["y"]


async def test_a_person_can_speak_in_a_group(world: World) -> None:
    await world.lin.say("hello", world.api.group(-50, "Plant"))
    (update,) = await world.bot.get_updates()
    assert update.effective_chat and update.effective_user
    assert (update.effective_chat.id, update.effective_user.id) == (-50, 7)


async def test_commands_are_kept_by_scope_and_language(world: World) -> None:
    await world.bot.set_my_commands([BotCommand("menu", "菜单")])
    await world.bot.set_my_commands([BotCommand("menu", "Menu")], language_code="en")
    await world.bot.set_my_commands([BotCommand("desk", "Desk")], BotCommandScopeChat(7))
    assert [command.description for command in await world.bot.get_my_commands()] == ["菜单"]
    assert [command.description for command in await world.bot.get_my_commands(language_code="en")] == ["Menu"]
    assert [command.command for command in await world.bot.get_my_commands(BotCommandScopeChat(7))] == ["desk"]
    with pytest.raises(BadRequest, match="Invalid language code specified"):
        await world.bot.set_my_commands([BotCommand("menu", "菜单")], language_code="zh-hans")


async def test_boolean_methods_and_the_chat(world: World) -> None:
    assert await world.bot.send_chat_action(7, "typing") is True
    assert await world.bot.set_my_description("about") is True
    assert await world.bot.set_my_short_description("about") is True
    assert (await world.bot.get_chat(7)).first_name == "Lin"


# -- faults -----------------------------------------------------------------------------------------------------------


async def test_failing_before_delivers_nothing_and_only_as_often_as_told(world: World) -> None:
    world.api.fail("sendMessage", "before", times=2, code=502, description="Bad Gateway")
    for _ in range(2):
        with pytest.raises(NetworkError, match="Bad Gateway"):
            await world.bot.send_message(7, "x")
    await world.bot.send_message(7, "y")
    assert [shown.text for shown in world.lin.inbox] == ["y"]


async def test_failing_after_delivers_and_drops_the_connection(world: World) -> None:
    world.api.fail("sendMessage", "after")
    with pytest.raises(NetworkError) as dropped:
        await world.bot.send_message(7, "x")
    assert not isinstance(dropped.value, TimedOut | BadRequest)
    assert [shown.text for shown in world.lin.inbox] == ["x"]


async def test_delivered_then_timeout(world: World) -> None:
    world.api.fail("sendMessage", "after", hang=True)
    with pytest.raises(TimedOut):
        await world.bot.send_message(7, "x", read_timeout=0.2)
    assert [shown.text for shown in world.lin.inbox] == ["x"]


async def test_reset_delivers_nothing(world: World) -> None:
    world.api.fail("sendMessage", "reset")
    with pytest.raises(NetworkError):
        await world.bot.send_message(7, "x")
    assert world.lin.inbox == []
    await world.bot.send_message(7, "y")


async def test_a_delayed_answer_comes_late_but_comes(world: World) -> None:
    world.api.fail("sendMessage", "delay", seconds=0.2)
    started = time.monotonic()
    await world.bot.send_message(7, "x")
    assert time.monotonic() - started >= 0.2


async def test_a_flood_halt_for_one_chat_lets_others_through(world: World) -> None:
    world.api.person(8)
    world.api.fail("send*", "flood", retry_after=3, chat_id=7)
    await world.bot.send_message(8, "x")
    with pytest.raises(RetryAfter) as halted:
        await world.bot.send_message(7, "x")
    assert halted.value.retry_after == timedelta(seconds=3)
    await world.bot.send_message(7, "x")


async def test_real_limits_stop_a_burst_to_one_person() -> None:
    api = BotApi(TOKEN, limits=True)
    for number in (7, 8):
        api.person(number)
    async with api.serve() as url, a_bot(url) as bot:
        with pytest.raises(RetryAfter) as halted:
            for _ in range(10):
                await bot.send_message(7, "x")
        assert halted.value.retry_after == timedelta(seconds=1)
        await bot.send_message(8, "x")
    assert 3 <= len(api.people[7].inbox) < 10


async def test_a_fault_of_another_kind_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        world.api.fail("sendMessage", "sometimes")  # type: ignore[arg-type]


async def test_calls_are_recorded_with_times(world: World) -> None:
    world.api.calls.clear()
    await world.bot.send_message(7, "x")
    await world.bot.send_chat_action(7, "typing")
    assert [call.method for call in world.api.calls] == ["sendMessage", "sendChatAction"]
    assert world.api.calls[0].params["text"] == "x"
    assert world.api.calls[0].at <= world.api.calls[1].at


# -- the person and other processes -----------------------------------------------------------------------------------


async def test_waiting_returns_what_was_found_and_fails_with_the_inbox(world: World) -> None:
    sending = asyncio.create_task(world.bot.send_message(7, "later"))
    shown = await world.lin.wait(lambda inbox: next((shown for shown in inbox if shown.text == "later"), None))
    assert shown.text == "later"
    await sending
    with pytest.raises(AssertionError, match=r"the inbox is \['later'\]"):
        await world.lin.wait(lambda inbox: len(inbox) > 1, timeout=0.05)


async def test_the_server_comes_back_on_the_same_port_with_its_state() -> None:
    api = BotApi(TOKEN)
    person = api.person(7)
    async with api.serve() as url, a_bot(url) as bot:
        await bot.send_message(7, "x")
    port = int(url.rpartition(":")[2])
    await person.say("while away")
    async with api.serve(port) as url, a_bot(url) as bot:
        assert len(await bot.get_updates()) == 1
    assert [shown.text for shown in person.inbox] == ["x"]


async def test_a_stopping_server_ends_waiting_polls_and_hanging_answers() -> None:
    api = BotApi(TOKEN)
    api.person(7)
    api.fail("sendMessage", "after", hang=True)
    async with api.serve() as url, a_bot(url) as bot:
        tasks = [asyncio.create_task(bot.get_updates(timeout=40)), asyncio.create_task(bot.send_message(7, "x"))]
        await until(api, lambda: api.people[7].inbox and api.updates.polled)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 3
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_in_process_transport_can_drop_answers_too() -> None:
    api = BotApi(TOKEN)
    person = api.person(7)
    api.fail("sendMessage", "after")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=api.app), base_url="http://double") as client:
        with pytest.raises(httpx.ReadError):
            await client.post(f"/bot{TOKEN}/sendMessage", json={"chat_id": 7, "text": "x"})
    assert len(person.inbox) == 1


async def test_as_a_separate_process_it_is_driven_over_http() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.telegram.botapi", "--port", "0", "--token", TOKEN, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    try:
        assert process.stdout
        url = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
        async with a_bot(url) as bot, httpx.AsyncClient(base_url=f"{url}/_control") as control:
            said = (await control.post("/say", json={"person": 7, "first_name": "Lin", "text": "hi"})).json()
            (update,) = await bot.get_updates()
            assert update.update_id == said["update_id"] and update.effective_user
            assert update.effective_user.first_name == "Lin"
            await control.post("/faults", json={"method": "sendMessage", "mode": "before"})
            with pytest.raises(NetworkError):
                await bot.send_message(7, "x")
            await bot.send_message(7, "<b>Sure?</b>", "HTML", reply_markup=YES)
            (shown,) = (await control.get("/inbox", params={"person": 7})).json()
            assert (shown["shown"], shown["edited"]) == ("Sure?", False)
            tapped = (await control.post("/tap", json={"person": 7, "button": "Yes"})).json()
            assert (await control.post("/tap", json={"person": 7, "button": "Maybe"})).status_code == 404
            await control.post("/updates", json={"redeliver": said["update_id"]})
            updates = (await control.get("/updates")).json()
            assert [update["update_id"] for update in updates["pending"]] == [said["update_id"]] * 2 + [
                tapped["update_id"]
            ]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
