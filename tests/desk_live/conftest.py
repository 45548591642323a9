"""A desk of real processes: two web servers and a worker on one database, shared by all tests."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import col, select

from bot.mind import Mind
from desk import policy, staff
from desk.clock import SystemClock
from desk.conversations import Conversation
from desk.customers import Account, AccountContact, How
from desk.events import Event
from desk.permissions import Role
from desk.ranks import Rank
from desk.store import Store, plain_url
from tests.conftest import Process, _numbers, copied, free_port
from tests.desk.floor import TIER
from tests.desk_live.clients import AgentClient, CustomerClient
from tests.telegram.world import TOKEN

# customers of former tests are gone, and so is everybody at the desk
SWEEP: Final = """
    UPDATE conversation SET handler = 'bot', agent_id = NULL WHERE handler <> 'bot';
    UPDATE queue_entry SET status = 'closed', ended_at = now(), offered_to = NULL WHERE ended_at IS NULL;
    UPDATE seat SET status = 'offline', load = 0;
    UPDATE promise SET status = 'cancelled', ended_at = now() WHERE ended_at IS NULL;
    UPDATE alarm SET acknowledged_at = now(), acknowledged_by = 'test' WHERE acknowledged_at IS NULL;
"""


@pytest.fixture(scope="package")
def url(server: str, template: str) -> Iterator[str]:
    """A database of this package's own, migrated, with the shipped guide."""
    with copied(server) as url:
        yield url


@dataclass
class Gateway:
    """A gateway for text messages that takes everything."""

    url: str
    sent: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture(scope="package")
def gateway() -> Iterator[Gateway]:
    """The gateway, served."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Gateway(f"http://127.0.0.1:{serving.server_port}")
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield found
    serving.shutdown()
    serving.server_close()


@dataclass
class House:
    """The processes, and how to start more of them."""

    url: str
    folder: Path
    settings: dict[str, str]
    webs: list[Process] = field(default_factory=list)
    worker: Process | None = None

    def start(self, part: str) -> Process:
        """One more process."""
        return Process(self.url, self.folder, part, encoder="lite", **self.settings)


@pytest.fixture(scope="package")
def house(
    url: str, gateway: Gateway, loaded: Mind, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[House]:
    """Two web servers and a worker; their programs find the vectors of the guide ready."""
    assert pytestconfig.cache is not None
    folder = tmp_path_factory.mktemp("house")
    (folder / "cache").symlink_to(pytestconfig.cache.mkdir("mind") / "cache")
    telegram = {"telegram_token": TOKEN, "telegram_api_url": f"http://127.0.0.1:{free_port()}"}
    house = House(url, folder, {"sms_url": gateway.url, **telegram})
    house.webs = [house.start("web"), house.start("web")]
    house.worker = house.start("worker")
    try:
        for web in house.webs:
            web.ready()
        yield house
    finally:
        for process in (*house.webs, house.worker):
            if process.process.poll() is None:
                process.kill()


class Office:
    """The desk for one test: agents who come to work and customers who write."""

    def __init__(self, house: House, store: Store) -> None:
        self.house, self.store, self.clock = house, store, SystemClock()
        self.began = self.clock.now()
        self.zone = ZoneInfo("Asia/Shanghai")
        self._open: list[AgentClient | CustomerClient] = []

    async def console(self, role: Role = Role.AGENT, web: int = 0, base: str = "") -> AgentClient:
        """A new colleague who has signed in."""
        at = self.clock.now()
        async with self.store.transaction() as db:
            member = await staff.add(db, f"Agent {next(_numbers)}", role, hashed=None, by="test", at=at)
            cookie = await staff.open_session(db, member, address="", device="", at=at)
        console = AgentClient(base or self.house.webs[web].base, cookie, member.id or 0)
        self._open.append(console)
        return console

    async def agent(self, *, role: Role = Role.AGENT, web: int = 0, capacity: int = 4) -> AgentClient:
        """A new colleague at the open console."""
        return await (await self.console(role, web)).online(capacity)

    async def customer(self, rank: Rank | None = None, *, web: int = 0, no: str = "") -> CustomerClient:
        """Somebody in the web chat, with an account of that rank, or that one (None = unidentified)."""
        customer = await CustomerClient(self.house.webs[web].base).arrive()
        self._open.append(customer)
        if rank is not None or no:
            async with self.store.transaction() as db:
                talk = await db.get_one(Conversation, customer.conversation)
                account = await self._account(db, rank or Rank.D, no)
                values = {"account_id": account.id, "contact_id": talk.contact_id, "how": How.LINK}
                db.add(AccountContact(**values, since=self.clock.now()))
                customer.no = account.no
        return customer

    async def _account(self, db: Any, rank: Rank, no: str) -> Account:
        if no:
            return (await db.exec(select(Account).where(col(Account.no) == no))).one()  # type: ignore[no-any-return]
        number, at = next(_numbers), self.clock.now()
        made = text("INSERT INTO customer (name, created_at) VALUES ('Holder', :at) RETURNING id")
        account = Account(
            no=str(3_300_000_000_000 + number), customer_id=(await db.execute(made, {"at": at})).scalar_one(),
            name=f"Account {number}", tier=TIER[rank], important=rank is Rank.IMPORTANT, updated_at=at,
        )  # fmt: skip
        db.add(account)
        await db.flush()
        return account

    async def waiting(self, rank: Rank | None = None, *, web: int = 0) -> CustomerClient:
        """Somebody of that rank who waits for a person."""
        customer = await self.customer(rank, web=web)
        said = await customer.joins()
        assert said["conversation"]["handler"] == "queue", said
        return customer

    async def happened(self, kind: str, conversation: int | None = None, *, since: datetime) -> list[Event]:
        """Events of a kind, of a conversation or all, in their order."""
        query = select(Event).where(col(Event.kind) == kind, col(Event.at) >= since).order_by(col(Event.id))
        async with self.store.transaction() as db:
            found = (await db.exec(query)).all()
        return [each for each in found if conversation in (None, each.facts.get("conversation"))]

    async def one(self, statement: str, **facts: Any) -> Any:
        """The single value that a statement gives."""
        async with self.store.transaction() as db:
            return (await db.execute(text(statement), facts)).scalar()

    async def close(self) -> None:
        """Everybody goes home."""
        for each in self._open:
            await each.leave()


@pytest.fixture
async def office(house: House, store: Store) -> AsyncIterator[Office]:
    """An empty desk; messages leave after a second, and a transfer comes back after five."""
    office = Office(house, store)
    with psycopg.connect(plain_url(house.url), autocommit=True) as db:
        db.execute(SWEEP)
    on_call = [{"name": "Duty", "phone": "13800000001"}, {"name": "Second", "phone": "13800000002"}]
    changes = {"queue": {"undo_s": 1, "transfer_s": 5, "capacity": 4}, "alarms": {"on_call": on_call}}
    async with store.transaction() as db:
        number, _ = await policy.latest(db)
        if number == 0:
            await policy.publish(db, changes, version=0, note="test", by="test", at=office.clock.now())
    yield office
    await office.close()
