"""The order of service at the human desk: who comes first, and how long it may take.

电力客户的分级和分类及管理: a high-end customer at the human desk is always at the very front; nothing outweighs a rank.
Strict by rank, first come first served inside one: tier A, important customers, B, C, then D and unidentified.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

from desk.tiers import Tier


class Rank(IntEnum):
    """A place in the order of service; the smaller goes first."""

    A = 1
    IMPORTANT = 2
    B = 3
    C = 4
    D = 5

    @property
    def key(self) -> str:
        """How policy and pages name it: A, important, B, C, D."""
        return "important" if self is Rank.IMPORTANT else self.name

    @property
    def green(self) -> bool:
        """Whether this is the green channel 绿色通道: the first two ranks."""
        return self <= Rank.IMPORTANT

    @property
    def promised(self) -> bool:
        """Whether leaving unserved makes a callback promise by itself; D and unidentified are offered a message."""
        return self <= Rank.C


def rank_of(tier: str | None, important: bool) -> Rank:
    """The rank of an account; None = nobody knows who is writing."""
    if tier == Tier.A:
        return Rank.A
    if important:
        return Rank.IMPORTANT
    return {Tier.B: Rank.B, Tier.C: Rank.C}.get(Tier(tier), Rank.D) if tier else Rank.D


# the same for SQL, on an account `a` that may be missing; a test compares the two
RANK_SQL: Final = (
    "CASE WHEN a.tier = 'A' THEN 1 WHEN a.important THEN 2 WHEN a.tier = 'B' THEN 3 WHEN a.tier = 'C' THEN 4 ELSE 5 END"
)


def service_order(entry: Mapping[str, Any]) -> tuple[int, datetime, int]:
    """The sort key of a waiting entry: rank, first-enqueued time, number."""
    return entry["rank"], entry["joined_at"], entry["entry"]


def choose(line: Sequence[Mapping[str, Any]]) -> int | None:
    """The entry that a claim takes out of a stored line: the first that fits the agent and is not taken."""
    fitting = [entry for entry in line if not entry["cause"]]
    return min(fitting, key=service_order)["entry"] if fitting else None


def estimate_s(ahead: int, handling_s: float, agents: int) -> int:
    """Seconds until it is somebody's turn: recent handling time x people ahead / agents, rounded up."""
    whole = int(handling_s) * ahead
    return -(-whole // max(agents, 1))
