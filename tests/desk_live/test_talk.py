"""A live conversation: who speaks when, what can be taken back, handing over, files and places in the web chat."""

import asyncio
import time
from typing import Any, Final

from desk.ranks import Rank
from tests.desk_live.clients import AgentClient, CustomerClient, until
from tests.desk_live.conftest import Office
from tests.telegram.pictures import picture

QUESTION: Final = "双电源的供电方案多久答复"


async def talking(office: Office, rank: Rank = Rank.A) -> tuple[AgentClient, CustomerClient]:
    """An agent and the customer whom they have taken."""
    agent, customer = await office.agent(), await office.waiting(rank, web=1)
    assert (await agent.takes())["conversation"]["id"] == customer.conversation
    return agent, customer


async def said(customer: CustomerClient, by: str) -> list[str]:
    """What the customer reads of somebody."""
    return [line["text"] for line in (await customer.sees())["messages"] if line["by"] == by]


async def test_a_message_can_be_taken_back_until_it_leaves_and_leaves_once(office: Office) -> None:
    agent, customer = await talking(office)
    path = f"/conversations/{customer.conversation}/messages"
    for _ in range(2):  # sent twice by a nervous client
        assert (await agent.writes(customer.conversation, "wrong", client_id="w")).status_code == 201
    assert [held["text"] for held in (await agent.open(customer.conversation))["held"]] == ["wrong"]
    undone = await agent.call("DELETE", f"{path}/w")
    assert undone["text"] == "wrong" and undone["state"] == "undone"
    answers = [await agent.writes(customer.conversation, "right", client_id="r") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    [released] = await until(lambda: agent.heard("held", client_id="r", state="released"))
    await until(lambda: [line for line in agent.lines(customer.conversation) if line["id"] == released["line"]])
    assert (await agent.http.delete(f"{path}/r")).json()["code"] == "too_late"
    assert (await agent.writes(customer.conversation, "right", client_id="r")).status_code == 201
    assert await said(customer, "agent") == ["right"]
    assert [held["state"] for held in agent.heard("held", client_id="w")] == ["held", "undone"]


async def test_a_reply_is_refused_while_something_newer_is_unseen(office: Office) -> None:
    agent, customer = await talking(office)
    first = (await customer.says("How long?"))["messages"][0]["id"]
    newer = (await customer.says("Never mind"))["messages"][0]["id"]
    refused = await agent.writes(customer.conversation, "Two months", seen=first)
    assert refused.status_code == 409 and refused.json()["code"] == "newer_unseen"
    assert (await agent.writes(customer.conversation, "All right", seen=newer)).status_code == 201
    await until(lambda: said(customer, "agent"))
    assert await said(customer, "agent") == ["All right"]


async def test_a_transfer_that_nobody_accepts_comes_back_and_one_that_is_accepted_goes_on(office: Office) -> None:
    agent, customer = await talking(office)
    colleague = await office.agent(web=1)
    path = f"/conversations/{customer.conversation}/transfer"
    began = time.monotonic()
    await agent.call("POST", path, to=colleague.id, summary="Knows the plant")
    await until(lambda: colleague.heard("offer", id=customer.conversation))
    [kept] = await until(lambda: office.happened("queue.keep", customer.conversation, since=office.began))
    assert time.monotonic() - began >= 5 and kept.facts["invited"] == colleague.id
    assert (await colleague.http.post(f"{path}/accept")).status_code == 409
    assert (await agent.open(customer.conversation))["conversation"]["agent"] == agent.id
    await agent.call("POST", path, to=colleague.id, summary="Please")
    assert (await colleague.call("POST", f"{path}/accept"))["agent"] == colleague.id
    await until(lambda: agent.heard("conversation", agent=colleague.id))
    assert (await agent.writes(customer.conversation, "Still me")).status_code == 409
    assert (await colleague.writes(customer.conversation, "Me now")).status_code == 201
    await until(lambda: said(customer, "agent"))
    assert await said(customer, "agent") == ["Me now"] and len(await customer.told("agent_took_over")) == 1
    notes = [
        line["text"] for line in (await colleague.open(customer.conversation))["lines"] if line["direction"] == "note"
    ]
    assert notes == ["Knows the plant", "Please"]
    assert not {"Knows the plant", "Please"} & {line["text"] for line in (await customer.sees())["messages"]}


async def test_back_with_the_bot_the_bot_speaks_again(office: Office) -> None:
    agent, customer = await talking(office)
    assert len((await customer.says(QUESTION))["messages"]) == 1  # the person answers, not the bot
    await agent.call("POST", f"/conversations/{customer.conversation}/return", note="Only asks about the guide")
    assert len(await customer.told("returned_to_bot")) == 1
    _, reply = (await customer.says(QUESTION))["messages"]
    assert reply["by"] == "bot" and "二个月" in reply["text"]
    await until(lambda: agent.heard("conversation", id=customer.conversation, handler="bot"))


async def test_the_bot_never_speaks_after_a_person_has_come(office: Office) -> None:
    agents = [await office.agent(web=web, capacity=20) for web in (0, 1)]

    async def race(number: int) -> None:
        customer, agent = await office.waiting(Rank.D, web=number % 2), agents[number % 2]
        entries: list[Any] = (await agent.call("GET", "/queue"))["entries"]
        [entry] = [each["id"] for each in entries if each["conversation"] == customer.conversation]
        # what the guide answers directly the bot says even to those who wait
        asked = asyncio.gather(*(customer.says(QUESTION) for _ in range(4)))
        assert (await agent.claim(entry)).status_code == 201
        await asyncio.gather(asked, customer.says(QUESTION))
        lines = (await customer.sees())["messages"]
        [joined] = [place for place, line in enumerate(lines) if line["name"] == "agent_joined"]
        assert not [line for line in lines[joined:] if line["by"] == "bot"]
        assert len([line for line in lines if line["direction"] == "in"]) == 6  # the tap and five questions

    for begin in range(0, 12, 4):
        await asyncio.gather(*(race(number) for number in range(begin, begin + 4)))


async def test_files_and_places_go_both_ways_in_the_web_chat(office: Office) -> None:
    agent, customer = await talking(office)
    photo, other = picture("PNG"), picture("JPEG", 8, 8)
    numbers = [
        await customer.uploads("a.png", photo, "image/png"),
        await customer.uploads("b.pdf", b"%PDF-1", "application/pdf"),
    ]
    place = {"latitude": 29.56, "longitude": 106.55}
    line = (await customer.says("Look", attachments=numbers, location=place))["messages"][0]["id"]
    [shown] = await until(lambda: [each for each in agent.lines(customer.conversation) if each["id"] == line])
    assert shown["location"] == place and [each["name"] for each in shown["attachments"]] == ["a.png", "b.pdf"]
    there = await agent.http.get(shown["attachments"][0]["url"].removeprefix("/api/v1"))
    assert there.content == photo and there.headers["content-type"] == "image/png"
    path = f"/conversations/{customer.conversation}"
    sent = [
        (await agent.http.post(f"{path}/attachments", files={"file": (name, content, kind)})).json()["id"]
        for name, content, kind in (("c.jpg", other, "image/jpeg"), ("d.txt", b"text", "text/plain"))
    ]
    answer = await agent.writes(customer.conversation, "Like this", attachments=sent, location=place)
    assert answer.status_code == 201, answer.text
    await until(lambda: said(customer, "agent"))
    [got] = [line for line in (await customer.sees())["messages"] if line["by"] == "agent"]
    assert got["location"] == place and [each["name"] for each in got["attachments"]] == ["c.jpg", "d.txt"]
    assert await customer.downloads(got["attachments"][0]["url"]) == other
    stranger, foreign = await talking(office)
    refused = await stranger.writes(foreign.conversation, "", attachments=sent)
    assert refused.status_code == 404  # the files belong to another conversation
