"""The permission table: what docs/PERMISSIONS.md shows is what the code allows."""

from pathlib import Path
from typing import Final

import pytest

from desk.permissions import ALLOWED, Permission, Role, may

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "PERMISSIONS.md"


def rows() -> list[list[str]]:
    """The cells of the table, without the ruler."""
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def expected() -> str:
    """The table as it should stand, ready to paste."""
    lines = [f"| Permission | {' | '.join(f'`{role}`' for role in Role)} |", f"| --- |{' :-: |' * len(Role)}"]
    for permission in Permission:
        marks = [("✓" if may(role, permission) else "") for role in Role]
        lines.append(f"| `{permission}` | {' | '.join(marks)} |")
    return "\n".join(lines)


def test_the_document_shows_exactly_the_table_of_the_code() -> None:
    head, *body = rows()
    documented = {(row[0], role) for row in body for role, mark in zip(head[1:], row[1:], strict=True) if mark}
    real = {(str(permission), str(role)) for permission, roles in ALLOWED.items() for role in roles}
    assert head[1:] == list(Role) and [row[0] for row in body] == list(Permission), expected()
    assert documented == real, expected()


def test_every_role_is_explained() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for role in Role:
        assert f"- `{role}` — " in text, role


@pytest.mark.parametrize("permission", Permission)
def test_every_permission_is_given_to_somebody_and_not_to_all(permission: Permission) -> None:
    assert 0 < len(ALLOWED[permission]) < len(Role)


def test_who_looks_into_the_access_log_cannot_look_at_personal_data() -> None:
    assert not ALLOWED[Permission.ACCESS_READ] & ALLOWED[Permission.CUSTOMERS_REVEAL]
