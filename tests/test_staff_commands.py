"""`greenline staff`, `token` and `erase` as an operator meets them: real processes, beside a running service."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from desk import access, staff
from desk.conversations import Contact
from desk.permissions import Role
from desk.store import Store
from tests.conftest import MONDAY, Process
from tests.test_commands import greenline, refused

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(url: str, tmp_path: Path) -> Run:
    def run(*arguments: str, answer: str = "", locale: str = "en") -> subprocess.CompletedProcess[str]:
        data = str(tmp_path / "process")
        return greenline(*arguments, answer=answer, database_url=url, data_dir=data, locale=locale)

    return run


def test_staff_and_tokens_made_while_everything_runs_work_at_once(run: Run, start: Callable[..., Process]) -> None:
    service = start("run").ready()
    added = run("staff", "add", "林岚", "--role", "admin", "--password-stdin", answer="correct horse battery\n")
    assert (added.returncode, added.stdout.splitlines()) == (0, ["Added “林岚” with the role admin."]), added.stderr
    with httpx.Client(base_url=f"{service.base}/api/v1", headers={"Origin": service.base}) as browser:
        entered = browser.post("/sessions", json={"name": "林岚", "password": "correct horse battery"})
        assert (entered.status_code, entered.json()["role"]) == (201, "admin")
        assert browser.get("/staff").status_code == 200

        made = run("token", "create", "--role", "supervisor", "--name", "meter", "--days", "30")
        assert made.returncode == 0, made.stderr
        *_, token = made.stdout.splitlines()
        assert token.startswith("gl_") and " " not in token
        bearer = {"Authorization": f"Bearer {token}"}
        events = httpx.get(f"{service.base}/api/v1/events?limit=1000", headers=bearer).json()["events"]
        assert [e["kind"] for e in events if e["kind"].startswith(("staff", "token"))] == [
            "staff.added", "staff.signed_in", "token.created",
        ]  # fmt: skip

        assert run("staff", "add", "吴桐", "--role", "admin", "--service").returncode == 0
        disabled = run("staff", "disable", "林岚")
        assert "“林岚” is disabled" in disabled.stdout
        assert browser.get("/staff").status_code == 401
    listed = [line.split() for line in run("staff", "list").stdout.splitlines()]
    assert listed[0] == ["Name", "Role", "Second", "factor", "Disabled"]
    assert [row[:2] for row in listed[1:]] == [["林岚", "admin"], ["吴桐", "admin"]]
    assert [len(row) for row in listed[1:]] == [4, 2]  # with the day and time of disabling
    assert service.stop() == 0


async def test_a_manager_of_the_company_is_added_with_a_level_and_nobody_else_has_one(run: Run, store: Store) -> None:
    for name, more in (("林岚", ("--level", "company")), ("吴桐", ())):
        added = run("staff", "add", name, "--role", "manager", "--service", *more)
        assert added.returncode == 0, added.stderr
    refused(run("staff", "add", "方远", "--role", "agent", "--service", "--level", "company"), "方远")
    async with store.transaction() as db:
        assert [(each.name, each.level) for each in await staff.members(db)] == [("林岚", "company"), ("吴桐", "area")]


async def test_without_a_terminal_a_password_is_generated_and_shown_once(run: Run, store: Store) -> None:
    added = run("staff", "add", "林岚", "--role", "agent", locale="zh_CN")
    assert added.returncode == 0, added.stderr
    password = added.stdout.strip().splitlines()[-1]
    async with store.transaction() as db:
        member = await staff.by_name(db, "林岚")
    assert await staff.Passwords().verify(password, member.password)
    assert (member.role, member.language) == (Role.AGENT, "zh_CN")


def test_what_cannot_be_is_said_in_one_sentence_a_language(run: Run) -> None:
    assert run("staff", "add", "Lin", "--role", "admin").returncode == 0
    refused(run("staff", "add", "lin", "--role", "agent"), "lin", "姓名已被使用")
    refused(run("staff", "add", "Wu", "--role", "agent", "--password-stdin", answer="short\n"), "10")
    refused(run("staff", "disable", "Lin"), "administrator")
    refused(run("staff", "disable", "Nobody"), "Nobody")
    refused(run("token", "create", "--role", "agent", "--name", "a:b"), "colons")
    refused(run("erase", "--contact", "4711", "--reason", "asked"), "contact")
    refused(run("erase", "--account", "4711000000", "--reason", "asked"), "account")
    for arguments in (["--reason", "x"], ["--reason", "x", "--contact", "1", "--account", "1"], ["--contact", "1"]):
        assert run("erase", *arguments).returncode == 2


async def test_a_contact_is_erased_with_its_reason_and_again_there_is_nothing_to_do(run: Run, store: Store) -> None:
    async with store.transaction() as db:
        contact = Contact(name="周文彬", phone="13800138000", created_at=MONDAY)
        db.add(contact)
    number = str(contact.id)
    first = run("erase", "--contact", number, "--reason", "asked by letter")
    again = run("erase", "--contact", number, "--reason", "asked by letter")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert "erased" in first.stdout and "nothing to do" in again.stdout
    async with store.transaction() as db:
        assert (await db.get_one(Contact, contact.id)).name == ""
        assert [line.reason for line in await access.read(db)] == ["asked by letter"]
