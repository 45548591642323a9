"""How fast what a customer writes stands on the agent's screen: 200 open consoles, one process that does everything.

Customers write in the web chat at a steady rate, each to the agent who has them, while others join the line and leave
it again. Measured from the beginning of the customer's request to the arrival at the console, over real HTTP; whoever
measures shares the processors.
"""

import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import migrations
from api.server import listening
from desk import postgres
from desk.store import plain_url

CONSOLES: Final = 200
WAITING: Final = 40  # customers in the line
MESSAGES: Final = 300
RATE: Final = 10.0  # messages a second
CHANGES: Final = 2.0  # of the line, a second
START: Final = 120.0  # seconds the process may take
_PEOPLE: Final = """
    INSERT INTO staff (name, role, created_at)
      SELECT 'Agent ' || n, 'agent', now() FROM generate_series(1, %(agents)s) n;
    INSERT INTO seat (staff_id, status, capacity, load, heartbeat_at, changed_at)
      SELECT id, 'online', 10, 1, now(), now() FROM staff;
    INSERT INTO staff_session (staff_id, digest, device, address, created_at, seen_at, expires_at)
      SELECT id, encode(sha256(('agent-' || id)::bytea), 'hex'), '', '', now(), now(), now() + interval '1 day'
      FROM staff;
    INSERT INTO contact (name, created_at) SELECT 'Visitor ' || n, now() FROM generate_series(1, %(all)s) n;
    INSERT INTO address (contact_id, channel, external_id, created_at)
      SELECT id, 'web', encode(sha256(('visitor-' || id)::bytea), 'hex'), now() FROM contact;
    INSERT INTO conversation (address_id, contact_id, language, handler, agent_id, created_at)
      SELECT id, contact_id, 'zh_CN', CASE WHEN id <= %(agents)s THEN 'agent' ELSE 'bot' END,
        CASE WHEN id <= %(agents)s THEN id END, now() FROM address;
    INSERT INTO queue_entry (conversation_id, language, reason, status, rank, joined_at, agent_id, claimed_at)
      SELECT id, 'zh_CN', 'button', 'claimed', 5, now(), agent_id, now() FROM conversation WHERE handler = 'agent'
"""


class Screen(asyncio.Protocol):
    """One console: reads its stream and notes when each message came."""

    def __init__(self, seen: dict[int, float]) -> None:
        self._seen, self._rest = seen, b""

    def data_received(self, data: bytes) -> None:
        """Look for messages in what came; one may be cut in the middle."""
        now = time.perf_counter()
        data = self._rest + data
        for found in re.finditer(rb"event: line\r?\ndata: [^\n]*?message (\d+)\.", data):
            self._seen.setdefault(int(found[1]), now)
        # chunks end events, as a rule; a cut one is completed by the next
        self._rest = data[data.rfind(b"event: ") :][-20_000:] if b"event: " in data else data[-20_000:]


async def _screens(port: int, seen: dict[int, float]) -> list[asyncio.Transport]:
    loop, open_ones = asyncio.get_running_loop(), []
    for agent in range(1, CONSOLES + 1):
        transport, _ = await loop.create_connection(lambda: Screen(seen), "127.0.0.1", port)
        transport.write(
            f"GET /api/v1/agents/me/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Cookie: greenline_staff=agent-{agent}\r\n\r\n".encode()
        )
        open_ones.append(transport)
    return open_ones


class Customers:
    """Everybody who writes."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.sent: dict[int, float] = {}

    async def _post(self, who: int, **message: Any) -> None:
        headers = {"Authorization": f"Bearer visitor-{who}"}
        (await self._http.post("/api/v1/chat/messages", json=message, headers=headers)).raise_for_status()

    async def write(self, number: int) -> None:
        """One message to an agent."""
        self.sent[number] = time.perf_counter()
        who = number % CONSOLES + 1
        await self._post(who, client_id=f"m{number}", text=f"Our meter shows something odd, message {number}.")

    async def join(self, who: int) -> None:
        """Somebody wants a person."""
        await self._post(CONSOLES + 1 + who, client_id=f"j{who}", choice="person")

    async def change_the_line(self) -> None:
        """People leave the line and join it again, for ever."""
        for number in range(1_000_000):
            who, leaves = number // 2 % WAITING, number % 2 == 0
            choice = "queue:leave" if leaves else "person"
            await self._post(CONSOLES + 1 + who, client_id=f"c{number}", choice=choice)
            await asyncio.sleep(1 / CHANGES)


async def _ready(http: httpx.AsyncClient, process: Process) -> None:
    async with asyncio.timeout(START):
        while process.returncode is None:
            try:
                if (await http.get("/readyz")).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.2)
    raise RuntimeError("the process ended")


async def _measured(port: int, process: Process, advance: Callable[[], None]) -> dict[str, Any]:
    seen: dict[int, float] = {}
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits) as http:
        await _ready(http, process)
        screens, customers = await _screens(port, seen), Customers(http)
        for who in range(WAITING):
            await customers.join(who)
        for number in range(MESSAGES, MESSAGES + 50):  # warm
            await customers.write(number)
        changing = asyncio.create_task(customers.change_the_line())
        server = psutil.Process(process.pid)
        used, began, tasks = sum(server.cpu_times()[:2]), time.perf_counter(), []
        for number in range(MESSAGES):
            await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            tasks.append(asyncio.create_task(customers.write(number)))
            advance()
        await asyncio.gather(*tasks)
        elapsed = time.perf_counter() - began
        used = sum(server.cpu_times()[:2]) - used
        async with asyncio.timeout(30):
            while any(number not in seen for number in range(MESSAGES)):
                await asyncio.sleep(0.05)
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        for screen in screens:
            screen.close()
    times = [(seen[number] - customers.sent[number]) * 1000 for number in range(MESSAGES)]
    cuts = statistics.quantiles(times, n=100)
    return {
        "consoles": CONSOLES, "waiting": WAITING, "messages": MESSAGES, "per_second": round(MESSAGES / elapsed, 1),
        "p50_ms": round(cuts[49], 1), "p90_ms": round(cuts[89], 1), "p99_ms": round(cuts[98], 1),
        "worst_ms": round(max(times), 1), "cpu_percent": round(100 * used / elapsed, 1),
    }  # fmt: skip


async def measure(advance: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Latency in ms, and how much of one processor the serving process used."""
    with tempfile.TemporaryDirectory(prefix="gl-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with postgres.embedded(folder) as url:
            migrations.upgrade(url)
            async with await psycopg.AsyncConnection.connect(plain_url(url), autocommit=True) as db:
                for statement in _PEOPLE.split(";"):
                    await db.execute(statement, {"agents": CONSOLES, "all": CONSOLES + WAITING})
            with listening(0) as listener:
                port = listener.getsockname()[1]
            settings = {"DATABASE_URL": url, "DATA_DIR": name, "PORT": str(port), "ENCODER": "lite"}
            environment = os.environ | {f"GREENLINE_{key}": value for key, value in settings.items()}
            command = [sys.executable, "-m", "greenline", "run"]
            quiet = asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=quiet, stderr=quiet)
            try:
                return await _measured(port, process, advance)
            finally:
                process.terminate()
                await process.wait()


def run(console: Console) -> dict[str, Any]:
    """Measure with a progress bar."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("consoles", total=MESSAGES)
        return asyncio.run(measure(lambda: progress.advance(task)))


def show(found: dict[str, Any], console: Console) -> None:
    """The figures as a table."""
    title = "a customer's message on the agent's screen, ms"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    headings = ("consoles", "waiting", "messages", "per_second", "p50_ms", "p90_ms", "p99_ms", "worst_ms")
    for heading in (*headings, "cpu_percent"):
        table.add_column(heading.removesuffix("_ms").replace("_", " "), justify="right", no_wrap=True)
    table.add_row(*(str(found[heading]) for heading in (*headings, "cpu_percent")))
    console.print(table)
    console.print("cpu percent: of one processor, by the process that serves, without the database.")


if __name__ == "__main__":
    show(run(Console(stderr=True)), Console())
