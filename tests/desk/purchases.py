"""An archive of accounts and what they bought, built in one go: any number of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import text

from desk.store import Store
from desk.tiers import Tier

FIRST: Final = 320_100_000_000  # account numbers count from here
YEAR: Final = 2026  # of the purchases; classified in the next


@dataclass(frozen=True)
class Buyer:
    """One account: its purchase in yuan and kWh in `months` of service; None = no row for the year."""

    amount: Decimal | int | None
    kwh: Decimal | int = 0
    months: int = 12
    category: str = ""
    tier: Tier = Tier.D
    closed: bool = False


def no(number: int) -> str:
    """The number of the n-th account, from 1."""
    return str(FIRST + number)


async def stock(store: Store, buyers: Iterable[Buyer], *, year: int = YEAR) -> None:
    """Write the accounts, numbered in the order given, and what they bought in `year`."""
    listed = list(buyers)
    columns = {
        "nos": [no(number) for number in range(1, len(listed) + 1)],
        "amounts": [None if b.amount is None else Decimal(b.amount) for b in listed],
        "kwhs": [Decimal(b.kwh) for b in listed],
        "months": [b.months for b in listed],
        "categories": [b.category for b in listed],
        "tiers": [str(b.tier) for b in listed],
        "closed": [b.closed for b in listed],
    }
    async with store.transaction() as db:
        await db.execute(_STOCK, {**columns, "year": year})


async def buy(store: Store, number: int, amount: Decimal | int, *, year: int = YEAR) -> None:
    """Correct what the n-th account bought."""
    async with store.transaction() as db:
        await db.execute(_BUY, {"no": no(number), "amount": Decimal(amount), "year": year})


_STOCK: Final = text("""
    WITH holder AS (INSERT INTO customer (name, created_at) VALUES ('Holder', '2020-01-01+00') RETURNING id),
    listed AS (
        SELECT * FROM unnest(
            CAST(:nos AS text[]), CAST(:amounts AS numeric[]), CAST(:kwhs AS numeric[]), CAST(:months AS smallint[]),
            CAST(:categories AS text[]), CAST(:tiers AS text[]), CAST(:closed AS boolean[])
        ) AS l (no, amount, kwh, months, category, tier, closed)
    ),
    opened AS (
        INSERT INTO account (no, customer_id, name, category, tier, standing, updated_at)
        SELECT no, holder.id, 'Account ' || no, category, tier, CASE WHEN closed THEN 'closed' ELSE 'active' END,
               '2020-01-01+00'
        FROM listed, holder ORDER BY no
        RETURNING id, no
    )
    INSERT INTO account_year (account_id, year, amount, kwh, months)
    SELECT opened.id, :year, amount, kwh, months FROM listed JOIN opened USING (no) WHERE amount IS NOT NULL
""")
_BUY: Final = text("""
    INSERT INTO account_year (account_id, year, amount, kwh, months)
    SELECT id, :year, :amount, 0, 12 FROM account WHERE no = :no
    ON CONFLICT (account_id, year) DO UPDATE SET amount = excluded.amount
""")
