"""Conversations with customers on Telegram: through a console, a bot as a process of its own, and the Bot API double."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from desk.areas import give_to_proxy, of_transformer_area
from desk.conversations import Channel, Direction
from desk.permissions import Role
from desk.ranks import Rank
from desk.staff import member
from tests.desk_live.clients import AgentClient, until
from tests.desk_live.conftest import House, Office
from tests.telegram.botapi import BotApi
from tests.telegram.botapi_person import Person
from tests.telegram.pictures import picture
from tests.telegram.world import TOKEN

_AREA = text("UPDATE account SET transformer_area = :area WHERE no = :no")
_CHANNELS = text(
    "SELECT d.channel, d.contact_id FROM account a JOIN account_contact c ON c.account_id = a.id"
    " JOIN address d ON d.contact_id = c.contact_id WHERE a.no = :no ORDER BY c.id"
)
PLACE = {"latitude": 29.56, "longitude": 106.55}


@pytest.fixture(scope="module")
async def api(house: House) -> AsyncIterator[BotApi]:
    """The double with the bot at work."""
    api = BotApi(TOKEN, webhook_backoff=0.05)
    async with api.serve(int(house.settings["telegram_api_url"].rpartition(":")[2])):
        bot = house.start("bot")
        yield api
        await asyncio.to_thread(bot.kill)


async def waiting(agent: AgentClient) -> bool:
    """Whether anybody waits."""
    return bool((await agent.call("GET", "/queue"))["entries"])


async def talking(office: Office, person: Person) -> tuple[AgentClient, int]:
    """An agent and the conversation with somebody on Telegram whom they have taken."""
    await person.say("/start")
    await person.wait(lambda inbox: inbox, 60)
    await person.say("转人工")
    agent = await office.agent()
    await until(lambda: waiting(agent))
    number = (await agent.takes())["conversation"]["id"]
    await until(lambda: f"{agent.id:02d}" in person.inbox[-1].text)
    return agent, int(number)


async def test_photos_files_places_and_albums_go_both_ways(api: BotApi, office: Office) -> None:
    lin = api.person(7)
    agent, number = await talking(office, lin)
    photo, other = picture("JPEG", 8, 8), picture("PNG", 9, 9)
    await lin.send_photo(photo, "The meter")
    await lin.send_location(**PLACE)
    await lin.send_album([other, photo, other])
    await until(lambda: len([line for line in agent.lines(number) if line["direction"] == "in"]) == 5)

    async def kept() -> bool:
        lines = (await agent.open(number))["lines"]
        return all(each["id"] for line in lines for each in line["attachments"])

    await until(kept)
    lines = [line for line in (await agent.open(number))["lines"] if line["direction"] == "in"][-5:]
    assert lines[0]["text"] == "The meter" and lines[1]["location"] == PLACE
    assert len({line["album"] for line in lines[2:]}) == 1 and lines[2]["album"]
    [shown] = lines[0]["attachments"]
    assert (await agent.http.get(shown["url"].removeprefix("/api/v1"))).content == photo
    before = len(lin.inbox)
    files = [("a.png", other, "image/png"), ("b.jpg", photo, "image/jpeg")]
    path = f"/conversations/{number}/attachments"
    sent = [(await agent.http.post(path, files={"file": file})).json()["id"] for file in files]
    assert (await agent.writes(number, "Like this", attachments=sent, location=PLACE)).status_code == 201
    await lin.wait(lambda inbox: len(inbox) == before + 3, 30)
    first, second, place = lin.inbox[before:]
    assert first.text == "Like this" and (first.kind, second.kind, place.kind) == ("photo", "photo", "location")
    assert first.data["media_group_id"] == second.data["media_group_id"]
    assert [api.files[each.file_id].content for each in (first, second)] == [other, photo]
    [line] = await until(lambda: [each for each in agent.lines(number) if each["text"] == "Like this"])
    await until(lambda: agent.heard("delivery", line=line["id"], fate="sent"))


async def test_a_message_that_failed_is_shown_so_and_sent_again_on_demand(api: BotApi, office: Office) -> None:
    wang = api.person(8)
    agent, number = await talking(office, wang)
    api.fail("sendMessage", "before", chat_id=8, code=400, description="Bad Request: message is too strange")
    before = len(wang.inbox)
    assert (await agent.writes(number, "Once more")).status_code == 201
    [failed] = await until(lambda: agent.heard("delivery", fate="failed"))
    assert failed["conversation"] == number and len(wang.inbox) == before
    lines = {line["id"]: line for line in (await agent.open(number))["lines"]}
    assert lines[failed["line"]]["fate"] == "failed" and "strange" in lines[failed["line"]]["cause"]
    again = await agent.call("POST", f"/conversations/{number}/messages/{failed['line']}/retry", 201)
    assert again["fate"] == "queued"
    await wang.wait(lambda inbox: len(inbox) == before + 1, 30)
    assert wang.inbox[-1].text == "Once more"
    await until(lambda: agent.heard("delivery", line=failed["line"], fate="sent"))
    assert (await agent.call("POST", f"/conversations/{number}/messages/{failed['line']}/retry", 201))["fate"] == "sent"
    assert len(wang.inbox) == before + 1


async def test_one_customer_in_the_web_on_telegram_and_in_the_hall_and_a_proxy_sees_only_theirs(
    api: BotApi, office: Office
) -> None:
    village, foreign = await office.customer(Rank.D), await office.customer(Rank.D)
    proxy, hall = await office.console(Role.PROXY), await office.console(Role.HALL)
    async with office.store.transaction() as db:
        keeper = await member(db, proxy.id)
        for no, area in ((village.no, "T-1"), (foreign.no, "T-2")):
            await db.execute(_AREA, {"no": no, "area": area})
        await give_to_proxy(db, await of_transformer_area(db, "T-1"), keeper, by="test", at=office.clock.now())
    # the web chat, then a person
    assert (await village.joins())["conversation"]["handler"] == "queue"
    agent = await office.agent()
    number = (await agent.takes())["conversation"]["id"]
    assert (await agent.writes(number, "Hello")).status_code == 201
    await until(lambda: agent.heard("held", state="released"))
    # met in the hall: the same record
    note = await agent.call("POST", f"/conversations/{number}/notes", 201, text="Came by with the form", via="hall")
    assert note["via"] == "hall"
    # Telegram, by a link that staff made for the account
    link = await hall.call("POST", f"/accounts/{village.no}/links", 201)
    chen = api.person(9)
    await chen.say(f"/start bind-{link['url_web'].partition('bind=')[2]}")
    await chen.wait(lambda inbox: inbox, 30)
    await chen.say("转人工")
    await until(lambda: waiting(agent))
    second = (await agent.takes())["conversation"]
    assert second["account"] == village.no and second["channel"] == "telegram" and second["id"] != number
    record = (await agent.open(number))["lines"]
    assert [line["direction"] for line in record[-2:]] == [Direction.OUT, Direction.NOTE]
    assert record[0]["by"] == "bot" and {line["by"] for line in record} >= {"bot", "customer", "system"}
    channels = _CHANNELS, {"no": village.no}
    async with office.store.transaction() as db:
        found = [tuple(row) for row in await db.execute(*channels)]
    assert [channel for channel, _ in found] == [Channel.WEB, Channel.TELEGRAM]
    # the proxy of the village
    seen = (await proxy.call("GET", "/customers"))["accounts"]
    assert [each["no"] for each in seen] == [village.no]
    assert (await proxy.http.get(f"/accounts/{foreign.no}")).status_code == 404
    assert (await proxy.http.get(f"/accounts/{village.no}")).status_code == 200
    assert (await proxy.http.get(f"/conversations/{number}")).status_code == 403
