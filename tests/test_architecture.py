"""The rules of the house, each checked on the syntax tree of the program's own code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "bot", "desk", "knowledge", "templates")
MODULES = [*sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")), ROOT / "greenline.py"]
HAN = re.compile(r"[\u3400-\u9fff]")
PROSE = re.compile(r"(?:[A-Za-z']{2,}[ ,]+){5,}[A-Za-z']{2,}")
# calls whose texts no customer reads: logs, SQL, patterns, metrics, help of the command line, programmers' errors
SILENT = re.compile(
    r"^(log\.|text$|Histogram$|Gauge$|Counter$|typer\.|\w+Error$)|(execute|exec_driver_sql|compile|command)$"
)
LARGEST = 450

# Where Han characters or sentences in code are no wording: the reason stands beside each
WORDS_ALLOWED = {
    "greenline.py": "help of the command line, which operators read",
    "api/commands.py": "help of the command line, which operators read",
    "bot/dialogue.py": "ways to type a command or to go back, understood and never said",
    "desk/archive_rows.py": "how units and years are written in the files that are imported",
    "desk/settings.py": "what each setting is for, listed by `greenline check`",
}
# May look at the machine's clock
CLOCKS = {"desk/clock.py"}
# May end a transaction
COMMITS = {"desk/store.py"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call with its dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def texts(tree: ast.Module) -> Iterator[str]:
    """String constants that are no documentation, no SQL and no log line."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(id(node.value))
        if isinstance(node, ast.Call) and SILENT.search(ast.unparse(node.func)):
            silent |= {id(inner) for inner in ast.walk(node)}
        if isinstance(node, ast.keyword) and node.arg == "description":
            silent.add(id(node.value))
        if isinstance(node, ast.Dict):  # of the description of the API
            pairs = zip(node.keys, node.values, strict=True)
            silent |= {id(value) for name, value in pairs if name and ast.unparse(name) == "'description'"}
        if isinstance(node, ast.Assert | ast.Raise):
            silent |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_but_the_clock_looks_at_the_time(path: Path) -> None:
    asked = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "datetime.datetime.now"}
    assert name_of(path) in CLOCKS or not asked & {name for _, name in calls(tree_of(path))}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_but_the_store_ends_a_transaction(path: Path) -> None:
    ended = [name for _, name in calls(tree_of(path)) if name.rpartition(".")[2] in ("commit", "rollback")]
    assert name_of(path) in COMMITS or not ended


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_words_stand_in_the_templates(path: Path) -> None:
    name = name_of(path)
    if name.startswith(("templates/", "knowledge/")) or name in WORDS_ALLOWED:
        return
    said = [text for text in texts(tree_of(path)) if HAN.search(text) or (PROSE.search(text) and "SELECT" not in text)]
    assert said == []


def test_every_exception_for_words_is_needed() -> None:
    for name in WORDS_ALLOWED:
        source = (ROOT / name).read_text(encoding="utf-8")
        found = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
        assert any(isinstance(text, str) and (HAN.search(text) or PROSE.search(text)) for text in found), name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_prints(path: Path) -> None:
    assert [name for _, name in calls(tree_of(path)) if name == "print"] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_fits_in_a_head(path: Path) -> None:
    limit = 700 if name_of(path) == "greenline.py" else LARGEST  # the one place that wires everything
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_everything_public_says_what_it_is_for(path: Path) -> None:
    tree, silent = tree_of(path), []
    assert ast.get_docstring(tree), "the module itself"
    todo: list[tuple[ast.AST, bool]] = [(tree, False)]
    while todo:
        node, protocol = todo.pop()
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if child.name.startswith("_") or (protocol and not isinstance(child, ast.ClassDef)):
                continue
            if not ast.get_docstring(child):
                silent.append(child.name)
            if isinstance(child, ast.ClassDef):
                todo.append((child, any("Protocol" in ast.unparse(base) for base in child.bases)))
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_silenced_type_error_names_its_code(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert re.findall(r"# type: ignore(?!\[)", source) == []


def test_packages_depend_on_each_other_as_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out
    assert "3 kept, 0 broken" in capsys.readouterr().out
