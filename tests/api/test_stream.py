"""The live stream over a real connection: every line once, in order, whoever connects when."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlmodel import insert

from desk.conversations import Channel, Direction, RecordLine
from desk.store import Store, notify
from tests.api.conftest import API, Visitor, arrive
from tests.conftest import MONDAY, SetClock


async def events(visitor: Visitor, **headers: str) -> AsyncIterator[dict[str, Any]]:
    """Events of one connection until the server or the reader ends it."""
    async with visitor.http.stream("GET", f"{API}/events", headers=visitor.headers | headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        async for line in answer.aiter_lines():
            if not line and event:
                yield event
                event = {}
            elif line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = json.loads(value) if name == "data" else value


async def read(visitor: Visitor, count: int, **headers: str) -> list[dict[str, Any]]:
    """The first `count` messages of a connection."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20), contextlib.aclosing(events(visitor, **headers)) as stream:
        async for event in stream:
            if event["event"] == "message":
                assert event["id"] == str(event["data"]["id"])
                found.append(event["data"])
            if len(found) == count:
                return found
    raise AssertionError


async def test_the_stream_begins_with_what_was_said_and_goes_on(running: httpx.AsyncClient) -> None:
    visitor = await arrive(running)
    reading = asyncio.create_task(read(visitor, 3))
    await visitor.says("a1", "双电源的供电方案多久能出来?")
    assert await reading == await visitor.sees()


async def test_a_reply_reaches_every_window(running: httpx.AsyncClient) -> None:
    visitor = await arrive(running)
    windows = [asyncio.create_task(read(visitor, 3)) for _ in range(3)]
    await visitor.says("a1", "/help")
    seen = await asyncio.gather(*windows)
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_stream_goes_on_behind_the_last_line_seen(running: httpx.AsyncClient, how: str) -> None:
    visitor = await arrive(running)
    await visitor.says("a1", "/help")
    lines = await visitor.sees()
    if how == "header":
        assert await read(visitor, 1, **{"Last-Event-ID": str(lines[1]["id"])}) == lines[2:]
    else:
        async with running.stream("GET", f"{API}/events?after={lines[1]['id']}", headers=visitor.headers) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    assert json.loads(line[6:]) == lines[2]
                    break


async def test_nothing_is_lost_or_doubled_over_cut_connections_while_messages_arrive(
    running: httpx.AsyncClient,
) -> None:
    visitor = await arrive(running)
    said = 12
    seen: list[dict[str, Any]] = []

    async def follow() -> None:
        while len(seen) < 1 + 2 * said:
            last = str(seen[-1]["id"]) if seen else "0"
            # a connection that breaks after every line or two
            seen.extend(await read(visitor, min(2, 1 + 2 * said - len(seen)), **{"Last-Event-ID": last}))

    async def talk() -> None:
        for number in range(said):
            await visitor.says(f"a{number}", f"/help {number}")

    await asyncio.gather(follow(), talk())
    assert seen == await visitor.sees()


async def test_more_lines_than_one_look_reads_come_without_waiting(running: httpx.AsyncClient, store: Store) -> None:
    visitor = await arrive(running)
    rows = [
        {
            "conversation_id": visitor.conversation,
            "channel": Channel.WEB,
            "direction": Direction.OUT,
            "by": "bot",
            "text": str(number),
            "body": {},
            "at": MONDAY,
        }
        for number in range(450)
    ]
    async with store.transaction() as db:
        await db.execute(insert(RecordLine), rows)
    began = asyncio.get_running_loop().time()
    texts = [line["text"] for line in await read(visitor, 451)]
    assert texts[1:] == [str(number) for number in range(450)]
    assert asyncio.get_running_loop().time() - began < 10  # the next look without a ring comes after 15 seconds
    page = await running.get("/chat", headers={"Cookie": f"greenline_chat={visitor.token}"})
    assert ">449<" in page.text.replace("\n", "").replace(" ", "") and ">100<" not in page.text


async def test_a_changed_language_is_told(running: httpx.AsyncClient) -> None:
    visitor = await arrive(running)
    changed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def follow() -> None:
        async with contextlib.aclosing(events(visitor)) as stream:
            async for event in stream:
                changed.put_nowait(event)

    task = asyncio.create_task(follow())
    assert (await asyncio.wait_for(changed.get(), 10))["event"] == "message"
    await visitor.says("a1", choice="lang:en")
    told = [(await asyncio.wait_for(changed.get(), 10)) for _ in range(4)]
    # how it stands at the beginning, then the tap and its reply, then the change
    assert [event["event"] for event in told] == ["conversation", "message", "message", "conversation"]
    assert [told[number]["data"]["language"] for number in (0, 3)] == ["zh_CN", "en"]
    task.cancel()


@pytest.mark.parametrize("place", ["-1", "x", "１２", "9" * 30])
async def test_a_place_that_was_never_issued_is_refused_before_the_stream_begins(
    running: httpx.AsyncClient, place: str
) -> None:
    visitor = await arrive(running)
    headers = visitor.headers | {"Last-Event-ID": place.encode()}
    answer = await running.get(f"{API}/events", headers=headers)
    assert answer.status_code == 422 and answer.json()["code"] in ("bad_cursor", "bad_input")


async def test_a_ring_without_news_sends_nothing(running: httpx.AsyncClient, store: Store, clock: SetClock) -> None:
    visitor = await arrive(running)
    reading = asyncio.create_task(read(visitor, 3))
    for _ in range(3):
        async with store.transaction() as db:
            await notify(db, f"conversation:{visitor.conversation}")
    await visitor.says("a1", "/help")
    assert len({line["id"] for line in await reading}) == 3
