"""Arrivals and staffing for the simulator: from CSV files, or the real waits of a day."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from desk import sheets
from desk.errors import BadCell, MissingColumns
from desk.presence import Skill
from desk.ranks import Rank
from desk.tiers import Tier
from desk.workbook import Cell

DAY: Final = date(2026, 1, 5)  # of arrivals that only say a time, a Monday
COLUMNS: Final = ("at", "tier", "important", "language", "skill", "handling_s", "patience_s")
STAFFING: Final = ("from", "to", "agents")
ALL_DAY: Final = (time(0), time(0))
MOST: Final = 1000  # agents in one row of a staffing
_YES: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


@dataclass(frozen=True)
class Arrival:
    """Somebody who wants a person; without a tier unidentified. Seconds that are None are drawn, or endless."""

    at: datetime
    tier: str | None = None
    important: bool = False
    language: str = "zh_CN"
    skill: str = ""
    handling_s: float | None = None
    patience_s: float | None = None


@dataclass(frozen=True)
class Staffing:
    """So many agents from one time of the day to another, every day; `ends` 00:00 is the end of the day."""

    begins: time
    ends: time
    agents: int

    def covers(self, moment: time) -> bool:
        """Whether these agents are there at this time of the day."""
        return self.begins <= moment and (self.ends == time(0) or moment < self.ends)


def read(path: Path, zone: ZoneInfo) -> list[Arrival]:
    """Arrivals of a CSV file in the order of their times. Raises UnreadableSheet, MissingColumns, BadCell."""
    found = []
    for line, cells in _table(path, COLUMNS, ("at", "tier")):
        row = _Row(path.name, line, cells)
        tier = row.read("tier", lambda said: Tier(said.upper()) if said else None)
        found.append(
            Arrival(
                row.read("at", lambda said: _moment(said, zone)),
                tier,
                row.read("important", lambda said: _YES[said.lower()]),
                row.said("language") or "zh_CN",
                row.read("skill", _skill),
                row.read("handling_s", _seconds),
                row.read("patience_s", _seconds),
            )
        )
    return sorted(found, key=lambda each: each.at)


def staffing(path: Path) -> list[Staffing]:
    """Rows of a staffing file, each a crew of its own. Raises UnreadableSheet, MissingColumns, BadCell."""
    found = []
    for line, cells in _table(path, STAFFING, STAFFING):
        row = _Row(path.name, line, cells)
        begins, ends = row.read("from", _clock), row.read("to", _clock)
        if ends != time(0) and ends <= begins:
            row.refuse("to")
        found.append(Staffing(begins, ends, row.read("agents", _crew)))
    return found


def most_at_once(crews: Sequence[Staffing]) -> int:
    """The largest number of agents who are there at the same time."""
    return max((sum(o.agents for o in crews if o.covers(crew.begins)) for crew in crews), default=0)


def _table(path: Path, known: Sequence[str], needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    with sheets.reading(path) as sheet:
        heads: list[str] | None = None
        found = []
        for line, cells in sheet.rows:
            said = [_said(cell) for cell in cells]
            if not any(said):
                continue
            if heads is None:
                heads = [each.lower() for each in said]
                if missing := [column for column in needed if column not in heads]:
                    raise MissingColumns(columns=missing)
                continue
            found.append((line, {h: s for h, s in zip(heads, said, strict=False) if h in known}))
        if heads is None:
            raise MissingColumns(columns=list(needed))
        return found


def _said(cell: Cell) -> str:
    return "" if cell is None else str(cell).strip()


@dataclass(frozen=True)
class _Row:
    name: str
    line: int
    cells: dict[str, str]

    def said(self, column: str) -> str:
        return self.cells.get(column, "")

    def read(self, column: str, meaning: Callable[[str], Any]) -> Any:
        try:
            return meaning(self.said(column))
        except (ValueError, KeyError):
            self.refuse(column)

    def refuse(self, column: str) -> None:
        raise BadCell(name=self.name, line=self.line, column=column, value=self.said(column)[:80])


def _moment(said: str, zone: ZoneInfo) -> datetime:
    moment = datetime.combine(DAY, _clock(said)) if len(said) <= 8 else datetime.fromisoformat(said)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _clock(said: str) -> time:
    parts = [int(part) for part in said.split(":")]
    hours, minutes, seconds = parts if len(parts) == 3 else (*parts, 0)
    return time(0) if (hours, minutes, seconds) == (24, 0, 0) else time(hours, minutes, seconds)


def _seconds(said: str) -> float | None:
    if not said:
        return None
    seconds = float(said)
    if not 0 < seconds <= 86_400:
        raise ValueError(said)
    return seconds


def _skill(said: str) -> str:
    if said and said not in set(Skill):
        raise ValueError(said)
    return said


def _crew(said: str) -> int:
    if not 0 <= int(said) <= MOST:
        raise ValueError(said)
    return int(said)


async def of_day(db: AsyncSession, day: date, zone: ZoneInfo) -> list[Arrival]:
    """The real waits that began on a local day, as arrivals: with the rank they had, how long they took or waited."""
    begins = datetime.combine(day, time(0), zone)
    rows = await db.execute(_OF_DAY, {"begins": begins, "ends": begins + timedelta(days=1)})
    return [
        Arrival(
            row.joined_at, _TIER[row.rank], row.rank == Rank.IMPORTANT, row.language, row.skill, row.handling_s,
            row.patience_s,
        )
        for row in rows
    ]  # fmt: skip


_TIER: Final = {Rank.A: "A", Rank.IMPORTANT: "D", Rank.B: "B", Rank.C: "C", Rank.D: None}
_OF_DAY: Final = text(
    """
    SELECT joined_at, rank, language, skill,
      CASE WHEN status IN ('closed', 'returned') AND ended_at > claimed_at
        THEN extract(epoch FROM ended_at - claimed_at)::float END AS handling_s,
      CASE WHEN status = 'left' AND ended_at > joined_at
        THEN extract(epoch FROM ended_at - joined_at)::float END AS patience_s
    FROM queue_entry WHERE joined_at >= :begins AND joined_at < :ends AND reason <> 'agent' ORDER BY joined_at, id
    """
)
