"""Value tiers 客户层级 by purchase and the large flag: exact arithmetic, explained line by line.

电力客户的分级和分类及管理: the first 1 % by purchase are A, the next 4 % B, the next 15 % C, the rest D.
供电所大客户维护与管理方法 第二条: a monthly average of 4000 kWh or more in the previous year makes a customer large.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from typing import Final

LARGE_KWH: Final = 4000  # per month, itself included
NEAR: Final = 10  # within a tenth of the next tier's smallest purchase


class Tier(StrEnum):
    """Value class by purchase."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


@dataclass(frozen=True)
class Placing:
    """One account's place: why it is in its tier.

    `rank` counts from 1, equal purchases share the first one's rank. `cut` is the last place of the tier by the integer
    rule, None for D. `tied` counts the others with the same purchase; `raised` = places run out within the tie, so all
    of it takes the higher tier. `short` is what was missing to the next higher tier in yuan, None when there is none.
    """

    account: int
    amount: Decimal
    tier: Tier
    rank: int
    of: int
    cut: int | None
    tied: int
    raised: bool
    short: Decimal | None

    @property
    def near(self) -> bool:
        """Whether what is missing is at most a tenth of the next tier's smallest purchase (定期拜访: push them up)."""
        return self.short is not None and self.amount > 0 and NEAR * self.short <= self.amount + self.short


def cuts(accounts: int) -> dict[Tier, int]:
    """The last place of A, B and C among so many accounts: ceilings of 1 %, 5 % and 20 %, in integers."""
    return {tier: -(-share * accounts // 100) for tier, share in ((Tier.A, 1), (Tier.B, 5), (Tier.C, 20))}


def shares(accounts: int) -> dict[Tier, int]:
    """How many places each tier has by the integer rule, before ties."""
    last = cuts(accounts)
    return {
        Tier.A: last[Tier.A],
        Tier.B: last[Tier.B] - last[Tier.A],
        Tier.C: last[Tier.C] - last[Tier.B],
        Tier.D: accounts - last[Tier.C],
    }


def place(purchases: Iterable[tuple[int, Decimal]]) -> list[Placing]:
    """Tiers of all accounts from (account, yearly purchase in yuan), best first.

    Equal purchases at a cut share the higher tier; no purchase is always D.
    """
    ordered = sorted(purchases, key=lambda item: (-item[1], item[0]))
    total, last = len(ordered), cuts(len(ordered))
    placings: list[Placing] = []
    lowest: dict[Tier, Decimal] = {}  # smallest purchase that reached a tier
    for amount, tie in groupby(ordered, key=lambda item: item[1]):
        accounts = [account for account, _ in tie]
        first = len(placings)
        tier = next((t for t, cut in last.items() if amount > 0 and first < cut), Tier.D)
        lowest[tier] = amount
        higher = [lowest[t] for t in last if t < tier and t in lowest]
        short = min(higher) - amount if higher else None
        cut = last.get(tier)
        raised = cut is not None and first + len(accounts) > cut
        placings += [
            Placing(account, amount, tier, first + 1, total, cut, len(accounts) - 1, raised, short)
            for account in accounts
        ]
    return placings


def is_large(kwh: Decimal, months: int) -> bool:
    """Whether `kwh` over the `months` in service in that year average 4000 or more (第二条; 以上 includes 4000)."""
    return months > 0 and kwh >= LARGE_KWH * months
