"""The documents say what the code does: tables, diagrams, settings, commands, references and links are compared."""

import ast
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from sqlmodel import SQLModel

import greenline
from desk import promises, queue
from desk.deliveries import DELIVERY, Fate
from desk.machine import Machine
from desk.settings import Settings
from migrations import tables

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("api", "bot", "desk", "knowledge", "templates")
ARCHITECTURE: Final = ROOT / "docs" / "ARCHITECTURE.md"
ADRS: Final = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
PAGES: Final = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / f"{name}.md" for name in ("README", "README.zh-CN", "CONTRIBUTING"))]
)


@cache
def read(path: Path) -> str:
    """The text of a file."""
    return path.read_text(encoding="utf-8")


def section(path: Path, heading: str) -> str:
    """What stands under a heading, up to the next one of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", read(path), re.M)
    assert found, f"{name(path)} has no heading “{heading}”"
    rest = read(path)[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.M)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without heads and rulers, code marks taken off."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("`") for cell in line.strip("| ").split(" | ")] for line in lines]
    rulers = {i for i, row in enumerate(cells) if set("".join(row)) <= set("-: |")}
    return [row for i, row in enumerate(cells) if i not in rulers and i + 1 not in rulers]


def name(path: Path) -> str:
    """A path as people of this project write it."""
    return path.relative_to(ROOT).as_posix()


def same(documented: set[Any], real: set[Any], *, where: str, hint: str = "") -> None:
    """Both sides name the same things; the failure says what to write or to strike out."""
    missing, extra = sorted(real - documented), sorted(documented - real)
    said = [f"{where} does not agree with the code."]
    said += [f"  add: {each}" for each in missing] + [f"  strike out: {each}" for each in extra]
    assert documented == real, "\n".join([*said, hint])


def modules() -> dict[str, str]:
    """Every module that holds more than a docstring, with the first line of that."""
    found = {}
    for path in [ROOT / "greenline.py", *(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))]:
        tree = ast.parse(read(path))
        if path.name != "__init__.py" or len(tree.body) > 1:
            found[name(path)] = (ast.get_docstring(tree) or "").split("\n")[0]
    return found


def test_module_table_lists_exactly_the_modules_there_are() -> None:
    listed = [row[0] for row in rows(section(ARCHITECTURE, "Code map")) if row[0].endswith(".py")]
    assert len(listed) == len(set(listed)), "a module stands twice in the code map"
    real = modules()
    ready = "\n".join(f"| `{path}` | {real[path]} |" for path in sorted(real.keys() - set(listed)))
    same(set(listed), set(real), where="docs/ARCHITECTURE.md, “Code map”,", hint=f"rows to paste:\n{ready}")


def contracts() -> list[dict[str, Any]]:
    """The import rules that `make lint` enforces."""
    found: list[dict[str, Any]] = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    return found


def test_layer_rule_in_words_is_the_enforced_one() -> None:
    [layers] = [contract["layers"] for contract in contracts() if contract["type"] == "layers"]
    rule = " → ".join(layers)
    assert rule in section(ARCHITECTURE, "Dependency rule"), f"docs/ARCHITECTURE.md must state the rule: {rule}"


def test_forbidden_libraries_in_words_are_the_enforced_ones() -> None:
    real = {
        (source, library)
        for contract in contracts()
        if contract["type"] == "forbidden"
        for source in contract["source_modules"]
        for library in contract["forbidden_modules"]
        if library != "greenline"  # no library: the root of the layers above
    }
    table = rows(section(ARCHITECTURE, "Dependency rule"))
    documented = {(row[0], library) for row in table for library in re.findall(r"[a-z0-9_]+", row[1])}
    same(documented, real, where="docs/ARCHITECTURE.md, “Dependency rule”, table of forbidden libraries")


MACHINES: Final[dict[str, tuple[Machine[Any, Any], StrEnum]]] = {
    "Fates of a delivery": (DELIVERY, Fate.QUEUED),
    "Moves of a wait": (queue.ENTRY, queue.Status.WAITING),
    "Moves of a promise": (promises.PROMISE, promises.Status.OPEN),
}


@pytest.mark.parametrize("heading", MACHINES)
def test_a_table_of_moves_is_the_state_machine(heading: str) -> None:
    machine, _ = MACHINES[heading]
    real = {(str(state), str(action), str(target)) for state, action, target in machine.rows()}
    documented = {tuple(row[:3]) for row in rows(section(ARCHITECTURE, heading))}
    same(documented, real, where=f"docs/ARCHITECTURE.md, “{heading}”, table")


@pytest.mark.parametrize("heading", MACHINES)
def test_a_diagram_of_moves_is_the_state_machine(heading: str) -> None:
    machine, first = MACHINES[heading]
    arrows = re.findall(r"^ *(\S+) --> (\S+?)(?:: (\S+))?$", section(ARCHITECTURE, heading), re.M)
    real = {(str(state), str(action), str(target)) for state, action, target in machine.rows()}
    real |= {("[*]", "", str(first)), *((str(state), "", "[*]") for state in type(first) if machine.final(state))}
    drawn = {(start, action, target) for start, target, action in arrows}
    same(drawn, real, where=f"docs/ARCHITECTURE.md, “{heading}”, diagram")


def test_every_database_table_is_listed() -> None:
    assert SQLModel.metadata.tables.keys() >= tables.ALL
    documented = {row[0] for row in rows(section(ARCHITECTURE, "Tables of the database"))}
    same(documented, set(SQLModel.metadata.tables), where="docs/ARCHITECTURE.md, “Tables of the database”,")


def example_settings() -> dict[str, tuple[str, str]]:
    """Name to (comment above, value) of .env.example."""
    found: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    for line in read(ROOT / ".env.example").splitlines():
        if setting := re.fullmatch(r"#?(GREENLINE_[A-Z_]+)=(.*)", line):
            found[setting[1]] = (" ".join(comment), setting[2])
            comment = []
        else:
            comment = [*comment, line.removeprefix("#").strip()] if line.startswith("#") else []
    return found


def test_env_example_has_every_setting_with_its_description_and_default() -> None:
    real = {f"GREENLINE_{field.upper()}": about for field, about in Settings.model_fields.items()}
    found = example_settings()
    same(set(found), set(real), where=".env.example")
    for setting, about in real.items():
        comment, value = found[setting]
        assert about.description and about.description in comment, (
            f".env.example: the comment above {setting} must contain “{about.description}”"
        )
        default = "" if about.default is None else str(about.default)
        assert value == default, f".env.example: {setting} must show its default, “{default}”"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_named_in_documents_exist(page: Path) -> None:
    real = {f"GREENLINE_{field.upper()}" for field in Settings.model_fields}
    # GREENLINE_OIDC_* and the like name a group
    named = set(re.findall(r"GREENLINE_[A-Z_]*[A-Z](?![A-Z_*])", read(page)))
    assert named <= real, f"{name(page)} names settings that do not exist: {sorted(named - real)}"


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that can be run, with all its words."""
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {word}")
        else:
            yield f"{path} {word}", command


def test_every_command_has_a_section_that_names_its_options() -> None:
    page = ROOT / "docs" / "COMMANDS.md"
    real = dict(commands(typer.main.get_command(greenline.cli), "greenline"))
    headings = re.findall(r"^## (`(greenline(?: [a-z]+)+).*)$", read(page), re.M)
    same({words for _, words in headings}, set(real), where="docs/COMMANDS.md, the “## `greenline …`” headings")
    for heading, words in headings:
        text = heading + section(page, heading)
        options = {option for one in real[words].params for option in one.opts if option.startswith("--")} - {"--help"}
        named = {option for option in options if f"{option}`" in text or f"{option} " in text or f"{option}]" in text}
        same(named, options, where=f"docs/COMMANDS.md, options of “{words}”,")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_named_in_documents_exist(page: Path) -> None:
    real = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), re.M))
    named = set(re.findall(r"(?:`|^|\s)make ([a-z]+)(?=`|$)", read(page), re.M))
    assert named <= real, f"{name(page)} names make targets that do not exist: {sorted(named - real)}"


def defined(path: Path) -> set[str]:
    """Functions, classes, methods and module names of a file, dotted."""
    found: set[str] = set()

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            match node:
                case ast.FunctionDef(name=own) | ast.AsyncFunctionDef(name=own):
                    found.add(prefix + own)
                case ast.ClassDef(name=own):
                    found.add(prefix + own)
                    walk(node.body, f"{prefix}{own}.")
                case ast.Assign(targets=[ast.Name(id=own)]) | ast.AnnAssign(target=ast.Name(id=own)):
                    found.add(prefix + own)

    walk(ast.parse(read(path)).body, "")
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_named_in_documents_exists(page: Path) -> None:
    wrong = []
    for reference in re.findall(r"`([\w/.-]+\.py):([\w.]+)`", read(page)):
        path = ROOT / reference[0]
        if not path.exists() or reference[1] not in defined(path):
            wrong.append(":".join(reference))
    assert not wrong, f"{name(page)} names code that is not there: {wrong}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_named_in_documents_exist(page: Path) -> None:
    folders = "|".join([*PACKAGES, "docs", "migrations", "tests"])
    named = set(re.findall(rf"`((?:{folders})/[\w./-]+)(?::[\w.]+)?`", read(page)))
    gone = sorted(path for path in named if not (ROOT / path).exists())
    assert not gone, f"{name(page)} names files that are not there: {gone}"


def anchors(page: Path) -> set[str]:
    """The fragments that headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", read(page), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        path, _, fragment = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert not broken, f"{name(page)} links to what is not there: {broken}"


def test_index_of_decisions_lists_every_decision() -> None:
    index = ROOT / "docs" / "adr" / "README.md"
    listed = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", read(index)))
    same(listed, {path.name for path in ADRS}, where="docs/adr/README.md")
    numbers = [path.name[:4] for path in ADRS]
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)], "decisions are numbered without gaps"


@pytest.mark.parametrize("decision", ADRS, ids=name)
def test_a_decision_has_its_four_parts(decision: Path) -> None:
    parts = re.findall(r"^## (.+)$", read(decision), re.M)
    assert parts == ["Context", "Decision", "Consequences", "Alternatives"], f"{name(decision)} has {parts}"
    assert re.match(rf"# {decision.name[:4]} \S", read(decision)), f"{name(decision)} must open with its number"
