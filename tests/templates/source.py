"""What the program asks of the templates, read from its source: names of texts, and errors with the facts they carry."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, get_args

from knowledge.documents import Reason

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("api", "bot", "desk", "migrations")


@cache
def _nodes() -> tuple[ast.AST, ...]:
    files = [ROOT / "greenline.py", *(path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py")))]
    return tuple(node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def strings() -> set[str]:
    """Every literal string."""
    return {node.value for node in _nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def beginnings() -> set[str]:
    """The fixed beginning of every f-string."""
    heads = [node.values[0] for node in _nodes() if isinstance(node, ast.JoinedStr) and node.values]
    return {head.value for head in heads if isinstance(head, ast.Constant) and isinstance(head.value, str)}


def calls(name: str) -> Iterator[ast.Call]:
    """Every call of a function or class of this name."""
    for node in _nodes():
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name:
                yield node


def reasons() -> dict[str, set[str]]:
    """The facts of every reason not to start."""
    found: dict[str, set[str]] = {}
    for call in calls("SetupError"):
        reason = call.args[0]
        assert isinstance(reason, ast.Constant) and isinstance(reason.value, str), ast.unparse(call)
        found[reason.value] = {keyword.arg for keyword in call.keywords if keyword.arg}
    return found | {f"import_{reason}": {"name"} for reason in get_args(Reason)}
