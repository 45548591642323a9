"""Column shorthands shared by the tables."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, ForeignKey, Identity, Text, text
from sqlalchemy.dialects.postgresql import JSONB


def key() -> Column[Any]:
    """A generated 64-bit primary key."""
    return Column(BigInteger, Identity(), primary_key=True)


def ref(target: str, *, index: bool = True, nullable: bool = False) -> Column[Any]:
    """A reference to another table's key."""
    return Column(BigInteger, ForeignKey(target), index=index, nullable=nullable)


def words(*, nullable: bool = False, default: str | None = None) -> Column[Any]:
    """Text of any length."""
    return Column(Text, nullable=nullable, server_default=None if default is None else text(f"'{default}'"))


def moment(*, nullable: bool = False) -> Column[Any]:
    """An aware instant."""
    return Column(DateTime(timezone=True), nullable=nullable)


def facts(default: str = "{}") -> Column[Any]:
    """A JSON document, never null."""
    return Column(JSONB, nullable=False, server_default=text(f"'{default}'"))


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """The database refuses other values (SQLModel tables don't validate)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")
