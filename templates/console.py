"""Tables for the terminal: facts in, words and columns out."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from rich.table import Table
from rich.text import Text

from templates import label, render_text


def classification(counts: Mapping[str, Any], language: str) -> Iterator[Table | Text]:
    """Counts of an annual classification: tiers, flags, moves from tier to tier, and every tie over a cut."""
    tiers = _table(language, "tiers_tier", "tiers_accounts", "tiers_by_rule", "tiers_cut")
    for tier, accounts in counts["tiers"].items():
        _row(tiers, tier, accounts, counts["by_rule"][tier], counts["cuts"].get(tier, ""))
    yield tiers
    flags = _table(language, "tiers_flag", "tiers_accounts")
    for flag in ("large", "important", "near", "without_purchase"):
        _row(flags, label(f"tiers_{flag}", language), counts[flag])
    yield flags
    if counts["moves"]:
        moves = _table(language, "tiers_before", "tiers_after", "tiers_accounts")
        for move in counts["moves"]:
            _row(moves, move["before"], move["tier"], move["accounts"])
        yield moves
    for tie in counts["ties"]:
        yield Text(tie_over_a_cut(tie, language))


def tie_over_a_cut(tie: Mapping[str, Any], language: str) -> str:
    """Why a tier has more accounts than places."""
    facts = {name: tie[name] for name in ("tier", "cut", "rank", "accounts")}
    return render_text("_tiers_tie", language, amount=Decimal(tie["amount"]), named=tie["with"], **facts)


def near(rows: Iterable[tuple[str, str, int, Decimal, Decimal]], language: str) -> Table:
    """Accounts near the next tier: number, tier, rank, purchase and what is missing, in yuan."""
    table = _table(language, "tiers_account", "tiers_tier", "tiers_rank", "tiers_amount", "tiers_short")
    for row in rows:
        _row(table, *row)
    return table


def _table(language: str, *columns: str) -> Table:
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(label(column, language), justify="right" if number else "left")
    return table


def _row(table: Table, *cells: object) -> None:
    table.add_row(*(f"{c:,}" if isinstance(c, int | Decimal) else Text(str(c)) for c in cells))
