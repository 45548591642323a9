"""Whoever leaves the line unserved in the evening is called back in time: the clock is moved, everything else is real."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import col, select

from api.services import Services
from bot.reception import Reception
from bot.usher import Usher
from desk import staff
from desk.conversations import Conversation
from desk.customers import Account, AccountContact, How
from desk.events import Event
from desk.permissions import Role
from desk.promises import Promise
from desk.store import Store
from tests.bot.talk import Customer
from tests.conftest import SetClock, _numbers, copied
from tests.desk_live.clients import COOKIE

_HOLDER = text("INSERT INTO customer (name, created_at) VALUES ('Holder', :at) RETURNING id")
_PHONE = text("INSERT INTO contact (name, phone, created_at) VALUES ('Lin', '13800000009', :at) RETURNING id")
ZONE = ZoneInfo("Asia/Shanghai")
EVENING = datetime(2026, 3, 2, 12, 50, tzinfo=UTC)  # 20:50


@pytest.fixture
def url(server: str, template: str) -> Iterator[str]:
    """A database whose clock this test moves."""
    with copied(server) as url:
        yield url


async def bound(store: Store, customer: Customer, tier: str, at: datetime) -> Conversation:
    """Somebody who has said hello and speaks for an account of that tier."""
    talk = (await customer.sends("/start")).conversation
    async with store.transaction() as db:
        holder = await db.execute(_HOLDER, {"at": at})
        account = Account(
            no=f"33000000000{talk.id:02d}", customer_id=holder.scalar_one(), name=f"Plant {talk.id}", tier=tier,
            updated_at=at,
        )  # fmt: skip
        registered = await db.execute(_PHONE, {"at": at})
        db.add(account)
        await db.flush()
        for contact, how in ((talk.contact_id, How.LINK), (registered.scalar_one(), How.ARCHIVE)):
            db.add(AccountContact(account_id=account.id or 0, contact_id=contact, how=how, since=at))
    return talk


async def kinds(store: Store) -> list[str]:
    """What happened to promises."""
    async with store.transaction() as db:
        query = select(Event.kind).where(col(Event.kind).startswith("promise.")).order_by(col(Event.id))
        return list((await db.exec(query)).all())


@pytest.mark.parametrize("how", ["left", "expired"])
async def test_a_b_customer_unserved_at_ten_to_nine_is_called_by_then_next_day_and_a_d_customer_is_not(
    services: Services, store: Store, clock: SetClock, client: httpx.AsyncClient, how: str
) -> None:
    usher = Usher(store, services.bell, clock, Reception(ZONE))
    clock.at = EVENING - timedelta(seconds=900)
    big, small = Customer(services.assistant, "big"), Customer(services.assistant, "small")
    talk = await bound(store, big, "B", clock.at)
    await bound(store, small, "D", clock.at)
    for each in (big, small):
        await each.says("我要问一下我们厂的供电方案")
        await each.sends(choice="person")
    await usher.attend()
    clock.at = EVENING if how == "left" else EVENING + timedelta(seconds=1)
    if how == "left":
        told = await big.says(choice="queue:leave")
        assert big.names == ["queue_left_promised"] and "20:50" in told
        await small.says(choice="queue:leave")
        assert small.names == ["queue_left"]
    else:
        await usher.attend()
        clock.at = EVENING + timedelta(seconds=1000)
        await usher.attend()
    async with store.transaction() as db:
        [promise] = (await db.exec(select(Promise))).all()
    assert promise.conversation_id == talk.id
    due = promise.due_at.astimezone(ZONE)
    assert due.replace(second=0) == datetime(2026, 3, 3, 20, 50, tzinfo=ZONE)
    offered = promise.offer_at.astimezone(ZONE)
    assert 8 <= offered.hour < 21 and promise.offer_at <= promise.due_at
    data = promise.data
    assert (data["tier"], data["holder"], data["phone"]) == ("B", f"Plant {talk.id}", "13800000009")
    assert data["last"][-1] == "我要问一下我们厂的供电方案"

    clock.forward(seconds=1)
    today = await _ledger(client, store, clock, "today")
    assert [(each["id"], each["rank"], each["phone"] != "13800000009") for each in today] == [(promise.id, "B", True)]
    for _ in range(3):
        await usher.attend()
    assert await kinds(store) == ["promise.made"]
    clock.at = promise.due_at - timedelta(minutes=1)
    for _ in range(3):
        clock.forward(seconds=11)
        await usher.attend()
    assert set(await kinds(store)) == {"promise.made", "promise.reminded"}
    reminders = len(await kinds(store)) - 1
    clock.at = promise.due_at + timedelta(seconds=11)
    for _ in range(3):
        await usher.attend()
        clock.forward(seconds=11)
    assert (await kinds(store)).count("promise.lapse") == 1
    assert (await kinds(store)).count("promise.reminded") == reminders
    [overdue] = await _ledger(client, store, clock, "overdue")
    assert overdue["status"] == "overdue" and overdue["id"] == promise.id


async def _ledger(client: httpx.AsyncClient, store: Store, clock: SetClock, view: str) -> list[dict[str, Any]]:
    async with store.transaction() as db:
        name = f"Agent {next(_numbers)}"
        person = await staff.add(db, name, Role.AGENT, hashed=None, by="test", at=clock.at)
        cookie = await staff.open_session(db, person, address="", device="", at=clock.at)
    answer = await client.get(f"/api/v1/promises?view={view}", headers={"Cookie": f"{COOKIE}={cookie}"})
    found: list[dict[str, Any]] = answer.raise_for_status().json()["promises"]
    return found
