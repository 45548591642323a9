"""Files and places through Telegram in both directions: each as what it is, once, and never held up by what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api.services import Services
from bot import speech
from bot.mind import Mind
from bot.telegram.media import Item, Kind, kind_of, legs, pixels
from bot.telegram.wording import parts
from desk import attachments, conversations
from desk.attachments import Folder, Storage
from desk.clock import Clock, SystemClock
from desk.conversations import Channel, Direction
from desk.deliveries import Delivery, Fate
from desk.store import Store, notify
from tests.conftest import Process
from tests.telegram.botapi import BotApi
from tests.telegram.botapi_person import ChatMessage
from tests.telegram.conftest import working
from tests.telegram.pictures import FILM, MUSIC, VOICE, picture
from tests.telegram.test_processes import SLOW, begin  # noqa: F401 - a fixture
from tests.telegram.test_sender import settled
from tests.telegram.world import TOKEN, T, World

File = tuple[str, str, bytes]  # name, media type, content
PNG, JPEG, WEBP, GIF = (picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF"))


async def write(
    store: Store, storage: Storage, clock: Clock, words: str, *files: File, chat: int = 7, **body: Any
) -> list[str]:
    """What an agent writes to a customer; the numbers of its files."""
    at = clock.now()
    async with store.transaction() as db:
        talk, address = await conversations.open_at(db, Channel.TELEGRAM, str(chat), name="", language="zh_CN", at=at)
        kept = [
            await attachments.keep(db, storage, talk.id or 0, name=name, media_type=kind, content=content, at=at)
            for name, kind, content in files
        ]
        if kept:
            body["attachments"] = [
                {"id": each.id, "name": each.name, "media_type": each.media_type, "size": each.size} for each in kept
            ]
        await speech.speak(db, talk, address, words, body, by="li", at=at)
    return [each.id for each in kept]


async def written(world: World, words: str, *files: File, **body: Any) -> list[str]:
    """The same in the running world."""
    return await write(world.store, world.services.storage, world.clock, words, *files, **body)


async def arrived(world: World, count: int) -> list[ChatMessage]:
    """So many messages, once all is settled."""
    lin = world.person()
    inbox: list[ChatMessage] = await lin.wait(lambda inbox: inbox if len(inbox) >= count else None, T)
    await settled(world, Fate.SENT)
    assert len(lin.inbox) == count
    return inbox


def content(world: World, shown: ChatMessage) -> bytes:
    """The bytes a person would save."""
    return world.api.files[shown.file_id].content


# -- out --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (("a.png", "image/png", PNG), "photo"),
        (("a.jpg", "image/jpeg", JPEG), "photo"),
        (("a.webp", "image/webp", WEBP), "photo"),
        (("a.gif", "image/gif", GIF), "animation"),
        (("a.mp4", "video/mp4", FILM), "video"),
        (("a.mp3", "audio/mpeg", MUSIC), "audio"),
        (("a.ogg", "audio/ogg", VOICE), "voice"),
        (("a.wav", "audio/wav", b"RIFF"), "document"),
        (('电费 <b>"单"</b> & 😀.pdf', "application/pdf", b"%PDF"), "document"),
        (("tall.png", "image/png", picture(width=10, height=201)), "document"),
        (("wide.png", "image/png", picture(width=9000, height=1001)), "document"),
        (("lie.png", "image/png", b"no picture"), "document"),
        (("lie.mp4", "video/mp4", b"no film"), "document"),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else given,
)
async def test_each_file_arrives_as_what_it_is_with_its_words(polled: World, file: File, kind: str) -> None:
    polled.person()
    await written(polled, "请看 <这里> & 😀", file)
    [shown] = await arrived(polled, 1)
    assert (shown.kind, shown.text, content(polled, shown)) == (kind, "请看 <这里> & 😀", file[2])
    if kind == "document":
        assert shown.data["document"]["file_name"] == file[0].replace('"', "'").replace("/", "_")


async def test_words_that_fit_stand_under_the_picture_and_longer_ones_before_it(polled: World) -> None:
    polled.person()
    await written(polled, "😀" * 512, ("a.png", "image/png", PNG))
    [shown] = await arrived(polled, 1)
    assert shown.text == "😀" * 512 and shown.kind == "photo"


async def test_words_too_long_for_a_caption_come_first(polled: World) -> None:
    polled.person()
    await written(polled, "😀" * 512 + "!", ("a.png", "image/png", PNG))
    said, shown = await arrived(polled, 2)
    assert (said.kind, said.text, shown.kind, shown.text) == ("text", "😀" * 512 + "!", "photo", "")


async def test_a_picture_without_words_and_a_place(polled: World) -> None:
    polled.person()
    await written(polled, "", ("a.png", "image/png", PNG), location={"latitude": 31.25, "longitude": 121.5})
    shown, place = await arrived(polled, 2)
    assert (shown.kind, shown.text) == ("photo", "")
    assert place.data["location"] == {"latitude": 31.25, "longitude": 121.5}


async def test_a_place_alone_is_one_message(polled: World) -> None:
    polled.person()
    await written(polled, "", location={"latitude": 0, "longitude": -0.5})
    [place] = await arrived(polled, 1)
    assert place.data["location"] == {"latitude": 0, "longitude": -0.5}


async def test_pictures_and_films_are_one_album_with_one_caption_and_documents_another(polled: World) -> None:
    polled.person()
    await written(
        polled, "现场", ("a.png", "image/png", PNG), ("1.pdf", "application/pdf", b"%PDF1"),
        ("b.mp4", "video/mp4", FILM), ("2.pdf", "application/pdf", b"%PDF2"), ("c.jpg", "image/jpeg", JPEG),
    )  # fmt: skip
    shown = await arrived(polled, 5)
    assert [each.kind for each in shown] == ["photo", "video", "photo", "document", "document"]
    assert [each.text for each in shown] == ["现场", "", "", "", ""]
    assert [content(polled, each) for each in shown] == [PNG, FILM, JPEG, b"%PDF1", b"%PDF2"]
    assert len({each.data["media_group_id"] for each in shown}) == 2
    assert [call.method for call in polled.api.calls if call.method.startswith("send")] == ["sendMediaGroup"] * 2


async def test_markup_that_is_refused_under_a_picture_goes_as_plain_text(polled: World) -> None:
    polled.person()
    polled.api.fail("sendPhoto", "before", code=400, description="Bad Request: can't parse entities: oops")
    await written(polled, "<b> & 😀", ("a.png", "image/png", PNG))
    [shown] = await arrived(polled, 1)
    assert (shown.kind, shown.text) == ("photo", "<b> & 😀")


async def test_what_telegram_takes_for_no_photo_goes_as_a_document(polled: World) -> None:
    polled.person()
    polled.api.fail("sendPhoto", "before", code=400, description="Bad Request: IMAGE_PROCESS_FAILED")
    await written(polled, "看", ("a.png", "image/png", PNG))
    [shown] = await arrived(polled, 1)
    assert (shown.kind, shown.text, content(polled, shown)) == ("document", "看", PNG)


async def test_an_album_with_a_broken_picture_goes_as_documents(polled: World) -> None:
    polled.person()
    await written(polled, "看", ("a.png", "image/png", PNG), ("broken.png", "image/png", PNG[:30]))
    shown = await arrived(polled, 2)
    assert [each.kind for each in shown] == ["document"] * 2 and shown[0].text == "看"
    assert [each.data["document"]["file_name"] for each in shown] == ["a.png", "broken.png"]


async def test_while_a_file_is_missing_nothing_is_sent_and_the_cause_is_told(polled: World) -> None:
    lin = polled.person()
    storage = polled.services.storage
    await polled.answered(lin, "/help")
    await settled(polled, Fate.SENT)
    polled.api.fail("sendPhoto", "flood", retry_after=2)
    [number] = await written(polled, "看", ("a.png", "image/png", PNG))
    await polled.until(lambda: _postponed(polled))
    await storage.delete(number)
    await polled.forward(seconds=3)
    found = await settled(polled, Fate.SENT, Fate.FAILED)
    assert found[1].cause == "file missing in storage" and len(lin.inbox) == 1
    await polled.answered(lin, "/help")


async def _postponed(world: World) -> Delivery | None:
    delivery = (await world.deliveries())[-1]
    return delivery if delivery.cause and delivery.fate == Fate.QUEUED else None


async def test_only_the_leg_that_was_cut_off_is_repeated(polled: World) -> None:
    lin = polled.person()
    polled.api.fail("sendMediaGroup", "after")
    files = [("a.png", "image/png", PNG), ("b.png", "image/png", JPEG)]
    await written(polled, "字" * 1025, *files, location={"latitude": 1, "longitude": 2})
    await lin.wait(lambda inbox: len(inbox) >= 6, T)
    [delivery] = await settled(polled, Fate.SENT)
    kinds = [shown.kind for shown in lin.inbox]
    assert kinds == ["text", "photo", "photo", "photo", "photo", "location"]
    assert (delivery.doubts, delivery.parts_sent) == (1, 2)


async def test_a_flood_limit_in_the_middle_repeats_nothing(polled: World) -> None:
    lin = polled.person()
    polled.api.fail("sendDocument", "flood", retry_after=2)
    await written(polled, "看", ("a.png", "image/png", PNG), ("1.pdf", "application/pdf", b"%PDF"))
    delivery = await polled.until(lambda: _postponed(polled))
    assert delivery.parts_sent == 1 and [shown.kind for shown in lin.inbox] == ["photo"]
    await polled.forward(seconds=3)
    shown = await arrived(polled, 2)
    assert [each.kind for each in shown] == ["photo", "document"]


async def test_a_request_that_is_too_large_is_refused_at_once(polled: World) -> None:
    polled.person()
    polled.api.fail("sendDocument", "before", code=413, description="Request Entity Too Large")
    await written(polled, "", ("1.pdf", "application/pdf", b"%PDF"))
    [delivery] = await settled(polled, Fate.FAILED)
    assert delivery.attempts == 1


async def test_an_album_keeps_the_chat_waiting_as_so_many_messages(polled: World) -> None:
    polled.api.limits = True
    lin = polled.person()
    await written(polled, "", *[(f"{number}.png", "image/png", PNG) for number in range(3)])
    await lin.wait(lambda inbox: len(inbox) == 3, T)
    await written(polled, "看到了吗")
    await lin.wait(lambda inbox: len(inbox) == 4, T)
    await settled(polled, Fate.SENT, Fate.SENT)
    album, after = (call.at for call in polled.api.calls if call.method in ("sendMediaGroup", "sendMessage"))
    assert after - album > 2.5


def items(count: int, size: int = 1, kind: Kind = Kind.PHOTO) -> list[Item]:
    return [Item(str(number), "x", size, kind) for number in range(count)]


def test_albums_hold_ten_files_and_what_one_request_takes() -> None:
    assert [leg.messages for leg in legs([], items(11), None)] == [10, 1]
    assert [leg.messages for leg in legs([], items(5, 20 * 2**20, Kind.DOCUMENT), None)] == [2, 2, 1]
    assert [leg.messages for leg in legs([], items(3, kind=Kind.VOICE), None)] == [1, 1, 1]


def test_words_that_nothing_carries_come_first() -> None:
    buttons = parts("x", {"choices": [{"id": "menu", "label": "m"}]}, "zh_CN")
    assert legs(buttons, items(2), None)[0] == buttons[0]
    assert len(legs(buttons, items(1), None)) == 1
    assert len(legs(parts("x", {}, "zh_CN"), items(2, kind=Kind.DOCUMENT), None)) == 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (640, 480), (3, 3000)])
def test_the_size_of_a_picture_is_read_from_its_first_bytes(kind: str, size: tuple[int, int]) -> None:
    content = picture(kind, *size)
    assert pixels(content) == size
    for cut in range(0, min(len(content), 200), 7):
        assert pixels(content[:cut]) in (None, size)


def test_a_picture_over_ten_megabytes_is_a_document() -> None:
    assert kind_of("image/png", PNG + bytes(10 * 2**20)) == Kind.DOCUMENT


async def test_a_photo_of_an_agent_arrives_byte_for_byte_in_a_running_program(
    begin: Callable[..., Process],  # noqa: F811 - the fixture
    store: Store, loaded: Mind, tmp_path: Path,
) -> None:  # fmt: skip
    api, photo = BotApi(TOKEN), picture("JPEG", 640, 480)
    async with api.serve() as url:
        begin("run", telegram_token=TOKEN, telegram_api_url=url)
        lin = api.person(7)
        await lin.say("/help")
        await lin.wait(lambda inbox: inbox, SLOW)
        folder = Folder(tmp_path / "process" / "attachments")
        await write(store, folder, SystemClock(), "您看", ("表计.jpg", "image/jpeg", photo))
        await lin.wait(lambda inbox: len(inbox) == 2, SLOW)
        shown = lin.inbox[1]
        assert (shown.kind, shown.text, api.files[shown.file_id].content) == ("photo", "您看", photo)


# -- typing -----------------------------------------------------------------------------------------------------------


def typed(world: World) -> list[str]:
    return [call.params["chat_id"] for call in world.api.calls if call.method == "sendChatAction"]


async def rung(world: World, *details: str) -> None:
    """Agents type; all of it is heard before this returns."""
    for detail in details:
        async with world.store.transaction() as db:
            await notify(db, "typing", detail=detail)
    async with world.store.transaction() as db:
        world.clock.forward(seconds=0)
        await notify(db, "typing", detail="telegram:99")
    await world.until(lambda: "99" in typed(world))


async def test_typing_is_shown_at_most_every_four_seconds_and_never_to_a_group(polled: World) -> None:
    lin, _, _ = polled.person(7), polled.person(99), polled.api.group(-500)
    await polled.answered(lin, "/help")
    await rung(polled, "telegram:7", "telegram:7", "telegram:-500", "web:8", "telegram:", "telegram:7")
    assert typed(polled) == ["7", "99"]
    polled.api.calls.clear()
    polled.clock.forward(seconds=4)
    await rung(polled, "telegram:7")
    assert typed(polled) == ["7", "99"]


async def test_typing_to_somebody_gone_or_in_a_flood_disturbs_nothing(polled: World) -> None:
    lin, wang = polled.person(7), polled.person(8)
    polled.person(99)
    await polled.answered(lin, "/help")
    lin.chat.blocked = True
    polled.api.fail("sendChatAction", "flood", retry_after=9, chat_id=8)
    await rung(polled, "telegram:7", "telegram:8", "telegram:12345")
    assert sorted(typed(polled)) == ["12345", "7", "8", "99"]
    polled.api.calls.clear()
    polled.clock.forward(seconds=5)
    await rung(polled, "telegram:8")
    assert typed(polled) == ["99"]
    await polled.answered(wang, "/help")


async def test_only_who_sends_shows_typing_and_not_while_places_are_scarce(
    polled: World, equipped: Callable[..., Services]
) -> None:
    await polled.answered(polled.person(), "/help")
    idle = equipped().telegram
    assert idle and not idle.sender.courtesy()
    assert sum(polled.service.sender.courtesy() for _ in range(40)) <= 15


# -- in ---------------------------------------------------------------------------------------------------------------


async def received(world: World, count: int) -> list[conversations.RecordLine]:
    """So many lines of customers, once their files are brought."""

    async def all_here() -> list[conversations.RecordLine] | None:
        lines = await world.lines(Direction.IN)
        files = [file for line in lines for file in line.body.get("attachments", [])]
        return lines if len(lines) == count and all(file["id"] for file in files) else None

    found: list[conversations.RecordLine] = await world.until(all_here, 2 * T)
    return found


async def test_every_kind_of_file_comes_in_with_a_name_and_a_type_it_opens_with(polled: World) -> None:
    lin, api = polled.person(), polled.api
    film = {"width": 1, "height": 1, "duration": 1}
    sticker = {"width": 512, "height": 512, "type": "regular", "is_animated": False, "is_video": False}

    def stored(**facts: Any) -> dict[str, Any]:
        return api._store("files", "", b"bytes", 5, facts).described()

    async with working(polled):
        await lin.send_photo(PNG, "看这里")
        kinds: dict[str, dict[str, Any]] = {
            "voice": {"duration": 1, "mime_type": "audio/ogg"}, "video": film, "audio": {"duration": 1},
            "video_note": {"length": 1, "duration": 1}, "animation": film, "sticker": sticker,
        }  # fmt: skip
        for kind, facts in kinds.items():
            await lin.send_content({kind: stored(**facts)})
        await lin.send_content({"sticker": stored(**sticker | {"is_video": True})})
        await lin.send_content({"sticker": stored(**sticker | {"is_animated": True})})
        await lin.send_document(b"%PDF", "说明", "账单.pdf")
        lines = await received(polled, 10)
    files = [line.body["attachments"][0] for line in lines]
    assert [(file["name"], file["media_type"]) for file in files] == [
        ("photo.jpg", "image/jpeg"), ("voice.ogg", "audio/ogg"), ("video.mp4", "video/mp4"),
        ("audio.mp3", "audio/mpeg"), ("video_note.mp4", "video/mp4"), ("animation.mp4", "video/mp4"),
        ("sticker.webp", "image/webp"), ("sticker.webm", "video/webm"), ("sticker.tgs", "application/gzip"),
        ("账单.pdf", "application/pdf"),
    ]  # fmt: skip
    assert (lines[0].text, lines[-1].text) == ("看这里", "说明")
    assert await polled.services.storage.get(files[0]["id"]) == PNG


async def test_contacts_venues_places_and_corrections_come_in(polled: World) -> None:
    lin = polled.person()
    spot = {"latitude": 31.25, "longitude": 121.5}
    await lin.send_content({"contact": {"phone_number": "+861380000", "first_name": "王"}})
    await lin.send_content({"location": spot, "venue": {"location": spot, "title": "三号楼", "address": "长江路"}})
    live = await lin.send_content({"location": spot | {"live_period": 900}})
    await lin.edit(live, location={"latitude": 31.26, "longitude": 121.5, "live_period": 900})
    first = await lin.say("表号 12")
    await lin.edit(first, text="表号 13")
    contact, venue, place, said, corrected = await received(polled, 5)
    assert "王" in contact.text and "+861380000" in contact.text
    assert venue.text == "三号楼 长江路" and venue.body["location"] == place.body["location"] == spot
    assert (said.text, said.body.get("edited")) == ("表号 12", None)
    assert (corrected.text, corrected.body["edited"]) == ("表号 13", True)


@pytest.mark.parametrize("handler", ["agent", "queue"])
async def test_an_album_to_a_person_is_theirs_to_answer(polled: World, handler: str) -> None:
    lin = polled.person()
    await polled.answered(lin, "/help")
    async with polled.store.transaction() as db:
        staff = "INSERT INTO staff (name, role, created_at) VALUES ('li', 'agent', now()) RETURNING id"
        agent = (await db.execute(text(staff))).scalar_one() if handler == "agent" else None
        await db.execute(text("UPDATE conversation SET handler = :h, agent_id = :a"), {"h": handler, "a": agent})
    async with working(polled):
        await lin.send_album([PNG, JPEG, WEBP], caption="现场")
        lines = await received(polled, 4)
        await polled.forward(seconds=5)
        async with polled.store.transaction() as db:
            waiting = text(
                "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'finish_album' AND status IN ('todo', 'doing')"
            )
            assert (await db.execute(waiting)).scalar_one() == 0
    assert len({line.body["album"] for line in lines[1:]}) == 1
    assert [line.body["name"] for line in await polled.lines(Direction.OUT)] == ["help"]
    assert len(lin.inbox) == 1
