"""Acceptance scenario 22: the January classification of 1,037 accounts, to the digit, unfinished on 1 February."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import col, select

from desk import january, staff
from desk.customers import Account, TierChange
from desk.permissions import Role
from desk.store import Store
from tests.conftest import SetClock
from tests.desk.purchases import Buyer, no, stock

API: Final = "/api/v1"
SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
ACCOUNTS: Final = 1037
HOSPITAL, HOTEL, EXACT, BELOW, MID_YEAR, IDLE = 1000, 900, 500, 501, 502, 1037


def city() -> list[Buyer]:
    """Account n is the n-th best buyer; places 10 to 13 bought the same, and A ends at place 11."""
    buyers = [Buyer(Decimal("100000.00") - 90 * number, 12000) for number in range(1, ACCOUNTS + 1)]
    for place in (11, 12, 13):
        buyers[place - 1] = buyers[9]
    special = {
        HOSPITAL: {"kwh": Decimal("300.00"), "category": "hospital"},
        HOTEL: {"category": "hotel"},
        EXACT: {"kwh": Decimal("48000.00")},  # 4000.0 a month
        BELOW: {"kwh": Decimal("47999.99")},
        MID_YEAR: {"kwh": Decimal("20000.00"), "months": 5},  # connected in August: 4000.0 a month
        IDLE: {"amount": None, "kwh": 0, "months": 0},
    }
    for number, facts in special.items():
        buyers[number - 1] = Buyer(**(vars(buyers[number - 1]) | facts))
    return buyers


async def snapshot(store: Store) -> list[Any]:
    """Every row that a classification may touch, with the transaction that wrote it."""
    async with store.transaction() as db:
        tables = ("classification", "classification_line", "account", "tier_change", "event")
        return [(await db.execute(text(f"SELECT t.*, t.xmin FROM {t} t ORDER BY id"))).all() for t in tables]


@pytest.fixture
async def desk(client: httpx.AsyncClient, store: Store, clock: SetClock) -> dict[Role, dict[str, str]]:
    """Headers of the hall and of the supervisor."""
    found = {}
    async with store.transaction() as db:
        for role in (Role.HALL, Role.SUPERVISOR):
            _, token = await staff.create_token(db, role, role, by="test", at=clock.now())
            found[role] = {"Authorization": f"Bearer {token}"}
    return found


async def test_january_classification_of_1037_accounts(
    client: httpx.AsyncClient, store: Store, clock: SetClock, desk: dict[Role, dict[str, str]]
) -> None:
    await stock(store, city())

    async def days(first: date, last: date) -> None:
        """The timer runs several times on each of these days."""
        moment = datetime(first.year, first.month, first.day, 0, 10, tzinfo=SHANGHAI).astimezone(UTC)
        while moment.astimezone(SHANGHAI).date() <= last:
            clock.at = moment
            async with store.transaction() as db:
                await january.attend(db, at=clock.now(), zone=SHANGHAI)
            moment += timedelta(hours=6)

    async def said() -> list[tuple[str, str]]:
        """The classification's events as other systems read them: (what, local day)."""
        page = (await client.get(f"{API}/events?limit=1000", headers=desk[Role.SUPERVISOR])).json()["events"]
        return [
            (event["kind"], f"{datetime.fromisoformat(event['at']).astimezone(SHANGHAI):%m-%d}")
            for event in page
            if event["subject"] == "classification:2027"
        ]

    # 1 January: proposed, no account has moved
    await days(date(2027, 1, 1), date(2027, 1, 1))
    page = (await client.get(f"{API}/tiers/runs/2027?limit=20", headers=desk[Role.HALL])).json()
    run, counts = page["run"], page["run"]["counts"]
    assert (run["stage"], run["accounts"], run["due_on"]) == ("proposed", 1037, "2027-01-31")
    assert counts["by_rule"] == {"A": 11, "B": 41, "C": 156, "D": 829}
    assert counts["cuts"] == {"A": 11, "B": 52, "C": 208}
    assert counts["tiers"] == {"A": 13, "B": 39, "C": 156, "D": 829}
    assert (counts["large"], counts["important"], counts["without_purchase"]) == (2, 2, 1)
    assert (counts["up"], counts["down"]) == (208, 0)

    # the tie at the 1 % cut is explained, for the run and for each of the four
    [tie] = counts["ties"]
    assert (tie["tier"], tie["cut"], tie["rank"], tie["accounts"], tie["amount"]) == ("A", 11, 10, 4, "99100.00")
    assert tie["explanation"].startswith("A 类取到第 11 名；从第 10 名起有 4 户都购电 99,100.00 元，跨过名额线")
    for line in page["lines"][9:13]:
        others = ", ".join(no(number) for number in (10, 11, 12, 13) if no(number) != line["no"])
        assert line["explanation"].splitlines()[:4] == [
            "全年购电 99,100.00 元，第 10 名，共 1,037 户，归入 A 类。",
            "A 类取到第 11 名。",
            f"与另外 3 户购电相同，名次并列：{others}",
            "并列的各户跨过了名额线，按规则都归入较高的 A 类。",
        ]
    assert [line["tier"] for line in page["lines"]] == ["A"] * 13 + ["B"] * 7

    # run twice: the second run changes nothing
    before = await snapshot(store)
    for _ in range(2):
        again = await client.post(f"{API}/tiers/runs", json={"year": 2027, "confirm": False}, headers=desk[Role.HALL])
        assert again.status_code == 200, again.text
    assert await snapshot(store) == before

    # unfinished through January: three reminders; on 1 February it is overdue, once
    await days(date(2027, 1, 2), date(2027, 1, 31))
    assert await said() == [
        ("classification.proposed", "01-01"), ("classification.reminded", "01-15"),
        ("classification.reminded", "01-25"), ("classification.reminded", "01-31"),
    ]  # fmt: skip
    await days(date(2027, 2, 1), date(2027, 2, 4))
    assert (await said())[4:] == [("classification.overdue", "02-01")]
    [late] = (await client.get(f"{API}/tiers/runs", headers=desk[Role.HALL])).json()
    assert late["stage"] == "proposed" and late["overdue_at"] == "2027-01-31T16:10:00Z"

    # the hall confirms: in force, dated, frozen; a second run changes nothing
    done = (await client.post(f"{API}/tiers/runs", json={"year": 2027}, headers=desk[Role.HALL])).json()
    assert (done["stage"], done["changed"]) == ("confirmed", True)
    async with store.transaction() as db:
        accounts = {a.no: a for a in (await db.exec(select(Account).order_by(col(Account.no)))).all()}
        changes = (await db.exec(select(TierChange))).all()
    assert [accounts[no(number)].tier for number in range(1, ACCOUNTS + 1)] == (
        ["A"] * 13 + ["B"] * 39 + ["C"] * 156 + ["D"] * 829
    )
    assert {number for number in range(1, ACCOUNTS + 1) if accounts[no(number)].large} == {EXACT, MID_YEAR}
    assert {number for number in range(1, ACCOUNTS + 1) if accounts[no(number)].important} == {HOSPITAL, HOTEL}
    assert accounts[no(HOSPITAL)].tier == "D" and accounts[no(IDLE)].tier == "D"
    assert Counter((c.before, c.tier, c.reason, c.by) for c in changes) == {
        ("D", tier, "classification:2027", "token:hall"): count for tier, count in (("A", 13), ("B", 39), ("C", 156))
    }
    before = await snapshot(store)
    second = (await client.post(f"{API}/tiers/runs", json={"year": 2027}, headers=desk[Role.HALL])).json()
    assert second == done | {"changed": False}
    await days(date(2027, 2, 5), date(2027, 2, 6))
    assert await snapshot(store) == before
