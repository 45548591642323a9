"""A console that reads too slowly, and a database that goes away: nothing is lost, and nobody else waits."""

from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from api import feed
from api.services import Services
from desk import claims, conversations, staff
from desk.conversations import Channel, Direction, RecordLine
from desk.permissions import Role
from desk.store import Store, plain_url
from tests.api.conftest import serving
from tests.conftest import SetClock, _numbers
from tests.desk_live.clients import AgentClient, CustomerClient, until
from tests.desk_live.test_callback import url  # noqa: F401 - a fixture


@pytest.fixture
async def base(services: Services) -> AsyncIterator[str]:
    """The application behind a real server, in this process."""
    async with serving(services) as base:
        yield base


Coming = Callable[[], Awaitable[AgentClient]]


@pytest.fixture
async def comes(base: str, store: Store, clock: SetClock) -> AsyncIterator[Coming]:
    """Agents come to work; all leave with the test."""
    everybody: list[AgentClient] = []

    async def come() -> AgentClient:
        everybody.append(await _console(base, store, clock))
        return everybody[-1]

    yield come
    for each in everybody:
        await each.leave()


@pytest.fixture
async def customer(base: str) -> AsyncIterator[CustomerClient]:
    """A customer who waits for a person."""
    customer = await CustomerClient(base).arrive()
    yield customer
    await customer.leave()


async def _console(base: str, store: Store, clock: SetClock) -> AgentClient:
    async with store.transaction() as db:
        name = f"Agent {next(_numbers)}"
        person = await staff.add(db, name, Role.AGENT, hashed=None, by="test", at=clock.now())
        cookie = await staff.open_session(db, person, address="", device="", at=clock.now())
    return await AgentClient(base, cookie, person.id or 0).online()


async def test_a_console_that_cannot_keep_up_is_let_go_and_catches_up(
    comes: Coming, customer: CustomerClient, store: Store, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST", 20)
    slow = await comes()
    await customer.joins()
    number = (await slow.takes())["conversation"]["id"]
    slow.reads.clear()
    said = []
    for _ in range(300):  # more than the network holds
        async with store.transaction() as db:
            talk = await claims.held(db, number)
            line = RecordLine(conversation_id=number, channel=Channel.WEB, direction=Direction.IN, by="customer",
                              text="x" * 20_000, at=clock.now())  # fmt: skip
            said.append((await conversations.write(db, line, talk)).id)
    slow.reads.set()
    await until(lambda: slow.lines(number) and slow.lines(number)[-1]["id"] == said[-1])
    assert [line["id"] for line in slow.lines(number) if line["id"] in said] == said
    assert slow.connections > 1


async def test_consoles_hear_what_was_written_while_the_database_was_away(
    comes: Coming, customer: CustomerClient, store: Store
) -> None:
    agent = await comes()
    await customer.joins()
    number = (await agent.takes())["conversation"]["id"]
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
    for each in range(3):
        async with await psycopg.AsyncConnection.connect(plain_url(store.url), autocommit=True) as db:
            await db.execute(f"{ended} AND pid <> pg_backend_pid()")
        await until(lambda each=each: _said(customer, each))
    await until(lambda: [line["text"] for line in agent.lines(number) if line["direction"] == "in"] == ["0", "1", "2"])


async def _said(customer: CustomerClient, each: int) -> bool:
    try:
        await customer.says(str(each), client_id=f"said-{each}")
    except AssertionError:  # the connection that was cut belonged to this request
        return False
    return True
