"""Agents who vanish, consoles that are cut off, servers and workers that die: nothing is lost, nothing comes twice."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import psycopg
from sqlalchemy import text

from desk import presence, promises
from desk.conversations import Conversation
from desk.ranks import Rank
from desk.store import plain_url
from tests.conftest import ROOT
from tests.desk_live.clients import AgentClient, CustomerClient, until
from tests.desk_live.conftest import Office
from tests.desk_live.wire import Wire

LIMIT = 30.0  # seconds within which a customer hears that their agent has vanished


async def told_in_time(customer: CustomerClient, since: float) -> None:
    """The customer hears it within the limit."""
    await until(lambda: customer.told("agent_lapsed"), seconds=LIMIT + 5)
    assert time.monotonic() - since < LIMIT


async def dies(office: Office, customer: CustomerClient) -> None:
    """An agent's process is killed in the middle of a conversation, with one message on its way."""
    console = await office.console()
    arguments = (office.house.webs[0].base, console._cookie, str(console.id))
    command = [sys.executable, "-m", "tests.desk_live.lone_agent", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    number = int(await asyncio.wait_for(process.stdout.readline(), 30))
    assert number == customer.conversation
    await customer.says("Are you there?")
    process.kill()
    await process.wait()
    await told_in_time(customer, time.monotonic())


async def is_cut_off(office: Office, customer: CustomerClient) -> None:
    """The network of an agent fails without a word; connections stay open at both ends."""
    async with Wire(office.house.webs[1].port).laid() as wire:
        agent = await (await office.console(base=wire.base)).online()
        await agent.takes()
        assert (await agent.writes(customer.conversation, "First")).status_code == 201
        await until(lambda: agent.heard("held", state="released"))
        assert (await agent.writes(customer.conversation, "Second")).status_code == 201
        wire.cut()
        cut = time.monotonic()
        await customer.says("Are you there?")
        await told_in_time(customer, cut)
        await agent.hang_up()


async def test_agents_who_come_back_are_online_again_and_have_lost_nothing(office: Office) -> None:
    agent: AgentClient = await office.agent()
    async with office.store.transaction() as db:
        seat = await presence.seat(db, agent.id, at=office.clock.now())
        assert seat.status == "online" and seat.load == 0
    async with office.store.transaction() as db:
        silent = text("UPDATE seat SET heartbeat_at = now() - interval '1 minute' WHERE staff_id = :me")
        await db.execute(silent, {"me": agent.id})
    await until(lambda: agent.heard("presence", id=agent.id, status="away"))
    await agent.call("PUT", "/agents/me/beat", 204)
    await until(lambda: agent.heard("presence", id=agent.id, status="online"))


async def test_who_loses_their_agent_is_told_keeps_their_place_and_all_that_was_said(office: Office) -> None:
    began = office.clock.now()
    # one after the other into the hands of who is to vanish, so that each agent has a customer of their own
    one = await office.waiting(Rank.B)
    dying = asyncio.create_task(dies(office, one))
    await until(lambda: one.told("agent_joined"))
    other = await office.waiting(Rank.B)
    cut = asyncio.create_task(is_cut_off(office, other))
    await until(lambda: other.told("agent_joined"))
    later = [await office.waiting(Rank.B), await office.waiting(Rank.C)]
    await asyncio.gather(dying, cut)
    agent = await office.agent()
    entries = (await agent.call("GET", "/queue"))["entries"]
    assert [each["conversation"] for each in entries] == [each.conversation for each in (one, other, *later)]
    for customer, event in zip((one, other), await office.happened("queue.joined", since=began), strict=False):
        [entry] = [each for each in entries if each["conversation"] == customer.conversation]
        assert entry["status"] == "waiting" and entry["joined_at"] == event.at.isoformat().replace("+00:00", "Z")
    for customer in (one, other):
        assert (await agent.takes())["conversation"]["id"] == customer.conversation
        lines = (await agent.open(customer.conversation))["lines"]
        seen = [(line["who"], line["text"] if line["who"] != "system" else line["name"]) for line in lines]
        # "Second" left, for its second was over before anybody knew that its agent was gone
        talk = [each for each in seen if each[0] == "agent" or each == ("customer", "Are you there?")]
        assert Counter(talk) == Counter([("agent", "First"), ("agent", "Second"), ("customer", "Are you there?")])
        names = [name for who, name in seen if who == "system"]
        assert names.count("agent_joined") == 2 and names.count("agent_lapsed") == 1
        shown = (await customer.sees())["messages"]
        assert [line["id"] for line in shown] == [line["id"] for line in lines]
    assert len(await office.happened("queue.lapse", since=began)) == 2


async def test_a_console_that_was_cut_off_hears_every_line_once_even_from_another_server(office: Office) -> None:
    agent, customer = await office.agent(web=0), await office.waiting(Rank.A)
    number = (await agent.takes())["conversation"]["id"]
    said = [(await customer.says(f"m{each}"))["messages"][0]["id"] for each in range(5)]
    await until(lambda: {line["id"] for line in agent.lines(number)} >= set(said))
    await agent.hang_up()
    said += [(await customer.says(f"m{each}"))["messages"][0]["id"] for each in range(5, 25)]
    agent.point(office.house.webs[1].base)
    await agent.connect()
    await until(lambda: {line["id"] for line in agent.lines(number)} >= set(said))
    # the server it was connected to ends and begins again
    await agent.hang_up()
    await asyncio.to_thread(office.house.webs[0].kill)
    customer.base = office.house.webs[1].base
    said += [(await customer.says(f"m{each}"))["messages"][0]["id"] for each in range(25, 35)]
    office.house.webs[0] = web = office.house.start("web")
    await asyncio.to_thread(web.ready)
    agent.point(web.base)
    await agent.connect()
    said.append((await customer.says("the last one"))["messages"][0]["id"])
    await until(lambda: agent.lines(number)[-1]["text"] == "the last one")
    heard = [line["id"] for line in agent.lines(number) if line["direction"] == "in"]
    assert heard == said


async def test_what_commits_late_arrives_and_delays_nobody_else(office: Office) -> None:
    agent = await office.agent()
    slow, quick = await office.waiting(Rank.A), await office.waiting(Rank.B)
    for _ in range(2):
        await agent.takes()
    insert = (
        "INSERT INTO record_line (conversation_id, channel, direction, by, text, at)"
        " VALUES (%s, 'web', 'in', 'customer', 'late', now()) RETURNING id"
    )
    told = (
        "INSERT INTO event (kind, subject, by, at, facts) VALUES ('conversation.line', %s, 'customer', now(),"
        " jsonb_build_object('line', %s::bigint, 'agent', %s::bigint))"
    )
    async with await psycopg.AsyncConnection.connect(plain_url(office.house.url)) as db:
        [line] = await (await db.execute(insert, (slow.conversation,))).fetchone() or [0]
        await db.execute(told, (f"conversation:{slow.conversation}", line, agent.id))
        for each in range(10):
            await quick.says(f"m{each}")
        await until(lambda: len([1 for e in agent.lines(quick.conversation) if e["direction"] == "in"]) == 10)
        # it comes back in the middle, with a cursor from after the late one began
        await agent.hang_up()
        await agent.connect()
        assert not [e for e in agent.lines(slow.conversation) if e["direction"] == "in"]
        await db.execute("SELECT pg_notify('greenline', 'events')")
        await db.commit()
    await until(lambda: [e for e in agent.lines(slow.conversation) if e["id"] == line])
    for talk in (slow, quick):
        ids = [e["id"] for e in agent.lines(talk.conversation)]
        assert len(ids) == len(set(ids))


async def test_after_a_worker_died_no_reminder_and_no_message_is_lost_or_doubled(office: Office) -> None:
    began, count = office.clock.now(), 150
    agent, customer = await office.agent(), await office.waiting(Rank.A)
    number = (await agent.takes())["conversation"]["id"]
    worker = office.house.worker
    assert worker is not None
    await asyncio.to_thread(worker.kill)
    async with office.store.transaction() as db:
        talk = await db.get_one(Conversation, customer.conversation)
        for each in range(count):
            await promises.make(
                db, promises.Kind.CALLBACK, f"test:{each}", conversation_id=talk.id or 0, contact_id=talk.contact_id,
                account_id=None, data={}, by="test", at=began, zone=office.zone,
            )  # fmt: skip
        # due in half an hour, so that a reminder is due now
        await db.execute(text("UPDATE promise SET due_at = now() + interval '30 minutes' WHERE status = 'open'"))
    for each in range(8):
        assert (await agent.writes(number, f"line {each}")).status_code == 201

    async def reminded() -> int:
        return len(await office.happened("promise.reminded", since=began))

    async def released() -> list[Any]:
        return [each for each in (await customer.sees())["messages"] if each["text"].startswith("line ")]

    # killed twice in the middle of it: at the first sign of work, and at whatever it does then
    for sign in (released, reminded):
        worker = office.house.start("worker")
        await until(sign)
        await asyncio.to_thread(worker.kill)
    office.house.worker = office.house.start("worker")
    await until(lambda: _reached(reminded, count))
    await until(lambda: _long(released, 8))
    assert [each["text"] for each in await released()] == [f"line {each}" for each in range(8)]
    per = Counter(event.subject for event in await office.happened("promise.reminded", since=began))
    assert len(per) == count and set(per.values()) == {1}
    assert len(await office.happened("conversation.held", since=began)) == 16  # each held once and released once
    assert await office.one("SELECT count(*) FROM promise WHERE status = 'open' AND reminded <> '[]'") == count


async def _reached(found: Any, count: int) -> bool:
    return bool(await found() >= count)


async def _long(found: Any, count: int) -> bool:
    return len(await found()) >= count
