"""`kill -9` at named points: no message and no reply is lost; only a reply inside its HTTP send may come twice, counted."""

import asyncio
import time

import httpx
import pytest

from desk.conversations import Direction
from desk.deliveries import Fate
from tests.chaos.conftest import LOCK_CONVERSATIONS, LOCK_SENDING, RESTART, Town
from tests.telegram.botapi_person import Person
from tests.telegram.world import QUESTION, T

LOCK_SENDER = "SELECT pg_advisory_lock(hashtext('leader:sender:telegram'))"


async def answered_once(town: Town, person: Person, *texts: str) -> None:
    """Every message is in the record once and has one reply, which arrived once."""
    await person.wait(lambda inbox: len(inbox) >= len(texts), RESTART)
    await town.all_sent()
    assert await town.said(person) == list(texts)
    lines = await town.lines(Direction.OUT, chat=person.user["id"])
    assert len(lines) == len(person.inbox) == len(texts)
    assert await town.doubts() == 0


@pytest.mark.parametrize("webhook", [False, True], ids=["polling", "webhook"])
async def test_while_a_message_is_being_handled(town: Town, webhook: bool) -> None:
    lin, program = town.person(), await town.run(webhook=webhook)
    await town.answered(lin, "/start")
    async with town.holding(LOCK_CONVERSATIONS):
        await lin.say(QUESTION)
        await town.stuck()
        await town.kill(program)
    await town.run(webhook=webhook)
    await answered_once(town, lin, "/start", QUESTION)


async def test_after_the_commit_and_before_telegram_knows(town: Town) -> None:
    """Two people write at once: one message is committed, the other holds up the acknowledgement of both."""
    lin, wang, program = town.person(7), town.person(8), await town.run()
    await town.answered(lin, "/start")
    await town.until(lambda: town.api.updates.polled)
    async with town.holding(LOCK_CONVERSATIONS):
        await asyncio.gather(lin.say(QUESTION), wang.say(QUESTION))
        await wang.wait(lambda inbox: inbox, T)
        await town.all_sent()
        await town.kill(program)
    assert len(town.api.updates.pending) == 2
    await town.run()
    await answered_once(town, lin, "/start", QUESTION)
    await answered_once(town, wang, QUESTION)


async def test_after_the_commit_of_a_webhook_call_and_before_its_answer(town: Town) -> None:
    lin, program = town.person(), await town.run(webhook=True)
    network = httpx.AsyncHTTPTransport()

    class Cut(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await network.handle_async_request(request)
            assert answer.status_code == 200
            await answer.aclose()
            await town.kill(program)
            town.api.updates.transport = None
            raise httpx.ReadError("the answer never came")

    town.api.updates.transport = Cut()
    await lin.say(QUESTION)
    await town.until(lambda: program.process.poll() is not None)
    await network.aclose()
    await town.run(webhook=True)
    await lin.wait(lambda inbox: inbox, RESTART)
    await town.all_sent()
    assert await town.said(lin) == [QUESTION]
    assert len(await town.lines(Direction.OUT)) == 1
    # the reply may already have been on its way
    assert len(lin.inbox) <= 1 + await town.doubts()


async def test_after_the_commit_and_before_the_sender_takes_the_reply(town: Town) -> None:
    async with town.holding(LOCK_SENDER):
        lin, program = town.person(), await town.run()
        await lin.say(QUESTION)
        await town.until(lambda: town.lines(Direction.OUT))
        await town.kill(program)
    assert not lin.inbox
    await town.run()
    await answered_once(town, lin, QUESTION)


async def test_inside_a_send_that_had_not_arrived(town: Town) -> None:
    lin, program = town.person(), await town.run()
    town.api.fail("sendMessage", "delay", seconds=600)
    await lin.say(QUESTION)
    await town.until(lambda: any(call.method == "sendMessage" for call in town.api.calls))
    await town.kill(program)
    await town.run()
    await lin.wait(lambda inbox: inbox, RESTART)
    await town.all_sent()
    assert len(lin.inbox) == 1 and await town.doubts() == 1


async def test_inside_a_send_that_had_arrived(town: Town) -> None:
    lin, program = town.person(), await town.run()
    town.api.fail("sendMessage", "after", hang=True)
    await lin.say(QUESTION)
    await lin.wait(lambda inbox: inbox, T)
    await town.kill(program)
    program = await town.run()
    await lin.wait(lambda inbox: len(inbox) == 2, RESTART)
    await town.all_sent()
    assert lin.inbox[0].text == lin.inbox[1].text and await town.doubts() == 1
    metrics = (await asyncio.to_thread(httpx.get, f"{program.base}/metrics")).text
    assert 'greenline_outbox{channel="telegram",fate="doubted"} 1.0' in metrics


async def test_between_a_send_and_its_settling_and_never_a_third_copy(town: Town) -> None:
    lin, program = town.person(), await town.run()
    for copies in (1, 2):
        town.api.fail("sendMessage", "delay", seconds=1)
        if copies == 1:
            await lin.say(QUESTION)
        await town.until(lambda: _sending(town), RESTART)
        async with town.holding(LOCK_SENDING):
            await lin.wait(lambda inbox, copies=copies: len(inbox) == copies, T)  # type: ignore[misc]
            await town.stuck()
            await town.kill(program)
        program = await town.run()
    [delivery] = await town.until(lambda: _with_fate(town, Fate.UNKNOWN), RESTART)
    assert delivery.doubts == 2 and len(lin.inbox) == 2
    await town.answered(lin, "/help")
    assert len(lin.inbox) == 3


async def _sending(town: Town) -> bool:
    return any(delivery.fate == Fate.SENDING for delivery in await town.deliveries())


async def _with_fate(town: Town, fate: Fate) -> object:
    return [delivery for delivery in await town.deliveries() if delivery.fate == fate]


async def test_while_an_album_waits_for_more_and_while_it_is_answered(town: Town) -> None:
    lin, program = town.person(), await town.run()
    await lin.send_album([b"1", b"2", b"3"])
    await town.until(lambda: _lines(town, 3))
    await town.kill(program)
    async with town.holding(LOCK_CONVERSATIONS):
        program = await town.run()
        await town.stuck()  # the job has begun
        await town.kill(program)
    await town.run()
    await lin.wait(lambda inbox: inbox, RESTART)
    await town.all_sent()
    assert len(lin.inbox) == 1 and "3" in lin.inbox[0].text and await town.doubts() == 0
    await town.until(lambda: _files_kept(town), RESTART)


async def _lines(town: Town, count: int) -> bool:
    return len(await town.lines(Direction.IN)) == count


async def _files_kept(town: Town) -> bool:
    return all(file["id"] for line in await town.lines(Direction.IN) for file in line.body["attachments"])


async def test_another_process_takes_over_within_ten_seconds(town: Town) -> None:
    lin, first = town.person(), await town.run()
    await town.answered(lin, "/start")
    second = await town.run()
    town.api.fail("sendMessage", "after", hang=True)
    await lin.say(QUESTION)
    await lin.wait(lambda inbox: len(inbox) == 2, T)
    await town.kill(first)
    killed = time.monotonic()
    await lin.wait(lambda inbox: len(inbox) == 3, T)  # the one in doubt comes again
    await town.answered(lin, "/help")
    assert time.monotonic() - killed < 10
    assert await town.doubts() == 1 and second.process.poll() is None
