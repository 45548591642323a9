"""`kill -9` under the web chat and under the database: what was acknowledged is there, what is repeated happens once."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from desk.conversations import Direction
from tests.chaos.conftest import LOCK_CONVERSATIONS, Town
from tests.conftest import Process, until
from tests.telegram.world import QUESTION


class Visitor:
    """A browser with its conversation."""

    def __init__(self, base: str) -> None:
        session = httpx.post(f"{base}/api/v1/chat/sessions", json={"language": "zh_CN"}).json()
        self.headers = {"Authorization": f"Bearer {session['token']}"}

    def say(self, base: str, client_id: str, text: str = QUESTION) -> httpx.Response:
        """Send a message."""
        message = {"client_id": client_id, "text": text}
        return httpx.post(f"{base}/api/v1/chat/messages", json=message, headers=self.headers, timeout=60)

    def read(self, base: str) -> list[dict[str, Any]]:
        """Everything said so far."""
        answer = httpx.get(f"{base}/api/v1/chat/messages", headers=self.headers)
        return list(answer.json()["messages"])


async def test_while_a_web_message_is_being_handled_or_just_after(town: Town) -> None:
    program = await town.run()
    visitor = await asyncio.to_thread(Visitor, program.base)
    async with town.holding(LOCK_CONVERSATIONS):
        asking = asyncio.create_task(asyncio.to_thread(visitor.say, program.base, "m1"))
        await town.stuck()
        await town.kill(program)
    with pytest.raises(httpx.HTTPError):
        await asking
    program = await town.run()
    first = (await asyncio.to_thread(visitor.say, program.base, "m1")).json()
    await town.kill(program)  # the browser has not heard the answer, and asks again
    program = await town.run()
    second = (await asyncio.to_thread(visitor.say, program.base, "m1")).json()
    assert first["messages"] == second["messages"] and "二个月" in first["messages"][1]["text"]
    assert [line.text for line in await town.lines(Direction.IN)] == [QUESTION]
    greeting, asked, reply = await asyncio.to_thread(visitor.read, program.base)
    assert [greeting["direction"], asked["direction"], reply["direction"]] == ["out", "in", "out"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder in which an embedded PostgreSQL can live."""
    with tempfile.TemporaryDirectory(prefix="gl-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name) / "data"


def _postmaster(folder: Path) -> int:
    [file] = folder.rglob("postmaster.pid")
    return int(file.read_text().split()[0])


def _end(pid: int) -> None:
    server = psutil.Process(pid)
    everyone = [server, *server.children()]
    server.send_signal(signal.SIGKILL)
    psutil.wait_procs(everyone, timeout=20)


def test_the_program_and_its_own_database_die_and_the_data_are_there(folder: Path) -> None:
    program = Process("", folder, "run").ready()
    try:
        visitor = Visitor(program.base)
        said = visitor.say(program.base, "m1").json()["messages"]
        server = _postmaster(folder)
        program.kill()
        _end(server)
        program = Process("", folder, "run").ready()
        assert visitor.read(program.base)[1:] == said
        assert visitor.say(program.base, "m1").json()["messages"] == said
        server = _postmaster(folder)
        assert program.stop() == 0
        until(lambda: not psutil.pid_exists(server))
    finally:
        if program.process.poll() is None:
            os.kill(program.process.pid, signal.SIGTERM)
            program.process.wait(20)
